"""The index of events on a real node: how it is set up, what it holds, what it costs to ask."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Recorded, Session
from cassorm.errors import EventStoreError, QueryError, SubscriptionError
from cassorm.events.event_index import SUBSCRIPTION, EventIndex
from cassorm.events.index_tables import IndexTables, Partition, day_of, hour_of
from cassorm.events.inquiry import by_type, moment_of
from cassorm.events.metadata import Metadata
from cassorm.events.position import shard_of
from cassorm.events.store import Appended
from tests.cluster.test_feed_worker import working

pytestmark = pytest.mark.cluster

SHARDS = 2


class Weighed(Event, name="index.Weighed"):
    grams: int


class Shipped(Event, name="index.Shipped"):
    to: str


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_index_{uuid4().hex[:8]}"
    seconds = timedelta(seconds=5)
    async with CassandraEventStore(
        cassorm_session, keyspace=name, shards=SHARDS, replication=1, feed_ttl=seconds
    ) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


async def filled(store: CassandraEventStore, appends: Iterable[Appended]) -> None:
    """Return when the index has these appends."""
    last = {one.position.shard: one.position for one in sorted(appends, key=lambda one: one.position.micros)}
    for position in last.values():
        await store.index.wait_for(position, timeout=timedelta(seconds=20))


async def test_a_store_whose_index_was_never_set_up_says_how(store: CassandraEventStore) -> None:
    with pytest.raises(EventStoreError, match=r"has no index of its events. Call `await store.index.create\(\)` once"):
        await anext(store.get_events_by_type(Weighed))
    assert await store.index.upto() is None
    await store.index.create()
    with pytest.raises(EventStoreError, match=r"is not filled yet. Wait for, or run, a worker that keeps it: `Worker"):
        await anext(store.get_events_by_date_range())


async def test_it_holds_what_the_feed_has_forgotten_and_what_comes(store: CassandraEventStore) -> None:
    parcel = [Weighed(grams=1), Shipped(to="Bern"), Weighed(grams=2)]
    old = [await store.append(uuid4(), parcel, aggregate_type="Parcel") for _ in range(30)]
    await asyncio.sleep(5.5)  # the feed's TTL
    async with working(store, store.index.subscription()):
        await filled(store, old)
        fresh = [await store.append(uuid4(), [Shipped(to="Chur")], aggregate_type="Parcel") for _ in range(5)]
        await filled(store, fresh)
    shipped = [one async for one in store.get_events_by_type(Shipped)]
    assert [one.stream for one in shipped] == [one.stream for one in old + fresh]
    assert {one.version for one in shipped[:30]} == {2}
    assert len([one async for one in store.get_events_by_aggregate_type("Parcel")]) == 95
    every = [one async for one in store.get_events_by_date_range()]
    assert [one.position for one in every] == sorted(one.position for one in every)
    assert len(every) == 95
    assert every[0] == (await store.get_events(old[0].stream))[0]
    assert await store.index.upto() is not None


async def test_what_is_told_again_is_not_there_twice(store: CassandraEventStore) -> None:
    before = [one async for one in store.get_events_by_date_range()]
    await store.feed.reset(SUBSCRIPTION)
    assert await store.index.upto() is None
    async with working(store, store.index.subscription()):
        appended = await store.append(before[0].stream, [Shipped(to="Genf")])
        await filled(store, [appended])
        while await store.index.upto() is None:  # noqa: ASYNC110 - the other shard has no event of that
            await asyncio.sleep(0.05)
    assert [one async for one in store.get_events_by_date_range()][:-1] == before


async def test_an_event_whose_class_nobody_imported_is_in_it_all_the_same(
    store: CassandraEventStore, cassorm_session: Session
) -> None:
    stream = uuid4()
    async with working(store, store.index.subscription()):
        appended = await store.append(stream, [Weighed(grams=3)], aggregate_type="Strange")
        await cassorm_session.execute(
            f"UPDATE {store.keyspace}.events SET event_type = 'Unheard' WHERE aggregate_id = ? AND version = 1",
            (stream,),
        )
        await store.index.wait_for(appended.position)
    assert await store.feed.parked(SUBSCRIPTION, appended.position.shard, stream) is None


async def test_an_event_that_is_gone_is_told_by_its_place(store: CassandraEventStore, cassorm_session: Session) -> None:
    stream = uuid4()
    async with working(store, store.index.subscription()):
        appended = await store.append(stream, [Weighed(grams=4), Weighed(grams=5)], aggregate_type="Lost")
        await store.index.wait_for(appended.position)
    await cassorm_session.execute(
        f"DELETE FROM {store.keyspace}.events WHERE aggregate_id = ? AND version = 2", (stream,)
    )
    with pytest.raises(EventStoreError, match=rf"stream {stream}, version 2: was recorded, and is not there"):
        _ = [one async for one in store.get_events_by_aggregate_type("Lost")]


async def test_waiting_ends_at_its_deadline_and_says_where_the_index_stands(store: CassandraEventStore) -> None:
    appended: Appended = await store.append(uuid4(), [Weighed(grams=6)])
    with pytest.raises(SubscriptionError, match=rf"shard {appended.position.shard} stands at 20\d\d-") as raised:
        await store.index.wait_for(appended.position, timeout=timedelta(milliseconds=100))
    assert raised.value.subscription == SUBSCRIPTION
    with pytest.raises(QueryError, match="is of another store"):
        await store.index.wait_for(appended.position._replace(store_id=uuid4()))


# -- what it costs -----------------------------------------------------------------------------------------------


class Counted(IndexTables):
    """Counts the queries that an answer takes."""

    asked = 0

    async def days(self, *args: object) -> list[date]:
        self.asked += 1
        return await super().days(*args)  # type: ignore[arg-type]

    async def hours(self, *args: object) -> list[list[Partition]]:
        self.asked += 1
        return await super().hours(*args)  # type: ignore[arg-type]

    async def page(self, *args: object) -> tuple[list[object], bytes | None]:  # type: ignore[override]
        self.asked += 1
        return await super().page(*args)  # type: ignore[arg-type, return-value]


@pytest_asyncio.fixture
async def years(store: CassandraEventStore, cassorm_session: Session) -> tuple[Counted, EventIndex]:
    """An index of its own kind over some years: two days in each, with some hours."""
    tables = Counted(cassorm_session, store.keyspace, store.tables, store.settings)
    index = EventIndex(tables, store.feed, store.settings, decode=store.decode, where="here")
    return tables, index


async def told_of(store: CassandraEventStore, index: EventIndex, moments: list[datetime]) -> list[UUID]:
    """Let the index believe that events were appended at these moments; return their streams."""
    streams = []
    for moment in moments:
        stream = uuid4()
        streams.append(stream)
        appended = await store.append(stream, [Weighed(grams=7)], aggregate_type="Old")
        ((found),) = await store.get_events(stream)
        pos = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        told = Recorded(
            stream, "Old", 1, found.event, found.event_id, appended.append_id, "index.Old", 1, moment, Metadata(), pos
        )
        await index.subscription().handler([told])
    return streams


async def test_an_empty_year_costs_nothing_and_a_full_one_what_it_answers(
    store: CassandraEventStore, years: tuple[Counted, EventIndex]
) -> None:
    tables, index = years
    moments = [datetime(year, 3, day, hour, tzinfo=UTC) for year in (2001, 2020) for day in (4, 5) for hour in (0, 23)]
    streams = await told_of(store, index, moments)

    async def ask(begin: date, end: date, *, backwards: bool = False) -> tuple[list[UUID | str], int]:
        tables.asked = 0
        inquiry = by_type("index.Old", begin, end, backwards=backwards)
        return [one.stream async for one in index.find(inquiry)], tables.asked

    assert await ask(date(2002, 1, 1), date(2020, 1, 1)) == ([], 1)
    assert await ask(date(2001, 1, 1), date(2021, 1, 1)) == (streams, 1 + 4 + 8)
    assert await ask(date(2001, 3, 5), date(2001, 3, 6)) == (streams[2:4], 1 + 1 + 2)
    assert await ask(date(2001, 1, 1), date(2021, 1, 1), backwards=True) == (streams[::-1], 1 + 4 + 8)


async def test_many_pages_of_many_partitions_come_in_one_order(
    store: CassandraEventStore, cassorm_session: Session
) -> None:
    streams = [uuid4() for _ in range(40)]
    for _ in range(3):
        appends = await asyncio.gather(
            *(
                store.append(stream, [Weighed(grams=number) for number in range(10)], aggregate_type="Crate")
                for stream in streams
            )
        )
    async with working(store, store.index.subscription()):
        await filled(store, appends)
    found = [one async for one in store.get_events_by_aggregate_type("Crate")]
    assert len(found) == 1200
    assert [one.position for one in found] == sorted(one.position for one in found)
    for stream in streams:
        assert [one.version for one in found if one.stream == stream] == list(range(1, 31))
    begin, end = moment_of(found[100].position), moment_of(found[900].position)
    between = [one async for one in store.get_events_by_type(Weighed, begin=begin, end=end)]
    assert [one.position for one in between] == [
        one.position for one in found if found[100].position <= one.position < found[900].position
    ]


def test_a_partition_is_an_hour_of_a_day_in_utc() -> None:
    pos = (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )
    assert (day_of(pos), hour_of(pos)) == (date(2026, 12, 31), 23)
    assert (day_of(pos + 1), hour_of(pos + 1)) == (date(2027, 1, 1), 0)
    assert shard_of(UUID(int=1), 16) in range(16)
