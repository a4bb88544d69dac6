"""The lookup tables of unique columns: one row for each value that a row holds, with the key of that row.

`cassorm.orm.unique` writes them, by LWT alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cassorm.schema.diff import differences
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import LOOKUP_COLUMNS, Column, Table, lookup_name


def lookup_table(table: Table, unique: Iterable[str]) -> Table:
    """The lookup table of these columns of `table`: their values are its key.

    `owner` is the primary key of the row that holds them, `claim` who wrote it last, `state` how far that has come.
    """
    unique = tuple(unique)
    types = {column.name: column.type for column in table.columns}
    owner, claim, state = LOOKUP_COLUMNS
    key = ", ".join(types[name] for name in table.key)
    return Table(
        name=lookup_name(table.name, unique),
        keyspace=table.keyspace,
        columns=(
            *(Column(name, types[name]) for name in unique),
            Column(owner, f"frozen<tuple<{key}>>"),
            Column(claim, "uuid"),
            Column(state, "text"),
        ),
        partition_key=unique,
        profile="lwt-only",
        comment=f"which row of {table.name} holds each {', '.join(unique)}",
    )


def with_lookups(schema: Schema) -> Schema:
    """The schema with the lookup tables of unique columns behind its tables."""
    lookups = [lookup_table(table, group) for table in schema.tables for group in table.unique]
    return replace(schema, tables=(*schema.tables, *lookups)) if lookups else schema


def without_lookups(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Live tables of one keyspace with their lookup tables taken for what they are: `unique` of the tables.

    A lookup table is known by its name and its columns; what an operator changed of its options does not count.
    """
    found = dict(tables)
    lookups = [table for table in tables.values() if all(table.column(name) for name in LOOKUP_COLUMNS)]
    for table in tables.values():
        for lookup in lookups:
            if _is_lookup(lookup, table):
                del found[lookup.name]
                kept = found[table.name]
                found[table.name] = replace(kept, unique=(*kept.unique, lookup.partition_key))
    return found


def _is_lookup(lookup: Table, table: Table) -> bool:
    unique = lookup.partition_key
    if lookup.name != lookup_name(table.name, unique) or any(table.column(name) is None for name in unique):
        return False
    return not differences(lookup_table(table, unique), lookup, options=False)
