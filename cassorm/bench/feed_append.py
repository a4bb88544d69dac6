"""What the feed costs: appends to a store with a feed and to one without, in turns on one cluster."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter, time_ns
from typing import Literal, get_args

from cassorm.bench.cases import Counted, any_answer, appends
from cassorm.bench.place import Place
from cassorm.bench.runner import Progress, Verified, count_rows, drive, silent
from cassorm.bench.sample import Latency, Sample, latency, median, median_ratio
from cassorm.bench.workload import Workload
from cassorm.cql.identifiers import quote_table
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.tables import TableNames

Feed = Literal["off", "on"]
SIDES: tuple[Feed, ...] = get_args(Feed)

_NAMES: Mapping[Feed, TableNames] = {
    "off": TableNames(events="events_off", snapshots="snapshots_off"),
    "on": TableNames(),
}


@dataclass(frozen=True, slots=True)
class FeedSide:
    """Appends to one store at its best concurrency: medians of the rounds; `alone` is one append after the other."""

    concurrency: int
    per_s: float
    cpu_s_per_1000: float
    latency: Latency
    alone: Latency
    per_s_by_concurrency: dict[int, float]


@dataclass(frozen=True, slots=True)
class FeedAppend:
    """Appends of one event with the feed and without; the ratios are medians of the rounds' ratios, with over without.

    `pointers` are the rows of the feed, of which `abandoned` belong to no append: each came too late for its position.
    """

    off: FeedSide
    on: FeedSide
    ratio: float
    ratios: list[float]
    cpu_ratio: float
    verified: list[Verified]
    pointers: int
    failed: int

    @property
    def abandoned(self) -> int:
        """Pointers of positions that were given up."""
        return self.pointers - next(row.counted for row in self.verified if row.table == _NAMES["on"].events)

    @property
    def void(self) -> str | None:
        """Why the figures are worth nothing; None when they are."""
        wrong = [row for row in self.verified if not row.right]
        if wrong:
            return "; ".join(
                f"{row.acknowledged:,} rows of {row.table} were acknowledged, {row.counted:,} are there"
                for row in wrong
            )
        if self.abandoned < 0:
            return f"{-self.abandoned:,} appends have no pointer"
        if self.failed:
            return f"{self.failed:,} appends failed: look at the cluster, or take lower concurrencies"
        return None


class _Turns:
    """The turns of both sides, and what they have written."""

    def __init__(self, stores: Mapping[Feed, CassandraEventStore], workload: Workload) -> None:
        self._stores = stores
        self._workload = workload
        self.acknowledged: dict[Feed, int] = dict.fromkeys(SIDES, 0)
        self.failed: dict[Feed, int] = dict.fromkeys(SIDES, 0)

    async def take(self, side: Feed, concurrency: int, seconds: float) -> Sample:
        store, most = self._stores[side], self._workload.appends_per_stream
        sample = await drive(lambda: appends(store, 1, most), any_answer, seconds=seconds, concurrency=concurrency)
        self.acknowledged[side] += sample.operations
        self.failed[side] += sample.failed
        return sample


async def feed_append(place: Place, workload: Workload, progress: Progress = silent) -> FeedAppend:
    """Append to both stores in turns, then count what stands there."""
    stores = {
        side: CassandraEventStore(place.session, keyspace=place.keyspace, tables=_NAMES[side], feed=side == "on")
        for side in SIDES
    }
    began = time_ns() // 1000
    for store in stores.values():
        await store.initialize()
    turns = _Turns(stores, workload)
    end = perf_counter() + workload.warmup_seconds
    while True:
        progress("warming up", 0.0)
        for side in SIDES:
            await turns.take(side, workload.middle_concurrency, min(2.0, workload.warmup_seconds / 4 or 0.1))
        if perf_counter() >= end:
            break
    taken: dict[tuple[Feed, int], list[Sample]] = {}
    concurrencies = [1, *(concurrency for concurrency in workload.concurrencies if concurrency != 1)]
    for round_ in range(workload.rounds):
        for concurrency in concurrencies:
            progress(f"{concurrency} in flight, round {round_ + 1} of {workload.rounds}", round_ / workload.rounds)
            # Who goes first changes: what one leaves to the server (flushes, compactions) is shared out.
            for side in SIDES if round_ % 2 == 0 else reversed(SIDES):
                sample = await turns.take(side, concurrency, workload.seconds)
                taken.setdefault((side, concurrency), []).append(sample)
    progress("counting", 1.0)
    verified = [await _verify(place, side, turns) for side in SIDES]
    best = {side: max(concurrencies, key=lambda each: _per_s(taken[side, each])) for side in SIDES}
    at_best = {side: taken[side, best[side]] for side in SIDES}
    ratios = [on.per_s / off.per_s for on, off in zip(at_best["on"], at_best["off"], strict=True) if off.per_s]
    return FeedAppend(
        off=_side(taken, "off", best["off"]),
        on=_side(taken, "on", best["on"]),
        ratio=median(ratios),
        ratios=ratios,
        cpu_ratio=median_ratio(*([one.cpu_s_per_1000 for one in at_best[side]] for side in ("on", "off"))),
        verified=verified,
        pointers=await _pointers(place, stores["on"], began),
        failed=sum(turns.failed.values()),
    )


def _side(taken: Mapping[tuple[Feed, int], Sequence[Sample]], side: Feed, best: int) -> FeedSide:
    at_best = taken[side, best]
    return FeedSide(
        concurrency=best,
        per_s=_per_s(at_best),
        cpu_s_per_1000=median([sample.cpu_s_per_1000 for sample in at_best]),
        latency=latency([sample.latencies for sample in at_best]),
        alone=latency([sample.latencies for sample in taken[side, 1]]),
        per_s_by_concurrency={each: _per_s(samples) for (which, each), samples in taken.items() if which == side},
    )


def _per_s(samples: Sequence[Sample]) -> float:
    return median([sample.per_s for sample in samples])


async def _verify(place: Place, side: Feed, turns: _Turns) -> Verified:
    counted = Counted(_NAMES[side].events, "aggregate_id")
    acknowledged = turns.acknowledged[side]
    found = await count_rows(place.session, place.keyspace, counted, acknowledged)
    return Verified(side, counted.table, acknowledged, turns.failed[side], found)


async def _pointers(place: Place, store: CassandraEventStore, began: int) -> int:
    """Count the rows of the feed, a partition at a time."""
    settings, now = store.settings, time_ns() // 1000
    bucket_us = settings.bucket_s * 1_000_000
    table = quote_table(store.tables.feed, place.keyspace)
    count = await place.session.prepare(
        f"SELECT COUNT(*) FROM {table} WHERE shard = ? AND bucket = ?"  # noqa: S608 - quoted
    )
    # A position may lie ahead of the clock that gave it: in the next bucket at most.
    buckets = range(began // bucket_us, now // bucket_us + 2)
    total = 0
    for bucket in buckets:
        found = await asyncio.gather(
            *(place.session.execute(count, (shard, bucket)) for shard in range(settings.shards))
        )
        total += sum(result.rows[0][0] for result in found)
    return total
