"""Tables, types and keyspaces as CQL text, each for one engine."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from cassorm.cql.dialect import Dialect
from cassorm.cql.identifiers import MAX_NAME, quote, quote_keyspace, quote_table
from cassorm.errors import SchemaError
from cassorm.schema.keyspace import Keyspace, Replication, Schema
from cassorm.schema.options import literal, option_text
from cassorm.schema.table import ALL_COLUMNS, Clustering, Column, Index, Table, UserType, View
from cassorm.schema.unique import with_lookups

_SAI = "StorageAttachedIndex"


def resolve(table: Table, dialect: Dialect) -> Table:
    """The table as this engine will hold it: profile turned into options, the kind of every index decided.

    Raises:
        SchemaError: the engine lacks a type, an option or an index that the table asks for.
    """
    for column in table.columns:
        check_type(column, dialect, where=f"{table.where}, column {column.name}")
    options = dict(table.options)
    if table.profile is not None:
        ttl_s = options.get("default_time_to_live", 0)
        fitting = dialect.profile_options(table.profile, ttl_s=ttl_s if isinstance(ttl_s, int) else 0)
        options = {**fitting, **options}
    indexes = tuple(replace(index, kind=_index_kind(table, index, dialect)) for index in table.indexes)
    return replace(table, options=options, profile=None, indexes=indexes)


def check_type(column: Column, dialect: Dialect, *, where: str) -> None:
    """Return when the engine has the type of a column, or of a field.

    Raises:
        SchemaError: it has not.
    """
    if "vector" in column.cql_type.names() and not dialect.vectors:
        raise SchemaError(f"{dialect} has no vectors", where=where, remedy="Use a list<float>")


def create_keyspace(
    name: str,
    replication: Replication = 1,
    dialect: Dialect | None = None,
    *,
    datacenter: str | None = None,
    durable_writes: bool = True,
) -> str:
    """CREATE KEYSPACE IF NOT EXISTS, with the engine's options that lightweight transactions need.

    A whole number is the number of copies in `datacenter`, or in every one when none is given; a mapping gives it by
    data centre, or names another `class` of replication.
    """
    keyspace = Keyspace(name, replication, durable_writes)
    if isinstance(replication, int):
        copies: Mapping[str, int | str] = {datacenter or "replication_factor": replication}
    else:
        copies = replication
    strategy = {"class": "NetworkTopologyStrategy", **{key: str(value) for key, value in copies.items()}}
    text = f"CREATE KEYSPACE IF NOT EXISTS {quote_keyspace(name)} WITH replication = {literal(strategy)}"
    if not keyspace.durable_writes:
        text += " AND durable_writes = false"
    for option, value in (dialect.keyspace_options() if dialect else {}).items():
        text += f" AND {option} = {literal(value)}"
    return text


def create_type(user_type: UserType, dialect: Dialect) -> str:
    """CREATE TYPE IF NOT EXISTS.

    Raises:
        SchemaError: the engine lacks the type of a field.
    """
    for column in user_type.fields:
        check_type(column, dialect, where=f"type {user_type.name}, field {column.name}")
    fields = ",\n".join(f"  {column_text(column)}" for column in user_type.fields)
    return f"CREATE TYPE IF NOT EXISTS {_qualified(user_type.name, user_type.keyspace)} (\n{fields}\n)"


def create_table(table: Table, dialect: Dialect) -> str:
    """CREATE TABLE IF NOT EXISTS, without its indexes and views.

    Raises:
        SchemaError: the engine lacks a type, an option or an index that the table asks for.
    """
    table = resolve(table, dialect)
    columns = "".join(f"  {column_text(column)},\n" for column in table.columns)
    text = f"CREATE TABLE IF NOT EXISTS {quote_table(table.name, table.keyspace)} (\n{columns}"
    text += f"  PRIMARY KEY ({_key(table.partition_key, table.clustering)})\n)"
    return text + _with(table.clustering, table.options, table.comment, dialect, where=table.where)


def create_index(table: Table, index: Index, dialect: Dialect) -> str:
    """CREATE INDEX IF NOT EXISTS, of the kind that the engine has when the index leaves it open.

    Raises:
        SchemaError: the engine has no index of that kind.
    """
    kind = _index_kind(table, index, dialect)
    column = quote(index.column)
    # The values of a collection are what an index on its bare name means, on every engine.
    target = column if index.target in (None, "values") else f"{index.target}({column})"
    where = f"{quote(index.name)} ON {quote_table(table.name, table.keyspace)} ({target})"
    if kind == "secondary":
        return f"CREATE INDEX IF NOT EXISTS {where}"
    text = f"CREATE CUSTOM INDEX IF NOT EXISTS {where} USING {literal(_SAI if kind == 'sai' else kind)}"
    return f"{text} WITH OPTIONS = {literal(index.options)}" if index.options else text


def create_view(table: Table, view: View, dialect: Dialect) -> str:
    """CREATE MATERIALIZED VIEW IF NOT EXISTS.

    Raises:
        SchemaError: the engine lacks an option that the view asks for.
    """
    columns = "*" if view.columns == ALL_COLUMNS else ", ".join(map(quote, view.columns))
    present = " AND ".join(f"{quote(name)} IS NOT NULL" for name in view.key)
    text = f"CREATE MATERIALIZED VIEW IF NOT EXISTS {quote_table(view.name, table.keyspace)} AS\n"
    text += f"  SELECT {columns} FROM {quote_table(table.name, table.keyspace)}\n"  # noqa: S608 - quoted
    text += f"  WHERE {present}\n  PRIMARY KEY ({_key(view.partition_key, view.clustering)})"
    return text + _with(view.clustering, view.options, view.comment, dialect, where=f"{table.where}, view {view.name}")


def add_column(table: Table, column: Column, dialect: Dialect) -> str:
    """ALTER TABLE ... ADD.

    Raises:
        SchemaError: the engine lacks the column's type.
    """
    check_type(column, dialect, where=f"{table.where}, column {column.name}")
    return f"ALTER TABLE {quote_table(table.name, table.keyspace)} ADD {column_text(column)}"


def add_field(user_type: UserType, column: Column, dialect: Dialect) -> str:
    """ALTER TYPE ... ADD: the field becomes the last one.

    Raises:
        SchemaError: the engine lacks the field's type.
    """
    check_type(column, dialect, where=f"type {user_type.name}, field {column.name}")
    return f"ALTER TYPE {_qualified(user_type.name, user_type.keyspace)} ADD {column_text(column)}"


def alter_option(table: Table, name: str, value: object, dialect: Dialect) -> str:
    """ALTER TABLE ... WITH one option, or with the comment.

    Raises:
        SchemaError: the engine does not know the option.
    """
    setting = (
        f"comment = {literal(value)}" if name == "comment" else option_text(name, value, dialect, where=table.where)
    )
    return f"ALTER TABLE {quote_table(table.name, table.keyspace)} WITH {setting}"


def alter_replication(name: str, replication: Mapping[str, int | str]) -> str:
    """ALTER KEYSPACE ... WITH replication."""
    strategy = {"class": "NetworkTopologyStrategy", **{key: str(value) for key, value in replication.items()}}
    return f"ALTER KEYSPACE {quote_keyspace(name)} WITH replication = {literal(strategy)}"


def drop_column(table: Table, column: Column) -> str:
    """ALTER TABLE ... DROP: the values are gone at once."""
    return f"ALTER TABLE {quote_table(table.name, table.keyspace)} DROP {quote(column.name)}"


def drop(what: Literal["TABLE", "TYPE", "INDEX", "MATERIALIZED VIEW"], name: str, keyspace: str | None) -> str:
    """DROP ... IF EXISTS."""
    return f"DROP {what} IF EXISTS {_qualified(name, keyspace)}"


def column_text(column: Column) -> str:
    """A column as a table's definition has it: name, type, STATIC."""
    return f"{quote(column.name)} {column.type}{' STATIC' if column.static else ''}"


def table_statements(table: Table, dialect: Dialect) -> Iterator[str]:
    """The table, then its indexes, then its views.

    Raises:
        SchemaError: the engine lacks something that the table asks for.
    """
    yield create_table(table, dialect)
    for index in table.indexes:
        yield create_index(table, index, dialect)
    for view in table.views:
        yield create_view(table, view, dialect)


def schema_statements(schema: Schema, dialect: Dialect, *, datacenter: str | None = None) -> Iterator[str]:
    """Everything in the schema, in the order in which it can be created: keyspaces, types, tables with what hangs on them.

    The lookup tables of unique columns are among the tables.

    Raises:
        SchemaError: the engine lacks something that the schema asks for.
    """
    for keyspace in schema.keyspaces:
        yield create_keyspace(
            keyspace.name,
            keyspace.replication,
            dialect,
            datacenter=datacenter,
            durable_writes=keyspace.durable_writes,
        )
    for user_type in schema.types:
        yield create_type(user_type, dialect)
    for table in with_lookups(schema).tables:
        yield from table_statements(table, dialect)


def script(schema: Schema, dialect: Dialect, *, datacenter: str | None = None) -> str:
    """The whole schema as the text of a .cql file; `load` reads it back.

    Raises:
        SchemaError: the engine lacks something that the schema asks for.
    """
    return "\n".join(f"{text};\n" for text in schema_statements(schema, dialect, datacenter=datacenter))


def _qualified(name: str, keyspace: str | None) -> str:
    quoted = quote(name, what="type name", limit=MAX_NAME)
    return f"{quote_keyspace(keyspace)}.{quoted}" if keyspace else quoted


def _key(partition_key: tuple[str, ...], clustering: Clustering) -> str:
    partition = ", ".join(map(quote, partition_key))
    return ", ".join([f"({partition})", *(quote(name) for name, _ in clustering)])


def _with(clustering: Clustering, options: Mapping[str, object], comment: str, dialect: Dialect, *, where: str) -> str:
    parts = []
    if clustering:
        orders = ", ".join(f"{quote(name)} {order.upper()}" for name, order in clustering)
        parts.append(f"CLUSTERING ORDER BY ({orders})")
    if comment:
        parts.append(f"comment = {literal(comment)}")
    parts += [option_text(name, value, dialect, where=where) for name, value in options.items()]
    return " WITH " + "\n  AND ".join(parts) if parts else ""


def _index_kind(table: Table, index: Index, dialect: Dialect) -> str:
    column = table.column(index.column)
    if column is not None and column.cql_type.name == "vector" and index.kind is None and not dialect.sai:
        raise SchemaError(
            f"{dialect} has no index that finds the nearest vectors",
            where=f"{table.where}, index on {index.column}",
            remedy="Remove it, or use Cassandra 5",
        )
    kind = index.kind or dialect.default_index
    if kind == "sai" and not dialect.sai:
        raise SchemaError(
            f"{dialect} has no storage-attached indexes",
            where=f"{table.where}, index on {index.column}",
            remedy="Leave the kind open, or make it secondary",
        )
    if kind not in ("sai", "secondary") and dialect.name == "scylla":
        raise SchemaError(
            f"{dialect} has no indexes of class {kind}",
            where=f"{table.where}, index on {index.column}",
            remedy="Leave the kind open, or make it secondary",
        )
    return kind
