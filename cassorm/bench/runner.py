"""Run a workload: warm up, hold the baseline against its yardstick, take turns, count what was written."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, get_args

from cassorm.bench.cases import Case, Counted, Side
from cassorm.bench.measured import Measured, cases
from cassorm.bench.sample import Sample, median
from cassorm.bench.workload import Workload
from cassorm.cql.identifiers import quote, quote_table
from cassorm.driver.session import Session
from cassorm.errors import CassormError
from cassorm.orm.database import Database

if TYPE_CHECKING:
    from cassorm.bench.baseline import Bare

SIDES: tuple[Side, ...] = get_args(Side)
HONEST = 0.9
"""The baseline's least share of its yardstick; below, the comparison says nothing."""

_YARDSTICK_ROUNDS = 5
_ROWS_IN_SLICE = 20_000
_COUNTERS = 4
_TOKENS = 2**64

Progress = Callable[[str, float], None]
"""Told what is under way and which share of the whole is done."""


def silent(_: str, __: float) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one side of a case."""

    case: str
    side: Side
    concurrency: int
    round: int
    sample: Sample


@dataclass(frozen=True, slots=True)
class Verified:
    """Rows of a side: how many were acknowledged, how many may be there besides, how many are."""

    side: str
    table: str
    acknowledged: int
    unanswered: int
    counted: int

    @property
    def right(self) -> bool:
        """Whether every acknowledged row is there, and none that nobody wrote."""
        return self.acknowledged <= self.counted <= self.acknowledged + self.unanswered


@dataclass(frozen=True, slots=True)
class Honesty:
    """The baseline beside its yardstick: operations a second, the best of several turns each."""

    baseline_per_s: float
    yardstick_per_s: float
    least: float = HONEST

    @property
    def ratio(self) -> float:
        """The baseline's share of its yardstick."""
        return self.baseline_per_s / self.yardstick_per_s if self.yardstick_per_s else 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a benchmark gave."""

    turns: list[Turn]
    honesty: Honesty
    verified: list[Verified]
    rows: dict[str, int]
    """Rows that an operation writes, by case."""

    @property
    def void(self) -> str | None:
        """Why the figures are worth nothing; None when they are."""
        if self.honesty.ratio < self.honesty.least:
            return (
                f"the baseline reached {self.honesty.ratio:.2f} of its yardstick, less than {self.honesty.least}: "
                "run it again on a quiet machine"
            )
        wrong = [row for row in self.verified if not row.right]
        if wrong:
            return "; ".join(
                f"{row.acknowledged:,} rows of {row.table} were acknowledged, {row.counted:,} are there"
                for row in wrong
            )
        failed = sum(turn.sample.failed for turn in self.turns)
        if failed:
            return f"{failed:,} operations failed: look at the cluster, or take lower concurrencies"
        return None


async def drive(
    new_worker: Callable[[], Callable[[], Awaitable[Any]]],
    accept: Callable[[Any], bool],
    *,
    seconds: float,
    concurrency: int,
) -> Sample:
    """What `concurrency` tasks get done in `seconds` through the public API; one whose operation fails does no more."""
    latencies = array("d")
    failures: list[CassormError | None] = []

    async def work() -> None:
        operation = new_worker()
        begun = perf_counter()
        while begun < end:
            try:
                accepted = accept(await operation())
            except CassormError as error:
                failures.append(error)
                return
            now = perf_counter()
            if accepted:
                latencies.append(now - begun)
            else:
                failures.append(None)
            begun = now

    cpu, start = process_time(), perf_counter()
    end = start + seconds
    await asyncio.gather(*(work() for _ in range(concurrency)))
    return Sample(len(latencies), perf_counter() - start, process_time() - cpu, len(failures), latencies)


@dataclass
class Runner:
    """Runs what a workload says, once, in a keyspace of its own."""

    session: Database
    bare: "Bare"
    workload: Workload
    keyspace: str
    progress: Progress = silent
    _done: float = 0.0
    _whole: float = 1.0
    _rows: Counter[Counted] = field(default_factory=Counter)
    _unanswered: Counter[Counted] = field(default_factory=Counter)

    async def run(self, what: Measured) -> Outcome:
        """Measure, then count in the database what was acknowledged."""
        workload = self.workload
        self.progress("preparing", 0.0)
        measured = await cases(what, self.session, self.bare, workload, self.keyspace)
        turns = len(measured) * len(workload.concurrencies) * workload.rounds * len(SIDES)
        self._whole = workload.warmup_seconds + (turns + 2 * _YARDSTICK_ROUNDS) * workload.seconds
        await self._warm_up(measured)
        honesty = await self._hold_against_yardstick(measured[0])
        taken = await self._take_turns(measured)
        self.progress("counting", 1.0)
        tables = {counted: side for case in measured for side, counted in case.tables.items()}
        verified = [await self._verify(side, counted) for counted, side in tables.items()]
        return Outcome(taken, honesty, verified, {case.name: case.rows for case in measured})

    async def _warm_up(self, measured: Sequence[Case]) -> None:
        end = perf_counter() + self.workload.warmup_seconds
        slice_s = min(2.0, self.workload.warmup_seconds / (2 * len(measured)) or 1.0)
        while perf_counter() < end:
            for case in measured:
                for side in SIDES:
                    await self._turn("warming up", case, side, self.workload.middle_concurrency, slice_s)

    async def _hold_against_yardstick(self, case: Case) -> Honesty:
        """The best turn of each: what disturbs a turn only ever makes it slower."""
        seconds, concurrency = self.workload.seconds, self.workload.middle_concurrency
        baseline, yardstick = [0.0], [0.0]
        for _ in range(_YARDSTICK_ROUNDS):
            self._tell("the baseline's yardstick", 2 * seconds)
            sample = await asyncio.to_thread(
                self.bare.yardstick, case.prepared, case.once, seconds=seconds, concurrency=concurrency
            )
            yardstick.append(self._noted(case, "bare", sample).per_s)
            sample = await asyncio.to_thread(
                self.bare.run,
                case.prepared,
                lambda: case.once,
                case.bare_accepts,
                seconds=seconds,
                concurrency=concurrency,
            )
            baseline.append(self._noted(case, "bare", sample).per_s)
        return Honesty(max(baseline), max(yardstick))

    async def _take_turns(self, measured: Sequence[Case]) -> list[Turn]:
        turns = []
        for round_ in range(self.workload.rounds):
            for case in measured:
                for concurrency in self.workload.concurrencies:
                    # Who goes first changes: what one leaves to the server (flushes, compactions) is shared out.
                    for side in SIDES if round_ % 2 == 0 else reversed(SIDES):
                        what = f"{case.name}, {concurrency} in flight, round {round_ + 1} of {self.workload.rounds}"
                        sample = await self._turn(what, case, side, concurrency, self.workload.seconds)
                        turns.append(Turn(case.name, side, concurrency, round_, sample))
        return turns

    async def _turn(self, what: str, case: Case, side: Side, concurrency: int, seconds: float) -> Sample:
        self._tell(what, seconds)
        if side == "cassorm":
            sample = await drive(case.worker, case.accepts, seconds=seconds, concurrency=concurrency)
        else:
            sample = await asyncio.to_thread(
                self.bare.run,
                case.prepared,
                case.bare_worker,
                case.bare_accepts,
                seconds=seconds,
                concurrency=concurrency,
            )
        return self._noted(case, side, sample)

    def _tell(self, what: str, seconds: float) -> None:
        self.progress(what, min(1.0, self._done / self._whole))
        self._done += seconds

    def _noted(self, case: Case, side: Side, sample: Sample) -> Sample:
        if side in case.tables:
            self._rows[case.tables[side]] += sample.operations * case.rows
            self._unanswered[case.tables[side]] += sample.failed * case.rows
        return sample

    async def _verify(self, side: Side, counted: Counted) -> Verified:
        acknowledged = counted.rows + self._rows[counted]
        found = await count_rows(self.session, self.keyspace, counted, acknowledged)
        return Verified(side, counted.table, acknowledged, self._unanswered[counted], found)


async def count_rows(session: Session, keyspace: str, counted: Counted, expected: int) -> int:
    """Count a table's rows, by ranges of tokens: a count over all of a large table would time out."""
    slices = max(16, expected // _ROWS_IN_SLICE)
    bounds = [-(2**63) + _TOKENS * index // slices for index in range(slices)] + [2**63 - 1]
    key = quote(counted.key)
    table = quote_table(counted.table, keyspace)
    query = f"SELECT COUNT(*) FROM {table} WHERE token({key}) > ? AND token({key}) <= ?"  # noqa: S608 - quoted
    prepared = await session.prepare(query)
    left = pairwise(bounds)
    total = 0

    async def count() -> None:
        nonlocal total
        for low, high in left:
            row = (await session.execute(prepared, (low, high))).one()
            total += row[0] if row else 0

    await asyncio.gather(*(count() for _ in range(_COUNTERS)))
    return total


def best_concurrency(turns: Sequence[Turn], case: str, side: Side) -> int:
    """Where this side had its highest median of operations a second."""
    by_concurrency: dict[int, list[float]] = {}
    for turn in turns:
        if turn.case == case and turn.side == side:
            by_concurrency.setdefault(turn.concurrency, []).append(turn.sample.per_s)
    return max(by_concurrency, key=lambda concurrency: median(by_concurrency[concurrency]))
