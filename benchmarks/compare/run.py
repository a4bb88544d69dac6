"""Starts the sides, lets them take turns on one node, counts what they wrote, and says what came of it."""

import asyncio
import json
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

from benchmarks.compare import table
from benchmarks.compare.side import OPERATIONS, Operation
from benchmarks.compare.worker import BARE, MODULES
from cassorm.bench.cases import Counted
from cassorm.bench.machine import Engine, Machine, machine, versions
from cassorm.bench.place import Place
from cassorm.bench.runner import HONEST, Honesty, Verified, count_rows
from cassorm.bench.sample import Latency, Sample, latency, median, median_ratio
from cassorm.driver.session import Session

OURS, YARDSTICK = "cassorm", "bare"
SIDES = (*BARE, *MODULES)
PACKAGES = {"async_cassandra": "async-cassandra", "caspyorm": "caspyorm", "coodie": "coodie", "pyssandra": "pyssandra"}

_LOADERS = 32
_YARDSTICK_ROUNDS = 3
_ANSWER_S = 120
_LINE = 2**27

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    sides: Sequence[str]
    concurrencies: Sequence[int] = (16, 64)
    rounds: int = 3
    seconds: float = 0.8
    warmup_seconds: float = 30.0
    partitions: int = 50

    def quick(self) -> Self:
        return type(self)(self.sides, (8,), 1, 0.1, 0.1, 2)


@dataclass(frozen=True, slots=True)
class Figures:
    """A side at its best concurrency: medians of the rounds; ratios are those to the bare driver in the same round."""

    note: str
    concurrency: int
    per_s: float
    cpu_s_per_1000: float
    latency: Latency
    ratio: float
    cpu_ratio: float
    per_s_by_concurrency: dict[int, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The whole; `missing` tells why a side is not there, `void` why the figures are worth nothing."""

    benchmark: str
    started: datetime
    void: str | None
    machine: Machine
    versions: dict[str, str]
    engine: Engine
    plan: Plan
    honesty: Honesty
    cases: dict[Operation, dict[str, Figures]]
    missing: dict[str, str]
    verified: list[Verified]


@dataclass
class Worker:
    """The process of one side."""

    name: str
    process: asyncio.subprocess.Process
    note: str = ""
    rows: int = 0
    unanswered: int = 0

    @classmethod
    async def start(cls, name: str, place: Place, plan: Plan) -> Self:
        (host, port), *_ = place.settings.contact_points()
        own = table.written(name)
        arguments = [name, host, str(port), place.keyspace, own, str(plan.partitions), place.session.datacenter]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.compare.worker", *arguments, stdin=pipe, stdout=pipe, limit=_LINE
        )
        return cls(name, process)

    async def told(self) -> dict[str, Any]:
        """The worker's next answer; why it gives none, when it has died."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), _ANSWER_S)
        if not line:
            return {"ready": False, "why": f"ended with exit code {await self.process.wait()}; see its output above"}
        found: dict[str, Any] = json.loads(line)
        return found

    async def run(self, operation: Operation, concurrency: int, seconds: float, *, yardstick: bool = False) -> Sample:
        """One turn."""
        assert self.process.stdin is not None
        said = {"operation": operation, "concurrency": concurrency, "seconds": seconds, "yardstick": yardstick}
        self.process.stdin.write(json.dumps(said).encode() + b"\n")
        found = await self.told()
        if "operations" not in found:
            raise SystemExit(f"{self.name}: {found['why']}")
        sample = Sample(**{**found, "latencies": array("d", found["latencies"])})
        if operation == "insert":
            self.rows += sample.operations
            self.unanswered += sample.failed
        return sample

    async def stop(self) -> None:
        if self.process.returncode is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            await asyncio.wait_for(self.process.wait(), _ANSWER_S)


@dataclass
class Compare:
    """Runs a plan at a place."""

    place: Place
    plan: Plan
    tell: Tell
    missing: dict[str, str] = field(default_factory=dict)
    turns: dict[tuple[Operation, str, int], list[Sample]] = field(default_factory=dict)

    async def run(self, started: datetime) -> Comparison:
        here, plan, place = machine(), self.plan, self.place
        self.tell("filling the table")
        await fill(place.session, place.keyspace, plan)
        workers = await self._start()
        try:
            await self._warm_up(workers)
            honesty = await self._hold_against_yardstick(workers[0])
            for round_ in range(plan.rounds):
                for operation in OPERATIONS:
                    for concurrency in plan.concurrencies:
                        await self._round(workers, operation, concurrency, round_)
        finally:
            for worker in workers:
                await worker.stop()
        self.tell("counting")
        verified = [await self._verify(worker) for worker in workers]
        return Comparison(
            benchmark="compare",
            started=started,
            void=_void(honesty, verified),
            machine=here,
            versions=versions() | _peers(),
            engine=place.engine,
            plan=plan,
            honesty=honesty,
            cases={operation: self._figures(operation, workers) for operation in OPERATIONS},
            missing=self.missing,
            verified=verified,
        )

    async def _start(self) -> list[Worker]:
        ready = []
        for name in self.plan.sides:
            worker = await Worker.start(name, self.place, self.plan)
            found = await worker.told()
            if found["ready"]:
                worker.note = found["note"]
                ready.append(worker)
            else:
                self.missing[name] = found["why"]
                self.tell(f"{name} takes no part: {found['why']}")
                await worker.stop()
        return ready

    async def _warm_up(self, workers: Sequence[Worker]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + self.plan.warmup_seconds
        while loop.time() < end:
            for worker in workers:
                for operation in OPERATIONS:
                    self.tell(f"warming up: {worker.name}")
                    await worker.run(operation, max(self.plan.concurrencies), self.plan.seconds / 2)

    async def _hold_against_yardstick(self, bare: Worker) -> Honesty:
        """The best turn of each, as in `cassorm bench`."""
        baseline, yardstick = [0.0], [0.0]
        for _ in range(_YARDSTICK_ROUNDS):
            self.tell("the baseline's yardstick")
            concurrency, seconds = max(self.plan.concurrencies), self.plan.seconds
            yardstick.append((await bare.run("insert", concurrency, seconds, yardstick=True)).per_s)
            baseline.append((await bare.run("insert", concurrency, seconds)).per_s)
        return Honesty(max(baseline), max(yardstick))

    async def _round(self, workers: Sequence[Worker], operation: Operation, concurrency: int, round_: int) -> None:
        # Who goes first changes.
        first = round_ * 3 % len(workers)
        for worker in [*workers[first:], *workers[:first]]:
            self.tell(f"{operation}, {concurrency} in flight, round {round_ + 1} of {self.plan.rounds}: {worker.name}")
            sample = await worker.run(operation, concurrency, self.plan.seconds)
            self.turns.setdefault((operation, worker.name, concurrency), []).append(sample)

    async def _verify(self, worker: Worker) -> Verified:
        own = table.written(worker.name)
        found = await count_rows(self.place.session, self.place.keyspace, Counted(own, "id"), worker.rows)
        return Verified(worker.name, own, worker.rows, worker.unanswered, found)

    def _figures(self, operation: Operation, workers: Sequence[Worker]) -> dict[str, Figures]:
        best = {worker.name: self._best(operation, worker.name) for worker in workers}
        bare = self.turns[operation, YARDSTICK, best[YARDSTICK]]
        found = {}
        for worker in workers:
            turns = self.turns[operation, worker.name, best[worker.name]]
            found[worker.name] = Figures(
                note=worker.note,
                concurrency=best[worker.name],
                per_s=median([turn.per_s for turn in turns]),
                cpu_s_per_1000=median([turn.cpu_s_per_1000 for turn in turns]),
                latency=latency([turn.latencies for turn in turns]),
                ratio=median_ratio([turn.per_s for turn in turns], [turn.per_s for turn in bare]),
                cpu_ratio=median_ratio([turn.cpu_s_per_1000 for turn in turns], [turn.cpu_s_per_1000 for turn in bare]),
                per_s_by_concurrency={
                    concurrency: median([turn.per_s for turn in self.turns[operation, worker.name, concurrency]])
                    for concurrency in self.plan.concurrencies
                },
            )
        return found

    def _best(self, operation: Operation, name: str) -> int:
        rates = {
            concurrency: median([turn.per_s for turn in self.turns[operation, name, concurrency]])
            for concurrency in self.plan.concurrencies
        }
        return max(rates, key=lambda concurrency: rates[concurrency])


async def fill(session: Session, keyspace: str, plan: Plan) -> None:
    """Create a table to read and one for each side to write into, and fill the first."""
    for name in (table.READ, *map(table.written, plan.sides)):
        await session.ddl(table.create(keyspace, name))
    insert = await session.prepare(table.insert(keyspace, table.READ))
    left = iter([(key, number) for key in table.partitions(plan.partitions) for number in range(table.PAGE)])

    async def work() -> None:
        for key, number in left:
            await session.execute(insert, (key, number, *table.REST.values()))

    await asyncio.gather(*(work() for _ in range(_LOADERS)))


def _void(honesty: Honesty, verified: Sequence[Verified]) -> str | None:
    if honesty.ratio < honesty.least:
        return (
            f"the baseline reached {honesty.ratio:.2f} of its yardstick, less than {HONEST}: "
            "run it again on a quiet machine"
        )
    wrong = [row for row in verified if not row.right]
    return (
        "; ".join(f"{row.side}: {row.acknowledged:,} rows acknowledged, {row.counted:,} counted" for row in wrong)
        or None
    )


def _peers() -> dict[str, str]:
    found = {}
    for package in PACKAGES.values():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def as_table(found: Comparison) -> Mapping[Operation, list[tuple[str, ...]]]:
    """For each operation, a row for each side, the fastest first."""
    return {
        operation: [
            (
                name,
                figures.note,
                f"{figures.per_s:,.0f}",
                f"{figures.ratio:.2f}",
                f"{figures.latency.p50_ms:.1f}",
                f"{figures.latency.p99_ms:.1f}",
                f"{figures.cpu_s_per_1000:.3f}",
                f"{figures.cpu_ratio:.2f}",
            )
            for name, figures in sorted(sides.items(), key=lambda item: -item[1].per_s)
        ]
        for operation, sides in found.cases.items()
    }
