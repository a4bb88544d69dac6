"""What the benchmarks of the feed say at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cassorm.bench.feed_append import FeedAppend
from cassorm.bench.feed_catchup import Catchup, Idle
from cassorm.bench.feed_lag import Lag
from cassorm.bench.machine import Engine, Machine
from cassorm.bench.report import milliseconds, place
from cassorm.bench.workload import Workload

_MB = 1e6
Table = tuple[Sequence[str], list[Sequence[str]]]
Figures = FeedAppend | Lag | Catchup | Idle


@dataclass(frozen=True, slots=True)
class FeedReport:
    """A benchmark of the feed; `void` says why its figures are worth nothing."""

    benchmark: str
    started: datetime
    machine: Machine
    versions: dict[str, str]
    engine: Engine
    workload: Workload
    figures: Figures

    @property
    def void(self) -> str | None:
        """Why the figures are worth nothing; None when they are."""
        return self.figures.void

    def table(self) -> Table:
        """Header and rows for people."""
        match self.figures:
            case FeedAppend() as figures:
                return _append(figures)
            case Lag() as figures:
                return _lag(figures)
            case Catchup() as figures:
                return ("catch-up", "events/s", "least", "most", "cpu s/1,000", "resident MB", "at most"), [
                    (
                        name,
                        f"{way.per_s:,.0f}",
                        f"{min(way.rounds):,.0f}",
                        f"{max(way.rounds):,.0f}",
                        f"{way.cpu_s_per_1000:.3f}",
                        f"{way.resident.after_tenth_bytes / _MB:.0f}",
                        f"{way.resident.peak_bytes / _MB:.0f}",
                    )
                    for name, way in (("a write an event", figures.each), ("a write a stream", figures.folded))
                ]
            case Idle() as figures:
                return ("idle with stores", "streams in each", "% of a core", "statements/s"), [
                    (
                        f"{each.stores:,}",
                        f"{each.streams:,}",
                        f"{each.cpu * 100:.2f}",
                        f"{each.statements_per_s:.1f}",
                    )
                    for each in (figures.few, figures.many, figures.tenants)
                ]

    def remarks(self) -> list[str]:
        """What else there is to say, a line each."""
        lines = []
        match self.figures:
            case FeedAppend() as figures:
                lines = [
                    f"{row.table}: {row.acknowledged:,} rows acknowledged, {row.counted:,} counted"
                    for row in figures.verified
                ]
                lines.append(f"feed: {figures.pointers:,} pointers, {figures.abandoned:,} of positions given up")
            case Lag() as figures:
                lines = [
                    f"{figures.events:,} events at {figures.rate:g}/s in {figures.streams:,} streams",
                    f"worker: {figures.worker_cpu * 100:.0f} % of a core, {figures.worker_statements_per_s:,.0f} statements/s",
                ]
            case Catchup() as figures:
                there = f"{figures.events:,} events in {figures.streams:,} streams"
                lines = [f"{there}, filled with {figures.fill_per_s:,.0f} events/s"]
        void = [f"VOID: {self.void}"] if self.void else []
        return [*lines, place(self.machine, self.engine, self.versions), *void]


def _append(figures: FeedAppend) -> Table:
    header = ("feed", "in flight", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms", "cpu s/1,000", "alone p50", "p99")
    rows: list[Sequence[str]] = [
        (
            name,
            str(side.concurrency),
            f"{side.per_s:,.0f}",
            *milliseconds(side.latency),
            f"{side.cpu_s_per_1000:.3f}",
            f"{side.alone.p50_ms:.2f}",
            f"{side.alone.p99_ms:.2f}",
        )
        for name, side in (("off", figures.off), ("on", figures.on))
    ]
    more = figures.on.alone.p50_ms / figures.off.alone.p50_ms
    rows.append(("ratio", "", f"{figures.ratio:.2f}", "", "", "", "", f"{figures.cpu_ratio:.2f}", f"{more:.2f}", ""))
    return header, rows


def _lag(figures: Lag) -> Table:
    rows: list[Sequence[str]] = [
        (name, *milliseconds(each))
        for name, each in (
            ("all", figures.lag),
            ("appended in the first second", figures.first_second),
            ("wait_for", figures.waiting),
        )
    ]
    if figures.first_after_idle_ms is not None:
        name = f"the first after {figures.idle_seconds:g} s"
        rows.append((name, f"{figures.first_after_idle_ms:.1f}", "", "", ""))
    return ("lag", "p50 ms", "p95 ms", "p99 ms", "max ms"), rows
