"""The processes of the feed's benchmarks, from the side that starts them."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any, Self

from cassorm.bench.feed_process import EVENT_ROWS, BenchOrders, Plan
from cassorm.driver.settings import Settings
from cassorm.errors import ClusterError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.projections.projections import Projections
from cassorm.schema.apply import ensure_tables
from cassorm.schema.table import Column, Table

_GRACE_S = 20
_LINE = 64 * 1024 * 1024


class Child:
    """A process of the benchmark; what it says on stderr is said on ours."""

    def __init__(self, role: str, process: asyncio.subprocess.Process) -> None:
        self._role = role
        self._process = process

    @classmethod
    async def start(cls, role: str, plan: Plan, settings: Settings) -> Self:
        """Start it; it is ready once it has said so."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cassorm.bench.feed_process", role, json.dumps(asdict(plan))),
            stdin=pipe,
            stdout=pipe,
            limit=_LINE,
            env=os.environ | {"CASSORM_HOSTS": ",".join(settings.hosts)},
        )
        return cls(role, process)

    async def hear(self) -> dict[str, Any]:
        """Return what it says next.

        Raises:
            ClusterError: it has ended; why is on stderr.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise ClusterError(
                f"the {self._role} ended with exit code {code}",
                where="cassorm bench feed",
                remedy="Read what it said above",
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def tell(self, line: object) -> None:
        """Say a line to it."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write(f"{line}\n".encode())

    async def ask(self, what: str) -> dict[str, Any]:
        """Say a line to it, and return its answer."""
        self.tell(what)
        return await self.hear()

    async def end(self) -> None:
        """Tell it to stop, and wait until it has."""
        if self._process.returncode is None:
            self.tell("stop")
            try:
                async with asyncio.timeout(_GRACE_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@asynccontextmanager
async def children(plan: Plan, settings: Settings, *roles: str) -> AsyncIterator[list[Child]]:
    """Processes that are ready, a role each, one after the other."""
    async with AsyncExitStack() as stack:
        found = []
        for role in roles:
            child = await Child.start(role, plan, settings)
            stack.push_async_callback(child.end)
            await child.hear()
            found.append(child)
        yield found


async def create_tables(store: CassandraEventStore) -> None:
    """Those of the read model, and the one of the handler that writes a row an event."""
    await Projections(store, [BenchOrders]).create()
    columns = (Column("stream", "uuid"), Column("version", "int"), Column("total", "decimal"))
    table = Table(
        keyspace=store.keyspace,
        name=EVENT_ROWS,
        columns=columns,
        partition_key=("stream",),
        clustering=(("version", "asc"),),
    )
    await ensure_tables(store.session, [table])
