"""How fast a subscription from the beginning catches up, and what a worker costs that has nothing to do."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from cassorm.bench.cases import Counted, line_added
from cassorm.bench.feed_children import children, create_tables
from cassorm.bench.feed_process import EVENT_ROWS, ROWS, Handles, Plan
from cassorm.bench.place import Place
from cassorm.bench.runner import Progress, count_rows, silent
from cassorm.bench.sample import median
from cassorm.bench.streams import Memory
from cassorm.bench.workload import Workload
from cassorm.cql.identifiers import quote_keyspace
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.ids import new_id

_PER_STREAM = 10
_FILLERS = 64
_SETTLE_S = 15.0
"""Longer than a worker stays awake after something came."""
_TENANT_STREAMS = 10


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A subscription that has caught up: events a second (median of the rounds, and each), and its process's memory.

    `rows` were written, `rows_wanted` should have been.
    """

    per_s: float
    rounds: list[float]
    cpu_s_per_1000: float
    resident: Memory
    rows: int
    rows_wanted: int


@dataclass(frozen=True, slots=True)
class Catchup:
    """`events` in `streams`, handled from the beginning: with a write for each, and folded to a write a stream."""

    events: int
    streams: int
    fill_per_s: float
    each: CaughtUp
    folded: CaughtUp

    @property
    def void(self) -> str | None:
        """Why the figures are worth nothing; None when they are."""
        wrong = [found for found in (self.each, self.folded) if found.rows != found.rows_wanted]
        if wrong:
            return "; ".join(f"{found.rows:,} rows are there in the place of {found.rows_wanted:,}" for found in wrong)
        return None


@dataclass(frozen=True, slots=True)
class IdleWorker:
    """A process with nothing to do, over some seconds: its share of a core, and its statements a second.

    It serves `stores`, with `streams` in each.
    """

    streams: int
    stores: int
    seconds: float
    cpu: float
    statements_per_s: float


@dataclass(frozen=True, slots=True)
class Idle:
    """The same worker with few streams and with many, and one that serves the stores of many tenants."""

    few: IdleWorker
    many: IdleWorker
    tenants: IdleWorker
    void: str | None = None


async def feed_catchup(place: Place, workload: Workload, progress: Progress = silent) -> Catchup:
    """Fill a store once, then let one subscription after the other catch up, each in a process of its own."""
    streams = max(1, workload.catchup_events // _PER_STREAM)
    events = streams * _PER_STREAM
    async with CassandraEventStore(place.session, keyspace=place.keyspace) as store:
        await create_tables(store)
        began = perf_counter()
        await _fill(store, streams, _PER_STREAM, lambda share: progress("filling", share * 0.3))
        fill_per_s = events / (perf_counter() - began)
        progress("a write an event", 0.3)
        rows = Counted(EVENT_ROWS, "stream", events)
        each = await _caught_up(place, store, workload, rows, handles="event", events=events)
        progress("a write a stream", 0.7)
        rows = Counted(ROWS, "order_id", streams)
        folded = await _caught_up(place, store, workload, rows, handles="fold", events=events)
    return Catchup(events, streams, fill_per_s, each, folded)


async def _caught_up(
    place: Place, store: CassandraEventStore, workload: Workload, wanted: Counted, *, handles: Handles, events: int
) -> CaughtUp:
    rounds, found = [], {}
    # One round more, which warms up, if there is to be more than one.
    warmups = int(workload.catchup_rounds > 1)
    for round_ in range(workload.catchup_rounds + warmups):
        if handles == "fold":
            await store.feed.reset(f"{ROWS}@1")
        plan = Plan(place.keyspace, f"{handles}-{round_}", handles=handles, expected=wanted.rows)
        async with children(plan, place.settings, "worker") as (worker,):
            found = await worker.ask("done")
        rounds.append(events / found["seconds"])
    rows = await count_rows(place.session, place.keyspace, wanted, wanted.rows)
    return CaughtUp(
        per_s=median(rounds[warmups:]),
        rounds=rounds[warmups:],
        cpu_s_per_1000=found["cpu_s"] / events * 1000,
        resident=Memory(found["after_tenth_bytes"], found["peak_bytes"]),
        rows=rows,
        rows_wanted=wanted.rows,
    )


async def feed_idle(place: Place, workload: Workload, progress: Progress = silent) -> Idle:
    """Let a worker handle what there is in few streams, then watch it wait; again with many, and with many stores."""
    found: list[IdleWorker] = []
    there = 0
    async with CassandraEventStore(place.session, keyspace=place.keyspace) as store:
        await create_tables(store)
        for streams in (10, workload.idle_streams):
            progress(f"idle, {streams:,} streams", 0.3 * len(found))
            added, there = streams - there, streams
            await _fill(store, added, 1, lambda _: None)
            found.append(await _watched(place, workload, Plan(place.keyspace, "idle", expected=added, streams=streams)))
    tenants = workload.idle_tenants
    plan = Plan(place.keyspace, "idle", expected=tenants * _TENANT_STREAMS, streams=_TENANT_STREAMS, tenants=tenants)
    try:
        for number, keyspace in enumerate(plan.keyspaces):
            progress(f"idle, {tenants:,} tenants", 0.6 + 0.2 * number / tenants)
            async with CassandraEventStore(place.session, keyspace=keyspace, workers_in=place.keyspace) as store:
                await create_tables(store)
                await _fill(store, _TENANT_STREAMS, 1, lambda _: None)
        found.append(await _watched(place, workload, plan))
    finally:
        for keyspace in plan.keyspaces:
            await place.session.ddl(f"DROP KEYSPACE IF EXISTS {quote_keyspace(keyspace)}")
    few, many, with_tenants = found
    return Idle(few, many, with_tenants)


async def _watched(place: Place, workload: Workload, plan: Plan) -> IdleWorker:
    async with children(plan, place.settings, "worker") as (worker,):
        await worker.ask("done")
        await asyncio.sleep(_SETTLE_S if workload.idle_watch_seconds > _SETTLE_S else 0)
        before = await worker.ask("stats")
        await asyncio.sleep(workload.idle_watch_seconds)
        after = await worker.ask("stats")
    elapsed = after["at"] - before["at"]
    return IdleWorker(
        streams=plan.streams,
        stores=plan.tenants or 1,
        seconds=elapsed,
        cpu=(after["cpu_s"] - before["cpu_s"]) / elapsed,
        statements_per_s=(after["statements"] - before["statements"]) / elapsed,
    )


async def _fill(store: CassandraEventStore, streams: int, per_stream: int, done: Callable[[float], None]) -> None:
    left = iter(range(streams))

    async def work() -> None:
        for number in left:
            events = [line_added() for _ in range(per_stream)]
            await store.append(new_id(), events, expected=0, aggregate_type="Order")
            if number % 1000 == 0:
                done(number / streams)

    await asyncio.gather(*(work() for _ in range(_FILLERS)))
