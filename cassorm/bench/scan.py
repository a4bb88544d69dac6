"""A whole table: by a plain paged SELECT of the bare driver, and by `Model.scan` into tuples and into models."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import Any, NamedTuple

from cassorm.bench.cases import sample_value
from cassorm.bench.orm import NUMBER, insert_text, row_model, select_text, set_aside
from cassorm.bench.place import Place
from cassorm.bench.runner import Progress, silent
from cassorm.bench.sample import median, median_ratio
from cassorm.bench.streams import Memory, Resident
from cassorm.bench.workload import Workload
from cassorm.errors import ClusterError
from cassorm.events.ids import new_id
from cassorm.orm.database import Database
from cassorm.orm.model import Model

_IN_PARTITION = 100
_IN_BATCH = 20
_LOADERS = 16
_PAGE_SIZE = 5000
_PARALLEL = 8


@dataclass(frozen=True, slots=True)
class Scanner:
    """One way to read the table: medians of the rounds, and the rows a second of each."""

    rows_per_s: float
    cpu_s_per_million: float
    rounds: list[float]


@dataclass(frozen=True, slots=True)
class Scanned:
    """A table of `rows`, read as a whole in turns; the ratios are those of rows a second, medians of the rounds'.

    `resident` is the memory behind a tenth of the rows as models, and the most during all of them.
    """

    rows: int
    page_size: int
    parallel: int
    fill_per_s: float
    bare: Scanner
    tuples: Scanner
    models: Scanner
    tuples_ratio: float
    models_ratio: float
    resident: Memory


class _Turn(NamedTuple):
    per_s: float
    cpu_s_per_million: float


async def scan(place: Place, workload: Workload, progress: Progress = silent) -> Scanned:
    """Fill a table, then read it in turns."""
    from cassorm.bench.baseline import Bare  # noqa: PLC0415 - needs a driver: there is one, or there were no place

    db, rows = place.session, workload.scan_rows
    model: Any = row_model("scanned", workload.columns, place.keyspace, numbered=True)
    await db.create(model)
    started = perf_counter()
    await _fill(db, model, workload, lambda share: progress("filling", share * 0.3))
    fill_per_s = rows / (perf_counter() - started)
    columns = [getattr(model, name) for name in model.model_fields]
    bare = await asyncio.to_thread(Bare, place.settings, datacenter=db.datacenter, nodes=place.engine.nodes)
    try:
        ways: Mapping[str, Callable[[], Awaitable[int]]] = {
            "bare": lambda: asyncio.to_thread(bare.scan, select_text(model), page_size=_PAGE_SIZE),
            "tuples": lambda: _counted(model.scan(parallel=_PARALLEL, page_size=_PAGE_SIZE).values(*columns)),
            "models": lambda: _counted(model.scan(parallel=_PARALLEL, page_size=_PAGE_SIZE)),
        }
        progress("warming up", 0.3)
        end = perf_counter() + workload.warmup_seconds
        while True:
            for way in ways.values():
                await _timed(way, rows)
            if perf_counter() >= end:
                break
        resident = await _watched(model, rows)
        set_aside()
        turns: dict[str, list[_Turn]] = {name: [] for name in ways}
        for round_ in range(workload.rounds):
            # Who goes first changes.
            for name in list(ways)[:: 1 if round_ % 2 == 0 else -1]:
                progress(f"{name}, round {round_ + 1} of {workload.rounds}", 0.5 + 0.5 * round_ / workload.rounds)
                turns[name].append(await _timed(ways[name], rows))
    finally:
        await asyncio.to_thread(bare.close)
    per_s = {name: [turn.per_s for turn in taken] for name, taken in turns.items()}
    found = {
        name: Scanner(median(per_s[name]), median([turn.cpu_s_per_million for turn in taken]), per_s[name])
        for name, taken in turns.items()
    }
    return Scanned(
        rows=rows,
        page_size=_PAGE_SIZE,
        parallel=_PARALLEL,
        fill_per_s=fill_per_s,
        bare=found["bare"],
        tuples=found["tuples"],
        models=found["models"],
        tuples_ratio=median_ratio(per_s["tuples"], per_s["bare"]),
        models_ratio=median_ratio(per_s["models"], per_s["bare"]),
        resident=resident,
    )


async def _timed(way: Callable[[], Awaitable[int]], rows: int) -> _Turn:
    cpu, start = process_time(), perf_counter()
    found = await way()
    elapsed, spent = perf_counter() - start, process_time() - cpu
    _check(found, rows)
    return _Turn(rows / elapsed, spent / rows * 1e6)


async def _counted(scanned: Any) -> int:
    count = 0
    async for _ in scanned:
        count += 1
    return count


async def _watched(model: type[Model], rows: int) -> Memory:
    count, after_tenth = 0, 0
    with Resident() as resident:
        async for _ in model.scan(parallel=_PARALLEL, page_size=_PAGE_SIZE):
            count += 1
            if count == rows // 10:
                after_tenth = resident.peak_bytes
    _check(count, rows)
    return Memory(after_tenth, resident.peak_bytes)


def _check(found: int, rows: int) -> None:
    if found != rows:
        raise ClusterError(
            f"{rows:,} rows were acknowledged and {found:,} were read",
            where="table scanned",
            remedy="Report it: this must not happen",
        )


async def _fill(db: Database, model: type[Model], workload: Workload, done: Callable[[float], None]) -> None:
    assert NUMBER in model.model_fields  # noqa: S101 - the parameters below
    insert = await db.prepare(insert_text(model))
    rest = [sample_value(column) for column in list(workload.columns.values())[1:]]
    rows = workload.scan_rows
    firsts = iter(range(0, rows, _IN_PARTITION))

    async def work() -> None:
        for first in firsts:
            key, count = new_id(), min(_IN_PARTITION, rows - first)
            for start in range(0, count, _IN_BATCH):
                numbers = range(start, min(start + _IN_BATCH, count))
                await db.execute_batch([(insert, [key, number, *rest]) for number in numbers], kind="unlogged")
            done(first / rows)

    await asyncio.gather(*(work() for _ in range(_LOADERS)))
