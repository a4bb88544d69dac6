"""One Python value in, the same value out, or refused before anything is sent: for every type, on a real node."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, NewType, TypeVar
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, create_model
from typing_extensions import TypeAliasType

from cassorm.errors import QueryError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.markers import Frozen
from cassorm.orm.model import Model, table_of
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.user_types import Udt
from cassorm.orm.values import (
    Ascii,
    BigInt,
    Duration,
    Float32,
    Int,
    SmallInt,
    TimeUUID,
    TinyInt,
    VarInt,
    Vector,
    round32,
)

pytestmark = pytest.mark.cluster

EXAMPLES = 40


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Rights(Flag):
    READ = 1
    WRITE = 2


T = TypeVar("T")
UserId = NewType("UserId", UUID)
Labels = TypeAliasType("Labels", dict[str, T], type_params=(T,))


class Street(Udt):
    model_config = ConfigDict(frozen=True)
    name: str
    number: Int | None = None


class Address(Udt):
    street: Street
    lines: list[str] = []
    tags: frozenset[str] = frozenset()
    since: datetime | None = None


class Odd(Udt, type_name="Select"):
    """Names that the driver's named tuples, CQL or Python refuse."""

    model_config = ConfigDict(frozen=True)
    class_: int = col(name="class")
    Mixed: str | None = None
    order: frozenset[Street] = frozenset()
    at: datetime | None = col(name="_at", default=None, truncate=True)
    small: int | None = col(default=None, type="tinyint")
    nested: dict[tuple[int, ...], tuple[str, Level | None]] = {}


class Plainly(BaseModel):
    """A pydantic model that knows nothing of CQL."""

    n: int
    colour: Colour | None = None


def milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


TEXT = st.text(max_size=20)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=ZONES).map(milliseconds)  # noqa: DTZ001
FLOATS32 = st.floats(width=32).map(round32)
DURATIONS = st.builds(
    lambda sign, m, d, n: Duration(months=sign * m, days=sign * d, nanoseconds=sign * n),
    st.sampled_from([1, -1]),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**31 - 1),
    st.integers(0, 2**63 - 1),
)
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
STREETS = st.builds(Street, name=TEXT, number=st.none() | signed(32))
FINITE32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
ODD = st.builds(
    Odd,
    class_=signed(64),
    Mixed=st.none() | TEXT,
    order=st.frozensets(STREETS, max_size=2),
    at=st.none() | MOMENTS,
    small=st.none() | signed(8),
    nested=st.dictionaries(
        st.lists(signed(64), max_size=2).map(tuple), st.tuples(TEXT, st.none() | st.sampled_from(Level)), max_size=2
    ),
)
ADDRESSES = st.builds(
    Address,
    street=STREETS,
    lines=st.lists(TEXT, max_size=3),
    tags=st.frozensets(TEXT, max_size=3),
    since=st.none() | MOMENTS,
)

TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "ascii_": (Ascii, st.text(st.characters(max_codepoint=127), max_size=20)),
    "bigint_": (int, signed(64)),
    "blob_": (bytes, st.binary(max_size=50)),
    "boolean_": (bool, st.booleans()),
    "date_": (date, st.dates()),
    "decimal_": (Decimal, DECIMALS),
    "double_": (float, st.floats()),
    "duration_": (Duration, DURATIONS),
    "float_": (Float32, FLOATS32),
    "inet4": (IPv4Address, st.ip_addresses(v=4)),
    "inet6": (IPv6Address, st.ip_addresses(v=6)),
    "int_": (Int, signed(32)),
    "smallint_": (SmallInt, signed(16)),
    "text_": (str, TEXT),
    "time_": (time, st.times()),
    "timestamp_": (datetime, MOMENTS),
    "timeuuid_": (TimeUUID, st.uuids(version=1)),
    "tinyint_": (TinyInt, signed(8)),
    "uuid_": (UUID, st.uuids()),
    "varint_": (VarInt, st.integers()),
    "enum_": (Colour, st.sampled_from(Colour)),
    "level_": (Level, st.sampled_from(Level)),
    "flags_": (Rights, st.sampled_from([Rights.READ, Rights.WRITE, Rights.READ | Rights.WRITE, Rights(0)])),
    "literal_": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "newtype_": (UserId, st.uuids()),
    "alias_": (Labels[int], st.dictionaries(TEXT, signed(64), max_size=2)),
    "inet_": (IPv4Address | IPv6Address, st.ip_addresses()),
    "list_": (list[int], st.lists(signed(64), max_size=4)),
    "set_": (set[str], st.sets(TEXT, max_size=4)),
    "map_": (dict[str, datetime], st.dictionaries(TEXT, MOMENTS, max_size=3)),
    "frozen_list": (Frozen[list[UUID]], st.lists(st.uuids(), max_size=3)),
    "frozen_set": (Frozen[frozenset[date]], st.frozensets(st.dates(), max_size=3)),
    "sequence_": (tuple[Decimal, ...], st.lists(DECIMALS, max_size=3).map(tuple)),
    "nested_": (
        dict[str, list[dict[int, frozenset[str]]]],
        st.dictionaries(
            TEXT,
            st.lists(st.dictionaries(signed(64), st.frozensets(TEXT, max_size=2), max_size=2), max_size=2),
            max_size=2,
        ),
    ),
    "of_sets": (frozenset[frozenset[int]], st.frozensets(st.frozensets(signed(64), max_size=3), max_size=3)),
    "of_floats": (list[Float32], st.lists(FLOATS32, max_size=3)),
    "of_vectors": (
        dict[str, Annotated[list[float], Vector(2)]],
        st.dictionaries(TEXT, st.lists(FINITE32, min_size=2, max_size=2), max_size=2),
    ),
    "by_tuple": (
        dict[tuple[int, str | None], set[UUID]],
        st.dictionaries(st.tuples(signed(64), st.none() | TEXT), st.sets(st.uuids(), max_size=2), max_size=3),
    ),
    "by_list": (
        dict[tuple[str, ...], int],
        st.dictionaries(st.lists(TEXT, max_size=2).map(tuple), signed(64), max_size=2),
    ),
    "by_set": (
        dict[frozenset[int], bool],
        st.dictionaries(st.frozensets(signed(64), max_size=2), st.booleans(), max_size=2),
    ),
    "by_udt": (dict[Street, bytes], st.dictionaries(STREETS, st.binary(max_size=5), max_size=2)),
    "of_tuples": (set[tuple[int, str]], st.sets(st.tuples(signed(64), TEXT), max_size=3)),
    "of_times": (list[time], st.lists(st.times(), max_size=3)),
    "of_enums": (dict[Colour, Duration], st.dictionaries(st.sampled_from(Colour), DURATIONS)),
    "of_addresses": (dict[str, Address], st.dictionaries(TEXT, ADDRESSES, max_size=2)),
    "of_inets": (set[IPv4Address], st.sets(st.ip_addresses(v=4), max_size=3)),
    "tuple_": (
        tuple[int, str | None, datetime | None],
        st.tuples(signed(64), st.none() | TEXT, st.none() | MOMENTS),
    ),
    "deep_tuple": (
        tuple[frozenset[str], dict[int, str] | None, tuple[Street | None, time]],
        st.tuples(
            st.frozensets(TEXT, max_size=4),
            st.none() | st.dictionaries(signed(64), TEXT, max_size=4),
            st.tuples(st.none() | STREETS, st.times()),
        ),
    ),
    "vector_": (Annotated[list[float], Vector(3)], st.lists(st.floats(-1e30, 1e30), min_size=3, max_size=3)),
    **{
        f"vector_{part}": (Annotated[list[kind], Vector(2, part)], st.lists(values, min_size=2, max_size=2))  # type: ignore[valid-type]
        for part, kind, values in [
            ("double", float, st.floats()),
            ("int", Int, signed(32)),
            ("bigint", BigInt, signed(64)),
            ("smallint", SmallInt, signed(16)),
            ("tinyint", TinyInt, signed(8)),
        ]
    },
    "plain_udt": (Plainly, st.builds(Plainly, n=signed(64), colour=st.none() | st.sampled_from(Colour))),
    "odd_": (Odd, ODD),
    "udt_": (Address, ADDRESSES),
    "streets_": (set[Street], st.sets(STREETS, max_size=3)),
}
# Made of the table above, which no type checker can follow.
make: Any = create_model
part: Any = PK
order: Any = CK
column: Any = Col

Plain: Any = make(
    "Plain", __base__=Model, id=(PK[UUID], ...), **{name: (column[kind], ...) for name, (kind, _) in TYPES.items()}
)
Maybe: Any = make(
    "Maybe",
    __base__=Model,
    id=(PK[UUID], ...),
    **{name: (column[kind | None], None) for name, (kind, _) in TYPES.items()},
)
MULTICELL = {
    column.name for column in table_of(Plain).columns if column.cql_type.is_collection and not column.cql_type.frozen
}
ROWS = st.fixed_dictionaries({name: values for name, (_, values) in TYPES.items()})
SOME = st.fixed_dictionaries({}, optional={name: st.none() | values for name, (_, values) in TYPES.items()})


class Place(Udt):
    town: str | None = None
    number: Int | None = None


class Loose(Model):
    id: PK[int]
    place: Col[Place] = col(type="place")
    maybe: Col[Place | None] = col(type="place", default=None)
    street: Col[Street] = col(type="street")


class Cut(Model):
    id: PK[int]
    at: Col[datetime] = col(truncate=True)
    all: Col[list[datetime]] = col(truncate=True)


# Durations, at any depth, are what CQL refuses in keys.
KEYS = {name: pair for name, pair in TYPES.items() if name not in ("duration_", "of_enums")}
KEY_ROWS = st.fixed_dictionaries({name: values for name, (_, values) in KEYS.items()})
AsPartition: Any = make(
    "AsPartition", __base__=Model, id=(PK[UUID], ...), **{name: (part[kind], ...) for name, (kind, _) in KEYS.items()}
)
AsClustering: Any = make(
    "AsClustering", __base__=Model, id=(PK[UUID], ...), **{name: (order[kind], ...) for name, (kind, _) in KEYS.items()}
)


@pytest_asyncio.fixture(scope="session")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"orm_values_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with connect(cassandra_hosts, keyspace=keyspace) as found:
                found.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
                await found.create(Plain, Maybe, AsPartition, AsClustering, Cut, Loose)
                yield found
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


def exactly(value: Any) -> Any:
    """What two values share when they are the same to the last bit: NaN is NaN, -0.0 is not 0.0, 1.0 is not 1.00."""
    match value:
        case float():
            return repr(value)
        case Decimal():
            sign, digits, exponent = value.as_tuple()
            return sign if value else 0, digits, exponent
        case datetime():
            return value.astimezone(UTC).isoformat()
        case dict():
            return "dict", sorted([(exactly(key), exactly(item)) for key, item in value.items()], key=repr)
        case set() | frozenset():
            return type(value), sorted(map(exactly, value), key=repr)
        case list() | tuple():
            return type(value), [exactly(part) for part in value]
        case BaseModel():
            return type(value), exactly(dict(value))
        case _:
            return type(value), value


def differing(found: Any, sent: Any) -> dict[str, Any]:
    """The fields in which two instances are not the very same."""
    assert type(found) is type(sent)
    return {
        name: (value, getattr(found, name)) for name, value in sent if exactly(value) != exactly(getattr(found, name))
    }


relaxed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@relaxed
@given(values=ROWS)
async def test_every_value_comes_back_as_it_was_sent(db: Database, values: dict[str, Any]) -> None:
    sent: Any = Plain(id=uuid4(), **values)
    await db.insert(sent)
    found: Any = await Plain.get(sent.id).using(db)
    assert differing(found, sent) == {}
    assert not await db.save(found)


@settings(parent=relaxed, max_examples=8, phases=[Phase.generate])
@given(values=st.lists(ROWS, min_size=3, max_size=3))
async def test_every_value_comes_back_whichever_way_it_is_written_and_read(
    db: Database, values: list[dict[str, Any]]
) -> None:
    sent = {row.id: row for row in (Plain(id=uuid4(), **row) for row in values)}
    inserted, updated, saved = sent.values()
    async with db.batch(unlogged=True) as batch:
        batch.insert(inserted)
    await (
        Plain.update(*(getattr(Plain, name).set(getattr(updated, name)) for name in TYPES))
        .where(Plain.id == updated.id)
        .using(db)
    )
    await db.insert(Plain(id=saved.id, **values[0]))
    stored: Any = await Plain.get(saved.id).using(db)
    for name in TYPES:
        # Saved is what is no longer equal: 0.0 stays 0.0 when it is set to -0.0.
        if getattr(stored, name) != getattr(saved, name):
            setattr(stored, name, getattr(saved, name))
    await db.save(stored)
    sent[saved.id] = stored.model_copy()
    ways: dict[str, list[Any]] = {
        "where": [row async for row in Plain.where(Plain.id.in_(list(sent))).using(db)],
        "page": (await Plain.where(Plain.id.in_(list(sent))).using(db).page(10)).items,
        "into": await db.cql("SELECT * FROM plain WHERE id IN ?", [list(sent)], into=Plain),
        "many": await db.get_many(Plain, list(sent)),
        "scan": [row async for row in Plain.scan(parallel=1).using(db) if row.id in sent],
        "refresh": [],
    }
    for row in sent.values():
        again = row.model_copy()
        await db.refresh(again)
        ways["refresh"].append(again)
    columns = [getattr(Plain, name) for name in ("id", *TYPES)]
    tuples = await Plain.where(Plain.id.in_(list(sent))).using(db).values(*columns).all()
    ways["values"] = [Plain(**dict(zip(["id", *TYPES], row, strict=True))) for row in tuples]
    for way, rows in ways.items():
        assert {row.id: differing(row, sent[row.id]) for row in rows} == {key: {} for key in sent}, way


@relaxed
@given(values=SOME)
async def test_none_and_what_was_not_given_come_back_as_none(db: Database, values: dict[str, Any]) -> None:
    sent: Any = Maybe(id=uuid4(), **values)
    await db.insert(sent)
    found: Any = await Maybe.get(sent.id).using(db)
    # Stored item by item: a collection without items is none at all.
    emptied = {name: None for name, value in values.items() if name in MULTICELL and not value}
    assert differing(found, sent.model_copy(update=emptied)) == {}


@settings(parent=relaxed, max_examples=15, phases=[Phase.generate])
@given(values=KEY_ROWS)
async def test_every_type_that_can_be_a_key_finds_its_row(db: Database, values: dict[str, Any]) -> None:
    turned = {name: turned_round(value) for name, value in values.items()}
    for model in (AsPartition, AsClustering):
        sent: Any = model(id=uuid4(), **values)
        await db.insert(sent)
        # Equal sets and dicts are one key, in whatever order Python iterates over them.
        found: Any = await model.get(id=sent.id, **turned).using(db)
        assert found is not None, model
        assert differing(found, sent) == {}


def turned_round(value: Any) -> Any:
    """An equal value whose sets and dicts were filled from the other end."""
    match value:
        case dict():
            return {turned_round(key): turned_round(item) for key, item in reversed(value.items())}
        case set() | frozenset():
            # The order of small whole numbers in a set is that of their arrival where their hashes collide.
            return type(value)([*map(turned_round, value)][::-1])
        case tuple() | list():
            return type(value)(map(turned_round, value))
        case Odd():
            return value.model_copy(update={"order": turned_round(value.order), "nested": turned_round(value.nested)})
        case _:
            return value


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), datetime(2026, 1, 1)],  # noqa: DTZ001 - refused
)
async def test_a_moment_that_would_not_come_back_is_refused_before_it_is_sent(db: Database, moment: datetime) -> None:
    sent: Any = Maybe(id=uuid4(), timestamp_=moment)
    with pytest.raises(QueryError, match=r"Maybe.timestamp_: .* does not fit timestamp"):
        await db.insert(sent)
    assert await Maybe.get(sent.id).using(db) is None


@settings(parent=relaxed, max_examples=4, phases=[Phase.generate])
@given(values=ROWS)
async def test_a_condition_on_any_column_compares_with_what_was_sent(db: Database, values: dict[str, Any]) -> None:
    sent: Any = Plain(id=uuid4(), **values)
    assert await db.insert(sent, if_not_exists=True)
    told = await db.insert(sent, if_not_exists=True)
    assert {name: exactly(value) for name, value in told.found.items()} == {
        name: exactly(value) for name, value in dict(sent).items()
    }
    for name in TYPES:
        column, value = getattr(Plain, name), getattr(sent, name)
        update = Plain.update(column.set(value)).where(Plain.id == sent.id).using(db)
        assert await update.only_if(column == value), name
    assert differing(await Plain.get(sent.id).using(db), sent) == {}


async def test_a_user_type_that_is_not_frozen_comes_back_as_it_was_sent(db: Database) -> None:
    for place in (Place(town="t", number=1), Place(number=2), Place()):
        sent: Any = Loose(id=1, place=place, maybe=place, street=Street(name=""))
        await db.insert(sent)
        found: Any = await Loose.get(1).using(db)
        # As of a collection: without a field there is nothing.
        assert found == sent.model_copy(update={"maybe": place if place != Place() else None})
        found.place = Place(town="saved")
        assert await db.save(found)
        assert await Loose.get(1).using(db) == found


async def test_moments_come_back_in_utc(db: Database) -> None:
    local = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    sent: Any = Maybe(id=uuid4(), timestamp_=local)
    await db.insert(sent)
    found: Any = await Maybe.get(sent.id).using(db)
    assert found.timestamp_.utcoffset() == timedelta(0)
    assert found.timestamp_ == local


class Deceiving(str):
    """Text that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


without_fields: Any = Street.model_construct
BROKEN = without_fields()

# What no type can hold, or what looks as if it were of another type.
ODDITIES = st.sampled_from(
    [
        *(
            "\ud800",
            "a\udfffb",
            "fe80::1%eth0",
            "::ffff:102:304",
            "é",
            "\x00",
            Deceiving("a"),
            b"\xff",
            bytearray(b"x"),
            True,
        ),
        *(
            2**7,
            2**15,
            2**31,
            2**63,
            -(2**63) - 1,
            2**64,
            10**400,
            1.5,
            float("nan"),
            float("inf"),
            1e300,
            1 + 2j,
            object,
        ),
        *(
            Decimal(name)
            for name in ("NaN", "sNaN", "Infinity", "-Infinity", "-0", "1E+3", "1E-2147483648", "1E+9999999999")
        ),
        *(uuid4(), date.min, date.max, time(1, tzinfo=UTC), time.max, timedelta(1), Rights(0), Colour.RED, Level.HIGH),
        datetime(2026, 1, 1),  # noqa: DTZ001 - refused
        datetime(2026, 1, 1, microsecond=1, tzinfo=UTC),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)), microsecond=0),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC, microsecond=999_000),
        *(
            [],
            (),
            {},
            set(),
            [None],
            {None},
            {None: None},
            {"a": None},
            [1.0],
            [1.0, 2.0, float("nan")],
            (1, 2),
            (None, None, None),
        ),
        *(
            {"\ud800"},
            ["\ud800"],
            {"a": "\ud800"},
            {"\ud800": 1},
            [2**63],
            [2**63 - 1, 1],
            {2**63: {"a"}},
            [[[1]]],
            iter([1]),
            "abc",
        ),
        *(BROKEN, Street(name="\ud800"), Street.model_construct(name="a", number=2**31)),
        *(Address.model_construct(street=BROKEN), Plainly(n=2**63), Odd(class_=1, small=300), Plainly(n=1)),
        Odd(class_=1, at=datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
    ]
)
ANYTHING = st.one_of(ODDITIES, *(values for _, values in TYPES.values()))


@settings(parent=relaxed, max_examples=30, phases=[Phase.generate])
@given(values=st.fixed_dictionaries(dict.fromkeys(TYPES, ANYTHING)))
async def test_whatever_is_put_into_a_column_comes_back_or_is_refused_by_name(
    db: Database, values: dict[str, Any]
) -> None:
    # Past the model's own validation: what comes through `model_construct`, or was changed in place.
    sent: Any = [Maybe.model_construct({name}, **{**Maybe(id=uuid4()).__dict__, name: values[name]}) for name in TYPES]
    written = await db.insert_many(sent)
    found: Any = await db.get_many(Maybe, [row.id for row in sent])
    for name, row, outcome, stored in zip(TYPES, sent, written, found, strict=True):
        if outcome.error is not None:
            assert isinstance(outcome.error, QueryError), (name, outcome.error)
            assert name in str(outcome.error)
            assert stored is None
        else:
            value, back = getattr(row, name), getattr(stored, name)
            if name in ("float_", "of_floats", "vector_", "of_vectors"):
                value = rounded(value)
            if isinstance(value, tuple) and isinstance(back, list):
                value = list(value)
            same = (
                exactly(value) == exactly(back) or value == back or (name in MULTICELL and not value and back is None)
            )
            assert same, (name, value, back)


def rounded(value: Any) -> Any:
    match value:
        case float() | int():
            return round32(value)
        case dict():
            return {key: rounded(part) for key, part in value.items()}
        case _:
            return [round32(part) for part in value]


async def test_a_timestamp_may_lose_its_microseconds_where_its_field_says_so(db: Database) -> None:
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=2)))
    sent: Any = Cut(id=1, at=moment, all=[moment])
    await db.insert(sent)
    found: Any = await Cut.get(1).using(db)
    assert found.at == milliseconds(moment)
    assert found.all == [milliseconds(moment)]
