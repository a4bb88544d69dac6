"""Models from tables: what files, dicts and live keyspaces declare, as the very same kind of class."""

import keyword
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from pydantic import BaseModel, create_model

from cassorm.cql.types import CqlType
from cassorm.orm.annotations import annotation_of
from cassorm.orm.fields import CK, PK, Col, Counter, Static, ck, col, pk
from cassorm.orm.markers import IndexOn
from cassorm.orm.model import RESERVED_NAMES, Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.user_types import Udt
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Column, Table, UserType

TYPE_NAMES = frozenset(name for name in dir(Udt) if not name.startswith("_"))
"""What no field of a user type can be called, as the model has something of that name."""


def models_of(schema: Schema) -> dict[str, type[Model]]:
    """A model for each table of the schema, by the table's name.

    Raises:
        ModelError: a column has a type that no Python type fits.
    """
    nested: dict[str | None, dict[str, type[BaseModel]]] = {}
    keys = key_types(schema)
    for kind in schema.types:
        known = nested.setdefault(kind.keyspace, {})
        known[kind.name] = _nested(kind, known, hashable=kind.name in keys)
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
    names = attributes(table.columns)
    fields: dict[str, Any] = {names[column.name]: _field(table, column, nested) for column in table.columns}
    made: Any = create_model(
        class_name(table.name),
        __base__=Model,
        __module__=__name__,
        __doc__=table.comment or f"A row of {table.name}.",
        __cls_kwargs__={
            "keyspace": table.keyspace,
            "table": table.name,
            "unique": [[names[name] for name in group] for group in table.unique],
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


def attributes(columns: Iterable[Column], taken: Collection[str] = RESERVED_NAMES) -> dict[str, str]:
    """The name of the field that each column gets: the column's, or one with `_` behind it where no field can have that."""
    names = [column.name for column in columns]
    found = {name: name for name in names if _is_free(name, taken)}
    for name in names:
        if name not in found:
            plain = name.lstrip("_") or "column"
            made = f"column_{plain}_" if plain[0].isdigit() or plain.startswith("model_") else f"{plain}_"
            while made in found.values() or not _is_free(made, taken):
                made += "_"
            found[name] = made
    return found


def _is_free(name: str, taken: Collection[str]) -> bool:
    refused = name in taken or name.startswith(("model_", "_")) or keyword.iskeyword(name)
    return name.isidentifier() and not refused


def key_types(schema: Schema) -> set[str]:
    """The names of the user types whose values stand in sets or are keys of maps, so that they have to be hashable."""
    fields = {kind.name: kind.fields for kind in schema.types}
    columns = chain(*(table.columns for table in schema.tables), *fields.values())
    todo = [name for column in columns for name in _hashed(column.cql_type)]
    found: set[str] = set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            # What it holds is hashed with it.
            todo += [held for column in fields.get(name, ()) for held in column.cql_type.user_types()]
    return found


def _hashed(cql: CqlType) -> Iterator[str]:
    if cql.name in ("set", "map"):
        yield from cql.args[0].user_types()
    for arg in cql.args:
        yield from _hashed(arg)


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


def _nested(kind: UserType, known: Mapping[str, type[BaseModel]], *, hashable: bool) -> type[BaseModel]:
    names = attributes(kind.fields, TYPE_NAMES)
    fields: dict[str, Any] = {}
    for column in kind.fields:
        annotation = annotation_of(column.cql_type, known, hashable=hashable)
        fields[names[column.name]] = (annotation | None, col(default=None, name=column.name, type=column.type))
    said = {"type_name": kind.name} | ({"frozen": True} if hashable else {})
    made: type[BaseModel] = create_model(
        class_name(kind.name), __base__=Udt, __module__=__name__, __cls_kwargs__=said, **fields
    )
    return made


def _used(table: Table, schema: Schema) -> set[str]:
    used = set(table.user_types())
    for kind in reversed(schema.types):
        if kind.name in used:
            used |= {name for column in kind.fields for name in column.cql_type.user_types()}
    return used
