"""`python -m examples.ecommerce`: replay a file of sales, report on the shop, show the rows that were set aside."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cassorm import CassandraEventStore, CassormError, EventStore, connect
from cassorm.errors import ClusterError, ConfigurationError, QueryError
from examples.ecommerce.console import Bars, print_report
from examples.ecommerce.imports import CHUNK
from examples.ecommerce.replay import replay
from examples.ecommerce.report import Report, files, make_report
from examples.ecommerce.rows import Checked, check
from examples.ecommerce.shop import Shop

_HOT = 5_000


class ShopError(CassormError):
    """The streams of the shop contradict each other."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    0: done; 1: the file cannot be replayed, or the streams contradict each other; 2: wrong usage or settings; 3: the
    cluster does not answer; 130: interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        asyncio.run(options.command(options))
    except CassormError as error:
        print(f"error: {error}", file=sys.stderr)
        if options.command is _replay and isinstance(error, ClusterError):
            print("Nothing is lost or doubled: run the same command again, it continues.", file=sys.stderr)
        if isinstance(error, ClusterError):
            return 3
        return 2 if isinstance(error, ConfigurationError | QueryError) else 1
    except BrokenPipeError:  # whoever read the report has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again, it continues", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.ecommerce", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, command, text in (
        ("replay", _replay, "apply the rows of a file, then report; run it again whenever it was interrupted"),
        ("report", _report, "report on everything that was replayed into the keyspace"),
        ("set-aside", _set_aside, "show every row that was not applied: file, line, reason"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if command is _replay:
            sub.add_argument("--data", type=Path, required=True, metavar="FILE", help=".csv or .csv.gz")
            sub.add_argument(
                "--chunk",
                type=_from_1_to(1_000_000),
                default=CHUNK,
                metavar="N",
                help="rows applied together, fixed for a file by its first run; %(default)s",
            )
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.add_argument("--keyspace", default="shop", help="where the streams are; %(default)s unless given")
        sub.add_argument(
            "--concurrency", type=_from_1_to(1_024), default=64, metavar="N", help="streams at once; %(default)s"
        )
    parser.epilog = "CASSORM_HOSTS says where the cluster is; `cassorm node run -- COMMAND` starts one for a command."
    return parser


def _from_1_to(most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from 1 to {most}")
        return int(text)

    return number


async def _replay(options: argparse.Namespace) -> None:
    bars = Bars(quiet=options.json)
    with bars.shown():
        checked = _check(options.data, bars)
        async with _store(options.keyspace, create=True) as store:
            async with Shop(store, hot=_HOT) as shop:
                progress = bars.add("applying", "rows", checked.rows)
                changed = await replay(
                    shop, checked, chunk=options.chunk, at_once=options.concurrency, progress=progress
                )
            report = await _read(store, options, bars)
    if not changed:
        print(f"{options.data}: everything in it is there already", file=sys.stderr)
    _print(report, options)


async def _report(options: argparse.Namespace) -> None:
    bars = Bars(quiet=options.json)
    with bars.shown():
        async with _store(options.keyspace) as store:
            report = await _read(store, options, bars)
    _print(report, options)


async def _set_aside(options: argparse.Namespace) -> None:
    async with _store(options.keyspace) as store, Shop(store) as shop:
        imports = await files(shop)
    rows = [
        {"file": one.file, "line": row.file_line, "reason": row.reason, "detail": row.detail, "text": row.text}
        for one in imports
        for row in one.set_aside
    ]
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        for row in rows:
            print(f"{row['file']}:{row['line']}: {row['reason']}: {row['detail']}: {row['text']}")


def _check(path: Path, bars: Bars) -> Checked:
    """Read the whole file, before anything is written, and tell which rows do not parse."""
    checked = check(path, bars.add("checking the file", "bytes", path.stat().st_size if path.is_file() else None))
    for row in checked.broken:
        print(f"{path}:{row.file_line}: set aside: {row.reason}: {row.detail}", file=sys.stderr)
    if checked.broken_count > len(checked.broken):
        print(
            f"{path}: {checked.broken_count - len(checked.broken):,} more rows do not parse; "
            "see them all with `python -m examples.ecommerce set-aside`",
            file=sys.stderr,
        )
    return checked


async def _read(store: EventStore, options: argparse.Namespace, bars: Bars) -> Report:
    """Read the report from the streams: with repositories of its own, which keep nothing in memory."""
    progress = bars.add("reading the streams", "streams")
    async with Shop(store) as shop:
        return await make_report(shop, at_once=options.concurrency, progress=progress)


@asynccontextmanager
async def _store(keyspace: str, *, create: bool = False) -> AsyncIterator[EventStore]:
    """Yield the store in a keyspace, which has to be there unless it may be created."""
    async with (
        connect(keyspace=None if create else keyspace) as db,
        CassandraEventStore(db, keyspace=keyspace) as store,
    ):
        yield store


def _print(report: Report, options: argparse.Namespace) -> None:
    """Print the report on stdout, and what is to be known about it on stderr."""
    if options.json:
        print(json.dumps(report.document(), indent=2, ensure_ascii=False))
    else:
        print_report(report, options.keyspace)
    for file in report.unfinished:
        print(f"the replay of {file} is not finished: run it again", file=sys.stderr)
    if not report.unfinished and report.contradictions:
        raise ShopError(
            "; ".join(report.contradictions[:5]),
            where=f"keyspace {options.keyspace}",
            remedy="If a replay is under way, report again when it is done; if none is, something else wrote to these "
            "streams",
        )


if __name__ == "__main__":
    sys.exit(main())
