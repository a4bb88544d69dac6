"""What a model class means: its table, what is refused, and what instances are."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, ValidationError, create_model, field_validator
from typing_extensions import TypeAliasType

from cassorm.errors import ModelError, QueryError, RowError
from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col, pk
from cassorm.orm.hydration import changed, make_hydrate, needs_validation
from cassorm.orm.markers import SAI, Frozen, Secondary
from cassorm.orm.model import RESERVED_NAMES, Model, stored_row, table_of
from cassorm.orm.model_plan import plan_of
from cassorm.orm.user_types import Udt, snake_case
from cassorm.orm.values import Ascii, BigInt, Duration, Float32, Int, SmallInt, TimeUUID, TinyInt, VarInt, Vector, now
from cassorm.schema.table import Column, Index, Table, UserType, View

T = TypeVar("T")
MAKE: Any = type(Model)
LIST: Any = list
UserId = NewType("UserId", UUID)
Labels = TypeAliasType("Labels", dict[str, T], type_params=(T,))


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Street(Udt):
    name: str
    number: Int | None = None


class Corner(Udt, frozen=True):
    name: str
    names: tuple[str, ...] = ()


BROKEN = Street.model_construct(name=3)  # type: ignore[arg-type]  # that is what is refused


class Address(Udt, type_name="postal_address"):
    street: Street
    tags: set[str] = set()


class Reading(Model, keyspace="app", table="readings", ttl=timedelta(days=1), comment="of sensors"):
    org: PK[UUID]
    day: PK[date]
    ts: CK[datetime] = ck(order="desc")
    kind: Col[str] = col(index=SAI())
    tags: Col[set[str]] = col(default_factory=set)
    note: Col[str | None] = col(default=None)
    owner: Static[str] = col(default="")


def columns(model: type[Model]) -> dict[str, str]:
    return {column.name: column.type for column in table_of(model).columns}


def declared(annotation: Any, default: Any = ...) -> type[Model]:
    return create_model("Declared", __base__=Model, id=(PK[int], ...), x=(annotation, default))


def test_a_class_becomes_the_table_that_it_says() -> None:
    assert table_of(Reading) == Table(
        name="readings",
        keyspace="app",
        columns=(
            Column("org", "uuid"),
            Column("day", "date"),
            Column("ts", "timestamp"),
            Column("kind", "text"),
            Column("tags", "set<text>"),
            Column("note", "text"),
            Column("owner", "text", static=True),
        ),
        partition_key=("org", "day"),
        clustering=(("ts", "desc"),),
        options={"default_time_to_live": 86_400},
        comment="of sensors",
        indexes=(Index("kind", kind="sai"),),
    )


@pytest.mark.parametrize(
    ("annotation", "cql"),
    [
        (str, "text"),
        (int, "bigint"),
        (bool, "boolean"),
        (float, "double"),
        (bytes, "blob"),
        (UUID, "uuid"),
        (UserId, "uuid"),
        (Decimal, "decimal"),
        (date, "date"),
        (datetime, "timestamp"),
        (time, "time"),
        (IPv4Address, "inet"),
        (IPv6Address, "inet"),
        (IPv4Address | IPv6Address, "inet"),
        (IPv4Address | IPv6Address | None, "inet"),
        (TinyInt, "tinyint"),
        (SmallInt, "smallint"),
        (SmallInt | None, "smallint"),
        (Int, "int"),
        (BigInt, "bigint"),
        (VarInt, "varint"),
        (Float32, "float"),
        (Ascii, "ascii"),
        (TimeUUID, "timeuuid"),
        (Duration, "duration"),
        (Colour, "text"),
        (Level, "bigint"),
        (Literal["a", "b"], "text"),
        (list[int], "list<bigint>"),
        (tuple[str, ...], "list<text>"),
        (set[Colour], "set<text>"),
        (frozenset[UUID], "set<uuid>"),
        (dict[str, list[SmallInt]], "map<text, frozen<list<smallint>>>"),
        (Labels[int], "map<text, bigint>"),
        (Frozen[list[str]], "frozen<list<text>>"),
        (tuple[int, str | None], "frozen<tuple<bigint, text>>"),
        (dict[str, tuple[int, set[str]]], "map<text, frozen<tuple<bigint, frozen<set<text>>>>>"),
        (Annotated[list[float], Vector(3)], "vector<float, 3>"),
        (Annotated[list[float], Vector(3, "double")], "vector<double, 3>"),
        (Annotated[list[SmallInt], Vector(3, "smallint")], "vector<smallint, 3>"),
        (list[Annotated[list[float], Vector(2)]], "list<vector<float, 2>>"),
        (dict[tuple[int, str], set[Corner]], "map<frozen<tuple<bigint, text>>, frozen<set<frozen<corner>>>>"),
        (Street, "frozen<street>"),
        (list[Address], "list<frozen<postal_address>>"),
    ],
)
def test_every_python_type_has_its_cql_type(annotation: Any, cql: str) -> None:
    assert columns(declared(Col[annotation], None))["x"] == str(Column("x", cql).cql_type)


@pytest.mark.parametrize(
    ("annotation", "said", "cql"),
    [
        (int, "varint", "varint"),
        (str, "inet", "inet"),
        (UUID, "timeuuid", "timeuuid"),
        (list[int], "list<int>", "list<int>"),
        (list[int], "frozen<list<int>>", "frozen<list<int>>"),
        (list[float], "vector<float, 2>", "vector<float, 2>"),
        (Level, "tinyint", "tinyint"),
        (Any, "map<text, int>", "map<text, int>"),
        (Street, "street", "street"),
    ],
)
def test_the_cql_type_can_be_named(annotation: Any, said: str, cql: str) -> None:
    assert columns(declared(Col[annotation], col(default=None, type=said)))["x"] == cql


@pytest.mark.parametrize(
    ("annotation", "default", "problem", "remedy"),
    [
        (Col[timedelta], None, "timedelta", "Duration"),
        (Col[LIST], None, "list", r"list\[str\]"),
        (Col[object], None, "object", "types.md"),
        (Col[Any], None, "Any", "type="),
        (Col[int | str], None, "several types", "one type"),
        (Col[list[str | None]], None, "collection of", "no NULL"),
        (Col[set[list[int]]], None, r"list\[int\] in a set", r"tuple\["),
        (Col[set[Address]], None, "Address in a set", "frozen=True"),
        (Col[dict[tuple[int, set[int]], int]], None, "in the keys of a dict", "frozenset"),
        (Col[frozenset[dict[str, int]]], None, "in a set", "no such form"),
        (Col[str], col(type="int"), "does not fit int", "text"),
        (Col[list[int]], col(type="set<int>"), "does not fit", "annotation"),
        (Col[int], col(type="nonsense<"), "no CQL type", "Write a type"),
        (Col[Annotated[list[str], Vector(3)]], None, "str does not fit float", "text"),
        (CK[int | None], None, "key column with None", "stored whole"),
        (Annotated[datetime, CK(truncate=True)], None, "truncate=True of a key", "stored whole"),
        (Annotated[int, PK(), CK()], None, r"PK\(\) and CK\(\)", "Keep one"),
        (Col[int], col(name="no good"), "no column name", "letters, digits"),
        (Col[int], col(name="id"), "as id has", "another name="),
        (CK[Duration], None, "key column x is a duration", "another type"),
        (Version[str], None, "version that is no int", r"Version\[int\]"),
        (Col[Counter], None, r"\(\) and", "Keep one"),
        (Col[Annotated[list[float], Vector(3)]], col(type="vector<float, 4>"), "does not fit vector", "Say it once"),
        (Col[SmallInt], col(type="int"), "says smallint does not fit int", "Say it once"),
        (Col[Annotated[list[str], Vector(3, "text")]], None, "a vector of text", "or a list"),
        (Col[set[float]], col(type="vector<float, 4>"), "a vector of set", r"list\[float\]"),
        (Static[int], 0, "static in a table without clustering", "clustering column"),
    ],
)
def test_a_field_that_cannot_be_a_column_is_refused_with_a_remedy(
    annotation: Any, default: Any, problem: str, remedy: str
) -> None:
    with pytest.raises(ModelError, match=problem) as refused:
        declared(annotation, default)
    assert re.search(remedy, str(refused.value.remedy))
    assert "Declared" in str(refused.value.where)


@pytest.mark.parametrize("name", ["where", "get", "update", "delete", "scan", "copy", "json", "model_dump"])
def test_a_name_of_the_api_is_refused_with_the_way_to_keep_the_column(name: str) -> None:
    assert name in RESERVED_NAMES
    with pytest.raises(ModelError, match=rf'`{name}_: ... = col\(name="{name}"\)`'):
        MAKE("Taken", (Model,), {"__annotations__": {"id": PK[int], name: Col[int]}, "__module__": __name__})


def test_the_column_may_have_a_name_that_no_field_can_have() -> None:
    class Kept(Model):
        id: PK[int]
        update_: Col[int] = col(name="update", default=0)
        select: Col[str] = col(default="")

    assert list(columns(Kept)) == ["id", "update", "select"]
    assert (Kept.update_ == 1).text == '"update" = ?'


def test_the_annotated_form_says_the_same() -> None:
    class Other(Model, table="readings", keyspace="app"):
        org: Annotated[UUID, PK()]
        at: Annotated[datetime, CK(order="desc", name="ts")]
        kind: Annotated[str, Col(index=Secondary())]
        plain: int = 0

    table = table_of(Other)
    assert (table.partition_key, table.clustering) == (("org",), (("ts", "desc"),))
    assert table.indexes[0].kind == "secondary"
    assert columns(Other)["plain"] == "bigint"


def test_models_inherit_the_fields_of_abstract_bases() -> None:
    class Base(Model, abstract=True):
        id: PK[UUID] = pk(default_factory=uuid4)
        at: CK[datetime]

    class Kind(Base, Generic[T], abstract=True):
        payload: Col[T]

    class Numbers(Kind[list[int]], table="numbers"):
        extra: Col[int] = col(default=0)

    assert columns(Numbers) == {"id": "uuid", "at": "timestamp", "payload": "list<bigint>", "extra": "bigint"}
    assert table_of(Numbers).key == ("id", "at")
    with pytest.raises(ModelError, match="no model with a table"):
        table_of(Base)
    with pytest.raises(AttributeError, match="has no table"):
        _ = Base.id == uuid4()


def test_a_class_without_a_partition_key_is_told_what_to_do() -> None:
    with pytest.raises(ModelError, match="abstract=True"):
        MAKE("Lost", (Model,), {"__annotations__": {"x": Col[int]}, "__module__": __name__})


def test_user_types_are_gathered_in_the_order_in_which_they_can_be_created() -> None:
    class Home(Model, keyspace="app"):
        id: PK[int]
        at: Col[Address]

    assert plan_of(Home).user_types == (
        UserType("street", (Column("name", "text"), Column("number", "int")), "app"),
        UserType("postal_address", (Column("street", "frozen<street>"), Column("tags", "frozen<set<text>>")), "app"),
    )


def test_fields_of_user_types_have_names_and_types_of_their_own() -> None:
    class Odd(Udt, type_name="Select"):
        class_: int = col(name="class", type="int")
        at: datetime | None = col(name="_at", default=None, truncate=True)

    class Holder(Model):
        id: PK[int]
        odd: Col[Odd]

    (made,) = plan_of(Holder).user_types
    assert made == UserType("Select", (Column("class", "int"), Column("_at", "timestamp")))
    assert columns(Holder)["odd"] == 'frozen<"Select">'
    moment = datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)
    (sent,) = (Holder.odd == Odd(class_=1, at=moment)).params
    assert (getattr(sent, "class"), sent._at) == (1, 1_767_225_600_000)
    with pytest.raises(QueryError, match=r"Odd.class_: .* 32 bits"):
        _ = Holder.odd == Odd(class_=2**31)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"n": (Counter, 0)}, "in a user type"),
        ({"n": (PK[int], 0)}, "in a user type"),
        ({"n": (int, col(index=True))}, "in a user type"),
        ({"n": (timedelta, ...)}, "no CQL type is that of timedelta"),
        ({"n": (int, col(name="a b"))}, "no column name"),
        ({"n": (int, col(name="m")), "m": (int, ...)}, "field m is there twice"),
    ],
)
def test_a_user_type_that_cannot_be_one_is_refused(fields: dict[str, Any], problem: str) -> None:
    broken = create_model("Broken", __base__=Udt, **fields)
    with pytest.raises(ModelError, match=problem) as refused:
        declared(Col[broken])
    assert refused.value.where == "Declared.x"


def test_two_classes_cannot_be_one_user_type() -> None:
    other = create_model("Street", __base__=Udt, number=(int, ...))
    with pytest.raises(ModelError, match="two classes are the user type street"):
        declared(Col[tuple[Street, other]])


def test_a_name_that_is_declared_further_down_is_found_when_the_class_is_used() -> None:
    class Waiting(Model):
        id: PK[int]
        later: "Col[Later]"  # type: ignore[name-defined]  # noqa: F821 - declared below

    globals()["Later"] = Street
    assert columns(Waiting)["later"] == "frozen<street>"


def test_counters_versions_and_views_are_declared() -> None:
    class Hits(Model):
        page: PK[str]
        seen: Counter

    class Doc(Model, views=[View("by_author", ("author",), (("id", "asc"),))]):
        id: PK[int]
        author: Col[str]
        rev: Version[int] = col(default=0)

    assert columns(Hits)["seen"] == "counter"
    assert plan_of(Doc).lwt_only
    assert table_of(Doc).views[0].name == "by_author"


def test_instances_are_pydantic_models_that_check_assignments() -> None:
    reading = Reading(org=uuid4(), day=date(2026, 1, 1), ts=now(), kind="a")
    with pytest.raises(ValidationError):
        reading.tags = 3  # type: ignore[assignment]
    assert Reading.model_validate_json(reading.model_dump_json()) == reading
    assert "kind" in Reading.model_json_schema()["properties"]


def test_float32_holds_the_rounded_value_from_the_start() -> None:
    model: Any = declared(Col[Float32])
    assert model(id=1, x=0.1).x == 0.10000000149011612
    with pytest.raises(ValidationError, match="32 bits"):
        model(id=1, x=1e39)


ROW = (uuid4(), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "a", None, None, None)


def test_a_row_becomes_an_instance_without_validation_where_the_class_needs_none() -> None:
    assert needs_validation(Reading) is None
    (made,) = plan_of(Reading).hydrate([ROW])
    assert made == Reading(org=ROW[0], day=ROW[1], ts=ROW[2], kind="a", tags=set(), note=None, owner="")
    assert made.model_fields_set == set(Reading.model_fields)


def test_a_row_is_validated_where_the_class_has_validators() -> None:
    class Upper(Model):
        id: PK[int]
        name: Col[str]

        @field_validator("name")
        @classmethod
        def _upper(cls, value: str) -> str:
            if not value:
                raise ValueError("no name")
            return value.upper()

    assert needs_validation(Upper) == "field validators"
    assert plan_of(Upper).hydrate([(1, "a")])[0].name == "A"
    with pytest.raises(RowError, match="no name") as refused:
        plan_of(Upper).hydrate([(1, "")])
    assert refused.value.key == {"id": 1}


def test_null_where_the_type_has_no_none_names_column_and_key() -> None:
    with pytest.raises(RowError, match=r"Reading.kind: NULL in column kind.*default") as refused:
        plan_of(Reading).hydrate([(*ROW[:3], None, None, None, None)])
    assert refused.value.key["org"] == ROW[0]


def test_a_list_that_changes_is_told_from_the_one_that_was_read() -> None:
    class Logged(Model):
        id: PK[int]
        log: Col[list[str]] = col(default_factory=list)

    plan = plan_of(Logged)
    (made,) = plan.hydrate([(1, ["a"])])
    made.log.append("b")
    assert [each.attribute for each in changed(made, plan.fields, stored_row(made) or ())] == ["log"]


def test_a_stored_value_that_python_cannot_hold_is_an_error_that_says_so() -> None:
    with pytest.raises(RowError, match="no datetime of Python"):
        plan_of(Reading).hydrate([(*ROW[:2], 10**17, "a", None, None, None)])


def test_a_row_that_stands_for_static_columns_alone_is_no_instance() -> None:
    assert plan_of(Reading).hydrate([(*ROW[:2], None, None, None, None, "me")]) == []


def test_a_projection_makes_instances_of_another_class() -> None:
    class Short(BaseModel):
        kind: str
        org: UUID

    fields = [plan_of(Reading).by_attribute[name] for name in Short.model_fields]
    assert make_hydrate(Short, fields)([("a", ROW[0])]) == [Short(kind="a", org=ROW[0])]


def refusals() -> list[tuple[Any, Any, str]]:
    return [
        (datetime, datetime(2026, 1, 1), "without a time zone"),  # noqa: DTZ001 - that is what is refused
        (datetime, datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), "microseconds"),
        (dict[str, datetime], {"a": datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)}, "microseconds"),
        (str, "\ud800", "surrogates"),
        (list[str], ["\ud800"], "surrogates"),
        (Decimal, Decimal("NaN"), "finite"),
        (set[Decimal], {Decimal("Infinity")}, "finite"),
        (int, 2**63, "64 bits"),
        (dict[str, SmallInt], {"a": 2**15}, "16 bits"),
        (time, time(1, tzinfo=UTC), "time zone"),
        (TimeUUID, uuid4(), "version 4"),
        (IPv6Address, IPv6Address("fe80::1%eth0"), "scope"),
        (Annotated[list[float], Vector(2)], [1.0], "1 numbers"),
        (tuple[int, str], (1,), "tuple of 2"),
        (Street, BROKEN, "Street.name"),
        (Colour, "red", "no Colour"),
        (date, datetime(2026, 1, 1, tzinfo=UTC), "no date"),
        (datetime, datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "years 1 to 9999"),
        (IPv4Address, IPv6Address("::1"), "no IPv4Address"),
        (IPv6Address, IPv4Address("1.1.1.1"), "no IPv6Address"),
        (bool, 1, "no bool"),
        (float, "1", "no float"),
        (bytes, "x", "no bytes"),
    ]


@pytest.mark.parametrize(("annotation", "value", "problem"), refusals())
def test_what_would_not_come_back_is_refused_with_its_place(annotation: Any, value: Any, problem: str) -> None:
    model: Any = declared(Col[annotation], None)
    with pytest.raises(QueryError, match=problem) as refused:
        _ = model.x == value
    assert refused.value.where == "Declared.x"


def test_text_that_an_inet_would_give_back_otherwise_is_refused() -> None:
    model: Any = declared(Col[str], col(type="inet"))
    assert (model.x == "::ffff:102:304").params == ("::ffff:102:304",)
    assert plan_of(model).hydrate([(1, "::ffff:1.2.3.4")])[0].x == "::ffff:102:304"
    for text in ("::FFFF:102:304", "fe80::1%eth0", "1.2.3", "\ud800"):
        with pytest.raises(QueryError, match=r"Declared.x"):
            _ = model.x == text


def test_an_enumeration_is_stored_as_its_value_whatever_it_says_of_itself() -> None:
    class Mixed(str, Enum):  # noqa: UP042 - what StrEnum is not: its str() is its name
        RED = "red"

    class Rights(Flag):
        READ = 1
        WRITE = 2

    class Plain(StrEnum):
        A = "a"

    model: Any = declared(Col[str])
    assert [(model.x == value).params for value in (Mixed.RED, Plain.A)] == [("red",), ("a",)]
    model = declared(Col[Rights])
    both = Rights.READ | Rights.WRITE
    assert (model.x == both).params == (3,)
    assert plan_of(model).hydrate([(1, 3), (1, 0)]) == [model(id=1, x=both), model(id=1, x=Rights(0))]
    with pytest.raises(RowError, match="4"):
        plan_of(model).hydrate([(1, 4)])


def test_equal_sets_and_dicts_are_sent_as_one_key_in_whatever_order_python_has_them() -> None:
    model: Any = declared(CK[tuple[frozenset[int], dict[str, int], frozenset[tuple[int, int | None]]]])
    one = (frozenset([0, 8, 16]), {"a": 1, "b": 2}, frozenset([(0, None), (8, 1)]))
    other = (frozenset([16, 8, 0]), {"b": 2, "a": 1}, frozenset([(8, 1), (0, None)]))
    assert list(one[0]) != list(other[0])
    assert repr((model.x == one).params) == repr((model.x == other).params)


def test_the_same_value_of_a_user_type_is_the_same_parameter() -> None:
    model: Any = declared(CK[Street])
    one, other = [(model.x == Street(name="a", number=1)).params for _ in range(2)]
    assert (one, repr(one), hash(one)) == (other, repr(other), hash(other))
    assert one != (model.x == Street(name="a")).params


def test_what_changes_inside_a_nested_model_is_saved() -> None:
    class Home(Model):
        id: PK[int]
        at: Col[Address]
        all: Col[tuple[Address, ...]]

    home = Home(id=1, at=Address(street=Street(name="a")), all=(Address(street=Street(name="a")),))
    plan = plan_of(Home)
    saved = plan.snapshot(home)
    home.at.street.name = "b"
    assert [each.attribute for each in changed(home, plan.fields, saved)] == ["at"]
    home.all[0].tags.add("x")
    assert [each.attribute for each in changed(home, plan.fields, saved)] == ["at", "all"]


def test_a_vector_holds_what_comes_back_from_the_start() -> None:
    model: Any = declared(Col[Annotated[list[float], Vector(2)]])
    assert model(id=1, x=[0.1, 1]).x == [0.10000000149011612, 1.0]
    assert model.model_json_schema()["properties"]["x"]["type"] == "array"
    for wrong, problem in (([1.0], "1 numbers"), ([1.0, 1e39], "32 bits")):
        with pytest.raises(ValidationError, match=problem):
            model(id=1, x=wrong)
    precise: Any = declared(Col[Annotated[list[float], Vector(1, "double")]])
    assert precise(id=1, x=[0.1]).x == [0.1]


@pytest.mark.parametrize("parts", [{"months": 1.5}, {"days": True}, {"months": 1, "days": -1}, {"days": 2**31}])
def test_a_duration_that_cql_does_not_have_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="duration"):
        Duration(**parts)


def test_truncate_lets_a_timestamp_lose_its_microseconds() -> None:
    model: Any = declared(Col[datetime], col(truncate=True))
    moment = datetime(1970, 1, 1, microsecond=1999, tzinfo=UTC)
    assert (model.x == moment).params == (1,)


@pytest.mark.parametrize(
    ("make", "text", "milliseconds"),
    [
        (lambda x, at: x > at, "x > ?", 1),
        (lambda x, at: x >= at, "x > ?", 1),
        (lambda x, at: x < at, "x <= ?", 1),
        (lambda x, at: x <= at, "x <= ?", 1),
    ],
)
def test_a_range_of_moments_finer_than_stored_ones_finds_exactly_what_lies_in_it(
    make: Callable[[Any, Any], Any], text: str, milliseconds: int
) -> None:
    model: Any = declared(Col[datetime], None)
    condition = make(model.x, datetime(1970, 1, 1, microsecond=1500, tzinfo=UTC))
    assert (condition.text, condition.params) == (text, (milliseconds,))


def test_what_was_not_given_is_left_unset_and_none_that_was_given_is_null() -> None:
    plan = plan_of(Reading)
    at: Any = {"org": ROW[0], "day": ROW[1], "ts": ROW[2], "kind": "a"}
    assert repr(plan.params(Reading(**at))[5]) == "UNSET"
    assert plan.params(Reading(**at, note=None))[5] is None


def test_names_become_snake_case() -> None:
    assert [snake_case(name) for name in ("HTTPLogEntry", "Order", "order2Line")] == [
        "http_log_entry",
        "order",
        "order2_line",
    ]


def test_an_unknown_keyword_of_a_class_is_named() -> None:
    with pytest.raises(ModelError, match="Mistyped: ttll: no keyword of a model's class"):

        class Mistyped(Model, ttll=3):
            id: PK[int]

    with pytest.raises(ModelError, match="Place: name: no keyword of a user type's class"):

        class Place(Udt, name="place"):
            street: str


def test_queries_conditions_and_writes_show_what_they_say() -> None:
    class Shown(Model, table="shown"):
        id: PK[int]
        note: Col[str] = col(default="")

    assert repr(Shown.note == "x") == "Condition('note = ?', ('x',))"
    assert repr(Shown.where(Shown.id == 1)) == "Query('SELECT id, note FROM shown WHERE id = ?', [1])"
    assert repr(Shown.delete().where(Shown.id == 1)) == "Delete(Shown, Condition('id = ?', (1,)))"
    assert repr(Shown.update(Shown.note.set("y"))) == "Update(Shown, no row yet)"
