"""`cassorm schema verify-view` and `rebuild-view`: native materialized views beside their base."""

from collections import Counter
from typing import Annotated

import typer

from cassorm.cli.connection import Hosts, KeyspaceOption, count, open_session, settings_for, split_name
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError
from cassorm.schema.views import ViewCheck, ViewDifference, find_view, rebuild_statements
from cassorm.schema.views import rebuild_view as rebuild
from cassorm.schema.views import verify_view as verify

View = Annotated[str, typer.Argument(help="The view.", metavar="KEYSPACE.VIEW")]


def verify_view(
    view: View,
    *,
    keyspace: KeyspaceOption = None,
    parallel: Annotated[int, typer.Option(help="Token ranges under way at once.", min=1, max=64)] = 4,
    limit: Annotated[int, typer.Option(help="List so many differences; all are counted.", min=0)] = 1000,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Compare a materialized view with its base, row by row and both ways. Exit code 1: there are differences."""
    settings = settings_for(hosts)
    name = split_name(view, keyspace or settings.keyspace)
    listed = _Listed(limit, as_json=as_json)
    seen = run(_verify(settings, name, listed, parallel))
    if as_json:
        rows = {"base_rows": seen.base_rows, "view_rows": seen.view_rows}
        data(rows | {"differences": dict(listed.kinds), "listed": listed.rows}, "", as_json=True)
    looked = f"{count(seen.base_rows, 'row')} of the base, {count(seen.view_rows, 'row')} of the view"
    if not seen.differences:
        note(f"{looked}: no differences")
        return
    kinds = ", ".join(f"{number} {kind}" for kind, number in listed.kinds.items())
    note(
        f"{looked}: {count(seen.differences, 'difference')} ({kinds}). Next: cassorm schema rebuild-view {'.'.join(name)}"
    )
    raise typer.Exit(NEGATIVE)


def rebuild_view(
    view: View,
    *,
    keyspace: KeyspaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Drop it and create it again.")] = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Drop a materialized view, create it again, and wait until it is built. Queries on it fail meanwhile."""
    settings = settings_for(hosts)
    name = split_name(view, keyspace or settings.keyspace)
    statements = run(_rebuild(settings, name, yes=yes))
    data({"rebuilt": ".".join(name), "cql": list(statements)}, ".".join(name), as_json=as_json)
    note("built on every node")


class _Listed:
    """Lists differences as they are found, and keeps no more than are to be listed."""

    def __init__(self, limit: int, *, as_json: bool) -> None:
        self.kinds: Counter[str] = Counter()
        self.rows: list[dict[str, object]] = []
        self._left = limit
        self._as_json = as_json

    def __call__(self, found: ViewDifference) -> None:
        self.kinds[found.kind] += 1
        if self._left <= 0:
            return
        self._left -= 1
        key = {name: str(value) for name, value in found.key.items()}
        if self._as_json:
            self.rows.append({"kind": found.kind, "key": key, "columns": list(found.columns)})
        else:
            columns = f"  {', '.join(found.columns)}" if found.columns else ""
            typer.echo(f"{found.kind.ljust(7)}  {', '.join(f'{name}={value}' for name, value in key.items())}{columns}")


async def _verify(settings: Settings, name: tuple[str, str], listed: _Listed, parallel: int) -> ViewCheck:
    async with open_session(settings) as session:
        table, view = await find_view(session, *name)
        return await verify(session, table, view, found=listed, parallel=parallel)


async def _rebuild(settings: Settings, name: tuple[str, str], *, yes: bool) -> tuple[str, str]:
    async with open_session(settings) as session:
        table, view = await find_view(session, *name)
        statements = rebuild_statements(session, table, view)
        # Said first: who is interrupted between the two can still create it.
        note("\n".join(f"{text};" for text in statements))
        if not yes:
            raise ConfigurationError(
                "it would be dropped, and queries on it fail until it is built",
                where=f"view {'.'.join(name)}",
                remedy="Add --yes",
            )
        await rebuild(session, table, view)
        return statements
