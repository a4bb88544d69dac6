"""Writers in several sessions and several processes at one version: exactly one winner each time."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import Appended, CassandraEventStore, connect
from cassorm.errors import ConflictError
from tests.faults.conftest import SOAK
from tests.faults.history import Histories, notes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800 if SOAK else 120)]

WRITERS = 5
ROUNDS = 300 if SOAK else 15
PROCESSES, UP_TO = 3, 1_000 if SOAK else 60


@pytest_asyncio.fixture
async def rivals(cassandra_hosts: list[str], direct: CassandraEventStore) -> AsyncIterator[list[CassandraEventStore]]:
    """Stores that know nothing of each other."""
    async with AsyncExitStack() as opened:
        sessions = [await opened.enter_async_context(connect(cassandra_hosts)) for _ in range(WRITERS)]
        yield [
            await opened.enter_async_context(CassandraEventStore(session, keyspace=direct.keyspace))
            for session in sessions
        ]


async def race(
    stores: list[CassandraEventStore], stream: UUID, version: int
) -> tuple[list[Appended], list[ConflictError]]:
    """Who won and who lost when each of the stores appended at this version."""
    outcomes = await asyncio.gather(
        *(store.append(stream, notes(2, version), expected=version) for store in stores), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, Appended)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert len(won) + len(lost) == len(stores), outcomes
    return won, lost


async def test_of_several_sessions_at_one_version_exactly_one_wins(
    rivals: list[CassandraEventStore], direct: CassandraEventStore
) -> None:
    stream = uuid4()
    winners = []
    for version in range(0, 2 * ROUNDS, 2):
        won, lost = await race(rivals, stream, version)
        assert [appended.version for appended in won] == [version + 2]
        assert {conflict.actual for conflict in lost} == {version + 2}
        winners += [appended.append_id for appended in won]
    history = await Histories().read(direct, [stream])
    assert list(history.ends) == winners


async def test_of_several_processes_exactly_one_wins_each_version(
    cassandra_hosts: list[str], direct: CassandraEventStore
) -> None:
    stream = uuid4()
    arguments = ["-m", "tests.faults.racer", ",".join(cassandra_hosts), direct.keyspace, str(stream), str(UP_TO)]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        reports = [json.loads(out) for out, _ in await asyncio.gather(*(p.communicate(b"\n") for p in processes))]
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    won = [(int(version), UUID(id_)) for report in reports for version, id_ in report["won"].items()]
    assert sorted(version for version, _ in won) == list(range(1, UP_TO + 1))
    assert sum(report["lost"] for report in reports) > 0, "they did meet"
    history = await Histories().read(direct, [stream])
    assert history.ends == {id_: version for version, id_ in won}
