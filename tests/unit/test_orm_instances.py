"""Instances of models: pydantic's in all that pydantic does, with what the table adds."""

import copy
import pickle
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from uuid import UUID, uuid1, uuid4

import pytest
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    IPvAnyAddress,
    PastDate,
    PositiveInt,
    PrivateAttr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from cassorm.errors import ModelError, RowError
from cassorm.orm.annotations import CodecReader
from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col, pk
from cassorm.orm.hydration import needs_validation
from cassorm.orm.markers import Frozen
from cassorm.orm.model import Model, remember, stored_row, table_of
from cassorm.orm.model_plan import plan_of
from cassorm.orm.user_types import Udt
from cassorm.orm.values import Ascii, Duration, Float32, Int, TimeUUID, VarInt, Vector, now

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Street(Udt):
    name: str
    number: Int | None = None


class Everything(Model):
    id: PK[UUID] = pk(default_factory=uuid4)
    at: CK[datetime] = ck(default_factory=now, order="desc")
    text: Col[str] = col(default="")
    ascii_: Col[Ascii] = col(default="")
    n: Col[int] = col(default=0, ge=0)
    any_size: Col[VarInt] = col(default=0)
    price: Col[Decimal] = col(default=Decimal("1.50"))
    ratio: Col[Float32] = col(default=0.5)
    flag: Col[bool] = col(default=False)
    raw: Col[bytes] = col(default=b"")
    day: Col[date] = col(default=date(2026, 1, 1))
    hour: Col[time] = col(default=time(12))
    event: Col[TimeUUID] = col(default_factory=uuid1)
    lasting: Col[Duration] = col(default=Duration(days=1))
    host: Col[IPv4Address] = col(default=IPv4Address("127.0.0.1"))
    colour: Col[Colour] = col(default=Colour.RED)
    tags: Col[set[str]] = col(default_factory=set)
    path: Col[Frozen[list[str]]] = col(default_factory=list)
    labels: Col[dict[str, list[int]]] = col(default_factory=dict)
    pair: Col[tuple[int, str | None] | None] = col(default=None)
    place: Col[Annotated[list[float], Vector(2)]] = col(default=[0.0, 0.0])
    street: Col[Street | None] = col(default=None)
    owner: Static[str] = col(default="")


def filled() -> Everything:
    return Everything(
        tags={"a"}, path=["b"], labels={"c": [1]}, pair=(1, None), place=[0.1, 2], street=Street(name="s", number=1)
    )


def read(instance: Everything) -> Everything:
    """The same as it is when it was read: made of a row of what the driver gives."""
    row = dict(zip(plan_of(Everything).by_attribute, plan_of(Everything).snapshot(instance), strict=True))
    row |= {
        "host": str(instance.host),
        "colour": "red",
        "lasting": instance.lasting,
        "hour": DriverTime(),
        "street": ("s", 1),
    }
    (made,) = plan_of(Everything).hydrate([tuple(row.values())])
    found: Everything = made
    return found


class DriverTime:
    nanosecond_time = 12 * 3600 * 10**9

    def time(self) -> time:
        return time(12)


def test_a_dump_is_validated_to_an_equal_instance() -> None:
    sent = filled()
    assert Everything.model_validate(sent.model_dump()) == sent
    assert Everything.model_validate_json(sent.model_dump_json()) == sent
    assert Everything(**dict(sent)) == sent
    assert TypeAdapter(list[Everything]).validate_python([sent.model_dump()]) == [sent]
    assert sent.model_dump(include={"n", "colour"}, mode="json") == {"n": 0, "colour": "red"}
    assert "_row" not in str(sent.model_dump())


def test_the_json_schema_has_every_field_by_its_type() -> None:
    found = Everything.model_json_schema()
    assert set(found["properties"]) == set(Everything.model_fields)
    assert found["properties"]["n"] == {"default": 0, "minimum": 0, "title": "N", "type": "integer"}
    assert found["properties"]["at"]["format"] == "date-time"
    assert found["properties"]["tags"]["uniqueItems"] is True
    assert set(found["$defs"]) == {"Colour", "Duration", "Street"}


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it)), Everything.model_copy]
)
def test_copies_are_equal_and_remember_what_was_read(again: Any) -> None:
    new = filled()
    assert again(new) == new
    assert stored_row(again(new)) is None
    found = read(new)
    assert found == new
    made = again(found)
    assert (made, made.model_fields_set) == (found, found.model_fields_set)
    plan = plan_of(Everything)
    assert plan.saved(stored_row(made) or ()) == plan.saved(stored_row(found) or ())
    remember(new, plan.snapshot(new))
    assert stored_row(again(new)) == stored_row(new)


def test_what_is_unknown_missing_or_of_another_type_is_refused_by_name() -> None:
    class Strict(Model):
        id: PK[int]
        n: CK[int]
        text: Col[str] = col(default="")

    for given, problem in (
        ({"id": 1, "n": 1, "txt": "x"}, r"txt\n.*not permitted"),
        ({"n": 1}, r"id\n.*required"),
        ({"id": "one", "n": 1}, r"id\n.*integer"),
        ({"id": 1, "n": None}, r"n\n.*integer"),
    ):
        with pytest.raises(ValidationError, match=problem):
            Strict(**given)
    made = Strict(id=1, n=1)
    with pytest.raises(ValidationError, match="integer"):
        made.n = "x"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="txt"):
        made.txt = "x"  # type: ignore[attr-defined]

    class Lenient(Strict, extra="ignore", table="strict"):
        pass

    assert Lenient(id=1, n=1, txt="x") == Lenient(id=1, n=1)  # type: ignore[call-arg]


def test_defaults_are_made_for_each_instance_anew() -> None:
    class Listed(Model):
        id: PK[UUID] = pk(default_factory=uuid4)
        log: Col[list[str]] = col(default=["a"])
        tags: Col[set[str]] = col(default_factory=set)

    one, other = Listed(), Listed()
    assert one.id != other.id
    one.log.append("b")
    one.tags.add("b")
    assert (other.log, other.tags, Listed().log) == (["a"], set(), ["a"])
    (found,) = plan_of(Listed).hydrate([(uuid4(), None, None)])
    assert (found.log, found.tags) == ([], set())


def test_a_default_that_cannot_be_made_of_nothing_is_named_when_a_row_needs_it() -> None:
    # Pydantic gives a factory that takes something what was validated before.
    of_id: Any = lambda data: f"of {data['id']}"  # noqa: E731 - it has to look like one without parameters

    class Derived(Model):
        id: PK[int]
        text: Col[str] = col(default_factory=of_id)

    assert Derived(id=1).text == "of 1"
    with pytest.raises(RowError, match="NULL in column text, and its default cannot be made") as refused:
        plan_of(Derived).hydrate([(1, None)])
    assert refused.value.key == {"id": 1}


def test_rows_go_through_whatever_of_a_class_has_to_run() -> None:
    def doubled(value: int) -> int:
        return value * 2

    class Checked(Model):
        id: PK[int]
        n: Col[int]

        @model_validator(mode="after")
        def _small(self) -> "Checked":
            if self.n > 10:
                raise ValueError("too large")
            return self

    class Named(Model):
        id: PK[int]
        name: Col[str] = col(alias="Name")

        @field_validator("name")
        @classmethod
        def _stripped(cls, value: str) -> str:
            return value.strip()

    class Private(Model):
        id: PK[int]
        n: Col[int]
        _seen: int = PrivateAttr(7)

    class Hooked(Model):
        id: PK[int]
        n: Col[int]
        made: ClassVar[list[int]] = []

        def model_post_init(self, context: object) -> None:
            self.made.append(self.n)

    class Inner(Model):
        id: PK[int]
        all: Col[list[Annotated[int, AfterValidator(doubled)]]]

    class Open(Model, extra="allow"):
        id: PK[int]

    class Plain(Model):
        id: PK[int]
        n: Col[PositiveInt]

        @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
        @property
        def double(self) -> int:
            return self.n * 2

    assert all(needs_validation(each) for each in (Checked, Named, Private, Hooked, Inner, Open))
    assert needs_validation(Plain) is None
    assert plan_of(Plain).hydrate([(1, 3)])[0].model_dump() == {"id": 1, "n": 3, "double": 6}
    assert plan_of(Checked).hydrate([(1, 3)]) == [Checked(id=1, n=3)]
    with pytest.raises(RowError, match="too large") as refused:
        plan_of(Checked).hydrate([(1, 3), (2, 30)])
    assert refused.value.key == {"id": 2}
    (named,) = plan_of(Named).hydrate([(1, " x ")])
    assert (named.name, Named(id=1, Name="y").name) == ("x", "y")
    assert plan_of(Private).hydrate([(1, 2)])[0]._seen == 7
    plan_of(Hooked).hydrate([(1, 2), (2, 3)])
    assert Hooked.made == [2, 3]
    assert plan_of(Inner).hydrate([(1, [1, 2])])[0].all == [2, 4]
    assert plan_of(Open).hydrate([(1,)])[0].model_extra == {}


@pytest.mark.parametrize(
    ("annotation", "cql", "value"),
    [
        (AwareDatetime, "timestamp", datetime(2026, 1, 1, tzinfo=UTC)),
        (PastDate, "date", date(2020, 1, 1)),
        (IPvAnyAddress, "inet", IPv4Address("1.2.3.4")),
        (PositiveInt, "bigint", 3),
        (Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)], "text", "abc"),
        (list[PositiveInt], "list<bigint>", [1]),
        (dict[Annotated[str, StringConstraints(max_length=3)], AwareDatetime | None] | None, None, None),
    ],
)
def test_types_that_pydantic_adds_are_columns_of_what_they_hold(annotation: Any, cql: str | None, value: Any) -> None:
    make: Any = create_model
    if cql is None:
        with pytest.raises(ModelError, match="no NULL"):
            make("Made", __base__=Model, id=(PK[int], ...), x=(Col[annotation], None))
        return
    made = make("Made", __base__=Model, id=(PK[int], ...), x=(Col[annotation], ...))
    assert table_of(made).columns[1].type == cql
    assert made(id=1, x=value).x == value


def test_an_email_is_text() -> None:
    assert str(CodecReader(None).codec(EmailStr).cql) == "text"


def test_frozen_models_are_hashable_and_read_like_others() -> None:
    class Point(Model, frozen=True):
        x: PK[int]
        y: Col[int]

    (found,) = plan_of(Point).hydrate([(1, 2)])
    assert {found} == {Point(x=1, y=2)}
    with pytest.raises(ValidationError, match="frozen"):
        found.y = 3


def test_enumerations_are_members_whatever_the_configuration_says() -> None:
    with pytest.raises(ModelError, match="use_enum_values") as refused:
        create_model(
            "Valued", __base__=Model, __cls_kwargs__={"use_enum_values": True}, id=(PK[int], ...), c=(Col[Colour], ...)
        )
    assert refused.value.remedy


def test_abstract_bases_give_fields_config_and_validators_and_have_no_table() -> None:
    class Base(Model, abstract=True):
        model_config = ConfigDict(str_strip_whitespace=True)
        id: PK[int]

        @field_validator("*")
        @classmethod
        def _any(cls, value: Any) -> Any:
            return value

    class Dated(Base, Generic[T], abstract=True):
        at: CK[T]

    class Leaf(Dated[date], table="leaves", comment="of trees", ttl=60):
        text: Col[str] = col(default="")

    class Other(Leaf, table="others"):
        more: Col[int] = col(default=0)

    assert [column.name for column in table_of(Other).columns] == ["id", "at", "text", "more"]
    assert (table_of(Other).comment, table_of(Other).options) == ("", {})
    assert (table_of(Leaf).comment, table_of(Leaf).options) == ("of trees", {"default_time_to_live": 60})
    assert Leaf(id=1, at=date(2026, 1, 1), text=" x ").text == "x"
    assert needs_validation(Leaf)
    for each in (Base, Dated, Dated[int]):
        with pytest.raises(ModelError, match="no model with a table"):
            table_of(each)


def test_counters_and_versions_begin_at_nothing() -> None:
    class Hits(Model):
        page: PK[str]
        seen: Counter = col(default=0)

    class Doc(Model):
        id: PK[int]
        rev: Version[int] = col(default=0)

    assert plan_of(Hits).hydrate([("a", None)]) == [Hits(page="a", seen=0)]
    assert plan_of(Doc).hydrate([(1, None)]) == [Doc(id=1)]


def test_rows_of_other_models_are_plain_instances() -> None:
    class Short(BaseModel):
        model_config = ConfigDict(extra="forbid")
        text: str

    plan = plan_of(Everything)
    from_row = Everything.where().into(Short).allow_filtering()
    assert from_row.hydrate([("x",)]) == [Short(text="x")]
    assert plan.where == "Everything"
