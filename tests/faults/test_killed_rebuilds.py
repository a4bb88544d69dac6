"""A rebuild whose process is killed while it scans, and again before it switches, goes on where it was."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Database, Projections, connect
from cassorm.driver.tokens import token_of
from cassorm.events.position import shard_of
from cassorm.events.subscription import Checkpoint
from cassorm.events.worker import Worker
from cassorm.projections.rebuild import RebuildProgress
from cassorm.projections.registry import State
from tests.faults.feed_process import Member
from tests.faults.feeding import until
from tests.faults.rebuild_process import PATIENT, Count, Counted, rebuild

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SHARDS = 2
BUILDING = "counts@2"


@dataclass
class Place:
    db: Database
    store: CassandraEventStore
    last: dict[int, int] = field(default_factory=dict)
    """Up to where something was appended, by shard."""

    async def count(self, streams: list[UUID]) -> None:
        """Append two events to each of these streams."""

        async def go_on(part: list[UUID]) -> None:
            for stream in part:
                events = [Counted(number=random.randint(1, 9)) for _ in range(2)]
                position = (await self.store.append(stream, events, aggregate_type="Count")).position
                self.last[position.shard] = max(position.micros, self.last.get(position.shard, 0))

        await asyncio.gather(*(go_on(streams[start::32]) for start in range(32)))

    async def resolved(self) -> bool:
        """Tell whether all that was appended is resolved."""
        marks = await self.store.feed.standings(range(SHARDS))
        return all(marks[shard].resolved_upto >= last for shard, last in self.last.items())

    async def checkpoints(self) -> dict[int, Checkpoint]:
        return await self.store.feed.checkpoints(BUILDING, range(SHARDS))

    async def behind(self, streams: list[UUID]) -> set[UUID]:
        """Those of the streams that the scan of the new generation has done, and noted."""
        done = {shard: each.scan_token for shard, each in (await self.checkpoints()).items()}
        return {
            stream for stream in streams if token_of(stream.bytes) <= (done.get(shard_of(stream, SHARDS)) or -(2**63))
        }

    async def rows(self, generation: str = "") -> Any:
        """All cells of the read model, and of its view."""
        columns = "count_id, total, last, applied_version"
        return [
            {tuple(row) for row in await self.db.cql(f"SELECT {columns} FROM {table}{generation}")}
            for table in ("counts", "counts_by_last")
        ]

    async def folded(self) -> set[tuple[Any, ...]]:
        """The rows as the streams say."""
        live = Count.live_all(self.store)
        return {(row.count_id, row.total, row.last, row.applied_version) async for row in live}


@pytest_asyncio.fixture
async def place(cassandra_hosts: list[str]) -> AsyncIterator[Place]:
    keyspace = f"killed_rebuilds_{uuid4().hex[:8]}"
    async with (
        connect(cassandra_hosts) as db,
        CassandraEventStore(db, keyspace=keyspace, shards=SHARDS, replication=1) as store,
        connect(cassandra_hosts, keyspace=keyspace) as there,
    ):
        yield Place(there, store)
        await db.ddl(f"DROP KEYSPACE {keyspace}")


async def test_a_rebuild_that_was_killed_goes_on_and_equals_what_live_tables_hold(
    place: Place, cassandra_hosts: list[str], tmp_path: Path
) -> None:
    projections = Projections(place.store, [Count], db=place.db, pace=PATIENT)
    await projections.create()
    quiet, busy = [uuid4() for _ in range(400)], [uuid4() for _ in range(5)]
    await place.count(quiet)
    live = Worker(place.store, await projections.subscriptions(), pace=PATIENT)
    feeding, stopping = asyncio.create_task(live.run()), asyncio.Event()
    # What is not resolved when a scan begins comes by the feed, and not by the scan.
    async with asyncio.timeout(30):
        while not await place.resolved():  # noqa: ASYNC110 - of a table
            await asyncio.sleep(0.05)

    async def traffic() -> None:
        while not stopping.is_set():
            await place.count(busy)
            await asyncio.sleep(0.02)

    def start(name: str, most: int) -> Member:
        arguments = (cassandra_hosts, place.store.keyspace, tmp_path / f"{name}-rows", most)
        return Member(rebuild, *arguments, log=tmp_path / name)

    first, second = start("first", 200), None
    appending = asyncio.create_task(traffic())
    try:
        async with asyncio.timeout(60):
            while not await place.behind(quiet):
                assert first.alive, first.log.read_text()
                await asyncio.sleep(0.05)
        await first.kill()
        behind = await place.behind(quiet)
        assert 0 < len(behind) < len(quiet), "killed in the midst of the scan"
        assert behind <= written(tmp_path / "first-rows")
        assert [each.state for each in await projections.generations("counts")] == [State.ACTIVE, State.BUILDING]

        second = start("second", 10**6)
        await until(lambda: not second.alive, 60)
        assert second.exitcode == -signal.SIGKILL
        assert [each.state for each in await projections.generations("counts")] == [State.ACTIVE, State.BUILDING]
        assert all(each.scan_upto is None for each in (await place.checkpoints()).values())
        again = written(tmp_path / "second-rows")
        assert again >= set(quiet) - written(tmp_path / "first-rows"), "what the first did not come to"
        assert not again & behind, "it did not scan from the beginning"

        stopping.set()
        await appending
        told = list[RebuildProgress]()
        made = await projections.rebuild("counts", progress=told.append)
        assert (made.number, made.state) == (2, State.ACTIVE)
        assert told[0].scanned == 1
        folded = await place.folded()
        assert len(folded) == len(quiet) + len(busy)
        async with asyncio.timeout(20):
            while await place.rows() != [folded, folded]:  # noqa: ASYNC110 - of a table
                await asyncio.sleep(0.05)
    finally:
        for member in (first, second):
            if member is not None:
                await member.kill()
        stopping.set()
        live.stop()
        await asyncio.gather(appending, feeding)
    assert await place.rows("_g2") == await place.rows()


def written(path: Path) -> set[UUID]:
    return {UUID(line) for line in path.read_text().splitlines()}
