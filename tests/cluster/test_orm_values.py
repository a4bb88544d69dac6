"""One Python value in, the same value out, or refused before anything is sent: for every type, on a real node."""

import math
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, create_model

from cassorm.errors import QueryError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col
from cassorm.orm.markers import Frozen
from cassorm.orm.model import Model
from cassorm.orm.user_types import Udt
from cassorm.orm.values import Ascii, Duration, Float32, Int, SmallInt, TimeUUID, TinyInt, VarInt, Vector, round32

pytestmark = pytest.mark.cluster

EXAMPLES = 40


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Street(Udt):
    model_config = ConfigDict(frozen=True)
    name: str
    number: Int | None = None


class Address(Udt):
    street: Street
    lines: list[str] = []
    tags: frozenset[str] = frozenset()
    since: datetime | None = None


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
    "of_tuples": (set[tuple[int, str]], st.sets(st.tuples(signed(64), TEXT), max_size=3)),
    "of_times": (list[time], st.lists(st.times(), max_size=3)),
    "of_enums": (dict[Colour, Duration], st.dictionaries(st.sampled_from(Colour), DURATIONS)),
    "of_addresses": (dict[str, Address], st.dictionaries(TEXT, ADDRESSES, max_size=2)),
    "of_inets": (set[IPv4Address], st.sets(st.ip_addresses(v=4), max_size=3)),
    "tuple_": (
        tuple[int, str | None, datetime | None],
        st.tuples(signed(64), st.none() | TEXT, st.none() | MOMENTS),
    ),
    "vector_": (
        Annotated[list[float], Vector(3)],
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False).map(round32), min_size=3, max_size=3),
    ),
    "udt_": (Address, ADDRESSES),
    "streets_": (set[Street], st.sets(STREETS, max_size=3)),
}
COLLECTIONS = {name for name, (annotation, _) in TYPES.items() if name.startswith(("list_", "set_", "map_", "nested"))}

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
ROWS = st.fixed_dictionaries({name: values for name, (_, values) in TYPES.items()})
SOME = st.fixed_dictionaries({}, optional={name: st.none() | values for name, (_, values) in TYPES.items()})

# What CQL refuses in keys: durations, at any depth, and vectors.
KEYS = {name: pair for name, pair in TYPES.items() if name not in ("duration_", "vector_", "of_enums")}
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
                await found.create(Plain, Maybe, AsPartition, AsClustering)
                yield found
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals itself."""
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or one == other
    return bool(one == other) and type(one) is type(other)


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
    for name in TYPES:
        assert same(getattr(found, name), getattr(sent, name)), name


@relaxed
@given(values=SOME)
async def test_none_and_what_was_not_given_come_back_as_none(db: Database, values: dict[str, Any]) -> None:
    sent: Any = Maybe(id=uuid4(), **values)
    await db.insert(sent)
    found: Any = await Maybe.get(sent.id).using(db)
    for name in TYPES:
        given_value = getattr(sent, name)
        if name in COLLECTIONS | {"sequence_"} or name.startswith(("of_", "streets_")):
            # Stored item by item: a collection without items is none at all.
            given_value = given_value or None
        assert same(getattr(found, name), given_value), name


@settings(parent=relaxed, max_examples=15)
@given(values=KEY_ROWS)
async def test_every_type_that_can_be_a_key_finds_its_row(db: Database, values: dict[str, Any]) -> None:
    for model in (AsPartition, AsClustering):
        sent: Any = model(id=uuid4(), **values)
        await db.insert(sent)
        found: Any = await model.get(*[getattr(sent, name) for name in ("id", *KEYS)]).using(db)
        for name in KEYS:
            assert same(getattr(found, name), getattr(sent, name)), name


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 1, 1, microsecond=1, tzinfo=UTC), datetime(2026, 1, 1)],  # noqa: DTZ001 - refused
)
async def test_a_moment_that_would_not_come_back_is_refused_before_it_is_sent(db: Database, moment: datetime) -> None:
    sent: Any = Maybe(id=uuid4(), timestamp_=moment)
    with pytest.raises(QueryError, match=r"Maybe.timestamp_: .* does not fit timestamp"):
        await db.insert(sent)
    assert await Maybe.get(sent.id).using(db) is None


async def test_moments_come_back_in_utc(db: Database) -> None:
    local = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    sent: Any = Maybe(id=uuid4(), timestamp_=local)
    await db.insert(sent)
    found: Any = await Maybe.get(sent.id).using(db)
    assert found.timestamp_.utcoffset() == timedelta(0)
    assert found.timestamp_ == local


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text_", "\ud800"),
        ("set_", {"\ud800"}),
        ("decimal_", Decimal("NaN")),
        ("sequence_", (Decimal("-Infinity"),)),
        ("bigint_", 2**63),
        ("list_", [2**63]),
        ("timeuuid_", uuid4()),
        ("time_", time(1, tzinfo=UTC)),
        ("int_", "1"),
        ("set_", [1]),
        ("vector_", [1.0]),
        ("udt_", Address.model_construct(street=None)),  # type: ignore[arg-type]  # that is what is refused
    ],
)
async def test_what_no_column_can_hold_is_refused_before_it_is_sent(db: Database, name: str, value: Any) -> None:
    sent: Any = Maybe.model_construct(**{**Maybe(id=uuid4()).__dict__, name: value})
    with pytest.raises(QueryError, match=name):
        await db.insert(sent)
    assert await Maybe.get(sent.id).using(db) is None
