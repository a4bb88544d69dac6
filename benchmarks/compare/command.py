"""Compare cassorm, the bare driver and every Python peer that is installed, on one table of one node."""

import argparse
import asyncio
import importlib
import importlib.util
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.compare.run import SIDES, YARDSTICK, Compare, Plan, as_table
from cassorm.bench.place import open_place
from cassorm.bench.report import as_json_data, place, save
from cassorm.devnode import DevNode
from cassorm.driver.settings import Settings


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    made.add_argument("--peers", metavar="NAMES", help="which to compare, with commas; all of them unless given")
    made.add_argument("--hosts", metavar="HOST:PORT", help="a cluster; unless given, a node is started for it")
    made.add_argument("--here", action="store_true", help="in this environment, without one of the peers' own")
    made.add_argument("--rounds", type=int, help="how often every side has its turn")
    made.add_argument("--seconds", type=float, help="the length of a turn")
    made.add_argument("--warmup", type=float, help="seconds of load before the first figure")
    made.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, and no speed")
    made.add_argument("--results", type=Path, metavar="FILE", help="write all figures to this file")
    made.add_argument("--json", action="store_true", help="print the figures as JSON")
    return made


def main(arguments: list[str]) -> int:
    said = parser().parse_args(arguments)
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        factory = importlib.import_module("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(compare(said))


async def compare(said: argparse.Namespace) -> int:
    names = list(SIDES) if said.peers is None else [YARDSTICK, *said.peers.split(",")]
    unknown = [name for name in names if name not in SIDES]
    if unknown:
        print(f"no such peer: {', '.join(unknown)}; there are {', '.join(SIDES)}", file=sys.stderr)
        return 2
    plan = Plan(list(dict.fromkeys(names)))
    plan = plan.quick() if said.quick else plan
    given = {"rounds": said.rounds, "seconds": said.seconds, "warmup_seconds": said.warmup}
    plan = replace(plan, **{name: value for name, value in given.items() if value is not None})
    started = datetime.now(UTC)
    async with hosts(said.hosts) as settings, open_place(settings, local=said.hosts is None) as at:
        found = await Compare(at, plan, tell).run(started)
    values = as_json_data(found)
    if said.results is not None:
        save(values, said.results)
    if said.json:
        print(json.dumps(values, indent=2))
    else:
        header = ("", "", "per s", "ratio", "p50 ms", "p99 ms", "CPU s/1,000", "ratio")
        for operation, rows in as_table(found).items():
            show(operation, [header, *rows])
        print(f"baseline: {found.honesty.ratio:.2f} of its yardstick")
        for name, why in found.missing.items():
            print(f"not compared: {name}: {why}")
        print(place(found.machine, found.engine, found.versions))
    if found.void is not None:
        print(f"void: {found.void}", file=sys.stderr)
    return int(found.void is not None)


@asynccontextmanager
async def hosts(given: str | None) -> AsyncIterator[Settings]:
    if given is not None:
        yield Settings(hosts=tuple(given.split(",")), keyspace=None)
        return
    async with DevNode(profile="bench") as node:
        yield Settings(hosts=tuple(node.hosts), keyspace=None)


def tell(doing: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{doing}", end="", file=sys.stderr, flush=True)


def show(title: str, rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    print(f"\n{title}")
    for row in rows:
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
