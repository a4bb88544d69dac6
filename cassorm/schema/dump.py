"""Values in the form of table files: what `load` reads back."""

from typing import Any

import yaml

from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Clustering, Index, Table, View


def dump(table: Table) -> dict[str, Any]:
    """The table in the form of a table file; `load` makes the same table of it."""
    form: dict[str, Any] = {"name": table.name, "keyspace": table.keyspace, "comment": table.comment}
    form["fields"] = {
        column.name: {"type": column.type, "static": True} if column.static else column.type for column in table.columns
    }
    form |= _dumped_key(table.partition_key, table.clustering)
    form |= {"profile": table.profile, "options": dict(table.options)}
    form["indexes"] = [_dumped_index(index) for index in table.indexes]
    form["unique"] = [group[0] if len(group) == 1 else list(group) for group in table.unique]
    form["materialized_views"] = {view.name: _dumped_view(view) for view in table.views}
    return {key: value for key, value in form.items() if value or key in ("fields", "key")}


def dump_schema(schema: Schema) -> dict[str, Any]:
    """All tables and types of one keyspace in the form of one table file."""
    names = {table.keyspace for table in schema.tables} | {kind.keyspace for kind in schema.types}
    names |= {declared.name for declared in schema.keyspaces}
    keyspace = next(iter(names)) if len(names) == 1 else None
    form: dict[str, Any] = {"keyspace": keyspace} if keyspace else {}
    for declared in schema.keyspaces:
        form["replication"] = declared.replication
    if schema.types:
        form["types"] = {kind.name: {column.name: column.type for column in kind.fields} for kind in schema.types}
    form["tables"] = {}
    for table in schema.tables:
        dumped = dump(table)
        del dumped["name"]
        if keyspace:
            dumped.pop("keyspace", None)
        form["tables"][table.name] = dumped
    return form


def dump_yaml(schema: Schema) -> str:
    """The schema of one keyspace as the text of a table file: a line for each column, the rest as short as YAML allows."""
    form = dump_schema(schema)
    for table in form["tables"].values():
        table["fields"] = _Lines(table["fields"])
        for keyed in (table, *table.get("materialized_views", {}).values()):
            keyed["key"] = _Line(keyed["key"])
    return yaml.dump(form, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


class _Lines(dict[str, Any]):
    """A mapping that is written with a line for each key."""


class _Line(list[Any]):
    """A list that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes `_Lines` and `_Line` as such."""


_Dumper.add_representer(
    _Lines, lambda dumper, value: dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=False)
)
_Dumper.add_representer(
    _Line, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def _dumped_key(partition_key: tuple[str, ...], clustering: Clustering) -> dict[str, Any]:
    form: dict[str, Any] = {"key": [list(partition_key), *(name for name, _ in clustering)]}
    descending = {name: order for name, order in clustering if order != "asc"}
    return form | ({"clustering_order": descending} if descending else {})


def _dumped_index(index: Index) -> dict[str, Any]:
    form = {"column": index.column, "name": index.name, "kind": index.kind, "target": index.target}
    return {key: value for key, value in {**form, "options": dict(index.options)}.items() if value}


def _dumped_view(view: View) -> dict[str, Any]:
    form = {"select": list(view.columns), **_dumped_key(view.partition_key, view.clustering)}
    return {
        key: value for key, value in {**form, "options": dict(view.options), "comment": view.comment}.items() if value
    }
