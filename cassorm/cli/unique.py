"""`cassorm schema repair-unique`: claims on unique values beside the rows that hold them."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cassorm.cli.connection import Hosts, KeyspaceOption, count, open_session, settings_for, split_name
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.driver.settings import Settings
from cassorm.errors import SchemaError
from cassorm.schema.introspect import introspect_schema
from cassorm.schema.keyspace import Schema

_SHOWN = {"orphan": "dropped", "unclaimed": "claimed", "unsettled": "settled"}


def repair_unique(
    table: Annotated[str, typer.Argument(help="A table with unique columns.", metavar="KEYSPACE.TABLE")],
    *,
    keyspace: KeyspaceOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is wrong, and change nothing.")] = False,
    grace: Annotated[
        float, typer.Option(help="Seconds in which a write ends: `claim_grace` of the applications.", min=1)
    ] = 60,
    parallel: Annotated[int, typer.Option(help="Token ranges under way at once.", min=1, max=64)] = 4,
    limit: Annotated[int, typer.Option(help="List so many findings; all are counted.", min=0)] = 1000,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Drop claims that a crash left behind, and claim values that were written past them; report duplicates.

    Exit code 1: two rows hold one value, or, with --dry-run, something would be changed.
    """
    settings = settings_for(hosts)
    name = split_name(table, keyspace or settings.keyspace)
    listed = _Listed(limit, as_json=as_json)
    with _bar(".".join(name)) as progress:
        seen = run(
            _repair(
                settings,
                name,
                dry_run=dry_run,
                grace=timedelta(seconds=grace),
                parallel=parallel,
                found=listed,
                progress=progress,
            )
        )
    if as_json:
        counts = {"rows": seen.rows, "claims": seen.claims, "dry_run": dry_run, "found": dict(seen.kinds)}
        data(counts | {"listed": listed.rows}, "", as_json=True)
    note(_summary(seen, dry_run=dry_run))
    if seen.kinds["duplicate"] or (dry_run and any(seen.kinds[kind] for kind in _SHOWN)):
        raise typer.Exit(NEGATIVE)


class _Listed:
    """Lists findings as they come, and keeps no more than are to be listed."""

    def __init__(self, limit: int, *, as_json: bool) -> None:
        self.rows: list[dict[str, object]] = []
        self._left = limit
        self._as_json = as_json

    def __call__(self, found: Any) -> None:
        if self._left <= 0:
            return
        self._left -= 1
        if self._as_json:
            self.rows.append({name: _texts(value) for name, value in asdict(found).items() if value is not None})
            return
        parts = [found.kind.ljust(9), _line(found.values)]
        parts += [f"row {_line(found.row)}"] if found.row else []
        parts += [f"owner {_line(found.owner)}"] if found.owner else []
        typer.echo("  ".join(parts))


def _texts(value: Any) -> object:
    return (
        {name: None if part is None else str(part) for name, part in value.items()}
        if isinstance(value, dict)
        else value
    )


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())


def _summary(seen: Any, *, dry_run: bool) -> str:
    looked = f"{count(seen.rows, 'row')}, {count(seen.claims, 'claim')}"
    if not seen.kinds:
        return f"{looked}: every value is claimed by the row that holds it"
    told = [
        f"{number} {kind}{'' if dry_run or kind not in _SHOWN else f' ({_SHOWN[kind]})'}"
        for kind, number in sorted(seen.kinds.items())
    ]
    text = f"{looked}: {', '.join(told)}{'; nothing was changed' if dry_run else ''}"
    if seen.kinds["duplicate"]:
        text += ". Give one row of each duplicate another value, by db.save: the other one's owner is named"
    return text


@contextmanager
def _bar(what: str) -> Iterator[Callable[[Any], None]]:
    """A progress bar on a terminal's stderr, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*parts, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda seen: bar.update(task, total=seen.ranges, completed=seen.ranges_done)


async def _repair(settings: Settings, name: tuple[str, str], **options: Any) -> Any:
    # Models and all that they need: only who asks for them waits for the import.
    repair = importlib.import_module("cassorm.orm.unique_repair").repair_unique
    models_of = importlib.import_module("cassorm.orm.from_schema").models_of
    keyspace, table = name
    async with open_session(settings) as session:
        live = await introspect_schema(session, keyspace)
        found = [each for each in live.tables if each.name == table]
        if not found:
            raise SchemaError("does not exist", where=f"table {keyspace}.{table}", remedy="Check its name")
        if not found[0].unique:
            raise SchemaError(
                "has no lookup table of unique columns",
                where=f"table {keyspace}.{table}",
                remedy="Create it first: `await db.create(Model)`, or `cassorm schema apply` with `unique` in the file",
            )
        return await repair(session, models_of(Schema(tuple(found), live.types))[table], **options)
