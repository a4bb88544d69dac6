"""Owners that are suspended and go on as if nothing had happened, and copies of writes that arrive long after they count."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Recorded, Session
from cassorm.events.resolver import Lost
from cassorm.events.subscription import BEFORE_ALL, Subscription
from cassorm.events.worker import Pace, Worker
from tests.faults.feed_account import account, heads_of
from tests.faults.feed_process import Member, Told, work
from tests.faults.feeding import Entered, Held, ahead, found_of, owner_of, stream_in, tables_of, until, written

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]

SHARDS = 4
ON_AND_OFF = pytest.mark.parametrize("protected", [True, False], ids=["on", "off"])
BRIEF = Pace(
    beat=timedelta(milliseconds=50),
    lease=timedelta(milliseconds=300),
    trail=timedelta(milliseconds=20),
    closing=timedelta(milliseconds=50),
    idle=timedelta(milliseconds=50),
    checkpoint=timedelta(milliseconds=50),
)


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_zombies_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=SHARDS, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


class Telling:
    """A worker in this process, and what its handler was told."""

    def __init__(self, store: CassandraEventStore, name: str) -> None:
        self.told: list[tuple[UUID | str, int]] = []
        self.worker = Worker(store, [Subscription(name, self.tell)], pace=BRIEF)
        self._running: asyncio.Task[None] | None = None

    async def tell(self, recorded: Recorded) -> None:
        self.told.append((recorded.stream, recorded.version))

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self.worker.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self.worker.stop()
        await self._running


async def test_a_handler_that_is_suspended_in_a_call_makes_that_one_call_again_and_no_other(
    store: CassandraEventStore, cassandra_hosts: list[str], tmp_path: Path
) -> None:
    told = Told(tmp_path / "told")
    streams = [stream_in(shard, SHARDS) for shard in range(SHARDS)]
    arguments = (cassandra_hosts, store.keyspace, told.path, f"suspended-{uuid4().hex[:6]}")
    zombie = Member(work, *arguments, log=tmp_path / "zombie", order="stop handler.before 6")
    heir: Member | None = None
    try:
        while not zombie.struck:
            await asyncio.gather(*(store.append(stream, [Entered(number=1)]) for stream in streams))
            await asyncio.sleep(0.05)
        heir = Member(work, *arguments, log=tmp_path / "heir")
        heads = await heads_of(store, streams)
        await until(lambda: told.reaches(heads))
        before = len(told.again().lines)
        woken = time.monotonic_ns()
        zombie.go_on()
        await asyncio.sleep(1)  # it finds out at its next sign of life, after 0.15 s
        told.again()
        again = [line for line in told.lines[before:] if line[2] == zombie.pid and line[3] > woken]
        known = {(stream, version) for stream, version, _, _ in told.lines[:before]}
        assert [line[:2] for line in again if line[:2] in known] == [line[:2] for line in again]
        assert len(again) <= 1
        assert told.disorder(heads) == [], await account(store, told, heads)
    finally:
        await zombie.kill()
        if heir is not None:
            await heir.kill()


@ON_AND_OFF
async def test_a_former_owner_cannot_set_a_checkpoint_back(store: CassandraEventStore, protected: bool) -> None:
    feed, stream, name = store.feed, stream_in(0, SHARDS), f"epoch-{uuid4().hex[:6]}"
    resolved = (await feed.standing(0)).resolved_upto
    zombie = uuid4()
    await feed.begin(name, 0, resolved, None)
    await feed.take(name, 0, zombie, 0)
    first = await store.append(stream, [Entered(number=1)])
    second = await store.append(stream, [Entered(number=2)])
    async with Telling(store, name) as heir:
        await until(lambda: (stream, 2) in heir.told)
        async with asyncio.timeout(20):
            while (await feed.checkpoints(name, [0]))[0].pos < second.position.micros:  # noqa: ASYNC110 - of a table
                await asyncio.sleep(0.02)
    # The zombie, which had handled version 1, wakes up and says so.
    owner, epoch = (zombie, 1) if protected else (None, (await feed.checkpoints(name, [0]))[0].epoch)
    saved = await feed.save(name, 0, first.position.micros, owner, epoch)  # type: ignore[arg-type]  # whoever owns it
    assert saved is not protected
    await store.append(stream, [Entered(number=3)])
    async with Telling(store, name) as next_heir:
        await until(lambda: (stream, 3) in next_heir.told)
    assert [version for of, version in next_heir.told if of == stream] == ([3] if protected else [2, 3])


@ON_AND_OFF
async def test_a_mark_is_not_set_back_by_a_copy_that_arrives_late(store: CassandraEventStore, protected: bool) -> None:
    feed, stream = store.feed, stream_in(1, SHARDS)
    resolver = await owner_of(feed, 1)
    early = await ahead(feed)
    await resolver.round(early)
    before = await resolver.round(early + 1_000_000)
    # The write of the first mark was given up and sent again; now its first copy arrives.
    if protected:
        assert await feed.close(1, early, resolver.owner, resolver.epoch), "it stands higher already"
    else:
        anyhow = (
            f"UPDATE {store.keyspace}.{store.tables.marks} SET closing = ? WHERE shard = ? IF owner = ? AND epoch = ?"
        )
        await feed._conditional(anyhow, (early, 1, resolver.owner, resolver.epoch))
    async with CassandraEventStore(store._session, keyspace=store.keyspace, clock=lambda: early + 5) as writer:
        await writer.append(stream, [Entered(number=1)])
    after = await resolver.round(early + 2_000_000)
    stands = await written(store, stream)
    assert len(stands) == 1
    assert found_of(stream, before, after) == (stands if protected else [])


async def test_of_two_resolvers_that_are_alive_the_former_tells_nothing_and_nothing_is_lost(
    store: CassandraEventStore,
) -> None:
    feed, stream = store.feed, stream_in(2, SHARDS)
    reading = Held(feed.next_pointers)
    zombie = await owner_of(feed, 2, tables_of(feed)._replace(pointers=reading))
    closing = asyncio.create_task(zombie.round(await ahead(feed)))
    await reading.reached.wait()
    heir = await owner_of(feed, 2)
    writer = asyncio.create_task(store.append(stream, [Entered(number=1)]))
    before = await heir.round(await ahead(feed))
    await writer
    reading.go_on.set()
    with pytest.raises(Lost):
        await closing
    marks = await feed.standing(2)
    assert (marks.owner, marks.resolved_upto) == (heir.owner, heir.resolved_upto)
    assert found_of(stream, before, await heir.round(await ahead(feed))) == await written(store, stream)


async def test_what_was_scanned_is_not_scanned_again_by_the_next_owner(store: CassandraEventStore) -> None:
    name, shard = f"scan-{uuid4().hex[:6]}", 3
    streams = sorted((stream_in(shard, SHARDS) for _ in range(6)), key=lambda stream: stream.bytes)
    await asyncio.gather(*(store.append(stream, [Entered(number=1)]) for stream in streams))
    async with Telling(store, name) as first:
        await until(lambda: {of for of, _ in first.told} >= set(streams))
        await until(lambda: not any(one.scanning or one.behind_s for one in first.worker.status()))
    async with Telling(store, name) as second:
        await store.append(streams[0], [Entered(number=2)])
        await until(lambda: (streams[0], 2) in second.told)
    assert second.told == [(streams[0], 2)], "what was handled is not handled again"
    assert (await store.feed.checkpoints(name, [shard]))[shard].pos > BEFORE_ALL
