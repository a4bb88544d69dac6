"""Totals on a real node: windows handed over again, cut otherwise, or to two owners at once are added once."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CK, PK, CassandraEventStore, Database, Event, Frozen, connect
from cassorm.errors import QueryError
from cassorm.events.position import shard_of
from cassorm.events.subscription import Placed, Unfit, Window
from cassorm.projections.active import plan_of_generation
from cassorm.projections.mapping import map_from_event
from cassorm.projections.registry import Registry
from cassorm.projections.totals import Total, Totals, add_from_event, count_events, totals_of
from cassorm.projections.totals_table import Part, TotalsFeeder, TotalsTable
from tests.faults.feeding import stream_in

pytestmark = pytest.mark.cluster

SHARDS = 2


class Opened(Event, name="TotOpened"):
    country: str


class Added(Event, name="TotAdded"):
    amount: Decimal
    product: str


class Returned(Event, name="TotReturned"):
    amount: Decimal


class Sales(Totals, table="country_sales", aggregate="Sale"):
    country: PK[str] = map_from_event(Opened)
    product: CK[str] = map_from_event(Added)
    amount: Total[Decimal] = add_from_event({Added: lambda e: e.amount, Returned: lambda e: -e.amount})
    lines: Total[int] = count_events(Added)


class Moved(Event, name="TotMoved"):
    place: str
    product: str


class Moves(Totals, table="moves", aggregate="Sale"):
    place: PK[str] = map_from_event(Moved)
    moves: Total[int] = count_events(Moved)


class Tagged(Event, name="TotTagged"):
    tags: set[str]


class Tags(Totals, table="tags", aggregate="Sale"):
    tags: PK[Frozen[set[str]]] = map_from_event(Tagged)
    times: Total[int] = count_events(Tagged)


SAID, MOVES = totals_of(Sales), totals_of(Moves)
Events = list[Placed]


@dataclass
class Place:
    db: Database
    store: CassandraEventStore
    keyspace: str

    def feeder(self) -> TotalsFeeder:
        """As another process would have one."""
        table = TotalsTable(self.db, plan_of_generation(SAID.plan, 1), self.keyspace, SAID)
        return TotalsFeeder(SAID, table, self.store)

    async def sales(self, country: str, count: int) -> dict[int, Events]:
        """Streams, as the events of each shard in the order of positions."""
        streams = []
        for number in range(count):
            stream, events = stream_in(number % SHARDS, SHARDS), [Opened(country=country)]
            more = [Added(amount=Decimal(random.randint(1, 99)), product=random.choice("ab")) for _ in range(5)]
            every: list[Event] = [*events, *more, Returned(amount=Decimal("0.50"))]
            version = 0
            while every:
                size = random.randint(1, 3)
                done = await self.store.append(stream, every[:size], expected=version, aggregate_type="Sale")
                version, every = done.version, every[size:]
            streams.append(stream)
        shards: dict[int, Events] = {shard: [] for shard in range(SHARDS)}
        for stream in streams:
            recorded = await self.store.get_events(stream)
            first = {each.append_id: each.position for each in reversed(recorded)}
            shards[shard_of(stream, SHARDS)] += [Placed(each, first[each.append_id]) for each in recorded]
        for events_of in shards.values():
            events_of.sort(key=lambda placed: placed.recorded.position)
        return shards

    async def totals(self, country: str) -> dict[str, tuple[Decimal, int]]:
        async with self.db:
            return {row.product: (row.amount, row.lines) for row in await Sales.find(country=country)}


def window(shard: int, events: Sequence[Placed], low: int, high: int, *, whole: bool = False) -> Window:
    async def inside() -> AsyncIterator[Placed]:
        ordered = sorted(events, key=lambda placed: str(placed.recorded.stream)) if whole else events
        for placed in ordered:
            if low < placed.position <= high:
                yield placed

    return Window(shard, low, high, whole, inside)


def said(shards: dict[int, Events]) -> dict[str, tuple[Decimal, int]]:
    """What the streams add up to, the simple way."""
    found: dict[str, tuple[Decimal, int]] = {}
    product: dict[Any, str] = {}
    for placed in (each for events in shards.values() for each in events):
        recorded, event = placed.recorded, placed.recorded.event
        if isinstance(event, Added):
            product[recorded.stream] = event.product
            amount, lines = found.get(event.product, (Decimal(0), 0))
            found[event.product] = amount + event.amount, lines + 1
        if isinstance(event, Returned):
            amount, lines = found[product[recorded.stream]]
            found[product[recorded.stream]] = amount - event.amount, lines
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cassandra_hosts: list[str]) -> AsyncIterator[Place]:
    keyspace = f"totals_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with (
                connect(cassandra_hosts, keyspace=keyspace) as db,
                CassandraEventStore(db, keyspace=keyspace, shards=SHARDS, replication=1) as store,
            ):
                await db.create(Sales)
                registry = Registry(db, keyspace)
                await registry.create()
                await registry.begin("country_sales", "test")
                yield Place(db, store, keyspace)
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


async def deliver(place: Place, shards: dict[int, Events], chance: random.Random) -> None:
    """Hand each shard over in windows, with crashes: the same from `low`, cut otherwise, and to another owner."""
    for shard, events in shards.items():
        cuts = sorted({placed.position for placed in events})
        feeder, low = place.feeder(), 0
        while low < cuts[-1]:
            high, other = sorted(chance.choices([cut for cut in cuts if cut > low], k=2))
            zombie = place.feeder()
            again = chance.random()
            if again < 0.3:
                await zombie(window(shard, events, low, other))
                await feeder(window(shard, events, low, high))
            elif again < 0.6:
                await asyncio.gather(
                    feeder(window(shard, events, low, high)), zombie(window(shard, events, low, other))
                )
            else:
                await feeder(window(shard, events, low, high))
                await zombie(window(shard, events, low, high))
            low = high


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_the_windows_are_each_event_is_added_once(place: Place, seed: int) -> None:
    country = f"C{seed}"
    shards = await place.sales(country, 8)
    await deliver(place, shards, random.Random(seed))
    assert await place.totals(country) == said(shards)
    parts = await place.db.cql("SELECT shard FROM country_sales WHERE country = ?", [country])
    assert len(parts) <= 2 * SHARDS
    async with place.db:
        (a,) = [row for row in await Sales.find(country=country) if row.product == "a"]
        assert await Sales.find_by_id(country, "a") == await Sales.find_by_id(country=country, product="a")
        assert (a.amount, a.lines) == said(shards)["a"]
        assert await Sales.find_by_id(country, "none") is None
        with pytest.raises(QueryError, match=r"1 values for the key \(country, product\)"):
            await Sales.find_by_id(country)
        with pytest.raises(QueryError, match="is not in the key"):
            await Sales.find(amount=Decimal(1))
        with pytest.raises(QueryError, match="is written by the projection country_sales alone"):
            await place.db.insert(a, if_not_exists=True)


async def test_with_the_position_applied_switched_off_events_are_added_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = TotalsTable.read

    async def forgetful(self: TotalsTable, key: Any, shard: int) -> Part | None:
        found = await read(self, key, shard)
        return None if found is None else _Forgetful(found.amounts, found.applied)

    monkeypatch.setattr(TotalsTable, "read", forgetful)
    shards = await place.sales("X1", 4)
    with monkeypatch.context() as off:
        off.setattr(TotalsTable, "write", _unconditional)
        await deliver(place, shards, random.Random(1))
    found, wanted = await place.totals("X1"), said(shards)
    assert any(found[product][1] > wanted[product][1] for product in wanted)


class _Forgetful(Part):
    """A part of which the position applied is forgotten."""

    @property
    def applied(self) -> int:
        return -1


async def _unconditional(self: TotalsTable, key: Any, shard: int, before: Part | None, after: Part) -> bool:
    """Write whatever stands there."""
    row = (*self.adder.encoded(key), shard)
    text = "INSERT INTO country_sales (country, product, shard, amount, lines, applied) VALUES (?, ?, ?, ?, ?, ?)"
    await self._session.execute(text, (*row, *after.amounts, after.applied))
    return True


async def test_a_whole_window_sets_what_the_streams_add_up_to_and_later_ones_go_on(place: Place) -> None:
    shards = await place.sales("W1", 6)
    for shard, events in shards.items():
        cuts = sorted({placed.position for placed in events})
        early, later, middle = (cuts[len(cuts) // part] for part in (6, 4, 2))
        zombie, feeder = place.feeder(), place.feeder()
        await zombie(window(shard, events, 0, early))
        await feeder(window(shard, events, 0, middle, whole=True))
        await zombie(window(shard, events, 0, later, whole=True))
        await feeder(window(shard, events, middle, cuts[-1]))
        await place.feeder()(window(shard, events, 0, middle, whole=True))
    assert await place.totals("W1") == said(shards)


async def test_an_event_that_has_no_key_or_adds_no_number_is_told_apart(place: Place) -> None:
    stream = uuid4()
    await place.store.append(stream, [Returned(amount=Decimal(1))], aggregate_type="Sale")
    (recorded,) = await place.store.get_events(stream)
    shard = shard_of(stream, SHARDS)
    with pytest.raises(Unfit, match=r"TotReturned adds to a row whose country and product no event") as caught:
        await place.feeder()(window(shard, [Placed(recorded, recorded.position)], 0, recorded.position))
    assert caught.value.placed.recorded is recorded
    assert isinstance(caught.value.placed.recorded.stream, UUID)


async def test_sums_are_exact_however_many_digits_they_have(place: Place) -> None:
    large, small = Decimal(10) ** 30, Decimal("0.0000000001")
    stream = uuid4()
    events = [Opened(country="BIG"), *(Added(amount=each, product="p") for each in (large, small))]
    await place.store.append(stream, events, aggregate_type="Sale")
    recorded = await place.store.get_events(stream)
    high = recorded[0].position
    await place.feeder()(window(shard_of(stream, SHARDS), [Placed(each, high) for each in recorded], 0, high))
    ((found, _),) = (await place.totals("BIG")).values()
    assert str(found) == "1000000000000000000000000000000.0000000001"


async def test_a_key_that_the_server_would_refuse_is_the_event_s_fault(place: Place) -> None:
    stream = uuid4()
    await place.store.append(stream, [Opened(country=""), Added(amount=Decimal(1), product="a")], aggregate_type="Sale")
    events = [Placed(each, each.position) for each in await place.store.get_events(stream)]
    with pytest.raises(Unfit, match="is empty"):
        await place.feeder()(window(0, events, 0, events[-1].position))


async def test_an_event_that_says_the_whole_key_needs_none_before_it(place: Place) -> None:
    stream = uuid4()
    done = await place.store.append(stream, [Moved(place="Leeds", product="b")], aggregate_type="Sale")
    table = TotalsTable(place.db, plan_of_generation(MOVES.plan, 1), place.keyspace, MOVES)
    feeder = TotalsFeeder(MOVES, table, place.store)
    await place.db.create(Moves)
    (event,) = await place.store.get_events(stream)
    event.version = 7  # as if there were others, which nobody finds
    await feeder(window(0, [Placed(event, event.position)], 0, done.position.micros))
    assert await table.read(("Leeds",), 0) == Part((1,), done.position.micros)


async def test_a_key_may_be_a_set(place: Place) -> None:
    stream, said = uuid4(), totals_of(Tags)
    both = Tagged(tags={"a", "b"})
    done = await place.store.append(stream, [both, Tagged(tags={"a"}), both], aggregate_type="Sale")
    await place.db.create(Tags)
    table = TotalsTable(place.db, plan_of_generation(said.plan, 1), place.keyspace, said)
    events = [Placed(each, each.position) for each in await place.store.get_events(stream)]
    await TotalsFeeder(said, table, place.store)(window(0, events, 0, done.position.micros))
    for tags, times in (({"b", "a"}, 2), ({"a"}, 1)):
        assert await table.read((tags,), 0) == Part((times,), done.position.micros)
