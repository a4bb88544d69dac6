"""Writers and workers as processes, killed and stopped at random: every event that stands was delivered, in order."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session
from cassorm.events.worker import Pace
from tests.faults.conftest import SOAK
from tests.faults.feed_account import account, heads_of
from tests.faults.feed_process import QUICK, Member, Told, work, write
from tests.faults.feeding import Entered, stream_in, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

STREAMS = 12
ROUNDS = int(os.environ.get("CASSORM_FEED_ROUNDS", "100" if SOAK else "6"))


class Crew:
    """Processes of one role, replaced when they are killed."""

    def __init__(self, start: Callable[[int], Member], size: int) -> None:
        self._start = start
        self._size = size
        self._started = 0
        self.members: list[Member] = []

    def fill(self) -> None:
        while len(self.members) < self._size:
            self._started += 1
            self.members.append(self._start(self._started))

    async def kill(self) -> None:
        await self.members.pop(random.randrange(len(self.members))).kill()
        self.fill()

    async def pause(self, seconds: float) -> None:
        victim = random.choice(self.members)
        victim.stop()
        await asyncio.sleep(seconds)
        victim.go_on()

    async def end(self) -> None:
        await asyncio.gather(*(member.kill() for member in self.members))
        self.members.clear()


def said(folder: Path) -> str:
    """What the processes wrote to stderr."""
    return "\n".join(f"{path.name}: {path.read_text()}" for path in sorted(folder.glob("w*-*")))


@pytest_asyncio.fixture
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_kills_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=4, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


@pytest.mark.parametrize(
    ("pace", "within_s"),
    [pytest.param(QUICK, 5, id="quick"), *([pytest.param(Pace(), 10, id="default")] if SOAK else [])],
)
async def test_another_worker_takes_over_soon_after_one_is_killed(
    store: CassandraEventStore, cassandra_hosts: list[str], tmp_path: Path, pace: Pace, within_s: float
) -> None:
    streams = [stream_in(shard, 4) for shard in range(4)]
    told = Told(tmp_path / "told")
    arguments = (cassandra_hosts, store.keyspace, told.path, "all", pace)
    victim = Member(work, *arguments, log=tmp_path / "victim")
    try:
        await append_to(store, streams)
        await until(lambda: told.reaches(dict.fromkeys(streams, 1)), 60)
        heir = Member(work, *arguments, log=tmp_path / "heir")
        # Until it has its share: then half of the shards are the victim's.
        while {line[2] for line in told.again().lines} != {victim.pid, heir.pid}:
            await append_to(store, streams)
            await asyncio.sleep(0.1)
        await victim.kill()
        begun = time.monotonic()
        await append_to(store, streams)
        heads = await heads_of(store, streams)
        await until(lambda: told.reaches(heads), 30, every_s=0.05)
        assert time.monotonic() - begun < within_s
        await heir.kill()
    finally:
        await victim.kill()


async def append_to(store: CassandraEventStore, streams: list[UUID]) -> None:
    await asyncio.gather(*(store.append(stream, [Entered(number=1)]) for stream in streams))


async def test_whatever_is_killed_or_stopped_every_event_is_delivered_in_order(
    store: CassandraEventStore, cassandra_hosts: list[str], tmp_path: Path
) -> None:
    streams = [uuid4() for _ in range(STREAMS)]
    told = Told(tmp_path / "told")

    def writer(number: int) -> Member:
        return Member(write, cassandra_hosts, store.keyspace, streams, log=tmp_path / f"writer-{number}")

    def worker(number: int) -> Member:
        return Member(work, cassandra_hosts, store.keyspace, told.path, log=tmp_path / f"worker-{number}")

    writers, workers = Crew(writer, 2), Crew(worker, 2)
    heads = dict.fromkeys(streams, 1)
    try:
        writers.fill()
        workers.fill()
        await until(lambda: told.reaches(heads), 30)
        for _ in range(ROUNDS):
            deeds: list[Callable[[], Awaitable[None]]]
            deeds = [writers.kill, workers.kill, partial(writers.pause, 0.5), partial(workers.pause, 1.5)]
            await random.choice(deeds)()
            await asyncio.sleep(random.uniform(0.2, 0.8))
        await writers.end()
        # What a killed writer had sent may still land: it is delivered as well, later.
        heads = await heads_of(store, streams)
        await until(lambda: told.reaches(heads), 30)
    except TimeoutError:
        for member in workers.members:
            member.explain()
        await asyncio.sleep(0.5)
        pytest.fail(f"{await account(store, told, heads)}\n{said(tmp_path)}")
    finally:
        await writers.end()
        await workers.end()
    assert told.disorder(heads) == []
    assert sum(heads.values()) > 100, "too little happened to show anything"
