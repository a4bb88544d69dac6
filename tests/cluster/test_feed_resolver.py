"""Resolving on a real node: who owns a shard, what a round finds, and clocks that are wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session
from cassorm.errors import ClockError
from cassorm.events.resolver import Lost
from tests.faults.feeding import Entered, ahead, found_of, owner_of, stream_in, written

pytestmark = pytest.mark.cluster

SHARDS = 4


@pytest_asyncio.fixture(scope="module")
async def keyspace(cassorm_session: Session) -> AsyncIterator[str]:
    name = f"cassorm_feed_{uuid4().hex[:8]}"
    yield name
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session, keyspace: str) -> AsyncIterator[CassandraEventStore]:
    async with CassandraEventStore(cassorm_session, keyspace=keyspace, shards=SHARDS, replication=1) as store:
        yield store


async def test_what_was_appended_is_found_once_in_the_order_of_positions(store: CassandraEventStore) -> None:
    shard, feed = 0, store.feed
    resolver = await owner_of(feed, shard)
    first, second = stream_in(shard, SHARDS), stream_in(shard, SHARDS)
    await store.append(first, [Entered(number=1), Entered(number=2)], aggregate_type="Note")
    await store.append(second, [Entered(number=3)])
    await store.append(first, [Entered(number=4)])
    found = await resolver.round(await ahead(feed))
    assert [(p.stream, p.from_version, p.to_version, p.aggregate_type, p.event_types) for p in found] == [
        (first, 1, 2, "Note", "tests.feed.Entered"),
        (second, 1, 1, None, "tests.feed.Entered"),
        (first, 3, 3, "Note", "tests.feed.Entered"),
    ]
    assert found[2].prev_pos == found[0].pos + 1
    assert await resolver.round(await ahead(feed)) == []


async def test_an_owner_that_was_replaced_tells_readers_nothing_more(store: CassandraEventStore) -> None:
    feed = store.feed
    zombie = await owner_of(feed, 0)
    heir = await owner_of(feed, 0)
    with pytest.raises(Lost):
        await zombie.round(await ahead(feed))
    stream = stream_in(0, SHARDS)
    await store.append(stream, [Entered(number=1)])
    assert found_of(stream, await heir.round(await ahead(feed))) == await written(store, stream)
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
            await fast.append(stream, [Entered(number=1)])
        assert not await store.exists(stream)
        ahead = now - 3600_000_000
        late = await fast.append(stream, [Entered(number=1)])
        closing = (await store.feed.read_marks([late.position.shard]))[late.position.shard].closing
        assert late.position.micros == max(ahead, closing + 1), "behind the mark, wherever its clock stands"
