"""Writers and workers as processes, killed and stopped at random: every event that stands was delivered, in order."""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session

pytestmark = pytest.mark.cluster

STREAMS = 12
ROUNDS = int(os.environ.get("CASSORM_FEED_ROUNDS", "6"))
REPOSITORY = Path(__file__).parents[2]


class Crew:
    """Processes of one role, replaced when they are killed."""

    def __init__(self, hosts: list[str], size: int, *arguments: str) -> None:
        self._environment = os.environ | {"CASSORM_HOSTS": ",".join(hosts)}
        self._arguments = arguments
        self._size = size
        self.members: list[asyncio.subprocess.Process] = []

    async def fill(self) -> None:
        while len(self.members) < self._size:
            self.members.append(
                await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "tests.faults.feed_process",
                    *self._arguments,
                    cwd=REPOSITORY,
                    env=self._environment,
                )
            )

    async def kill(self) -> None:
        victim = self.members.pop(random.randrange(len(self.members)))
        victim.kill()
        await victim.wait()
        await self.fill()

    async def pause(self, seconds: float) -> None:
        victim = random.choice(self.members)
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        victim.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        for member in self.members:
            member.kill()
        await asyncio.gather(*(member.wait() for member in self.members))
        self.members.clear()


class Told:
    """What the handlers of all workers wrote down, in the order in which they did."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def versions(self) -> dict[UUID, list[int]]:
        found: dict[UUID, list[int]] = defaultdict(list)
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                stream, version = line.split()
                found[UUID(stream)].append(int(version))
        return found


async def version_of(store: CassandraEventStore, stream: UUID) -> int:
    head = await store.head(stream)
    return 0 if head is None else head.version


async def until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_kills_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=4, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


async def test_whatever_is_killed_or_stopped_every_event_is_delivered_in_order(
    store: CassandraEventStore, cassandra_hosts: list[str], tmp_path: Path
) -> None:
    streams = [uuid4() for _ in range(STREAMS)]
    told = Told(tmp_path / "told")
    writers = Crew(cassandra_hosts, 2, "write", store.keyspace, *map(str, streams))
    workers = Crew(cassandra_hosts, 2, "work", store.keyspace, str(told.path))
    try:
        await writers.fill()
        await workers.fill()
        await until(lambda: len(told.versions()) == STREAMS)
        for _ in range(ROUNDS):
            deeds: list[Callable[[], Awaitable[None]]]
            deeds = [writers.kill, workers.kill, partial(writers.pause, 0.5), partial(workers.pause, 1.5)]
            deed = random.choice(deeds)
            await deed()
            await asyncio.sleep(random.uniform(0.2, 0.8))
        await writers.end()
        heads = {stream: await version_of(store, stream) for stream in streams}
        await until(lambda: all(max(told.versions()[stream], default=0) >= heads[stream] for stream in streams))
    finally:
        await writers.end()
        await workers.end()
    # What a killed writer had sent may still have landed: it is delivered as well, or has yet to be.
    for stream, versions in told.versions().items():
        assert list(dict.fromkeys(versions))[: heads[stream]] == list(range(1, heads[stream] + 1))
    assert sum(heads.values()) > 100, "too little happened to show anything"
