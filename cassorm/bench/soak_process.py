"""The processes of a soak, which are killed and stopped at any moment: `python -m cassorm.bench.soak_process ROLE PLAN`.

Each writes what it does to a journal of its own, a line of JSON each, the intent before it acts. The journals of those
that were killed are read by their successors: what was under way is sent again under its append id.
"""

import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic_ns
from typing import Any
from uuid import UUID, uuid4

from cassorm.bench.place import loop_factory
from cassorm.cql.identifiers import quote_table
from cassorm.driver.connect import connect
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, ConflictError, EventStoreError, OutcomeUnknownError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Event, Recorded
from cassorm.events.subscription import Subscription, Window
from cassorm.events.worker import Pace, Worker

ROWS, TOTALS = "soak_rows", "soak_totals"
PACE = Pace(
    beat=timedelta(milliseconds=300),
    lease=timedelta(seconds=2),
    trail=timedelta(milliseconds=200),
    closing=timedelta(milliseconds=300),
    checkpoint=timedelta(milliseconds=300),
)
"""Quicker than the default: more happens in the same time."""
AT_ONCE = 24
READ_EACH = 25
_TAKEN_UP = 7
"""Of ten appends that were under way when their process was killed so many are sent again."""


class Soaked(Event, name="cassorm.bench.Soaked"):
    """What is appended: its amount follows from its append id, so that it can be sent again after a crash."""

    amount: int


def soaked(append_id: UUID, count: int) -> list[Soaked]:
    """The events of an append."""
    return [Soaked(amount=(append_id.int >> index) % 1_000) for index in range(count)]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a process is to do, and where."""

    process: str
    hosts: list[str]
    keyspace: str
    streams: list[str]
    journal: str
    predecessors: list[str]
    """The journals of the processes whose work it takes up, oldest first."""
    lasts_s: float
    """A writer begins nothing new after so long."""


class Journal:
    """Lines of JSON in a file that survives its process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, **line: object) -> None:
        """Write a line; it is in the file when this returns."""
        os.write(self._file, (json.dumps(line) + "\n").encode())


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a journal; what was cut off by a kill is left out."""
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        yield json.loads(line)


class Writer:
    """Appends to streams, some at a time, each at the version that it knows."""

    def __init__(self, plan: Plan, store: CassandraEventStore) -> None:
        self._plan = plan
        self._store = store
        self._journal = Journal(plan.journal)
        self._versions: dict[UUID, int] = {}
        self._ends = monotonic_ns() + int(plan.lasts_s * 1e9)
        self.ending = asyncio.Event()

    async def run(self) -> None:
        """Finish what the predecessor left, then go on until told to end."""
        left = {}
        for journal in self._plan.predecessors:
            for line in read_journal(Path(journal)):
                if line["op"] == "intent":
                    left[line["append_id"]] = line
                elif line["op"] == "outcome":
                    left.pop(line["append_id"], None)
        # Not all: of some it shall stay unknown whether they landed.
        taken_up = [line for line in left.values() if UUID(line["append_id"]).int % 10 < _TAKEN_UP]
        await asyncio.gather(*(self._append(line) for line in taken_up), *(self._go_on() for _ in range(AT_ONCE)))

    async def _go_on(self) -> None:
        streams = [UUID(stream) for stream in self._plan.streams]
        while not self.ending.is_set() and monotonic_ns() < self._ends:
            stream = random.choice(streams)  # noqa: S311 - guards nothing
            if random.randrange(READ_EACH) == 0:  # noqa: S311
                await self._read(stream)
            intent = {
                "op": "intent",
                "process": self._plan.process,
                "stream": str(stream),
                "expected": await self._version(stream),
                "count": random.choice((1, 1, 1, 2, 3)),  # noqa: S311
                "append_id": str(uuid4()),
                "start_ns": monotonic_ns(),
            }
            self._journal.note(**intent)
            await self._append(intent)

    async def _version(self, stream: UUID) -> int:
        if stream not in self._versions:
            with suppress(ClusterError):
                head = await self._store.head(stream)
                self._versions.setdefault(stream, 0 if head is None else head.version)
        return self._versions.get(stream, 0)

    async def _append(self, intent: dict[str, Any]) -> None:
        """Send an append, and again under its id for as long as it is not known what became of it."""
        stream, append_id = UUID(intent["stream"]), UUID(intent["append_id"])
        events = soaked(append_id, intent["count"])
        outcome, actual, asked_again = "unknown", None, False
        while True:
            try:
                appended = await self._store.append(
                    stream, events, expected=intent["expected"], aggregate_type="Soak", append_id=append_id
                )
            except ConflictError as error:
                outcome, actual = "conflict", error.actual
                self._versions[stream] = error.actual
            except (ClusterError, EventStoreError) as error:
                asked_again = asked_again or isinstance(error, OutcomeUnknownError)
                self._journal.note(
                    op="trouble", append_id=intent["append_id"], error=f"{type(error).__name__}: {error}"
                )
                if not self.ending.is_set():
                    await asyncio.sleep(0.2)
                    continue
            else:
                outcome, actual = "ok", appended.version
                self._versions[stream] = appended.version
            break
        if outcome != "unknown":
            self._journal.note(
                op="outcome",
                append_id=intent["append_id"],
                end_ns=monotonic_ns(),
                outcome=outcome,
                actual=actual,
                resolved=asked_again or intent["process"] != self._plan.process,
            )

    async def _read(self, stream: UUID) -> None:
        start = monotonic_ns()
        with suppress(ClusterError):
            events = [recorded async for recorded in self._store.read(stream)]
            self._journal.note(**read_line(self._plan.process, stream, start, events))
            self._versions[stream] = len(events)


def read_line(process: str, stream: UUID, start_ns: int, events: list[Recorded]) -> dict[str, Any]:
    """The line of a history for what a stream held."""
    return {
        "process": process,
        "op": "read",
        "stream": str(stream),
        "start_ns": start_ns,
        "end_ns": monotonic_ns(),
        "outcome": "ok",
        "version": len(events),
        "append_ids": [str(recorded.append_id) for recorded in events],
    }


class Handlers:
    """What a worker's handlers do: note each delivery, fold a row a stream, add up totals a shard."""

    def __init__(self, plan: Plan, session: Session) -> None:
        self._plan = plan
        self._session = session
        self._journal = Journal(plan.journal)
        rows, totals = quote_table(ROWS, plan.keyspace), quote_table(TOTALS, plan.keyspace)
        self._row = f"SELECT applied, total FROM {rows} WHERE stream = ?"
        self._write_row = f"UPDATE {rows} USING TIMESTAMP ? SET applied = ?, total = ? WHERE stream = ?"
        self._total = f"SELECT applied, events, total FROM {totals} WHERE shard = ?"
        self._first = f"INSERT INTO {totals} (applied, events, total, shard) VALUES (?, ?, ?, ?) IF NOT EXISTS"
        self._add = f"UPDATE {totals} SET applied = ?, events = ?, total = ? WHERE shard = ? IF applied = ?"

    async def deliver(self, recorded: Recorded) -> None:
        """Note it."""
        self._journal.note(
            process=self._plan.process,
            op="deliver",
            subscription="deliveries",
            stream=str(recorded.stream),
            version=recorded.version,
            append_id=str(recorded.append_id),
            at_ns=monotonic_ns(),
        )

    async def fold(self, events: list[Recorded]) -> None:
        """Add what the stream's row has not applied, at the position of the last event."""
        stream = events[0].stream
        found = (await self._session.execute(self._row, (stream,), consistency=Consistency.QUORUM)).one()
        applied, total = found or (0, 0)
        new = [recorded for recorded in events if recorded.version > applied]
        if not new:
            return
        if new[0].version != applied + 1:
            self._journal.note(
                op="gap", process=self._plan.process, stream=str(stream), applied=applied, version=new[0].version
            )
        total += sum(recorded.event.amount for recorded in new if isinstance(recorded.event, Soaked))
        await self._session.execute(
            self._write_row,
            (new[-1].position, new[-1].version, total, stream),
            consistency=Consistency.QUORUM,
            idempotent=True,
        )

    async def add_up(self, window: Window) -> None:
        """Add what the shard's totals have not applied, in one step on condition of where they stood."""
        # SERIAL: what another owner has written by LWT, and was not told of, is seen.
        found = (await self._session.execute(self._total, (window.shard,), consistency=Consistency.SERIAL)).one()
        applied, count, total = found or (0, 0, 0)
        if applied >= window.high:
            return
        async for placed in window.events():
            if placed.position > applied and isinstance(placed.recorded.event, Soaked):
                count, total = count + 1, total + placed.recorded.event.amount
        new = (window.high, count, total, window.shard)
        if found is None:
            result = await self._session.execute(self._first, new)
        else:
            result = await self._session.execute(self._add, (*new, applied))
        if not result.applied:
            raise OutcomeUnknownError("another owner has added meanwhile", where=TOTALS, remedy="Read again")

    def subscriptions(self) -> list[Subscription]:
        """All that a worker carries."""
        return [
            Subscription("deliveries", self.deliver),
            Subscription("rows", self.fold, takes="streams"),
            Subscription("totals", self.add_up, takes="windows"),
        ]


async def write(plan: Plan) -> None:
    """Append until the time is over, or until told to end."""
    async with (
        connect(plan.hosts, request_timeout=timedelta(seconds=5)) as session,
        CassandraEventStore(session, keyspace=plan.keyspace, append_timeout=timedelta(seconds=8)) as store,
    ):
        writer = Writer(plan, store)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, writer.ending.set)
        await writer.run()


async def work(plan: Plan) -> None:
    """Carry the subscriptions until told to end."""
    async with (
        connect(plan.hosts, request_timeout=timedelta(seconds=5)) as session,
        CassandraEventStore(session, keyspace=plan.keyspace) as store,
    ):
        worker = Worker(store, Handlers(plan, session).subscriptions(), pace=PACE)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


def main() -> None:
    """Take up a role."""
    role, plan = sys.argv[1], Plan(**json.loads(sys.argv[2]))
    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run({"write": write, "work": work}[role](plan))


if __name__ == "__main__":
    main()
