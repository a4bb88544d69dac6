"""A schema in words, for people."""

from collections.abc import Iterator, Mapping

from cassorm.schema.diff import index_text, key_text
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.options import literal
from cassorm.schema.table import ALL_COLUMNS, Table, UserType, View


def describe(schema: Schema) -> str:
    """The whole schema: keyspaces, types, then tables with what hangs on them, each a paragraph."""
    parts = [_keyspace(keyspace) for keyspace in schema.keyspaces]
    if schema.types:
        parts.append("\n".join(map(_type, schema.types)))
    parts += ["\n".join(_table(table)) for table in schema.tables]
    return "\n\n".join(parts)


def _keyspace(keyspace: Keyspace) -> str:
    copies = keyspace.replication
    shown = ", ".join(f"{name}: {count}" for name, count in copies.items()) if isinstance(copies, Mapping) else copies
    return f"keyspace {keyspace.name}, copies {shown}{'' if keyspace.durable_writes else ', without a commit log'}"


def _type(kind: UserType) -> str:
    return f"type {kind.name}: {', '.join(f'{column.name} {column.type}' for column in kind.fields)}"


def _table(table: Table) -> Iterator[str]:
    yield f"table {table.name}{f': {table.comment}' if table.comment else ''}"
    roles = dict.fromkeys(table.partition_key, "partition key")
    roles |= {
        name: "clustering" if order == "asc" else "clustering, newest or largest first"
        for name, order in table.clustering
    }
    widths = [max(len(column.name) for column in table.columns), max(len(column.type) for column in table.columns)]
    for column in table.columns:
        role = "static" if column.static else roles.get(column.name, "")
        yield f"  {column.name.ljust(widths[0])}  {column.type.ljust(widths[1])}  {role}".rstrip()
    for index in table.indexes:
        yield f"  index {index.name} on {index_text(index)}"
    for group in table.unique:
        yield f"  unique {', '.join(group)}"
    for view in table.views:
        yield f"  view {_view(view)}"
    for name, value in table.options.items():
        yield f"  {name} = {literal(value)}"


def _view(view: View) -> str:
    columns = "all columns" if view.columns == ALL_COLUMNS else ", ".join(view.columns)
    filtered = f", where {view.filter}" if view.filter else ""
    return f"{view.name} by {key_text(view.partition_key, view.clustering)}: {columns}{filtered}"
