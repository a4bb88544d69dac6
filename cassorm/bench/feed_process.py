"""The processes of the feed's benchmarks: `python -m cassorm.bench.feed_process ROLE PLAN`.

Each says `{"ready": true}` when it could begin, begins at the time that it reads, and says in the end what it found:
a line of JSON each. They share the database, a plan, and the machine's monotonic clock.
"""

import asyncio
import json
import logging
import random
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic_ns, perf_counter, process_time
from typing import Any, Literal, NamedTuple
from uuid import UUID

from cassorm.bench.cases import LineAdded, line_added
from cassorm.bench.machine import resident_bytes
from cassorm.bench.place import loop_factory
from cassorm.bench.streams import Resident
from cassorm.cql.identifiers import quote_table
from cassorm.driver.connect import connect
from cassorm.driver.observing import Observer, SentStatement, observed_by
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import CassormError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded
from cassorm.events.subscription import Start, Subscription
from cassorm.events.worker import Worker

Handles = Literal["row", "event", "fold"]
"""What a worker writes: a row a stream for each event, a row an event, or a row a stream for all of its events."""

ROWS, EVENT_ROWS = "bench_rows", "bench_event_rows"
_LOOK_S = 0.004
_PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Plan:
    """What the processes do, the same value for each.

    Events arrive at `rate` a second for `seconds`, by a Poisson process of this `seed`, in any of `streams`; a last one
    comes after `idle_seconds` more. A worker handles `expected` events from where it `begins`.
    """

    keyspace: str
    name: str
    seed: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    streams: int = 1
    idle_seconds: float = 0.0
    handles: Handles = "row"
    begins: Literal["beginning", "now"] = "now"
    expected: int = 0


class Arrival(NamedTuple):
    """An event that will be appended, `at_ns` behind the beginning."""

    at_ns: int
    stream: UUID
    version: int


def arrivals(plan: Plan) -> list[Arrival]:
    """All arrivals of a plan, in their order."""
    source = random.Random(plan.seed)  # noqa: S311 - the same for all processes
    streams = [UUID(int=source.getrandbits(128), version=4) for _ in range(plan.streams)]
    versions = dict.fromkeys(streams, 0)
    found: list[Arrival] = []

    def arrive(at_s: float) -> None:
        stream = source.choice(streams)
        versions[stream] += 1
        found.append(Arrival(int(at_s * 1e9), stream, versions[stream]))

    at_s = source.expovariate(plan.rate)
    while at_s < plan.seconds:
        arrive(at_s)
        at_s += source.expovariate(plan.rate)
    if plan.idle_seconds:
        arrive(plan.seconds + plan.idle_seconds)
    return found


def say(**values: Any) -> None:
    """Tell whoever started this process."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


async def told() -> str:
    """Return the next line that whoever started this process says; nothing when that has gone."""
    line: str = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return line.strip()


async def write(store: CassandraEventStore, plan: Plan) -> None:
    """Append what arrives, whether or not what came before has been answered; tell when each append returned."""
    schedule = arrivals(plan)
    returned: list[int | None] = [None] * len(schedule)
    tasks: set[asyncio.Task[None]] = set()

    async def append(index: int, arrival: Arrival) -> None:
        try:
            await store.append(arrival.stream, [line_added()], expected=arrival.version - 1, aggregate_type="Order")
        except CassormError as error:
            sys.stderr.write(f"{error}\n")
        else:
            returned[index] = monotonic_ns()

    say(ready=True)
    begin = int(await told())
    for index, arrival in enumerate(schedule):
        await _until(begin + arrival.at_ns)
        task = asyncio.get_running_loop().create_task(append(index, arrival))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    say(times=returned, cpu_s=process_time())


async def observe(session: Session, plan: Plan) -> None:
    """Look again and again for what should be there by now; tell when each event's row was first seen."""
    schedule = arrivals(plan)
    seen: list[int | None] = [None] * len(schedule)
    table = quote_table(ROWS, plan.keyspace)
    look = await session.prepare(f"SELECT stream, version FROM {table} WHERE stream IN ?")  # noqa: S608 - quoted
    waiting: dict[UUID, deque[int]] = {}
    coming = deque(enumerate(schedule))
    say(ready=True)
    begin = int(await told())
    last = begin + schedule[-1].at_ns + int(_PATIENCE_S * 1e9)
    while (coming or waiting) and monotonic_ns() < last:
        now = monotonic_ns()
        while coming and begin + coming[0][1].at_ns <= now:
            index, arrival = coming.popleft()
            waiting.setdefault(arrival.stream, deque()).append(index)
        if waiting:
            rows = (await session.execute(look, ([*waiting],))).rows
            now = monotonic_ns()
            for stream, version in rows:
                indexes = waiting[stream]
                while indexes and schedule[indexes[0]].version <= version:
                    seen[indexes.popleft()] = now
                if not indexes:
                    del waiting[stream]
            await asyncio.sleep(_LOOK_S)
        elif coming:
            await _until(begin + coming[0][1].at_ns)
    say(times=seen, cpu_s=process_time())


async def _until(at_ns: int) -> None:
    left = at_ns - monotonic_ns()
    if left > 0:
        await asyncio.sleep(left / 1e9)


class Queries(Observer):
    """Counts the statements that are sent."""

    count = 0

    def sent(self, statement: SentStatement) -> None:
        """Count one."""
        self.count += 1


class Handling:
    """The handlers of the benchmarks, and how much they have handled."""

    def __init__(self, session: Session, insert: Prepared, expected: int) -> None:
        self._session = session
        self._insert = insert
        self._expected = expected
        self.handled = 0
        self.after_tenth_bytes = 0
        self.done = asyncio.Event()
        self.ended = 0.0

    async def row(self, recorded: Recorded) -> None:
        """Write the row of an event's stream."""
        await self._session.execute(self._insert, (recorded.stream, recorded.version, _total(recorded)))
        self._count(1)

    async def event(self, recorded: Recorded) -> None:
        """Write the row of an event."""
        await self._session.execute(self._insert, (recorded.stream, recorded.version, _total(recorded)))
        self._count(1)

    async def fold(self, events: list[Recorded]) -> None:
        """Write the row of a stream, once for all these events."""
        total = sum(map(_total, events))
        await self._session.execute(self._insert, (events[-1].stream, events[-1].version, total))
        self._count(len(events))

    def _count(self, events: int) -> None:
        self.handled += events
        if not self.after_tenth_bytes and self.handled >= self._expected / 10:
            self.after_tenth_bytes = resident_bytes()
        if self.handled >= self._expected and not self.done.is_set():
            self.ended = perf_counter()
            self.done.set()


def _total(recorded: Recorded) -> Any:
    event = recorded.event
    assert isinstance(event, LineAdded)  # noqa: S101 - nothing else is appended
    return event.quantity * event.unit_price


async def work(session: Session, store: CassandraEventStore, plan: Plan) -> None:
    """Carry one subscription, until whoever started this process says `stop` or has gone.

    It says when it carries all shards, and, when asked, what it has done so far.
    """
    table = quote_table(EVENT_ROWS if plan.handles == "event" else ROWS, plan.keyspace)
    insert = await session.prepare(f"INSERT INTO {table} (stream, version, total) VALUES (?, ?, ?)")  # noqa: S608 - quoted
    handling = Handling(session, insert, plan.expected)
    handlers: dict[Handles, Callable[[Any], Awaitable[None]]] = {
        "row": handling.row,
        "event": handling.event,
        "fold": handling.fold,
    }
    subscription = Subscription(
        plan.name,
        handlers[plan.handles],
        takes="streams" if plan.handles == "fold" else "events",
        begin=Start.BEGINNING if plan.begins == "beginning" else Start.NOW,
    )
    queries = Queries()
    with observed_by(queries):
        worker = Worker(store, [subscription])
        begun = perf_counter()
        running = asyncio.get_running_loop().create_task(worker.run())
    while len(worker.carried) < store.settings.shards and not running.done():  # noqa: ASYNC110 - it has no such event
        await asyncio.sleep(0.01)
    say(ready=True)
    with Resident() as resident:
        while (line := await told()) and line != "stop" and not running.done():
            if line == "done":
                await handling.done.wait()
            say(
                at=perf_counter(),
                cpu_s=process_time(),
                queries=queries.count,
                handled=handling.handled,
                seconds=handling.ended - begun,
                after_tenth_bytes=handling.after_tenth_bytes,
                peak_bytes=max(resident.peak_bytes, resident_bytes()),
            )
    worker.stop()
    await running


async def main(role: str, plan: Plan) -> None:
    """Play a role."""
    async with (
        connect(settings=Settings().model_copy(update={"keyspace": None})) as session,
        CassandraEventStore(session, keyspace=plan.keyspace) as store,
    ):
        if role == "writer":
            await write(store, plan)
        elif role == "observer":
            await observe(session, plan)
        else:
            await work(session, store, plan)


def run_process(role: str, plan: str) -> None:
    """Play a role, on the loop that production runs on."""
    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(role, Plan(**json.loads(plan))))


if __name__ == "__main__":
    run_process(*sys.argv[1:])
