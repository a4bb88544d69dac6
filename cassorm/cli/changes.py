"""`cassorm schema diff` and `plan`: what a live cluster has otherwise than files say, and what changing it takes."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from cassorm.cli.connection import Hosts, KeyspaceOption, count, open_session, settings_for
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.cli.wanted import Models, Paths, again, wanted
from cassorm.driver.settings import Settings
from cassorm.schema import copy, history
from cassorm.schema.changes import Change, Effect
from cassorm.schema.keyspace import Schema
from cassorm.schema.plan import compare_live

Options = Annotated[bool, typer.Option(help="Compare the options that the files set.")]
Extra = Annotated[bool, typer.Option(help="Report columns, indexes and views that no file declares.")]
Whole = Annotated[
    bool, typer.Option("--whole", help="The files declare the whole keyspace: report other tables and types.")
]
# The toolkit's own tables are nobody's surplus.
BOOKKEEPING = (history.TABLE, copy.TABLE)
_EFFECTS: tuple[Effect, ...] = ("safe", "loses data", "impossible")


def diff(
    paths: Paths = None,
    *,
    models: Models = None,
    keyspace: KeyspaceOption = None,
    options: Options = True,
    extra: Extra = True,
    whole: Whole = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """List what the cluster has otherwise than the files say; nothing is changed. Exit code 1: there are differences."""
    schema = wanted(paths, models)
    found = _found(schema, keyspace, hosts, options=options, extra=extra, whole=whole)
    data({"differences": [_difference(change) for change in found]}, _listed(found), as_json=as_json)
    if not found:
        note("no differences")
        return
    note(f"{count(len(found), 'difference')}. Next: cassorm schema plan {again(paths, models)}")
    raise typer.Exit(NEGATIVE)


def plan(
    paths: Paths = None,
    *,
    models: Models = None,
    keyspace: KeyspaceOption = None,
    options: Options = True,
    extra: Extra = False,
    whole: Whole = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Show the statements that would change the cluster to what the files say; nothing is changed.

    Exit code 1: a step loses data, or cannot be made by any statement.
    """
    schema = wanted(paths, models)
    found = _found(schema, keyspace, hosts, options=options, extra=extra, whole=whole)
    data({"changes": [{**_difference(change), **_cost(change)} for change in found]}, _planned(found), as_json=as_json)
    numbers = {effect: sum(change.effect == effect for change in found) for effect in _EFFECTS}
    said = ", ".join(f"{number} {effect}" for effect, number in numbers.items() if number)
    note(
        f"{count(len(found), 'change')}: {said}. Next: cassorm schema migrate --new NAME --from PATH"
        if found
        else "nothing to do: everything is there"
    )
    if numbers["loses data"] or numbers["impossible"]:
        raise typer.Exit(NEGATIVE)


def _found(
    schema: Schema, keyspace: str | None, hosts: str | None, *, options: bool, extra: bool, whole: bool
) -> list[Change]:
    settings = settings_for(hosts)
    schema = schema.in_keyspace(keyspace or settings.keyspace)
    return run(_compare(settings, schema, options=options, extra=extra, whole=whole))


async def _compare(settings: Settings, schema: Schema, *, options: bool, extra: bool, whole: bool) -> list[Change]:
    async with open_session(settings) as session:
        return await compare_live(
            session, schema, options=options, extra=extra or whole, whole=whole, ignore=BOOKKEEPING
        )


def _difference(change: Change) -> dict[str, object]:
    found = change.difference
    return {"where": change.where, "kind": found.kind, "detail": found.detail, "text": found.text}


def _cost(change: Change) -> Mapping[str, object]:
    return {"effect": change.effect, "note": change.note, "cql": [step.text for step in change.steps]}


def _listed(found: Sequence[Change]) -> str:
    rows = [(change.where, change.difference.kind, _detail(change)) for change in found]
    widths = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
    return "\n".join(f"{where.ljust(widths[0])}  {kind.ljust(widths[1])}  {shown}" for where, kind, shown in rows)


def _detail(change: Change) -> str:
    return f"{change.difference.detail} ({change.note})" if change.effect == "impossible" else change.difference.detail


def _planned(found: Sequence[Change]) -> str:
    parts = []
    for effect in _EFFECTS:
        some = [change for change in found if change.effect == effect]
        if some:
            parts.append("\n".join([f"-- {effect}", *(statements(change) for change in some)]))
    return "\n\n".join([*parts, *copy_offers(found)])


def statements(change: Change) -> str:
    """The change as a comment, and its statements."""
    head = f"-- {change.where}: {change.difference.text}{f' ({change.note})' if change.note else ''}"
    return "\n".join([head, *(f"{step.text};" for step in change.steps)])


def copy_offers(found: Sequence[Change]) -> list[str]:
    """How to copy each table that cannot be altered: one comment for a table, however many differences it has."""
    tables = dict.fromkeys(change.where for change in found if change.needs_copy)
    return [_copy_offer(*where.split(".")) for where in tables]


def _copy_offer(keyspace: str, table: str) -> str:
    return (
        f"-- {keyspace}.{table}: declare the wanted shape under a new name, such as {table}_2, and create it:\n"
        f"--   cassorm schema apply PATH\n"
        f"-- let the application write to both tables, then copy the rows:\n"
        f"--   cassorm schema copy {keyspace}.{table} {keyspace}.{table}_2"
    )
