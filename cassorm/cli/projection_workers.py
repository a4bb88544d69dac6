"""Workers of `cassorm projections run`: one in this process, or several processes that are kept running."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from cassorm.cli.connection import count
from cassorm.cli.output import USAGE, note
from cassorm.cli.projection_module import Offered
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.worker import Crew, Worker
from cassorm.projections.projections import Projections

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_PAUSE_S: Final = 1.0
_SHORT_LIFE_S: Final = 5.0
_SHORT_LIVES: Final = 3
"""So many children that end soon after their start are a fault that a restart does not cure."""
_GRACE_S: Final = 30.0


async def carry(stores: Sequence[CassandraEventStore], things: Offered, *, child: bool) -> None:
    """Carry what modules offer, for each store, until a signal comes; then hand over. A `child` also ends with its parent."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    if child:
        _watch_parent(stopping)
    crew = Crew()
    works = [await _work(store, things, crew) for store in stores]
    if len(stores) > 1 and (alone := [store.keyspace for store in stores if store.settings.workers_in is None]):
        note(f"{', '.join(alone)}: made without workers_in, so each costs at rest as much as one store alone")
    running = asyncio.ensure_future(_run(works))
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    for work in works:
        work.stop()
    await running
    note(f"worker {os.getpid()} has handed over")


async def _run(works: Sequence[Worker | Projections]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for work in works:
            tasks.create_task(work.run())


async def _work(store: CassandraEventStore, things: Offered, crew: Crew) -> Worker | Projections:
    others = await things.others(store)
    what = f"{count(len(things.projections), 'projection')} and {count(len(others), 'subscription')}"
    if not things.projections:
        note(f"worker {os.getpid()} carries {what} of {store.keyspace}")
        return Worker(store, others, crew=crew)
    # One worker for both: a second one would look at the feed as often as the first.
    projections = Projections(store, things.projections, crew=crew, beside=others)
    for name in await projections.create():
        note(
            f"{name} of {store.keyspace}: its mapping has changed and it is not fed; "
            f"next: cassorm projections rebuild {name}"
        )
    note(f"worker {os.getpid()} carries {what} of {store.keyspace}")
    return projections


def _watch_parent(stopping: asyncio.Event) -> None:
    """End when the other end of stdin is closed: that is all a parent that was killed can do."""
    stdin = sys.stdin.fileno()

    def readable() -> None:
        if not os.read(stdin, 1024):
            asyncio.get_running_loop().remove_reader(stdin)
            stopping.set()

    asyncio.get_running_loop().add_reader(stdin, readable)


class Workers:
    """Keeps a number of processes running until a signal comes, or until they cannot be kept running."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self._number = number
        self._command = [sys.executable, "-m", "cassorm", *command]
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """The exit code: 0 when a signal ended it, else that of the child that could not be kept running."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._stopping.set)
        codes = await asyncio.gather(*(self._keep() for _ in range(self._number)))
        return max(codes)

    async def _keep(self) -> int:
        short_lives = 0
        while True:
            begun = time.monotonic()
            # In a group of its own: a terminal's Ctrl-C reaches the parent alone, which ends them all in order.
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, start_new_session=True
            )
            code = await self._ended(process)
            if self._stopping.is_set():
                # One that was still starting ends at the signal itself.
                return 0 if code in (0, -signal.SIGTERM) else 1
            short_lives = short_lives + 1 if time.monotonic() - begun < _SHORT_LIFE_S else 0
            if code == USAGE or short_lives >= _SHORT_LIVES:
                self._stopping.set()
                return code if code > 0 else 1
            note(f"worker {process.pid} ended with exit code {code}; another one is started")
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
                    await self._stopping.wait()
                    return 0

    async def _ended(self, process: asyncio.subprocess.Process) -> int:
        """The exit code of a process; it is told to stop when we are."""
        waiting, stopping = asyncio.ensure_future(process.wait()), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                process.terminate()
                done, _ = await asyncio.wait([waiting], timeout=_GRACE_S)
                if not done:
                    process.kill()
            return await waiting
        finally:
            stopping.cancel()
            if process.returncode is None:
                process.kill()
