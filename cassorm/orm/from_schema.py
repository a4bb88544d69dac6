"""Models from tables: what files, dicts and live keyspaces declare, as the very same kind of class."""

import keyword
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, create_model

from cassorm.orm.annotations import annotation_of
from cassorm.orm.fields import CK, PK, Col, Counter, Static, ck, col, pk
from cassorm.orm.markers import IndexOn
from cassorm.orm.model import RESERVED_NAMES, Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.user_types import Udt
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Column, Table, UserType


def models_of(schema: Schema) -> dict[str, type[Model]]:
    """A model for each table of the schema, by the table's name.

    Raises:
        ModelError: a column has a type that no Python type fits.
    """
    nested: dict[str | None, dict[str, type[BaseModel]]] = {}
    for kind in schema.types:
        known = nested.setdefault(kind.keyspace, {})
        known[kind.name] = _nested(kind, known)
    return {
        table.name: model_of(
            table, nested.get(table.keyspace, {}), [t for t in schema.types if t.name in _used(table, schema)]
        )
        for table in schema.tables
    }


def model_of(
    table: Table, nested: Mapping[str, type[BaseModel]] = {}, types: list[UserType] | None = None
) -> type[Model]:
    """The model of one table; `nested` are the models of its user types.

    A column whose name no field can have gets a field with `_` behind it. Columns outside the key may be None.

    Raises:
        ModelError: a column has a type that no Python type fits.
    """
    fields: dict[str, Any] = {attribute(column.name): _field(table, column, nested) for column in table.columns}
    made: Any = create_model(
        class_name(table.name),
        __base__=Model,
        __module__=__name__,
        __doc__=table.comment or f"A row of {table.name}.",
        __cls_kwargs__={
            "keyspace": table.keyspace,
            "table": table.name,
            "unique": [[attribute(name) for name in group] for group in table.unique],
            "profile": table.profile,
        },
        **fields,
    )
    plan = plan_of(made)
    plan.table = table
    plan.user_types = tuple(types or ())
    found: type[Model] = made
    return found


def class_name(table: str) -> str:
    """`user_read_model` as `UserReadModel`."""
    return "".join(word[:1].upper() + word[1:] for word in table.split("_")) or table


def attribute(column: str) -> str:
    """The name of the field that a column gets."""
    name = column.lstrip("_") or "column"
    if name[0].isdigit():
        name = f"column_{name}"
    taken = name in RESERVED_NAMES or name.startswith("model_") or keyword.iskeyword(name) or name != column
    return f"{name}_" if taken else name


def _field(table: Table, column: Column, nested: Mapping[str, type[BaseModel]]) -> tuple[Any, Any]:
    cql = column.cql_type
    annotation = annotation_of(cql, nested)
    index = next(
        (IndexOn(i.kind, i.name, i.target, i.options) for i in table.indexes if i.column == column.name), False
    )
    said: dict[str, Any] = {"name": column.name, "type": column.type, "index": index}
    if column.name in table.partition_key:
        return PK[annotation], pk(**said)  # type: ignore[valid-type]
    order = dict(table.clustering).get(column.name)
    if order is not None:
        return CK[annotation], ck(order=order, **said)  # type: ignore[valid-type]
    if cql.name == "counter":
        return Counter, col(name=column.name, default=0)
    kind: Any = Static if column.static else Col
    if cql.is_collection and not cql.frozen:
        empty = {"list": list, "set": set, "map": dict}[cql.name]
        return kind[annotation], col(default_factory=empty, **said)
    return kind[annotation | None], col(default=None, **said)


def _nested(kind: UserType, known: Mapping[str, type[BaseModel]]) -> type[BaseModel]:
    fields: dict[str, Any] = {
        column.name: (annotation_of(column.cql_type, known) | None, None) for column in kind.fields
    }
    made: type[BaseModel] = create_model(
        class_name(kind.name), __base__=Udt, __module__=__name__, __cls_kwargs__={"type_name": kind.name}, **fields
    )
    return made


def _used(table: Table, schema: Schema) -> set[str]:
    used = set(table.user_types())
    for kind in reversed(schema.types):
        if kind.name in used:
            used |= {name for column in kind.fields for name in column.cql_type.user_types()}
    return used
