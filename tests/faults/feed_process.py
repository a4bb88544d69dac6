"""Writers and workers of the feed as processes of their own, to be killed or stopped at any moment, or at a named point."""

import asyncio
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from uuid import UUID

from cassorm import CassandraEventStore, Recorded, connect, faults
from cassorm.errors import CassormError
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Pace, Worker
from tests.faults.feeding import Entered

QUICK = Pace(
    beat=timedelta(milliseconds=150),
    lease=timedelta(seconds=1),
    trail=timedelta(milliseconds=150),
    closing=timedelta(milliseconds=200),
    idle=timedelta(milliseconds=100),
    checkpoint=timedelta(milliseconds=200),
)
WRITERS = 8


async def write(hosts: Sequence[str], keyspace: str, streams: Sequence[UUID]) -> None:
    """Append to these streams for ever, one to three events a time."""
    async with connect(hosts) as db, CassandraEventStore(db, keyspace=keyspace) as store:

        async def go_on() -> None:
            while True:
                events = [Entered(number=n) for n in range(random.randint(1, 3))]
                try:
                    await store.append(random.choice(streams), events)
                except CassormError:
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(go_on() for _ in range(WRITERS)))


async def work(hosts: Sequence[str], keyspace: str, told: Path, name: str = "all", pace: Pace = QUICK) -> None:
    """Carry a subscription for ever; each event that its handler is told of is a line of a file."""
    line = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def tell(recorded: Recorded) -> None:
        os.write(line, f"{recorded.stream} {recorded.version} {os.getpid()} {time.monotonic_ns()}\n".encode())

    async with connect(hosts) as db, CassandraEventStore(db, keyspace=keyspace) as store:
        worker = Worker(store, [Subscription(name, tell)], pace=pace)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, explain, worker)
        await worker.run()


def explain(worker: Worker) -> None:
    """Write what a worker carries, and where all its tasks stand, to stderr."""
    lines = [
        f"worker {worker.id}, resolves {sorted(worker._watch.resolvers)}, alive {worker._alive.workers(worker.store)}"
    ]
    for (name, shard), running in sorted(worker._running.items()):
        cursor, feed = running.cursor, worker._watch.feeds.get(shard)
        lines.append(f"{name}/{shard}: {vars(cursor)}\n  feed: {None if feed is None else vars(feed)}")
    sys.stderr.write("\n".join(lines)[:20_000] + "\n")
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


def _begin(role: Callable[..., object], order: str | None, log: Path, arguments: tuple[object, ...]) -> None:
    # What the process says, and where it was struck, stands in its own file.
    out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(out, 2)
    if order is not None:
        faults.arm(order)
    asyncio.run(role(*arguments))  # type: ignore[arg-type]  # both roles are coroutine functions


class Member:
    """A process of a role, that may have the order to strike itself at a point; see `cassorm.faults.arm`."""

    def __init__(self, role: Callable[..., object], *arguments: object, log: Path, order: str | None = None) -> None:
        self.order = order
        self.log = log
        self._process: BaseProcess = _context().Process(target=_begin, args=(role, order, log, arguments), daemon=True)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def struck(self) -> bool:
        """Whether it has come to its point."""
        assert self.order is not None
        deed, point = self.order.split()[:2]
        return self.log.exists() and f"{deed} at {point}\n" in self.log.read_text()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def exitcode(self) -> int | None:
        return self._process.exitcode

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def explain(self) -> None:
        os.kill(self.pid, signal.SIGUSR1)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        self._process.kill()
        await asyncio.to_thread(self._process.join)


def _context() -> ForkServerContext:
    # Each process is forked from one that has everything imported.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


class Told:
    """What the handlers of all workers wrote down, in the order in which they did."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0
        self.lines: list[tuple[UUID, int, int, int]] = []
        """Stream, version, process and time, of each call."""
        self.versions: dict[UUID, list[int]] = defaultdict(list)

    def again(self) -> "Told":
        """Read what was added."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole = file.read().rpartition(b"\n")
            self._read += len(whole[0]) + len(whole[1])
            for line in whole[0].decode().splitlines():
                stream, version, pid, at_ns = line.split()
                self.lines.append((UUID(stream), int(version), int(pid), int(at_ns)))
                self.versions[UUID(stream)].append(int(version))
        return self

    def reaches(self, heads: dict[UUID, int]) -> bool:
        """Tell whether every stream was told up to its head, after reading what was added."""
        self.again()
        return all(set(range(1, head + 1)) <= set(self.versions[stream]) for stream, head in heads.items())

    def disorder(self, heads: dict[UUID, int]) -> list[str]:
        """Return which streams were told with a version missing, or before the one below it."""
        found = []
        for stream, head in heads.items():
            first = list(dict.fromkeys(self.versions[stream]))
            if first[:head] != list(range(1, head + 1)):
                lacking = sorted(set(range(1, head + 1)) - set(first))
                found.append(f"{stream}: head {head}, lacks {lacking}, told {first}")
        return found
