"""How long after an append's return its effect can be read: three processes that share only the database."""

import secrets
from dataclasses import dataclass, replace
from time import monotonic_ns

from cassorm.bench.feed_children import children, create_tables
from cassorm.bench.feed_process import Plan
from cassorm.bench.place import Place
from cassorm.bench.runner import Progress, silent
from cassorm.bench.sample import Latency, latency
from cassorm.bench.workload import Workload
from cassorm.events.cassandra import CassandraEventStore

_WARMUP_RATE = 200.0


@dataclass(frozen=True, slots=True)
class Lag:
    """From an append's return in one process to the row of its stream seen in another, written by a third.

    `events` arrived at `rate` a second for `seconds`, in any of `streams`; `missing` rows were never seen.
    `first_after_idle_ms` is the lag of one more event, `idle_seconds` later. `waiting` is what `wait_for` took in the
    writer, behind one of 20 appends. CPU is that of the worker, in shares of a core.
    """

    events: int
    rate: float
    seconds: float
    streams: int
    lag: Latency
    first_second: Latency
    idle_seconds: float
    first_after_idle_ms: float | None
    failed: int
    missing: int
    worker_cpu: float
    worker_statements_per_s: float
    waiting: Latency

    @property
    def void(self) -> str | None:
        """Why the figures are worth nothing; None when they are."""
        if self.failed or self.missing:
            return f"{self.failed:,} appends failed, the rows of {self.missing:,} events were never seen"
        return None


async def feed_lag(place: Place, workload: Workload, progress: Progress = silent) -> Lag:
    """Warm up with one such run, then measure another, with processes of its own."""
    async with CassandraEventStore(place.session, keyspace=place.keyspace) as store:
        await create_tables(store)
    plan = Plan(
        place.keyspace,
        "lag",
        seed=secrets.randbits(32),
        rate=workload.feed_rate,
        seconds=workload.feed_seconds,
        streams=workload.feed_streams,
        idle_seconds=workload.idle_seconds,
    )
    if workload.warmup_seconds >= 1:
        progress("warming up", 0.0)
        warm = replace(
            plan, name="warmup", seed=secrets.randbits(32), seconds=workload.warmup_seconds, idle_seconds=0.0
        )
        await _run(place, warm)
    progress("measuring", 0.3)
    return await _run(place, plan)


async def _run(place: Place, plan: Plan) -> Lag:
    async with children(plan, place.settings, "worker", "observer", "writer") as (worker, observer, writer):
        before = await worker.ask("stats")
        # A moment, so that all three know when before it is.
        begin = monotonic_ns() + 200_000_000
        for each in (writer, observer):
            each.tell(begin)
        written = await writer.hear()
        returned = written["times"]
        seen = (await observer.hear())["times"]
        after = await worker.ask("stats")
    took = [
        None if done is None or shown is None else max(0, shown - done) / 1e9
        for done, shown in zip(returned, seen, strict=True)
    ]
    first_after_idle = took.pop() if plan.idle_seconds else None
    elapsed = after["at"] - before["at"]
    first_second = [
        each for each, done in zip(took, returned, strict=False) if each is not None and done < begin + 1_000_000_000
    ]
    return Lag(
        events=len(took),
        rate=plan.rate,
        seconds=plan.seconds,
        streams=plan.streams,
        lag=latency([[each for each in took if each is not None]]),
        first_second=latency([first_second]),
        idle_seconds=plan.idle_seconds,
        first_after_idle_ms=None if first_after_idle is None else first_after_idle * 1000,
        failed=returned.count(None),
        missing=sum(done is not None and shown is None for done, shown in zip(returned, seen, strict=True)),
        worker_cpu=(after["cpu_s"] - before["cpu_s"]) / elapsed,
        worker_statements_per_s=(after["statements"] - before["statements"]) / elapsed,
        waiting=latency([written["waited"]]),
    )
