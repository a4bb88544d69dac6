"""Benchmarks of whole streams: how fast one is replayed, in how much memory, and what its length costs a load."""

import asyncio
import gc
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from time import perf_counter
from types import TracebackType
from typing import Self
from uuid import UUID

from cassorm.aggregates.aggregate import Aggregate, aggregate
from cassorm.aggregates.handlers import apply
from cassorm.aggregates.repository import AggregateRepository
from cassorm.bench.cases import LineAdded, line_added
from cassorm.bench.machine import resident_bytes
from cassorm.bench.place import Place
from cassorm.bench.runner import Progress, silent
from cassorm.bench.sample import Latency, latency, median
from cassorm.bench.workload import Workload
from cassorm.errors import ClusterError
from cassorm.events import payload
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.ids import new_id
from cassorm.events.memory import MemoryEventStore
from cassorm.events.store import EventStore

_AT_ONCE = 1_000
_BEHIND = 5
"""So many events lie behind a recent snapshot."""
_SAMPLE_S = 0.005


@aggregate("Order")
class BenchOrder(Aggregate):
    """The aggregate that is loaded: sums, as most are."""

    lines: int = 0
    units: int = 0
    total: Decimal = Decimal(0)

    @apply
    def _(self, event: LineAdded) -> None:
        self.lines += 1
        self.units += event.quantity
        self.total += event.quantity * event.unit_price


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second: the median of the rounds, and each."""

    per_s: float
    rounds: list[float]


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of this process: behind the replay of a tenth, and the most during the whole."""

    after_tenth_bytes: int
    peak_bytes: int

    @property
    def growth_bytes(self) -> int:
        """What the other nine tenths took: next to nothing when they were streamed."""
        return max(0, self.peak_bytes - self.after_tenth_bytes)


@dataclass(frozen=True, slots=True)
class Replay:
    """A stream of `events`, replayed.

    `decoded` is JSON to typed events and their fold alone, `memory` the same out of the store in memory, `node` out of
    the database.
    """

    events: int
    decoded: Rate
    memory: Rate
    node: Rate
    resident: Memory


@dataclass(frozen=True, slots=True)
class Load:
    """Loads of one aggregate after the other: a short stream and a long one with a snapshot, and the short without."""

    short_stream: int
    long_stream: int
    fill_per_s: float
    short: Latency
    long: Latency
    short_without_snapshot: Latency
    ratio: float
    """The median load of the long stream over that of the short one, a median of the rounds."""


@dataclass
class Resident(AbstractContextManager["Resident"]):
    """Watches the resident memory of this process from a thread."""

    peak_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self.peak_bytes = resident_bytes()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak_bytes = max(self.peak_bytes, resident_bytes())

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, resident_bytes())


async def replay(place: Place, workload: Workload, progress: Progress = silent) -> Replay:
    """Fill a stream, then replay it from memory and from the node."""
    count, rounds = workload.replay_events, workload.rounds
    async with CassandraEventStore(place.session, keyspace=place.keyspace) as store:
        orders = _repository(store)
        tenth, whole = new_id(), new_id()
        await fill(store, tenth, max(1, count // 10))
        await fill(store, whole, count, lambda share: progress("filling", share * 0.3))
        # The short one first: what any replay takes is taken then, and what the long one adds would be for its length.
        await _replayed(orders, tenth, max(1, count // 10))
        gc.collect()
        after_tenth = resident_bytes()
        with Resident() as resident:
            await _replayed(orders, whole, count)
        progress("warming up", 0.3)
        end = perf_counter() + workload.warmup_seconds
        while perf_counter() < end:
            await _replayed(orders, whole, count)
        rates = []
        for round_ in range(rounds):
            progress(f"from the node, round {round_ + 1} of {rounds}", 0.6 + 0.2 * round_ / rounds)
            rates.append(await _replayed(orders, whole, count))
    progress("in memory", 0.8)
    return Replay(
        events=count,
        decoded=_rate([_decoded(count) for _ in range(rounds)]),
        memory=_rate(await _from_memory(count, rounds)),
        node=_rate(rates),
        resident=Memory(after_tenth, resident.peak_bytes),
    )


async def load(place: Place, workload: Workload, progress: Progress = silent) -> Load:
    """Fill a short and a long stream, give both a recent snapshot, and load them in turns."""
    async with CassandraEventStore(place.session, keyspace=place.keyspace) as store:
        orders = _repository(store)
        short, long, bare = new_id(), new_id(), new_id()
        started = perf_counter()
        await fill(store, long, workload.long_stream, lambda share: progress("filling the long stream", share * 0.7))
        fill_per_s = workload.long_stream / (perf_counter() - started)
        for stream, count in ((short, workload.short_stream), (bare, workload.short_stream)):
            await fill(store, stream, count)
        for stream in (short, long):
            await orders.snapshot(stream)
            await store.append(stream, [line_added() for _ in range(_BEHIND)])
        progress("warming up", 0.7)
        end = perf_counter() + workload.warmup_seconds
        while perf_counter() < end:
            for stream in (short, long, bare):
                await orders.get(stream)
        times: dict[UUID, list[list[float]]] = {stream: [] for stream in (short, long, bare)}
        for round_ in range(workload.rounds):
            progress(f"loading, round {round_ + 1} of {workload.rounds}", 0.8 + 0.2 * round_ / workload.rounds)
            taken = await _loads(orders, list(times), workload.loads)
            for stream, seconds in taken.items():
                times[stream].append(seconds)
        found = await orders.get(long)
        if found.version != workload.long_stream + _BEHIND or found.lines != found.version:
            raise _incomplete(long, found.version, workload.long_stream + _BEHIND)
    return Load(
        short_stream=workload.short_stream + _BEHIND,
        long_stream=workload.long_stream + _BEHIND,
        fill_per_s=fill_per_s,
        short=latency(times[short]),
        long=latency(times[long]),
        short_without_snapshot=latency(times[bare]),
        ratio=median([median(far) / median(near) for far, near in zip(times[long], times[short], strict=True)]),
    )


async def fill(store: EventStore, stream: UUID, count: int, done: Callable[[float], None] = lambda _: None) -> None:
    """Append `count` events to a new stream, as many at once as an append may well hold."""
    for head in range(0, count, _AT_ONCE):
        events = [line_added() for _ in range(min(_AT_ONCE, count - head))]
        await store.append(stream, events, expected=head, aggregate_type="Order")
        done(head / count)


def _repository(store: EventStore) -> AggregateRepository[BenchOrder]:
    return AggregateRepository(store, BenchOrder, snapshot_frequency=None, max_events_before_snapshot=None)


async def _replayed(orders: AggregateRepository[BenchOrder], stream: UUID, count: int) -> float:
    """Replay a stream; return the events a second."""
    started = perf_counter()
    found = await orders.get(stream)
    elapsed = perf_counter() - started
    if found.lines != count:
        raise _incomplete(stream, found.lines, count)
    return count / elapsed


def _decoded(count: int) -> float:
    event = line_added()
    stored = (event.__event_type__, event.__schema_version__, payload.JSON, payload.dump(event))
    started = perf_counter()
    found = BenchOrder.from_events(new_id(), (payload.load(*stored) for _ in range(count)))
    elapsed = perf_counter() - started
    assert found.lines == count  # noqa: S101 - folded, every one
    return count / elapsed


async def _from_memory(count: int, rounds: int) -> list[float]:
    store, stream = MemoryEventStore(), new_id()
    await fill(store, stream, count)
    orders = _repository(store)
    return [await _replayed(orders, stream, count) for _ in range(rounds)]


async def _loads(
    orders: AggregateRepository[BenchOrder], streams: Sequence[UUID], count: int
) -> dict[UUID, list[float]]:
    times: dict[UUID, list[float]] = {stream: [] for stream in streams}
    for _ in range(count):
        for stream in streams:
            started = perf_counter()
            await orders.get(stream)
            times[stream].append(perf_counter() - started)
        await asyncio.sleep(0)
    return times


def _rate(rounds: list[float]) -> Rate:
    return Rate(median(rounds), rounds)


def _incomplete(stream: UUID, found: int, wanted: int) -> ClusterError:
    return ClusterError(
        f"{wanted:,} events were acknowledged and {found:,} are there",
        where=f"stream {stream}",
        remedy="Report it: this must not happen",
    )
