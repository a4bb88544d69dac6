"""`cassorm schema migrate`: write numbered migration files, run them, and tell how they stand."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cassorm.cli.changes import copy_offers, statements
from cassorm.cli.connection import Hosts, count, open_session, settings_for
from cassorm.cli.output import NEGATIVE, Json, columns, data, note, run
from cassorm.cli.wanted import Models, wanted
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError
from cassorm.schema.apply import ensure_keyspace
from cassorm.schema.changes import Change
from cassorm.schema.history import Standing, Status
from cassorm.schema.keyspace import Schema
from cassorm.schema.migrate import WAIT, status
from cassorm.schema.migrate import migrate as migrate_folder
from cassorm.schema.migration_file import read_migrations, write_migration
from cassorm.schema.plan import compare_live


def migrate(
    folder: Annotated[Path, typer.Argument(help="The folder of the migrations.")] = Path("migrations"),
    *,
    keyspace: Annotated[
        str | None, typer.Option("--keyspace", help="The keyspace that they are for; else CASSORM_KEYSPACE.")
    ] = None,
    new: Annotated[
        str | None, typer.Option("--new", help="Write the next file, of this name, and run nothing.", metavar="NAME")
    ] = None,
    python: Annotated[bool, typer.Option("--py", help="With --new: a .py file.")] = False,
    paths: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="With --new: hold what makes the cluster as these schema files say.", metavar="PATH"
        ),
    ] = None,
    models: Models = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    show_status: Annotated[bool, typer.Option("--status", help="List the files and how they stand.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Take up again what was stopped in the middle.")] = False,
    after: Annotated[
        int | None, typer.Option("--after", help="With --resume: statements up to this one have taken effect.", min=0)
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", help="Seconds to wait while another process migrates.", min=0)
    ] = WAIT.total_seconds(),
    replication: Annotated[
        int | None, typer.Option(help="Create the keyspace if it does not exist, with this many copies.", min=1)
    ] = None,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Run the files that were not applied yet, in the order of their numbers; one process at a time.

    Exit code 1: one failed, was changed after it was applied, or another process migrates; with --status also: some are
    pending.
    """
    if after is not None and not resume:
        raise typer.BadParameter("goes with --resume", param_hint="--after")
    if (paths or models) and new is None:
        raise typer.BadParameter("goes with --new", param_hint="--from" if paths else "--models")
    settings = settings_for(hosts)
    if keyspace is not None:
        settings = settings.model_copy(update={"keyspace": keyspace})
    if new is not None:
        schema = wanted(paths, models) if paths or models else None
        _write(settings, folder, new, schema, python=python, as_json=as_json)
        return
    if settings.keyspace is None:
        raise ConfigurationError(
            "no keyspace is given", where="migrate", remedy="Add --keyspace, or set CASSORM_KEYSPACE"
        )
    read_migrations(folder)  # before anything is connected to
    if show_status or dry_run:
        found = run(_status(settings, folder))
        if show_status:
            _show(found, as_json=as_json)
        else:
            _rehearse(found, resume=resume, as_json=as_json)
        return
    applied = run(_migrate(settings, folder, timedelta(seconds=wait), resume=resume, after=after, copies=replication))
    data({"applied": applied}, "\n".join(applied), as_json=as_json)
    note(f"{count(len(applied), 'migration')} applied" if applied else "nothing to do: everything is applied")


async def _status(settings: Settings, folder: Path) -> Status:
    async with open_session(settings, settings.keyspace) as session:
        return await status(session, folder)


async def _migrate(
    settings: Settings, folder: Path, wait: timedelta, *, resume: bool, after: int | None, copies: int | None
) -> list[str]:
    if copies is not None and settings.keyspace is not None:
        async with open_session(settings) as session:
            await ensure_keyspace(session, settings.keyspace, copies)
    async with open_session(settings, settings.keyspace) as session:
        return await migrate_folder(session, folder, resume=resume, after=after, wait=wait, say=note)


def _show(found: Status, *, as_json: bool) -> None:
    rows = [_row(one) for one in found.standings]
    listed = columns(("file", "state", "done", "ended", "by", "error"), [list(row.values()) for row in rows])
    data({"migrations": rows, "holder": found.holder}, listed, as_json=as_json)
    if found.holder:
        note(f"{found.holder} is migrating")
    wrong = [one for one in found.standings if one.state != "applied"]
    note(f"{count(len(found.standings), 'migration')}, {len(wrong)} not applied" if wrong else "everything is applied")
    if wrong:
        raise typer.Exit(NEGATIVE)


def _row(one: Standing) -> Mapping[str, object]:
    record, steps = one.record, one.migration.steps if one.migration else one.record.steps if one.record else 0
    return {
        "file": one.file,
        "state": one.state,
        "done": f"{record.done if record else 0}/{steps}",
        "ended": f"{record.ended_at:%Y-%m-%dT%H:%M:%SZ}" if record and record.ended_at else "",
        "by": record.owner if record else "",
        "error": " ".join((record.error or "").split()) if record else "",
    }


def _rehearse(found: Status, *, resume: bool, as_json: bool) -> None:
    found.check(resume=resume)
    todo = [one for one in found.of("pending", "failed", "interrupted") if one.migration is not None]
    value = [{"file": one.file, "cql": list(_texts(one))} for one in todo]
    shown = "\n\n".join(f"-- {one.file}\n" + "\n".join(f"{text};" for text in _texts(one)) for one in todo)
    data({"pending": value}, shown, as_json=as_json)
    note(f"{count(len(todo), 'migration')} would be run; nothing was changed" if todo else "everything is applied")


def _texts(one: Standing) -> Sequence[str]:
    if one.migration is None or not one.migration.statements:
        return ["-- upgrade() of the file"]
    done = one.record.done if one.record else 0
    return [statement.text for statement in one.migration.statements[done:]]


def _write(settings: Settings, folder: Path, name: str, schema: Schema | None, *, python: bool, as_json: bool) -> None:
    if python and schema is not None:
        raise typer.BadParameter("cannot hold statements: leave out --from and --models", param_hint="--py")
    text = "" if schema is None else _migration(run(_compare(settings, schema)))
    if schema is not None and not text:
        note("nothing to write: the cluster is as declared")
        return
    path = write_migration(folder, name, statements=text, python=python)
    data({"written": path}, str(path), as_json=as_json)
    note("Next: read it, then cassorm schema migrate --dry-run")


async def _compare(settings: Settings, schema: Schema) -> list[Change]:
    async with open_session(settings) as session:
        return await compare_live(session, schema.in_keyspace(settings.keyspace), unnamed=settings.keyspace)


def _migration(found: Sequence[Change]) -> str:
    """What is safe as statements, the rest as comments: whoever loses data says so in the file."""
    parts = [statements(change) for change in found if change.effect == "safe"]
    for change in found:
        if change.effect != "safe":
            lines = statements(change).splitlines()
            parts.append("\n".join([f"-- {change.effect}:", *(f"-- {line.removeprefix('-- ')}" for line in lines)]))
    text = "\n\n".join([*parts, *copy_offers(found)])
    return f"{text}\n" if text else ""
