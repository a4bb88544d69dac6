"""One side in a process of its own, told what to do line by line: `python -m benchmarks.compare.worker SIDE ...`.

Its standard output belongs to the command that started it, as JSON, a line for each answer.
"""

import asyncio
import importlib
import importlib.util
import json
import os
import random
import sys
import threading
from array import array
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from time import perf_counter, process_time
from typing import Any

from benchmarks.compare import table
from benchmarks.compare.side import Operation, Place, Side
from cassorm.bench.orm import set_aside
from cassorm.bench.sample import Sample
from cassorm.events.ids import new_id

BARE = {"bare": False, "bare_dicts": True}
MODULES = {
    "cassorm": "cassorm",
    "async_cassandra": "async_cassandra",
    "caspyorm": "caspyorm",
    "coodie": "coodie",
    "cqlengine": "cassandra.cqlengine",
    "pyssandra": "pyssandra",
}
"""What has to be installed for each side."""


Failures = list[Exception | None]
"""What operations raised, None for an answer that was not accepted."""


class SideRunner:
    """Runs a side's functions at once: as tasks of the event loop, or in threads."""

    def __init__(self, side: Side, partitions: int) -> None:
        self._side = side
        keys = table.partitions(partitions)
        self._first = keys[0]
        self._calls: dict[Operation, Callable[[], Any]] = {
            "insert": lambda: side.insert(new_id()),
            "get": lambda: side.get(random.choice(keys), random.randrange(table.PAGE)),
            "page": lambda: side.page(random.choice(keys)),
        }
        self._accepts: dict[Operation, Callable[[Any], bool]] = {
            "insert": bool,
            "get": lambda found: found is not None,
            "page": lambda found: len(found) == table.PAGE,
        }
        self.note = side.note

    async def run(self, operation: Operation, *, seconds: float, concurrency: int) -> Sample:
        call, accept = self._calls[operation], self._accepts[operation]
        if self._side.threads:
            return await asyncio.to_thread(in_threads, call, accept, seconds, concurrency)
        return await in_tasks(call, accept, seconds, concurrency)

    async def look(self) -> tuple[Mapping[str, Any], int]:
        """A row that was got, by column, and how many a page has."""
        side = self._side
        if side.threads:
            row = await asyncio.to_thread(side.get, self._first, 0)
            page = await asyncio.to_thread(side.page, self._first)
        else:
            row, page = await side.get(self._first, 0), await side.page(self._first)
        return side.values(row), len(page)


async def in_tasks(
    call: Callable[[], Awaitable[Any]], accept: Callable[[Any], bool], seconds: float, concurrency: int
) -> Sample:
    latencies, failures = array("d"), Failures()

    async def work() -> None:
        begun = perf_counter()
        while begun < end:
            try:
                accepted = accept(await call())
            except Exception as error:  # of any library: it is counted, and the worker does no more
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
    return _sample(latencies, failures, start, cpu)


def in_threads(call: Callable[[], Any], accept: Callable[[Any], bool], seconds: float, concurrency: int) -> Sample:
    latencies, failures = array("d"), Failures()

    def work() -> None:
        begun = perf_counter()
        while begun < end:
            try:
                accepted = accept(call())
            except Exception as error:  # as above
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
    threads = [threading.Thread(target=work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _sample(latencies, failures, start, cpu)


def _sample(latencies: "array[float]", failures: Failures, start: float, cpu: float) -> Sample:
    elapsed, spent = perf_counter() - start, process_time() - cpu
    if failures:
        print(f"{sys.argv[1]}: {len(failures)} operations failed, the first: {failures[0]!r}", file=sys.stderr)
    return Sample(len(latencies), elapsed, spent, len(failures), latencies)


def _differences(row: Mapping[str, Any]) -> list[str]:
    """Which values of a row are not those that were written, however the library gives them."""
    found = []
    for column, wanted in table.REST.items():
        value = row[column]
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        if value != wanted:
            found.append(f"{column} is {value!r}, not {wanted!r}")
    return found


async def serve(name: str, place: Place, partitions: int, datacenter: str, answer: Callable[[object], None]) -> None:
    side: Any
    if name in BARE:
        from benchmarks.compare.sides.bare import BareSide  # noqa: PLC0415 - of this side alone

        side = await asyncio.to_thread(BareSide, place, partitions, datacenter=datacenter, dict_rows=BARE[name])
        note = "callbacks, rows as dicts" if BARE[name] else "callbacks, rows as tuples"
    else:
        opened = importlib.import_module(f"benchmarks.compare.sides.{name}").open_side(place)
        side = SideRunner(await opened, partitions)
        note = side.note
    row, count = await side.look()
    set_aside()
    wrong = [*_differences(row), *([f"a page has {count} rows"] if count != table.PAGE else [])]
    answer({"ready": not wrong, "why": "; ".join(wrong), "note": note})
    while line := await asyncio.to_thread(sys.stdin.readline):
        said = json.loads(line)
        do = side.yardstick if said.pop("yardstick", False) else side.run
        sample: Sample = await do(said.pop("operation"), **said)
        answer(
            {
                "operations": sample.operations,
                "seconds": sample.seconds,
                "cpu_s": sample.cpu_s,
                "failed": sample.failed,
                "latencies": list(sample.latencies),
            }
        )


def main(arguments: list[str]) -> None:
    name, host, port, keyspace, own, partitions, datacenter = arguments
    # The libraries may print what they like.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: object) -> None:
        print(json.dumps(value), file=out, flush=True)

    if name in MODULES and _missing(MODULES[name]):
        answer({"ready": False, "missing": True, "why": "not installed"})
        return
    place = Place(host, int(port), keyspace, own)
    run = partial(serve, name, place, int(partitions), datacenter, answer)
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    # Whatever threads a library has left.
    os._exit(0)


def _missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        return True


if __name__ == "__main__":
    main(sys.argv[1:])
