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
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from time import monotonic_ns, perf_counter, process_time
from typing import Any, Literal, NamedTuple, Protocol
from uuid import UUID

from cassorm.bench.cases import LineAdded, line_added
from cassorm.bench.machine import resident_bytes
from cassorm.bench.place import loop_factory
from cassorm.bench.streams import Resident
from cassorm.cql.identifiers import quote_table
from cassorm.driver.observing import Observer, SentStatement, observed_by
from cassorm.driver.settings import Settings
from cassorm.errors import CassormError, SubscriptionError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Crew, Worker
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import PK, Col
from cassorm.projections.mapping import map_from_event
from cassorm.projections.projections import Projections
from cassorm.projections.read_model import ReadModel

Handles = Literal["event", "fold"]
"""What carries the subscription: a handler that writes a row for each event, or a read model, a row a stream."""

ROWS, EVENT_ROWS = "bench_orders", "bench_event_rows"
_READY_S = 0.01
_FIRST_LOOK_S, _LOOK_S = 0.01, 0.008
"""How long after an event was to be appended the observer looks first, and between two looks."""
_PATIENCE_S = 30
_WAITS_EACH, _MOST_WAITS = 20, 4
"""Behind one of so many appends the writer waits for its effect, but behind so many at a time at most: who waits asks."""
_MOST_LOOKED_FOR = 200
"""The observer asks for so many rows at a time at most, the oldest first."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the processes do, the same value for each.

    Events arrive at `rate` a second for `seconds`, by a Poisson process of this `seed`, in any of `streams`; a last one
    comes after `idle_seconds` more. A worker makes `expected` writes, and serves the stores of `tenants` where there are
    some.
    """

    keyspace: str
    name: str
    seed: int = 0
    rate: float = 0.0
    seconds: float = 0.0
    streams: int = 1
    idle_seconds: float = 0.0
    handles: Handles = "fold"
    expected: int = 0
    tenants: int = 0

    @property
    def keyspaces(self) -> list[str]:
        """Those of the stores that a worker serves."""
        return [f"{self.keyspace}_{number}" for number in range(self.tenants)] or [self.keyspace]


class BenchOrders(ReadModel, table=ROWS, aggregate="Order"):
    """The read model: a row an order, sums, as most are."""

    order_id: PK[UUID]
    customer: Col[int | None] = map_from_event(LineAdded, "customer")
    lines: Col[int] = map_from_event(LineAdded, lambda _, row: row.lines + 1, default=0)
    units: Col[int] = map_from_event(LineAdded, lambda event, row: row.units + event.quantity, default=0)
    total: Col[Decimal] = map_from_event(
        LineAdded, lambda event, row: row.total + event.quantity * event.unit_price, default=Decimal(0)
    )


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
    """Append what arrives, whether or not what came before has been answered; tell when each append returned.

    A few also wait for their effect.
    """
    schedule = arrivals(plan)
    returned: list[int | None] = [None] * len(schedule)
    waited: list[float] = []
    waits = 0
    tasks: set[asyncio.Task[None]] = set()
    projections = Projections(store, [BenchOrders])

    async def append(index: int, arrival: Arrival) -> None:
        nonlocal waits
        try:
            appended = await store.append(
                arrival.stream, [line_added()], expected=arrival.version - 1, aggregate_type="Order"
            )
            returned[index] = now = monotonic_ns()
        except CassormError as error:
            sys.stderr.write(f"{error}\n")
            return
        if index % _WAITS_EACH == 0 and waits < _MOST_WAITS:
            waits += 1
            try:
                await projections.wait_for(appended.position, ROWS, timedelta(seconds=_PATIENCE_S))
            except SubscriptionError as error:
                sys.stderr.write(f"{error}\n")
            waits -= 1
            waited.append((monotonic_ns() - now) / 1e9)

    say(ready=True)
    begin = int(await told())
    for index, arrival in enumerate(schedule):
        await _until(begin + arrival.at_ns)
        task = asyncio.get_running_loop().create_task(append(index, arrival))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    say(times=returned, waited=waited)


async def observe(session: Database, plan: Plan) -> None:
    """Look again and again for what should be there by now; tell when each event's row was first seen."""
    schedule = arrivals(plan)
    seen: list[int | None] = [None] * len(schedule)
    table = quote_table(ROWS, plan.keyspace)
    look = await session.prepare(
        f"SELECT order_id, applied_version FROM {table} WHERE order_id IN ?"  # noqa: S608 - quoted
    )
    waiting: dict[UUID, deque[int]] = {}
    coming = deque(enumerate(schedule))
    say(ready=True)
    begin = int(await told()) + int(_FIRST_LOOK_S * 1e9)
    last = begin + schedule[-1].at_ns + int(_PATIENCE_S * 1e9)
    while (coming or waiting) and monotonic_ns() < last:
        now = monotonic_ns()
        while coming and begin + coming[0][1].at_ns <= now:
            index, arrival = coming.popleft()
            waiting.setdefault(arrival.stream, deque()).append(index)
        if waiting:
            rows = (await session.execute(look, ([*islice(waiting, _MOST_LOOKED_FOR)],))).rows
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
    say(times=seen)


async def _until(at_ns: int) -> None:
    left = at_ns - monotonic_ns()
    if left > 0:
        await asyncio.sleep(left / 1e9)


class Statements(Observer):
    """Counts the statements that are sent, and the writes to a table among them: how far the handlers have come."""

    def __init__(self, table: str, expected: int) -> None:
        self._table = table
        self._expected = expected
        self.count = 0
        self.writes = 0
        self.after_tenth_bytes = 0
        self.done = asyncio.Event()
        self.ended = 0.0

    def sent(self, statement: SentStatement) -> None:
        """Count one."""
        self.count += 1
        if self._table not in statement.text or statement.text.startswith("SELECT"):
            return
        self.writes += 1
        if not self.after_tenth_bytes and self.writes >= self._expected / 10:
            self.after_tenth_bytes = resident_bytes()
        if self.writes == self._expected:
            self.ended = perf_counter()
            self.done.set()


class Carrier(Protocol):
    """What carries a subscription: a worker, or projections."""

    async def run(self) -> None:
        """Carry it until `stop`."""

    def stop(self) -> None:
        """End `run` soon."""


async def carrier(
    session: Database, store: CassandraEventStore, plan: Plan, crew: Crew | None = None
) -> tuple[Carrier, str]:
    """Return what carries the plan's subscription, and the subscription's name."""
    if plan.handles == "fold":
        return Projections(store, [BenchOrders], crew=crew), f"{ROWS}@1"
    table = quote_table(EVENT_ROWS, plan.keyspace)
    insert = await session.prepare(
        f"INSERT INTO {table} (stream, version, total) VALUES (?, ?, ?)"  # noqa: S608 - quoted
    )

    async def handle(recorded: Recorded) -> None:
        event = recorded.event
        assert isinstance(event, LineAdded)  # noqa: S101 - nothing else is appended
        await session.execute(insert, (recorded.stream, recorded.version, event.quantity * event.unit_price))

    return Worker(store, [Subscription(plan.name, handle)]), plan.name


class Together:
    """Carries the subscriptions of several stores."""

    def __init__(self, carriers: Sequence[Carrier]) -> None:
        self._carriers = carriers

    async def run(self) -> None:
        """Carry them until `stop`."""
        await asyncio.gather(*(each.run() for each in self._carriers))

    def stop(self) -> None:
        """End `run` soon."""
        for each in self._carriers:
            each.stop()


async def work(session: Database, stores: Sequence[CassandraEventStore], plan: Plan) -> None:
    """Carry one subscription to each store, until whoever started this process says `stop` or has gone.

    It says when it carries all shards, and, when asked, what it has done so far.
    """
    statements = Statements(ROWS if plan.handles == "fold" else EVENT_ROWS, plan.expected)
    crew = Crew() if plan.tenants else None
    carriers = [await carrier(session, store, plan, crew) for store in stores]
    carrying, name = Together([each for each, _ in carriers]), carriers[0][1]
    begun = perf_counter()
    with observed_by(statements):
        running = asyncio.get_running_loop().create_task(carrying.run())
    for store in stores:
        shards = range(store.settings.shards)
        while not running.done():
            checkpoints = await store.feed.checkpoints(name, shards)
            if len(checkpoints) == len(shards) and all(each.owner is not None for each in checkpoints.values()):
                break
            await asyncio.sleep(_READY_S)
    say(ready=True)
    resident = Resident()
    with ExitStack() as watching:
        if plan.expected:
            watching.enter_context(resident)
        while (line := await told()) and line != "stop" and not running.done():
            if line == "done":
                await statements.done.wait()
                # It looks often: not while there is nothing to see.
                watching.close()
            say(
                at=perf_counter(),
                cpu_s=process_time(),
                statements=statements.count,
                seconds=statements.ended - begun,
                after_tenth_bytes=statements.after_tenth_bytes,
                peak_bytes=max(resident.peak_bytes, resident_bytes()),
            )
    carrying.stop()
    await running


async def main(role: str, plan: Plan) -> None:
    """Play a role."""
    async with connect(settings=Settings().model_copy(update={"keyspace": None})) as session, AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(CassandraEventStore(session, keyspace=keyspace))
            for keyspace in plan.keyspaces
        ]
        if role == "writer":
            await write(stores[0], plan)
        elif role == "observer":
            await observe(session, plan)
        else:
            await work(session, stores, plan)


def run_process(role: str, plan: str) -> None:
    """Play a role, on the loop that production runs on."""
    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(main(role, Plan(**json.loads(plan))))


if __name__ == "__main__":
    run_process(*sys.argv[1:])
