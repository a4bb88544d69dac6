"""Writers and resolvers of the feed on a real node: whatever is paused where, a committed event has a pointer that counts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Session
from cassorm.errors import ClockError
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pointers import Pointer
from cassorm.events.position import shard_of
from cassorm.events.resolver import Lost, Resolver, ResolverTables

pytestmark = pytest.mark.cluster

SHARDS = 4


class Noted(Event):
    number: int


@pytest_asyncio.fixture(scope="module")
async def keyspace(cassorm_session: Session) -> AsyncIterator[str]:
    name = f"cassorm_feed_{uuid4().hex[:8]}"
    yield name
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session, keyspace: str) -> AsyncIterator[CassandraEventStore]:
    async with CassandraEventStore(cassorm_session, keyspace=keyspace, shards=SHARDS, replication=1) as store:
        yield store


def stream_in(shard: int) -> UUID:
    while True:
        stream = uuid4()
        if shard_of(stream, SHARDS) == shard:
            return stream


async def owner_of(feed: FeedTables, shard: int) -> Resolver:
    resolver = Resolver(
        ResolverTables(
            feed.standing, feed.claim, feed.close, feed.resolve, feed.pointers, feed.state, feed.row, feed.raise_fence
        ),
        shard,
        uuid4(),
    )
    assert await resolver.claim(await feed.standing(shard))
    return resolver


class Paused:
    """Stands before one step of a writer: it begins, and goes on when told to."""

    def __init__(self, step: Callable[..., Awaitable[Any]]) -> None:
        self._step = step
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        if not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()
        return await self._step(*args)


async def future(feed: FeedTables) -> int:
    """A position that every writer's clock has yet to reach."""
    return await feed.node_clock() + 1_000_000


async def stands_once(store: CassandraEventStore, stream: UUID, *found: list[Pointer]) -> None:
    events = await store.get_events(stream)
    assert [recorded.version for recorded in events] == [1]
    delivered = [
        (pointer.from_version, pointer.pos) for pointers in found for pointer in pointers if pointer.stream == stream
    ]
    assert delivered == [(1, events[0].position)]


async def test_what_was_appended_is_found_once_in_the_order_of_positions(store: CassandraEventStore) -> None:
    shard, feed = 0, store.feed
    resolver = await owner_of(feed, shard)
    first, second = stream_in(shard), stream_in(shard)
    await store.append(first, [Noted(number=1), Noted(number=2)], aggregate_type="Note")
    await store.append(second, [Noted(number=3)])
    await store.append(first, [Noted(number=4)])
    found = await resolver.round(await future(feed))
    assert [(p.stream, p.from_version, p.to_version, p.aggregate_type, p.event_types) for p in found] == [
        (first, 1, 2, "Note", "Noted"),
        (second, 1, 1, None, "Noted"),
        (first, 3, 3, "Note", "Noted"),
    ]
    assert found[2].prev_pos == found[0].pos + 1
    assert await resolver.round(await future(feed)) == []


async def test_a_writer_paused_before_its_batch_meets_the_fence_and_begins_again(
    store: CassandraEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, feed = 1, store.feed
    resolver, stream = await owner_of(feed, shard), stream_in(shard)
    paused = Paused(store._appender._tables.send)
    monkeypatch.setattr(store._appender, "_tables", store._appender._tables._replace(send=paused))
    writing = asyncio.create_task(store.append(stream, [Noted(number=1)]))
    await paused.reached.wait()
    before = await resolver.round(await future(feed))
    paused.go_on.set()
    appended = await writing
    assert appended.position.micros > resolver.resolved_upto
    assert (await feed.state(stream)).fence == 1
    await stands_once(store, stream, before, await resolver.round(await future(feed)))


async def test_a_writer_paused_before_it_reads_the_mark_takes_a_later_position(
    store: CassandraEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, feed = 2, store.feed
    resolver, stream = await owner_of(feed, shard), stream_in(shard)
    assert store._pointers is not None
    paused = Paused(store._pointers._tables.read_marks)
    monkeypatch.setattr(store._pointers, "_tables", store._pointers._tables._replace(read_marks=paused))
    writing = asyncio.create_task(store.append(stream, [Noted(number=1)]))
    await paused.reached.wait()
    before = await resolver.round(await future(feed))
    paused.go_on.set()
    assert (await writing).position.micros > resolver.resolved_upto
    await stands_once(store, stream, before, await resolver.round(await future(feed)))


async def test_a_pointer_that_lands_behind_the_mark_is_given_up(
    store: CassandraEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, feed = 3, store.feed
    resolver, stream = await owner_of(feed, shard), stream_in(shard)
    assert store._pointers is not None
    paused = Paused(store._pointers._tables.write)
    monkeypatch.setattr(store._pointers, "_tables", store._pointers._tables._replace(write=paused))
    writing = asyncio.create_task(store.append(stream, [Noted(number=1)]))
    await paused.reached.wait()
    before = await resolver.round(await future(feed))
    assert before == []
    paused.go_on.set()
    assert (await writing).position.micros > resolver.resolved_upto
    await stands_once(store, stream, before, await resolver.round(await future(feed)))


async def test_an_owner_that_was_replaced_tells_readers_nothing_more(store: CassandraEventStore) -> None:
    feed = store.feed
    zombie = await owner_of(feed, 0)
    heir = await owner_of(feed, 0)
    with pytest.raises(Lost):
        await zombie.round(await future(feed))
    stream = stream_in(0)
    await store.append(stream, [Noted(number=1)])
    await stands_once(store, stream, await heir.round(await future(feed)))
    assert (await feed.standing(0)).resolved_upto == heir.resolved_upto


async def test_two_resolvers_that_claim_at_once_do_not_both_own_the_shard(store: CassandraEventStore) -> None:
    feed = store.feed
    known = await feed.standing(0)
    claimed = await asyncio.gather(*(feed.claim(0, uuid4(), known.epoch) for _ in range(5)))
    assert sorted(claimed) == [False, False, False, False, True]


async def test_a_clock_that_runs_ahead_appends_nothing_and_says_so(
    cassorm_session: Session, keyspace: str, store: CassandraEventStore
) -> None:
    ahead = 0

    def clock() -> int:
        return ahead

    async with CassandraEventStore(
        cassorm_session, keyspace=keyspace, clock=clock, most_ahead=timedelta(seconds=3)
    ) as fast:
        stream, now = uuid4(), await store.feed.node_clock()
        ahead = now + 60_000_000
        with pytest.raises(ClockError, match=r"lies (59|60)\.\d s ahead of the node's clock"):
            await fast.append(stream, [Noted(number=1)])
        assert not await store.exists(stream)
        ahead = now - 3600_000_000
        late = await fast.append(stream, [Noted(number=1)])
        closing = (await store.feed.read_marks([late.position.shard]))[late.position.shard].closing
        assert late.position.micros == max(ahead, closing + 1), "behind the mark, wherever its clock stands"
