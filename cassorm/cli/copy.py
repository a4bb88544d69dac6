"""`cassorm schema copy`: the rows of a table into one of another key."""

import time
from typing import Annotated

import typer

from cassorm.cli.connection import Hosts, KeyspaceOption, count, open_session, settings_for, split_name
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import SchemaError
from cassorm.schema.copy import Copied, Progress, copy_table
from cassorm.schema.introspect import introspect
from cassorm.schema.table import Table

_EVERY_S = 0.5
Name = tuple[str, str]


def copy(
    source: Annotated[str, typer.Argument(help="The table to read.", metavar="KEYSPACE.TABLE")],
    target: Annotated[str, typer.Argument(help="The table to fill; it exists.", metavar="KEYSPACE.TABLE")],
    *,
    keyspace: KeyspaceOption = None,
    lose: Annotated[
        list[str] | None, typer.Option("--lose", help="A column that need not be copied.", metavar="COLUMN")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Token ranges under way at once.", min=1, max=64)] = 4,
    rate: Annotated[float | None, typer.Option(help="The most rows a second, to spare the cluster.", min=1)] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Begin again, rather than where it was stopped.")] = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Copy every row into a table of another key or other types, beside an application that writes to both.

    Stopped, it goes on where it was. Values keep the time at which they were written, so nothing newer is overwritten.
    Exit code 1: the counts differ, or a row has no place in the new table.
    """
    settings = settings_for(hosts)
    keyspace = keyspace or settings.keyspace
    names = split_name(source, keyspace), split_name(target, keyspace)
    work = _copy(settings, *names, lose=lose or [], parallel=parallel, rate=rate, restart=restart)
    done = run(work)
    data(_report(done), "", as_json=as_json)
    note(_summary(done, *(".".join(name) for name in names)))
    if not done.complete:
        raise typer.Exit(NEGATIVE)


async def _copy(
    settings: Settings, source: Name, target: Name, *, lose: list[str], parallel: int, rate: float | None, restart: bool
) -> Copied:
    async with open_session(settings) as session:
        tables = [await live_table(session, *name) for name in (source, target)]
        return await copy_table(
            session, *tables, lose=lose, parallel=parallel, rate=rate, restart=restart, progress=_Shown().show
        )


async def live_table(session: Session, keyspace: str, name: str) -> Table:
    """The live table of that name.

    Raises:
        SchemaError: there is none.
    """
    found = (await introspect(session, keyspace, {name})).get(name)
    if found is None:
        raise SchemaError("does not exist", where=f"table {keyspace}.{name}", remedy="Check the name, or create it")
    return found


class _Shown:
    """Progress on stderr, a line each half second and one at the end."""

    def __init__(self) -> None:
        self._next = 0.0

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now >= self._next or progress.ranges_done == progress.ranges:
            self._next = now + _EVERY_S
            share = progress.ranges_done / progress.ranges
            note(f"{progress.ranges_done}/{progress.ranges} ranges ({share:.0%}), {count(progress.rows, 'row')}")


def _report(done: Copied) -> dict[str, object]:
    return {
        "rows": done.rows,
        "skipped": done.skipped,
        "skipped_keys": [[str(part) for part in key] for key in done.skipped_keys],
        "source_rows": done.source_rows,
        "target_rows": done.target_rows,
        "complete": done.complete,
    }


def _summary(done: Copied, source: str, target: str) -> str:
    counts = f"{count(done.source_rows, 'row')} in {source}, {done.target_rows} in {target}"
    if done.skipped:
        keys = "; ".join(", ".join(map(str, key)) for key in done.skipped_keys[:5])
        return (
            f"{counts}; {count(done.skipped, 'row')} without a value for the new key {'was' if done.skipped == 1 else 'were'}"
            f" not copied: {keys}. Give them one, then copy again with --restart"
        )
    if not done.complete:
        return (
            f"{counts}: they differ. Rows that were written or deleted while the copy ran, in one table alone, make such a "
            "difference: let the application write to both, then copy again with --restart"
        )
    return (
        f"{counts}. Cassandra cannot rename tables: let the application, which writes to both by now, read from {target}; "
        f"when it is well, let it write there alone; then DROP TABLE {source}"
    )
