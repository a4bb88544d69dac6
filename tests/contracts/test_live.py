"""Read models and totals folded from all streams when they are asked for, over every store."""

import asyncio
import random
from collections import defaultdict
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm import (
    CK,
    PK,
    CassandraEventStore,
    Col,
    Event,
    EventStore,
    Frozen,
    ReadModel,
    Total,
    Totals,
    add_from_event,
    count_events,
    map_from_event,
)
from cassorm.errors import EventStoreError, ProjectionError, QueryError
from cassorm.projections import every_stream


class Opened(Event, name="live.Opened"):
    owner: str


class Booked(Event, name="live.Booked"):
    amount: Decimal


class Noted(Event, name="live.Noted"):
    pass


class Closed(Event, name="live.Closed"):
    pass


class Tagged(Event, name="live.Tagged"):
    tags: set[str]


class Purse(ReadModel, table="live_purses", aggregate="live.Purse"):
    purse_id: PK[UUID]
    owner: Col[str] = map_from_event(Opened)
    balance: Col[Decimal] = map_from_event(Booked, lambda e, row: row.balance + e.amount, default=Decimal(0))
    __deleted_by__ = [Closed]


class Booking(Totals, table="live_bookings", aggregate="live.Purse"):
    owner: PK[str] = map_from_event(Opened)
    amount: Total[Decimal] = add_from_event(Booked)
    bookings: Total[int] = count_events(Booked)


class ByTags(Totals, table="live_by_tags"):
    kind: PK[str] = map_from_event({Tagged: "tag"})
    tags: CK[Frozen[set[str]]] = map_from_event(Tagged)
    times: Total[int] = count_events(Tagged)


class Broken(ReadModel, table="live_broken", aggregate="live.Purse"):
    purse_id: PK[UUID]
    owner: Col[str] = map_from_event(Opened, lambda e: 1 / 0)


class Bank:
    """Streams of purses, with what they come to; those of others lie between them."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.owners = [f"{each}-{uuid4().hex[:8]}" for each in "abc"]
        self.purses: list[UUID] = []
        self.gone: list[UUID] = []
        self.booked: dict[str, list[Decimal]] = defaultdict(list)

    async def open(self) -> None:
        purse, owner = uuid4(), random.choice(self.owners)
        amounts = [Decimal(random.randint(-500, 500)) / 100 for _ in range(random.randint(0, 30))]
        events: list[Event] = [Opened(owner=owner), Noted(), *(Booked(amount=amount) for amount in amounts)]
        closed = random.random() < 0.3
        if closed:
            events.append(Closed())
        await self.store.append(purse, events, aggregate_type="live.Purse")
        await self.store.append(uuid4(), [Opened(owner=owner), Booked(amount=Decimal(1))], aggregate_type="live.Other")
        (self.gone if closed else self.purses).append(purse)
        self.booked[owner] += amounts

    async def rows(self, **options: Any) -> dict[UUID, Purse]:
        mine = {*self.purses, *self.gone}
        found = [row async for row in Purse.live_all(self.store, **options) if row.purse_id in mine]
        assert len({row.purse_id for row in found}) == len(found), "each once"
        return {row.purse_id: row for row in found}

    async def totals(self, **options: Any) -> dict[str, tuple[Decimal, int]]:
        found = [row for row in await Booking.live(self.store, **options) if row.owner in self.owners]
        assert len({row.owner for row in found}) == len(found), "each once"
        return {row.owner: (row.amount, row.bookings) for row in found}


@pytest.mark.parametrize("parallel", [1, 3, 256])
async def test_each_stream_has_the_row_that_its_events_make(store: EventStore, parallel: int) -> None:
    bank = Bank(store)
    await asyncio.gather(*(bank.open() for _ in range(20)))
    rows = await bank.rows(parallel=parallel)
    assert rows.keys() == set(bank.purses), "what was deleted has none, nor have streams of another type"
    for purse, row in rows.items():
        assert row == await Purse.live(store, purse)
    assert rows[bank.purses[0]].applied_version > 0


async def test_totals_are_what_all_streams_add_up_to(store: EventStore) -> None:
    bank = Bank(store)
    await asyncio.gather(*(bank.open() for _ in range(20)))
    expected = {owner: (sum(amounts, Decimal(0)), len(amounts)) for owner, amounts in bank.booked.items() if amounts}
    assert await bank.totals() == await bank.totals(parallel=1) == expected


async def test_long_streams_come_in_parts(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cassorm.events.feed_tables._SCAN_PAGE", 7)
    monkeypatch.setattr("cassorm.projections.past._TOGETHER", 7)
    bank = Bank(store)
    await asyncio.gather(*(bank.open() for _ in range(3)))
    rows = await bank.rows()
    assert rows == {purse: await Purse.live(store, purse) for purse in bank.purses}
    assert await bank.totals() == {owner: (sum(each), len(each)) for owner, each in bank.booked.items() if each}


async def test_a_row_begins_again_when_it_was_deleted(store: EventStore) -> None:
    purse = uuid4()
    events = [Opened(owner="x"), Booked(amount=Decimal(5)), Closed(), Opened(owner="y"), Booked(amount=Decimal(1))]
    await store.append(purse, events, aggregate_type="live.Purse")
    (row,) = [row async for row in Purse.live_all(store) if row.purse_id == purse]
    assert (row.owner, row.balance, row.applied_version) == ("y", Decimal(1), 5)


async def test_what_is_appended_before_the_call_is_in_it(store: EventStore) -> None:
    bank = Bank(store)
    await bank.open()
    appending = asyncio.gather(*(bank.open() for _ in range(10)))
    begun = [*bank.purses]
    rows = await bank.rows()
    await appending
    assert rows.keys() >= set(begun)
    for purse in begun:
        assert rows[purse] == await Purse.live(store, purse)


async def test_who_leaves_early_leaves_nothing_running(store: EventStore) -> None:
    bank = Bank(store)
    await asyncio.gather(*(bank.open() for _ in range(5)))
    rows = Purse.live_all(store)
    await anext(rows)
    await rows.aclose()
    # Workers of other tests go on meanwhile.
    codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
    assert every_stream.__file__ not in {code.co_filename for code in codes if code is not None}


async def test_keys_that_are_sets_are_added_up(store: EventStore) -> None:
    tag = uuid4().hex[:8]
    for tags in ({"a", tag}, {tag, "a"}, {tag}):
        await store.append(uuid4(), [Tagged(tags=tags)])
    found = {frozenset(row.tags): row.times for row in await ByTags.live(store) if tag in row.tags}
    assert found == {frozenset({"a", tag}): 2, frozenset({tag}): 1}


async def test_an_event_that_cannot_be_mapped_is_named(store: EventStore) -> None:
    purse = uuid4()
    await store.append(purse, [Booked(amount=Decimal(1))], aggregate_type="live.Orphan")

    class Orphan(Totals, table="live_orphans", aggregate="live.Orphan"):
        owner: PK[str] = map_from_event(Opened)
        amount: Total[Decimal] = add_from_event(Booked)

    with pytest.raises(ProjectionError, match=rf"adds to a row whose owner no event .* stream {purse}|{purse}"):
        await Orphan.live(store)
    await store.append(uuid4(), [Opened(owner="o")], aggregate_type="live.Purse")
    with pytest.raises(ProjectionError, match=r"live\.Opened cannot be mapped: ZeroDivisionError"):
        async for _ in Broken.live_all(store):
            pass


@pytest.mark.parametrize("parallel", [0, 257, True, "4"])
async def test_what_cannot_be_read_is_refused(store: EventStore, parallel: Any) -> None:
    with pytest.raises(QueryError, match=r"Purse\.live_all: parallel=.*Give 1 to 256"):
        await anext(Purse.live_all(store, parallel=parallel))
    with pytest.raises(QueryError, match=r"Booking\.live: parallel=.*Give 1 to 256"):
        await Booking.live(store, parallel=parallel)
    wrong: Any = "store"
    with pytest.raises(QueryError, match="'store' is no event store"):
        await Booking.live(wrong)


@pytest.mark.cluster
async def test_a_store_without_a_feed_is_folded_as_well(cassorm_session: Any) -> None:
    keyspace = f"live_{uuid4().hex[:8]}"
    store = CassandraEventStore(cassorm_session, keyspace=keyspace, feed=False, shards=2)
    with pytest.raises(EventStoreError, match="is not initialised"):
        await Booking.live(store)
    async with store:
        bank = Bank(store)
        await bank.open()
        await bank.open()
        assert (await bank.rows()).keys() == set(bank.purses)
    await cassorm_session.ddl(f"DROP KEYSPACE {keyspace}")
