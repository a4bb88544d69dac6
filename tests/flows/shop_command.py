"""The shop's command, run as a user runs it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cassorm import Session
from cassorm.errors import ClusterError
from tests.flows.sales import REPOSITORY


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)


class Shop:
    """The command line of the shop, in a keyspace of its own; its streams alone, unless `--from` says otherwise."""

    def __init__(self, hosts: Sequence[str], keyspace: str, session: Session) -> None:
        self.keyspace = keyspace
        self._session = session
        self._environment = os.environ | {"CASSORM_HOSTS": ",".join(hosts)}

    async def begin(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        command = [sys.executable, "-m", "examples.ecommerce", *map(str, arguments), "--keyspace", self.keyspace]
        if arguments[0] in ("replay", "report") and "--from" not in arguments:
            command += ["--from", "streams"]
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=REPOSITORY,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str | Path) -> Ended:
        return await end(await self.begin(*arguments))

    async def events(self) -> int:
        """How many rows the table of events holds: 0 while there is none."""
        tables = await self._session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'events'",
            [self.keyspace],
        )
        if not tables:
            return 0
        counted = await self._session.execute(f"SELECT count(*) FROM {self.keyspace}.events")
        (count,) = counted.rows[0]
        return int(count)

    async def stopped_behind(self, events: int, process: asyncio.subprocess.Process) -> None:
        """Stop the process (SIGSTOP) behind so many events: while they are counted it comes no further."""
        async with asyncio.timeout(120):
            while True:
                assert process.returncode is None, "it was done before it could be killed"
                process.send_signal(signal.SIGSTOP)
                with contextlib.suppress(ClusterError):  # the node tells of a table a moment before it can be read
                    if await self.events() >= events:
                        return
                process.send_signal(signal.SIGCONT)
                await asyncio.sleep(0.25)


async def end(process: asyncio.subprocess.Process) -> Ended:
    output, errors = await process.communicate()
    assert process.returncode is not None
    # A development node syncs its commit log now and then, and the store says at each start what that means.
    told = [line for line in errors.decode().splitlines(keepends=True) if "commitlog_sync is periodic" not in line]
    return Ended(process.returncode, output.decode(), "".join(told))
