"""What the benchmarks of whole streams and tables say at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cassorm.bench.machine import Engine, Machine
from cassorm.bench.report import milliseconds, place
from cassorm.bench.scan import Scanned
from cassorm.bench.streams import Load, Replay
from cassorm.bench.workload import Workload

_MB = 1e6


@dataclass(frozen=True, slots=True)
class StreamReport:
    """A benchmark of whole streams or tables; it raises rather than being void when something is missing."""

    benchmark: str
    started: datetime
    machine: Machine
    versions: dict[str, str]
    engine: Engine
    workload: Workload
    figures: Load | Replay | Scanned
    void: str | None = None

    def table(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        """Header and rows for people."""
        figures = self.figures
        if isinstance(figures, Replay):
            return ("replay", "events/s", "least", "most"), [
                (name, f"{rate.per_s:,.0f}", f"{min(rate.rounds):,.0f}", f"{max(rate.rounds):,.0f}")
                for name, rate in (
                    ("json to events, folded", figures.decoded),
                    ("from the store in memory", figures.memory),
                    ("from the node", figures.node),
                )
            ]
        if isinstance(figures, Scanned):
            return ("scan", "rows/s", "ratio", "cpu s/1,000,000"), [
                (name, f"{each.rows_per_s:,.0f}", ratio, f"{each.cpu_s_per_million:.2f}")
                for name, each, ratio in (
                    ("bare driver, paged SELECT", figures.bare, ""),
                    ("into tuples", figures.tuples, f"{figures.tuples_ratio:.2f}"),
                    ("into models", figures.models, f"{figures.models_ratio:.2f}"),
                )
            ]
        return ("load", "p50 ms", "p95 ms", "p99 ms", "max ms"), [
            (name, *milliseconds(latency))
            for name, latency in (
                (f"{figures.short_stream:,} events, snapshot", figures.short),
                (f"{figures.long_stream:,} events, snapshot", figures.long),
                (f"{figures.short_stream - 5:,} events, no snapshot", figures.short_without_snapshot),
            )
        ]

    def remarks(self) -> list[str]:
        """What else there is to say, a line each."""
        figures = self.figures
        if not isinstance(figures, Load):
            memory = figures.resident
            first, peak, growth = memory.after_tenth_bytes / _MB, memory.peak_bytes / _MB, memory.growth_bytes / _MB
            lines = [f"resident: {first:.0f} MB behind a tenth of it, {peak:.0f} MB at most: {growth:+.1f} MB"]
        else:
            lines = [
                f"long over short: {figures.ratio:.2f}",
                f"filled with {figures.fill_per_s:,.0f} events/s in appends of 1,000",
            ]
        return [*lines, place(self.machine, self.engine, self.versions)]
