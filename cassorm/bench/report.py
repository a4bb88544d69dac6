"""What a benchmark says at the end: a value that JSON can hold, and a table for people."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cassorm.bench.cases import Side
from cassorm.bench.machine import Engine, Machine
from cassorm.bench.runner import HONEST, SIDES, Honesty, Outcome, Turn, Verified, best_concurrency
from cassorm.bench.sample import Latency, latency, median, median_ratio
from cassorm.bench.workload import Workload
from cassorm.errors import ConfigurationError

FORMAT = 1
"""The version of the JSON that `as_json_data` gives."""


@dataclass(frozen=True, slots=True)
class SideFigures:
    """One side at its best concurrency: medians over the rounds, latencies of all rounds together."""

    concurrency: int
    per_s: float
    rows_per_s: float
    cpu_s_per_1000: float
    latency: Latency
    per_s_by_concurrency: dict[int, float]


@dataclass(frozen=True, slots=True)
class CaseFigures:
    """A case: both sides, and ours over the bare driver's, each a median of the rounds' ratios."""

    name: str
    sides: dict[Side, SideFigures]
    ratio: float
    ratios: list[float]
    cpu_ratio: float


@dataclass(frozen=True, slots=True)
class Report:
    """A benchmark of the public API beside the bare driver; `void` says why its figures are worth nothing."""

    benchmark: str
    started: datetime
    void: str | None
    machine: Machine
    versions: dict[str, str]
    engine: Engine
    workload: Workload
    honesty: Honesty
    cases: list[CaseFigures]
    many_events: dict[str, float]
    """Events a second of an append of many events over those of appends of one, by case."""
    verified: list[Verified]

    def table(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        """Header and rows for people: a row for each side of each case, and one for their ratio."""
        header = ("case", "side", "in flight", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms", "cpu s/1,000")
        rows: list[Sequence[str]] = []
        for case in self.cases:
            for side, figures in case.sides.items():
                rows.append(
                    (
                        case.name,
                        side,
                        str(figures.concurrency),
                        f"{figures.per_s:,.0f}",
                        *milliseconds(figures.latency),
                        f"{figures.cpu_s_per_1000:.3f}",
                    )
                )
            rows.append((case.name, "ratio", "", f"{case.ratio:.2f}", "", "", "", "", f"{case.cpu_ratio:.2f}"))
        return header, rows

    def remarks(self) -> list[str]:
        """What else there is to say, a line each."""
        honesty = self.honesty
        return [
            *(
                f"{name}: {ratio:.1f} x the events a second of single appends"
                for name, ratio in self.many_events.items()
            ),
            f"baseline: {honesty.baseline_per_s:,.0f}/s, {honesty.ratio:.2f} of its yardstick (honest from {HONEST})",
            *(f"{row.table}: {row.acknowledged:,} rows acknowledged, {row.counted:,} counted" for row in self.verified),
            place(self.machine, self.engine, self.versions),
            *([f"VOID: {self.void}"] if self.void else []),
        ]


def make_report(
    benchmark: str,
    outcome: Outcome,
    *,
    started: datetime,
    machine: Machine,
    versions: dict[str, str],
    engine: Engine,
    workload: Workload,
) -> Report:
    """The figures of an outcome."""
    names = list(outcome.rows)
    figures = [_case(name, outcome) for name in names]
    return Report(
        benchmark=benchmark,
        started=started,
        void=outcome.void,
        machine=machine,
        versions=versions,
        engine=engine,
        workload=workload,
        honesty=outcome.honesty,
        cases=figures,
        many_events=_many_events(outcome),
        verified=outcome.verified,
    )


def _at_best(turns: Sequence[Turn], case: str, side: Side) -> list[Turn]:
    best = best_concurrency(turns, case, side)
    found = [turn for turn in turns if (turn.case, turn.side, turn.concurrency) == (case, side, best)]
    return sorted(found, key=lambda turn: turn.round)


def _case(name: str, outcome: Outcome) -> CaseFigures:
    best = {side: _at_best(outcome.turns, name, side) for side in SIDES}
    ours, bare = best["cassorm"], best["bare"]
    rates = [turn.sample.per_s for turn in ours], [turn.sample.per_s for turn in bare]
    cpu = [turn.sample.cpu_s_per_1000 for turn in ours], [turn.sample.cpu_s_per_1000 for turn in bare]
    return CaseFigures(
        name=name,
        sides={side: _side(name, side, outcome) for side in SIDES},
        ratio=median_ratio(*rates),
        ratios=[our / their if their else math.nan for our, their in zip(*rates, strict=True)],
        cpu_ratio=median_ratio(*cpu),
    )


def _side(name: str, side: Side, outcome: Outcome) -> SideFigures:
    best = _at_best(outcome.turns, name, side)
    per_s = median([turn.sample.per_s for turn in best])
    by_concurrency: dict[int, list[float]] = {}
    for turn in outcome.turns:
        if (turn.case, turn.side) == (name, side):
            by_concurrency.setdefault(turn.concurrency, []).append(turn.sample.per_s)
    return SideFigures(
        concurrency=best[0].concurrency,
        per_s=per_s,
        rows_per_s=per_s * max(1, outcome.rows[name]),
        cpu_s_per_1000=median([turn.sample.cpu_s_per_1000 for turn in best]),
        latency=latency([turn.sample.latencies for turn in best]),
        per_s_by_concurrency={concurrency: median(rates) for concurrency, rates in sorted(by_concurrency.items())},
    )


def _many_events(outcome: Outcome) -> dict[str, float]:
    single = next((name for name, rows in outcome.rows.items() if rows == 1), None)
    if single is None:
        return {}
    one = [turn.sample.per_s for turn in _at_best(outcome.turns, single, "cassorm")]
    return {
        name: median_ratio([turn.sample.per_s * rows for turn in _at_best(outcome.turns, name, "cassorm")], one)
        for name, rows in outcome.rows.items()
        if rows > 1
    }


def as_json_data(value: object) -> dict[str, Any]:
    """A report as data for JSON: what follows from its fields included, what is not a number as None."""
    return {"format": FORMAT, **_plain(value)}


def _plain(value: Any) -> Any:
    match value:
        case Workload():
            return value.model_dump(mode="json")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="seconds")
        case float():
            return _rounded(value)
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value):
            derived = [name for name, kind in vars(type(value)).items() if isinstance(kind, property)]
            return {name: _plain(getattr(value, name)) for name in (*(one.name for one in fields(value)), *derived)}
        case _:
            return value


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def save(values: dict[str, Any], path: Path) -> None:
    """Write what `as_json_data` gave to a results file.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the results cannot be written: {error}", where=str(path), remedy="Give a path that can be written"
        ) from error


def milliseconds(value: Latency) -> tuple[str, str, str, str]:
    """Percentiles as text."""
    p50, p95, p99, most = (f"{ms:.1f}" for ms in (value.p50_ms, value.p95_ms, value.p99_ms, value.max_ms))
    return p50, p95, p99, most


def place(machine: Machine, engine: Engine, versions: dict[str, str]) -> str:
    """Where it was measured, in a line."""
    driver = next(f"{name} {versions[name]}" for name in ("cassandra-driver", "scylla-driver") if name in versions)
    where = "on the same machine" if engine.local else "elsewhere"
    return (
        f"{engine.name} {engine.version}, {engine.nodes} node{'s' * (engine.nodes > 1)} {where}; {machine.cores} cores, "
        f"{machine.cpu}, {machine.memory_bytes / 2**30:.0f} GiB, load {machine.load_1m:.1f}; "
        f"Python {versions['python']}, {driver}"
    )
