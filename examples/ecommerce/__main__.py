"""`python -m examples.ecommerce`: replay a file of sales, report on the shop, show the rows that were set aside."""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cassorm import CassandraEventStore, CassormError, connect
from cassorm.errors import ClusterError, ConfigurationError, ProjectionError, QueryError
from examples.ecommerce.console import Bars, print_answers
from examples.ecommerce.imports import CHUNK
from examples.ecommerce.read_side import carried, is_behind, lag, read_report, statuses
from examples.ecommerce.replay import replay
from examples.ecommerce.report import Answer, files, make_report
from examples.ecommerce.rows import Checked, check
from examples.ecommerce.shop import Shop

_HOT = 5_000
_READ_MODELS = "examples.ecommerce.read_models"
_SHARDS = 4
"""So many processes can share the read side at most, and a sum over everything has so many parts."""


class ShopError(CassormError):
    """What the shop says contradicts itself, or it cannot say anything."""


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
        (
            "replay",
            _replay,
            "apply the rows of a file, carry the read side along, then report; run it again whenever it was interrupted",
        ),
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
        if command is not _set_aside:
            sub.add_argument(
                "--from",
                choices=("read-side", "streams", "both"),
                default="read-side",
                dest="source",
                help="what answers the report; with `streams`, replay carries no read side; %(default)s",
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
            if options.source == "streams":
                changed = await _apply(store, checked, options, bars)
            else:
                async with carried(store, bars.say) as caught_up:
                    changed = await _apply(store, checked, options, bars)
                    await caught_up()
            answers = await _answers(store, options, bars)
    if not changed:
        print(f"{options.data}: everything in it is there already", file=sys.stderr)
    _print(answers, options)


async def _apply(store: CassandraEventStore, checked: Checked, options: argparse.Namespace, bars: Bars) -> bool:
    async with Shop(store, hot=_HOT) as shop:
        progress = bars.add("applying", "rows", checked.rows)
        return await replay(shop, checked, chunk=options.chunk, at_once=options.concurrency, progress=progress)


async def _report(options: argparse.Namespace) -> None:
    bars = Bars(quiet=options.json)
    with bars.shown():
        async with _store(options.keyspace) as store:
            answers = await _answers(store, options, bars)
            if options.source != "streams" and any(map(is_behind, found := await statuses(store))):
                remedy = (
                    f"run the replay again, or `cassorm projections run {_READ_MODELS} --keyspace {options.keyspace}`"
                )
                bars.say(f"{lag(found)}; {remedy}")
    _print(answers, options)


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


async def _answers(store: CassandraEventStore, options: argparse.Namespace, bars: Bars) -> list[Answer]:
    """Return the report from each source that was asked for."""
    answers = []
    if options.source != "streams":
        begun = time.monotonic()
        try:
            report = await read_report()
        except ProjectionError as error:
            raise ShopError(
                "there is no read side yet",
                where=f"keyspace {options.keyspace}",
                remedy="Run the replay again, which builds it; or report --from streams",
            ) from error
        answers.append(Answer("read side", report, time.monotonic() - begun))
    if options.source != "read-side":
        begun = time.monotonic()
        progress = bars.add("reading the streams", "streams")
        async with Shop(store) as shop:  # with repositories of its own, which keep nothing in memory
            report = await make_report(shop, at_once=options.concurrency, progress=progress)
        answers.append(Answer("streams", report, time.monotonic() - begun))
    return answers


@asynccontextmanager
async def _store(keyspace: str, *, create: bool = False) -> AsyncIterator[CassandraEventStore]:
    """Yield the store in a keyspace, which has to be there unless it may be created."""
    async with (
        connect(keyspace=None if create else keyspace) as db,
        CassandraEventStore(db, keyspace=keyspace, shards=_SHARDS if create else None) as store,
    ):
        with db.in_keyspace(keyspace):
            yield store


def _print(answers: Sequence[Answer], options: argparse.Namespace) -> None:
    """Print the report on stdout, and what is to be known about it on stderr."""
    documents = {answer.source: answer.report.document() for answer in answers}
    if options.json:
        document = documents if len(answers) > 1 else documents[answers[0].source]
        print(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        print_answers(answers, options.keyspace)
    where = f"keyspace {options.keyspace}"
    first, last = answers[0].report, answers[-1].report
    for file in last.unfinished:
        print(f"the replay of {file} is not finished: run it again", file=sys.stderr)
    if not last.unfinished and last.contradictions:
        raise ShopError(
            "; ".join(last.contradictions[:5]),
            where=where,
            remedy="If a replay is under way, report again when it is done; if none is, something else wrote to these "
            "streams",
        )
    others = sorted(key for key, value in first.document().items() if value != last.document()[key])
    if others:
        raise ShopError(
            f"read side and streams differ in {', '.join(others)}",
            where=where,
            remedy="If a replay is under way, or was interrupted, report again when it is done; if not, rebuild: "
            f"`cassorm projections rebuild NAME -m {_READ_MODELS} --keyspace {options.keyspace}`",
        )
    if len(answers) > 1:
        print("the read side and the streams say the same", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
