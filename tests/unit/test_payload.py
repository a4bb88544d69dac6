"""`load(dump(event)) == event`, or a refusal before anything is sent: over generated event classes and values."""

import collections
import enum
import itertools
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    ValidationError,
    create_model,
    field_validator,
)

from cassorm import Event, Value
from cassorm.errors import CatalogError
from cassorm.events import payload, plain
from cassorm.events.event import type_catalog
from cassorm.events.payload import same


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Line(Value):
    sku: str
    price: Decimal
    photo: bytes = b""


LINES = st.builds(
    Line, sku=st.text(), price=st.decimals(allow_nan=False, allow_infinity=False), photo=st.binary(max_size=8)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.binary(),
        st.decimals(),
        st.uuids(),
        st.datetimes(timezones=st.none() | st.timezones()),
        st.dates(),
        st.times(),
        st.timedeltas(),
        st.sampled_from(Colour),
        st.characters(categories=["Cs"]),
        LINES,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text() | st.integers(), inner, max_size=3),
    ),
    max_leaves=5,
)
# An annotation and the values to put into a field of it.
Kind = tuple[Any, st.SearchStrategy[Any]]
HASHABLE: list[Kind] = [
    (Decimal, st.decimals(allow_nan=False)),
    *(
        (kind, st.from_type(kind))
        for kind in (str, int, float, bool, bytes, UUID, datetime, date, time, timedelta, Colour)
    ),
]
SCALARS: list[Kind] = [
    *HASHABLE,
    (Line, LINES),
    (Any, VALUES),
    (None, st.none()),
    (datetime, st.datetimes(timezones=st.timezones())),
]


def optional(kind: Kind) -> Kind:
    return kind if kind[0] in (None, Any) else (kind[0] | None, st.none() | kind[1])


# Generic types as plain values: their arguments are known only at run time.
LIST, TUPLE, DICT, SET, FROZENSET = (cast("Any", kind) for kind in (list, tuple, dict, set, frozenset))
kinds: st.SearchStrategy[Kind] = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        inner.map(optional),
        inner.map(lambda k: (LIST[k[0]], st.lists(k[1], max_size=3))),
        inner.map(lambda k: (TUPLE[k[0], ...], st.lists(k[1], max_size=3).map(tuple))),
        st.tuples(inner, inner).map(lambda p: (TUPLE[p[0][0], p[1][0]], st.tuples(p[0][1], p[1][1]))),
        st.tuples(st.sampled_from(HASHABLE), inner).map(
            lambda p: (DICT[p[0][0], p[1][0]], st.dictionaries(p[0][1], p[1][1], max_size=3))
        ),
        st.sampled_from(HASHABLE).map(lambda k: (SET[k[0]], st.sets(k[1], max_size=3))),
        st.sampled_from(HASHABLE).map(lambda k: (FROZENSET[k[0]], st.frozensets(k[1], max_size=3))),
    ),
    max_leaves=4,
)
numbers = itertools.count()
outcomes = collections.Counter[str]()


@st.composite
def events(draw: st.DrawFn) -> Event:
    fields = draw(st.lists(kinds, min_size=1, max_size=3))
    definitions: dict[str, Any] = {f"f{n}": (annotation, ...) for n, (annotation, _) in enumerate(fields)}
    cls = create_model(f"Generated{next(numbers)}", __base__=Event, **definitions)
    try:
        return cls(**{f"f{n}": draw(values) for n, (_, values) in enumerate(fields)})
    except ValidationError:
        reject()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(events())
def test_a_generated_event_loads_equal_or_is_refused(event: Event) -> None:
    try:
        data = payload.dump(event)
    except CatalogError:
        outcomes["refused"] += 1
        return
    outcomes["loaded"] += 1
    loaded = payload.load(event.__event_type__, event.__schema_version__, payload.JSON, data)
    assert type(loaded) is type(event)
    assert same(loaded, event)
    for name in type(event).model_fields:
        assert type(getattr(loaded, name)) is type(getattr(event, name)) or getattr(loaded, name) == getattr(
            event, name
        )


def test_most_generated_events_were_not_refused() -> None:
    assert outcomes["loaded"] > outcomes["refused"], outcomes


class Everything(Event):
    text: str
    number: int
    ratio: float
    money: Decimal
    id: UUID
    at: datetime
    day: date
    span: timedelta
    raw: bytes
    colour: Colour
    lines: list[Line]
    table: dict[int, tuple[Line, ...]]
    tags: frozenset[str]


@settings(max_examples=200, deadline=None)
@given(
    st.builds(
        Everything,
        money=st.decimals(allow_nan=False, allow_infinity=False),
        at=st.datetimes(timezones=st.just(UTC)),
        lines=st.lists(LINES, max_size=3),
        table=st.dictionaries(st.integers(), st.lists(LINES, max_size=2).map(tuple), max_size=3),
        text=st.text(),
        tags=st.frozensets(st.text(), max_size=3),
    )
)
def test_ordinary_types_are_never_refused(event: Everything) -> None:
    assert same(payload.load("Everything", 1, payload.JSON, payload.dump(event)), event)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), -0.0, 1e308, 5e-324])
def test_special_floats_come_back(number: float) -> None:
    class Measured(Event, name="Measured"):
        value: float

    loaded = payload.load("Measured", 1, payload.JSON, payload.dump(Measured(value=number)))
    assert repr(loaded) == repr(Measured(value=number))


def test_an_instance_of_a_subclass_in_a_field_is_refused_rather_than_cut() -> None:
    class DiscountedLine(Line):
        discount: Decimal

    class Lined(Event, name="Lined"):
        line: Line

    with pytest.raises(CatalogError, match="JSON"):
        payload.dump(Lined(line=DiscountedLine(sku="a", price=Decimal(1), discount=Decimal(1))))


def test_aliases_do_not_hinder() -> None:
    class Aliased(Event, name="Aliased"):
        unit_price: Decimal = Field(alias="unitPrice")

    event = Aliased(unitPrice=Decimal(3))
    data = payload.dump(event)
    assert data == b'{"unit_price":"3"}'
    assert payload.load("Aliased", 1, payload.JSON, data) == event


def test_a_field_that_the_class_no_longer_has_is_passed_over() -> None:
    class Slimmed(Event, name="Slimmed"):
        kept: int

    assert payload.load("Slimmed", 1, payload.JSON, b'{"kept":1,"dropped":2}') == Slimmed(kept=1)


class PlainWithBytes(BaseModel):
    raw: bytes


class Hidden(BaseModel):
    gone: int = Field(exclude=True, default=1)


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        (Callable[[], int], "is a callable"),
        (SecretStr, "is a secret"),
        (list[SecretStr | None], "is a secret"),
        (PlainWithBytes, "derive PlainWithBytes from cassorm.Value|Derive PlainWithBytes"),
        (dict[str, list[PlainWithBytes]], "f.raw: holds bytes"),
        (Annotated[int, Field(exclude=True)], "is excluded"),
        (Hidden, r"f\.gone: is excluded"),
    ],
)
def test_a_field_that_cannot_come_back_is_refused_at_class_definition(annotation: Any, problem: str) -> None:
    before = len(type_catalog)
    with pytest.raises(CatalogError, match=problem):
        create_model("Refused", __base__=Event, f=(annotation, ...))
    assert len(type_catalog) == before


def test_a_private_attribute_is_refused_at_class_definition() -> None:
    with pytest.raises(CatalogError, match=r"_note: is private and would not be stored"):

        class Noted(Event):
            _note: str = PrivateAttr("")


def test_two_classes_of_one_name_and_schema_version_are_refused() -> None:
    class First(Event, name="Twice"):
        a: int

    with pytest.raises(CatalogError, match="is event 'Twice' in schema version 1, and so is"):

        class Second(Event, name="Twice"):
            b: int

    class Third(Event, name="Twice", schema_version=2):
        b: int

    assert payload.load("Twice", 1, payload.JSON, b'{"a":1}') == First(a=1)
    assert payload.load("Twice", 2, payload.JSON, b'{"b":1}') == Third(b=1)


@pytest.mark.parametrize(
    ("name", "version"), [("line\nbreak", 1), ("x" * 201, 1), ("Fine", 0), ("Fine", -1), ("Fine", "2")]
)
def test_a_name_or_schema_version_that_cannot_be_is_refused(name: str, version: Any) -> None:
    with pytest.raises(CatalogError):

        class Odd(Event, name=name, schema_version=version):
            a: int


@pytest.mark.parametrize(
    ("event_type", "version", "data", "problem"),
    [
        ("NobodyKnows", 1, b"{}", "is not known"),
        ("Everything", 9, b"{}", "is known in schema version 1, not in 9"),
        ("Everything", 1, b"{}", "does not fit the class Everything"),
        ("Everything", 1, b'{"text":', "does not fit the class Everything"),
        ("Everything", 1, b"\xff", "does not fit the class Everything"),
    ],
)
def test_a_payload_that_does_not_load_names_type_and_remedy(
    event_type: str, version: int, data: bytes, problem: str
) -> None:
    with pytest.raises(CatalogError, match=problem) as raised:
        payload.load(event_type, version, payload.JSON, data)
    assert raised.value.where == f"event type {event_type!r}, schema version {version}"
    assert raised.value.remedy


def test_an_encoding_of_another_version_is_refused_rather_than_misread() -> None:
    with pytest.raises(CatalogError, match="payload encoding 'msgpack' is not known"):
        payload.load("Everything", 1, "msgpack", b"{}")


def test_events_are_frozen_and_refuse_unknown_fields() -> None:
    line = Line(sku="a", price=Decimal(1))
    with pytest.raises(ValidationError, match="frozen"):
        line.sku = "b"
    with pytest.raises(ValidationError, match="Extra inputs"):
        Line(sku="a", price=Decimal(1), colour="red")


def test_a_literal_of_text_that_looks_like_a_type_is_fine() -> None:
    class Chosen(Event, name="Chosen"):
        way: Literal["bytes", "str"]

    assert payload.load("Chosen", 1, payload.JSON, payload.dump(Chosen(way="bytes"))) == Chosen(way="bytes")


class TestPlain:
    """What need not be read again: the same events come back equal as when it is."""

    def test_plain_fields_are_known_as_such(self) -> None:
        class Plain(Event, name="tests.plain.Plain"):
            text: str
            count: int | None = None
            price: Decimal = Decimal(0)

        assert plain.comes_back(Plain(text="x"))
        assert plain.comes_back(Plain(text="x", count=3, price=Decimal("1.50")))
        odd: list[dict[str, Any]] = [
            {"text": "x", "count": 2**63},
            {"text": "x", "price": Decimal("NaN")},
            {"text": type("Text", (str,), {})("x")},
            {"text": "x", "count": True},
            {},
        ]
        for values in odd:
            made = Plain.model_construct(**values)
            assert not plain.comes_back(made), values

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            (Annotated[int, Field(gt=0)], 1),
            (Annotated[str, AfterValidator(str.upper)], "X"),
            (Annotated[str, PlainSerializer(str.upper)], "X"),
            (Annotated[str, Field(exclude=True)], "X"),
            (Annotated[str, Field(alias="other")], "X"),
            (list[int], [1]),
            (Any, 1),
            (Line, Line(sku="x", price=Decimal(1))),
        ],
    )
    def test_any_other_field_is_tried(self, field: Any, value: Any) -> None:
        with suppress(CatalogError):
            cls: Any = create_model("Odd", __base__=Event, field=(field, ...))
            # Set past validation and aliases: the value is one that a plain field would take.
            made = cls.model_construct()
            made.__dict__["field"] = value
            assert not plain.comes_back(made)

    def test_so_are_classes_that_do_more(self) -> None:
        class Checked(Event, name="tests.plain.Checked"):
            text: str

            @field_validator("text")
            @classmethod
            def _lower(cls, value: str) -> str:
                return value.lower()

        class Configured(Event, name="tests.plain.Configured"):
            model_config = ConfigDict(str_to_lower=True)
            text: str

        class Finished(Event, name="tests.plain.Finished"):
            text: str

            def model_post_init(self, _: Any) -> None:
                """Might do anything."""

        for cls in (Checked, Configured, Finished):
            assert not plain.comes_back(cls.model_construct(text="X"))

    @given(
        st.fixed_dictionaries(
            {
                "text": st.text(),
                "number": st.integers(),
                "ratio": st.floats(),
                "price": st.decimals(),
                "key": st.uuids(),
                "flag": st.none() | st.booleans(),
            }
        )
    )
    def test_what_is_plain_comes_back_equal(self, values: dict[str, Any]) -> None:
        made = AllPlain.model_construct(**values)
        finite = math.isfinite(made.ratio) and made.price.is_finite()
        assert plain.comes_back(made) == (finite and -(2**63) <= made.number < 2**63)
        if not finite:
            return
        data = payload.dump(made)
        loaded = payload.load("tests.plain.AllPlain", 1, payload.JSON, data)
        assert loaded.__dict__ == made.__dict__
        assert all(type(loaded.__dict__[name]) is type(value) for name, value in made.__dict__.items())


class AllPlain(Event, name="tests.plain.AllPlain"):
    text: str
    number: int
    ratio: float
    price: Decimal
    key: UUID
    flag: bool | None
