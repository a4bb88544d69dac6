"""Questions for the events of all streams: by type, by aggregate type and by time, over memory and Cassandra."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, EventStore, Recorded
from cassorm.errors import QueryError
from cassorm.events.inquiry import moment_of
from cassorm.events.position import shard_of
from cassorm.events.worker import Worker
from tests.cluster.test_feed_worker import QUICK


class Sold(Event, name="queries.Sold"):
    number: int


class Returned(Event, name="queries.Returned"):
    number: int


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def kept(cassandra_store: CassandraEventStore) -> AsyncIterator[CassandraEventStore]:
    """The store of the contract suite, with a worker that keeps its index."""
    store = cassandra_store
    await store.index.create()
    worker = Worker(store, [store.index.subscription()], pace=QUICK)
    running = asyncio.create_task(worker.run())
    while await store.index.upto() is None:  # noqa: ASYNC110 - a worker fills it
        await asyncio.sleep(0.02)
    yield store
    worker.stop()
    await running


@pytest.fixture(params=["memory", pytest.param("cassandra", marks=pytest.mark.cluster)])
def store(request: pytest.FixtureRequest) -> EventStore:
    name = "memory_store" if request.param == "memory" else "kept"
    chosen: EventStore = request.getfixturevalue(name)
    return chosen


class Story:
    """Events of two types in two streams of a kind of their own, one after another."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.kind = f"Till {uuid4().hex[:8]}"
        self.streams = [uuid4(), uuid4()]
        self.recorded: list[Recorded] = []

    async def happen(self) -> "Story":
        for number in range(10):
            event = Returned(number=number) if number % 5 == 4 else Sold(number=number)
            appended = await self.store.append(self.streams[number % 2], [event], aggregate_type=self.kind)
        if isinstance(self.store, CassandraEventStore):
            for stream in self.streams:
                head = await self.store.head(stream)
                assert head is not None
                at = appended.position._replace(shard=self._shard(stream), micros=head.position)
                await self.store.index.wait_for(at, timeout=timedelta(seconds=20))
        for stream in self.streams:
            self.recorded += await self.store.get_events(stream)
        self.recorded.sort(key=lambda one: one.position)
        return self

    def _shard(self, stream: UUID) -> int:
        assert isinstance(self.store, CassandraEventStore)
        return shard_of(stream, self.store.settings.shards)

    def own(self, found: list[Recorded]) -> list[Recorded]:
        return [one for one in found if one.stream in self.streams]


@pytest_asyncio.fixture
async def story(store: EventStore) -> Story:
    return await Story(store).happen()


async def test_the_events_of_a_type_come_from_all_streams_in_the_order_of_their_positions(story: Story) -> None:
    for asked in (Sold, "queries.Sold"):
        found = story.own([one async for one in story.store.get_events_by_type(asked)])
        assert found == [one for one in story.recorded if one.event_type == "queries.Sold"]
    found = [one async for one in story.store.get_events_by_type(Returned, backwards=True)]
    assert [one.event for one in story.own(found)] == [Returned(number=9), Returned(number=4)]


async def test_the_events_of_an_aggregate_type_come_from_all_its_streams(story: Story) -> None:
    assert [one async for one in story.store.get_events_by_aggregate_type(story.kind)] == story.recorded
    backwards = [one async for one in story.store.get_events_by_aggregate_type(story.kind, backwards=True)]
    assert backwards == story.recorded[::-1]


async def test_a_range_holds_its_begin_and_not_its_end(story: Story) -> None:
    first, last = (moment_of(story.recorded[at].position) for at in (2, 6))
    asked = story.store.get_events_by_date_range(first, last)
    assert story.own([one async for one in asked]) == story.recorded[2:6]
    asked = story.store.get_events_by_aggregate_type(story.kind, begin=last)
    assert [one async for one in asked] == story.recorded[6:]
    asked = story.store.get_events_by_aggregate_type(story.kind, end=first)
    assert [one async for one in asked] == story.recorded[:2]
    asked = story.store.get_events_by_type(Returned, begin=first, end=last)
    assert [one.event for one in story.own([one async for one in asked])] == [Returned(number=4)]


async def test_a_date_stands_for_its_first_moment_in_utc(story: Story) -> None:
    today = moment_of(story.recorded[0].position).date()
    asked = story.store.get_events_by_aggregate_type(story.kind, begin=today, end=today + timedelta(days=2))
    assert [one async for one in asked] == story.recorded
    asked = story.store.get_events_by_aggregate_type(story.kind, end=today)
    assert [one async for one in asked] == []


async def test_nothing_is_found_where_nothing_is(story: Story) -> None:
    store = story.store
    for asked in (
        store.get_events_by_type("queries.Never"),
        store.get_events_by_aggregate_type("Nobody"),
        store.get_events_by_date_range(date(1970, 1, 1), date(2000, 1, 1)),
        store.get_events_by_date_range(date(1900, 1, 1), date(1901, 1, 1)),
        store.get_events_by_date_range(datetime(9999, 1, 1, tzinfo=UTC)),
        store.get_events_by_date_range(date(2026, 1, 1), date(2026, 1, 1)),
    ):
        assert [one async for one in asked] == []


async def test_whoever_needs_no_more_may_stop(story: Story) -> None:
    async with aclosing(story.store.get_events_by_aggregate_type(story.kind)) as found:
        async for one in found:
            assert one == story.recorded[0]
            break


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"begin": datetime(2026, 1, 1)}, "begin 2026-01-01 00:00:00 has no time zone"),  # noqa: DTZ001 - the case
        ({"end": "2026-01-01"}, "end '2026-01-01' is no moment"),
        ({"begin": date(2026, 1, 2), "end": date(2026, 1, 1)}, "begin 2026-01-02 lies behind end 2026-01-01"),
        ({"begin": 17}, "begin 17 is no moment"),
    ],
)
async def test_what_is_no_moment_is_refused(memory_store: EventStore, bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        memory_store.get_events_by_type(Sold, **bounds)
    with pytest.raises(QueryError, match=message):
        memory_store.get_events_by_aggregate_type("Till", **bounds)
    with pytest.raises(QueryError, match=message):
        memory_store.get_events_by_date_range(**bounds)


@pytest.mark.parametrize("asked", ["", None, 7, Event(), b"x"])
async def test_what_is_no_type_is_refused(memory_store: EventStore, asked: Any) -> None:
    with pytest.raises(QueryError, match="is no event type"):
        memory_store.get_events_by_type(asked)
    with pytest.raises(QueryError, match="is no aggregate type"):
        memory_store.get_events_by_aggregate_type(asked)
