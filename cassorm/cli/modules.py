"""The tables of models, by the modules that hold the models."""

import importlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cassorm.errors import ModelError
from cassorm.orm.database import schema_of
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.schema.keyspace import Schema


def declared(modules: Sequence[str], beside: Schema) -> Schema:
    """What the models in these modules declare, together with what stands `beside` them.

    Raises:
        ModelError: a module cannot be imported, has no models, or declares what another place declares otherwise.
    """
    # As `python -m` has it: an installed command does not look where it was called.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    models = list(dict.fromkeys(model for module in modules for model in _models(module)))
    found = schema_of(models)
    tables = {(table.keyspace, table.name): table for table in beside.tables}
    for table, model in zip(found.tables, models, strict=True):
        if tables.setdefault((table.keyspace, table.name), table) != table:
            raise ModelError(
                f"declares table {table.name}, which is declared otherwise as well",
                where=f"{model.__module__}.{model.__name__}",
                remedy="Keep one declaration of the whole table; let the others be plain pydantic models, for into()",
            )
    types = {(kind.keyspace, kind.name): kind for kind in (*found.types, *beside.types)}
    return replace(beside, tables=tuple(tables.values()), types=tuple(types.values()))


def _models(name: str) -> Iterator[type[Model]]:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ModelError(
            f"cannot be imported: {error}",
            where=f"--models {name}",
            remedy="Give the dotted name of a module, and run the command where Python finds it",
        ) from error
    found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, Model)]
    tables = [model for model in found if model.__dict__.get("__cassorm_options__") is not None]
    if not tables:
        raise ModelError("has no models", where=f"--models {name}", remedy="Name the module that declares them")
    for model in tables:
        plan_of(model)
        yield model
