"""`cassorm schema`: create what files declare, and show files, live keyspaces and the toolkit's own tables."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cassorm.cli import changes, copy, describe, migrate, unique, views
from cassorm.cli.connection import Hosts, KeyspaceOption, count, open_session, settings_for
from cassorm.cli.output import NEGATIVE, Json, data, note, run
from cassorm.cli.wanted import Models, Paths, wanted
from cassorm.cql.dialect import Dialect, for_engine
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import ConfigurationError, SchemaDriftError
from cassorm.events.tables import TableNames, bells_table, store_tables
from cassorm.schema.apply import apply as apply_schema
from cassorm.schema.ddl import script
from cassorm.schema.dump import dump_schema
from cassorm.schema.introspect import introspect_keyspace, introspect_schema
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.plan import Plan, plan
from cassorm.schema.table_file import json_schema

app = typer.Typer(no_args_is_help=True, help="Create tables from files, and show them.")


class Format(StrEnum):
    """What `show` prints."""

    CQL = "cql"
    JSON = "json"
    JSON_SCHEMA = "json-schema"


app.command()(changes.diff)
app.command()(changes.plan)
app.command()(migrate.migrate)
app.command()(copy.copy)
app.command()(describe.inspect)
app.command()(describe.generate)
app.command("verify-view")(views.verify_view)
app.command("rebuild-view")(views.rebuild_view)
app.command("repair-unique")(unique.repair_unique)


@app.command()
def apply(
    paths: Paths = None,
    *,
    models: Models = None,
    keyspace: KeyspaceOption = None,
    replication: Annotated[
        int | None, typer.Option(help="Create keyspaces that do not exist, with this many copies.", min=1)
    ] = None,
    options: Annotated[bool, typer.Option(help="Refuse tables whose options differ, too.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Create what the files declare and the cluster lacks. Exit code 1: something exists with another shape."""
    settings = settings_for(hosts)
    schema = wanted(paths, models).in_keyspace(keyspace or settings.keyspace)
    done, created = run(_apply(settings, schema, replication=replication, options=options, dry_run=dry_run))
    data(_report(done, created), _shown(done, created, dry_run=dry_run), as_json=as_json)
    note(_summary(done, created, dry_run=dry_run))
    if done.drift:
        raise typer.Exit(NEGATIVE)


@app.command()
def show(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files and folders; none: the toolkit's own tables.")
    ] = None,
    *,
    models: Models = None,
    keyspace: Annotated[str | None, typer.Option(help="Show this live keyspace.")] = None,
    form: Annotated[
        Format, typer.Option("--format", help="As CQL, as a table file, or the JSON Schema of those.")
    ] = Format.CQL,
    engine: Annotated[
        str, typer.Option(help="The engine that CQL is for; a live keyspace has its own.")
    ] = "cassandra 5.0",
    hosts: Hosts = None,
) -> None:
    """Show what files declare, what a live keyspace holds, or the tables that cassorm itself creates."""
    if form is Format.JSON_SCHEMA:
        typer.echo(json.dumps(json_schema(), indent=2))
        return
    declared = bool(paths or models)
    if declared and keyspace:
        raise typer.BadParameter("give either paths and --models, or --keyspace", param_hint="--keyspace")
    if not declared and not keyspace and form is Format.CQL:
        typer.echo(toolkit_cql(_engine(engine)))
        return
    if keyspace:
        schema, dialect = run(_live(settings_for(hosts), keyspace))
    else:
        schema, dialect = wanted(paths, models) if declared else toolkit_schema(), _engine(engine)
    typer.echo(json.dumps(dump_schema(schema), indent=2) if form is Format.JSON else script(schema, dialect).rstrip())


def toolkit_schema() -> Schema:
    """The tables that cassorm creates by default, in no keyspace."""
    return Schema((*store_tables(TableNames(), None, "uuid"), bells_table(TableNames(), None)))


def toolkit_cql(dialect: Dialect) -> str:
    """The tables that cassorm creates by default on this engine, as CQL; `schemas/event-store` holds the same."""
    engine = f"{dialect.name} {'.'.join(map(str, dialect.version))}"
    head = f'-- The event store of cassorm on {dialect}. Made by: cassorm schema show --engine "{engine}"\n'
    return f"{head}\n{script(toolkit_schema(), dialect)}".rstrip()


def _engine(text: str) -> Dialect:
    name, _, version = text.partition(" ")
    if not version:
        raise ConfigurationError(
            f"{text!r} is no engine", where="--engine", remedy='Write "cassandra 5.0" or "scylla 2025.4"'
        )
    return for_engine(name, version)


async def _live(settings: Settings, keyspace: str) -> tuple[Schema, Dialect]:
    async with open_session(settings) as session:
        return await introspect_schema(session, keyspace), session.dialect


async def _apply(
    settings: Settings, schema: Schema, *, replication: int | None, options: bool, dry_run: bool
) -> tuple[Plan, Sequence[str]]:
    async with open_session(settings) as session:
        if replication is not None:
            schema = await _with_missing_keyspaces(session, schema, replication)
        missing = await plan(session, schema, options=options)
        if dry_run or missing.drift:
            return missing, ()
        try:
            return missing, await apply_schema(session, schema, options=options)
        except SchemaDriftError as error:  # another process was faster, with another shape
            return Plan(drift={error.table: error.differences}), ()


async def _with_missing_keyspaces(session: Session, schema: Schema, replication: int) -> Schema:
    declared = {keyspace.name for keyspace in schema.keyspaces}
    named = {table.keyspace for table in schema.tables} | {kind.keyspace for kind in schema.types}
    missing = [
        Keyspace(name, replication)
        for name in sorted(name for name in named - declared if name)
        if await introspect_keyspace(session, name) is None
    ]
    return replace(schema, keyspaces=(*schema.keyspaces, *missing))


def _report(done: Plan, created: Sequence[str]) -> Mapping[str, object]:
    return {
        "created": list(created),
        "steps": [{"creates": step.creates, "cql": step.text} for step in done.steps],
        "differences": {where: list(found) for where, found in done.drift.items()},
    }


def _shown(done: Plan, created: Sequence[str], *, dry_run: bool) -> str:
    if done.drift:
        return "\n".join(f"{where}  {text}" for where, found in done.drift.items() for text in found)
    return "\n\n".join(f"{step.text};" for step in done.steps) if dry_run else "\n".join(created)


def _summary(done: Plan, created: Sequence[str], *, dry_run: bool) -> str:
    if done.drift:
        return f"{count(sum(map(len, done.drift.values())), 'difference')}; nothing was changed"
    if dry_run and done.steps:
        return f"{count(len(done.steps), 'statement')} would be run; nothing was changed"
    return f"{len(created)} created" if created else "nothing to do: everything is there"
