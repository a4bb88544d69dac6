"""What a cluster is to hold: schema files, modules with models, or both."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cassorm.schema.keyspace import Schema
from cassorm.schema.load import load_all

Paths = Annotated[
    list[Path] | None, typer.Argument(help="Files (.yaml, .yml, .json, .cql) and folders of them.", show_default=False)
]
Models = Annotated[
    list[str] | None, typer.Option("--models", help="A module with models; may be given again.", metavar="MODULE")
]


def wanted(paths: Sequence[Path] | None, models: Sequence[str] | None) -> Schema:
    """What the files declare, and the models of these modules.

    Raises:
        SchemaFileError: a file is wrong.
        ModelError: a module cannot be imported, has no models, or declares what another place declares otherwise.
    """
    if not paths and not models:
        raise typer.BadParameter("give schema files, or --models MODULE", param_hint="PATHS")
    schema = load_all(paths) if paths else Schema(())
    if not models:
        return schema
    # Models and all that they need: only who asks for them waits for the import.
    declared: Schema = importlib.import_module("cassorm.cli.modules").declared(models, schema)
    return declared


def again(paths: Sequence[Path] | None, models: Sequence[str] | None) -> str:
    """The arguments as they were given, for the command that comes next."""
    return " ".join([*map(str, paths or ()), *(f"--models {module}" for module in models or ())])
