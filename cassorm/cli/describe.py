"""`cassorm schema inspect` and `generate`: a live keyspace in words, and as files that make it again."""

import importlib
from enum import StrEnum
from typing import Annotated

import typer

from cassorm.cli.connection import Hosts, open_session, settings_for
from cassorm.cli.output import Json, data, note, run
from cassorm.cql.dialect import Dialect
from cassorm.driver.settings import Settings
from cassorm.schema.ddl import script
from cassorm.schema.describe import describe
from cassorm.schema.dump import dump_schema, dump_yaml
from cassorm.schema.introspect import introspect_schema
from cassorm.schema.keyspace import Schema

Keyspace = Annotated[str, typer.Argument(help="A keyspace of the cluster.")]


class Form(StrEnum):
    """What `generate` writes."""

    YAML = "yaml"
    CQL = "cql"
    MODELS = "models"


def inspect(keyspace: Keyspace, *, hosts: Hosts = None, as_json: Json = False) -> None:
    """Describe a live keyspace: its types and tables, with keys, indexes, views and the options that were set."""
    schema, _ = run(_live(settings_for(hosts), keyspace))
    data(dump_schema(schema), describe(schema), as_json=as_json)


def generate(
    keyspace: Keyspace,
    *,
    form: Annotated[
        Form, typer.Option("--format", help="A table file, CREATE statements, or model classes.")
    ] = Form.YAML,
    hosts: Hosts = None,
) -> None:
    """Write a live keyspace as a schema file, which `apply`, `diff` and `plan` read, or as the source of models."""
    schema, dialect = run(_live(settings_for(hosts), keyspace))
    typer.echo(_written(schema, dialect, form).rstrip())
    for table in schema.tables:
        for view in table.views:
            if view.filter:
                note(f"view {view.name} of {table.name} filters ({view.filter}): the file holds it without its filter")


def _written(schema: Schema, dialect: Dialect, form: Form) -> str:
    match form:
        case Form.YAML:
            return dump_yaml(schema)
        case Form.CQL:
            return script(schema, dialect)
        case Form.MODELS:
            # Models and all that they need: only who asks for them waits for the import.
            source: str = importlib.import_module("cassorm.cli.model_source").model_source(schema)
            return source


async def _live(settings: Settings, keyspace: str) -> tuple[Schema, Dialect]:
    async with open_session(settings) as session:
        return await introspect_schema(session, keyspace), session.dialect
