"""A live keyspace as values, read from `system_schema`."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cassorm.cql.tokens import tokens
from cassorm.driver.session import Session
from cassorm.errors import QueryError, SchemaError
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.options import CLASS_PREFIXES, OPTIONS, without_defaults
from cassorm.schema.table import ALL_COLUMNS, Clustering, Column, Index, Order, Table, Target, UserType, View
from cassorm.schema.unique import without_lookups

Row = Mapping[str, Any]

_COLUMNS = "SELECT table_name, column_name, type, kind, position, clustering_order FROM system_schema.columns"
_INDEXES = "SELECT table_name, index_name, kind, options FROM system_schema.indexes"
_TYPES = "SELECT type_name, field_names, field_types FROM system_schema.types"
_IN_KEYSPACE = " WHERE keyspace_name = ?"
_WHOLE_S = 10.0
_LOOK_AGAIN_S = 0.02
_SAI_CLASSES = ("storageattachedindex", "sai")


async def introspect(session: Session, keyspace: str, names: Collection[str] | None = None) -> dict[str, Table]:
    """The tables of a live keyspace by name, with their indexes and views; only those in `names` when it is given.

    A keyspace that does not exist has none. Columns come with the key first, the others in the order of their names:
    the server does not keep the order in which they were declared. Options that say no more than the server's default
    are left out.

    Raises:
        ClusterError: the cluster could not be asked.
        SchemaError: a table that cassorm cannot describe; name the tables that you want.
    """
    deadline = asyncio.get_running_loop().time() + _WHOLE_S
    while True:
        tables, columns, indexes, views = await asyncio.gather(
            _rows(session, "SELECT * FROM system_schema.tables", keyspace),
            _rows(session, _COLUMNS, keyspace),
            _rows(session, _INDEXES, keyspace),
            _rows(session, "SELECT * FROM system_schema.views", keyspace),
        )
        wanted = [row for row in tables if names is None or row["table_name"] in names]
        found = {row["table_name"] for row in wanted}
        found.update(row["view_name"] for row in views if row["base_table_name"] in found)
        missing = found.difference(row["table_name"] for row in columns)
        if not missing:
            return {row["table_name"]: table_from(keyspace, row, columns, indexes, views) for row in wanted}
        # The server applies a change table by table: one that is being created is seen before its columns, and one
        # that is being dropped after them.
        if asyncio.get_running_loop().time() > deadline:
            raise SchemaError(
                f"the server lists no columns of {', '.join(sorted(missing))}",
                where=f"keyspace {keyspace}",
                remedy="See whether another process creates and drops tables without end, then call again",
            )
        await asyncio.sleep(_LOOK_AGAIN_S)


async def introspect_types(session: Session, keyspace: str) -> dict[str, UserType]:
    """The user types of a live keyspace by name.

    Raises:
        ClusterError: the cluster could not be asked.
    """
    return {
        row["type_name"]: UserType(
            row["type_name"], tuple(map(Column, row["field_names"], row["field_types"])), keyspace
        )
        for row in await _rows(session, _TYPES, keyspace)
    }


async def introspect_keyspace(session: Session, keyspace: str) -> Keyspace | None:
    """The live keyspace and its replication; None when it does not exist.

    Raises:
        ClusterError: the cluster could not be asked.
    """
    found = await _rows(session, "SELECT replication, durable_writes FROM system_schema.keyspaces", keyspace)
    if not found:
        return None
    replication = {
        key: int(value) if value.isdecimal() else _short(value) for key, value in found[0]["replication"].items()
    }
    if replication.get("class") == "NetworkTopologyStrategy":
        del replication["class"]
    return Keyspace(keyspace, replication or 1, found[0]["durable_writes"])


async def introspect_schema(session: Session, keyspace: str) -> Schema:
    """Everything in a live keyspace, the keyspace itself among it; lookup tables are `unique` of those they belong to.

    Raises:
        ClusterError: the cluster could not be asked.
        SchemaError: the keyspace does not exist, or holds what cassorm cannot describe.
    """
    found, types, tables = await asyncio.gather(
        introspect_keyspace(session, keyspace), introspect_types(session, keyspace), introspect(session, keyspace)
    )
    if found is None:
        raise SchemaError("does not exist", where=f"keyspace {keyspace}", remedy="Check its name, or create it")
    return Schema(tuple(without_lookups(tables).values()), tuple(types.values()), (found,))


def table_from(
    keyspace: str, table: Row, columns: Sequence[Row], indexes: Sequence[Row], views: Sequence[Row]
) -> Table:
    """One table out of the rows of `system_schema`; those of other tables are passed over.

    Raises:
        SchemaError: the rows hold what cassorm cannot describe.
    """
    try:
        return _table(keyspace, table, columns, indexes, views)
    except (QueryError, SchemaError) as error:
        where = f"table {keyspace}.{table['table_name']}"
        problem = error.problem if error.where in (None, where) else f"{error.where}: {error.problem}"
        raise SchemaError(problem, where=where, remedy="cassorm cannot describe it: name other tables") from error


def _table(keyspace: str, table: Row, columns: Sequence[Row], indexes: Sequence[Row], views: Sequence[Row]) -> Table:
    name = table["table_name"]
    own = sorted((row for row in columns if row["table_name"] == name), key=_place)
    found = tuple(_index(row) for row in indexes if row["table_name"] == name)
    # ScyllaDB keeps every index in a view of its own.
    behind_indexes = {f"{index.name}_index" for index in found}
    partition_key, clustering = _key(own)
    return Table(
        keyspace=keyspace,
        name=name,
        columns=tuple(Column(row["column_name"], row["type"], row["kind"] == "static") for row in own),
        partition_key=partition_key,
        clustering=clustering,
        options=_options(table),
        comment=table.get("comment") or "",
        indexes=found,
        views=tuple(
            _view(row, columns)
            for row in views
            if row["base_table_name"] == name and row["view_name"] not in behind_indexes
        ),
    )


async def _rows(session: Session, select: str, keyspace: str) -> list[dict[str, Any]]:
    result = await session.execute(select + _IN_KEYSPACE, (keyspace,))
    rows = result.dicts()
    while result.page_state is not None:
        result = await session.execute(select + _IN_KEYSPACE, (keyspace,), page_state=result.page_state)
        rows += result.dicts()
    return rows


def _place(column: Row) -> tuple[int, int, str]:
    kinds = ("partition_key", "clustering")
    kind = column["kind"]
    return kinds.index(kind) if kind in kinds else len(kinds), column["position"], column["column_name"]


def _key(columns: Sequence[Row]) -> tuple[tuple[str, ...], Clustering]:
    partition = tuple(row["column_name"] for row in columns if row["kind"] == "partition_key")
    orders: dict[str, Order] = {"asc": "asc", "desc": "desc"}
    clustering = (row for row in columns if row["kind"] == "clustering")
    return partition, tuple((row["column_name"], orders[row["clustering_order"]]) for row in clustering)


def _options(row: Row) -> dict[str, object]:
    found = {name: row.get(name) for name in OPTIONS}
    return without_defaults({name: value for name, value in found.items() if value is not None})


def _index(row: Row) -> Index:
    options = dict(row["options"])
    column, target = _target(options.pop("target"), row["index_name"])
    used = options.pop("class_name", None)
    if row["kind"] != "CUSTOM" or used is None:
        kind = "secondary"
    else:
        kind = "sai" if used.rpartition(".")[2].lower() in _SAI_CLASSES else used
    return Index(column, row["index_name"], kind, target, options)


def _target(text: str, index: str) -> tuple[str, Target | None]:
    found = list(tokens(text))
    targets: dict[str, Target] = {"values": "values", "keys": "keys", "entries": "entries", "full": "full"}
    if len(found) == 1 and found[0].kind in ("word", "quoted"):
        # The server writes names as they are: a quoted one only when it has to be.
        return found[0].value if found[0].kind == "quoted" else found[0].text, None
    if len(found) == 4 and found[0].text in targets:
        return found[2].value, targets[found[0].text]
    raise SchemaError(f"index {index} on {text}, which is not one column")


def _view(row: Row, columns: Sequence[Row]) -> View:
    name = row["view_name"]
    own = sorted((column for column in columns if column["table_name"] == name), key=_place)
    partition_key, clustering = _key(own)
    return View(
        name,
        partition_key,
        clustering,
        ALL_COLUMNS if row["include_all_columns"] else tuple(column["column_name"] for column in own),
        {key: value for key, value in _options(row).items() if key != "default_time_to_live"},
        row.get("comment") or "",
        _filter(row["where_clause"], partition_key, clustering),
    )


def _filter(where: str, partition_key: tuple[str, ...], clustering: Clustering) -> str:
    """What a view's WHERE says besides IS NOT NULL of its key columns; empty when that is all."""
    key = {*partition_key, *(name for name, _ in clustering)}
    found = list(tokens(where))
    present = 0
    for at, token in enumerate(found):
        words = [token.value for token in found[at + 1 : at + 4]]
        present += token.value in key and words == ["is", "not", "null"]
    # `a IS NOT NULL AND b IS NOT NULL`: four tokens for each column, one between two of them.
    return "" if len(found) == 5 * present - 1 else where


def _short(name: str) -> str:
    for prefix in CLASS_PREFIXES:
        name = name.removeprefix(prefix)
    return name
