"""SELECT, INSERT, UPDATE, DELETE and BATCH as values: text with `?` markers, and what fills them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from cassorm.cql.identifiers import quote, quote_table
from cassorm.cql.tokens import tokens
from cassorm.errors import QueryError

Condition = tuple[str, str, object]
"""Column, operator, value: `("id", "=", 7)`."""

_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "IN", "CONTAINS", "CONTAINS KEY"})
_WRITES = frozenset({"insert", "update", "delete", "begin"})


@dataclass(frozen=True, slots=True)
class Statement:
    """CQL text and the values of its `?` markers, in their order."""

    text: str
    params: tuple[object, ...] = ()


def is_conditional(text: str) -> bool:
    """Whether `text` is a lightweight transaction: a write, or a batch of writes, with an `IF`.

    `IF` inside strings, quoted names and comments does not count, nor that of `CREATE ... IF NOT EXISTS`.
    """
    if "if" not in text.lower():
        return False
    words = _words(text)
    return next(words, None) in _WRITES and "if" in words


def is_read(text: str) -> bool:
    """Whether `text` only reads: a SELECT."""
    return next(_words(text), None) == "select"


def _words(text: str) -> Iterator[str]:
    return (token.value for token in tokens(text) if token.kind == "word")


def select(
    table: str,
    columns: Sequence[str],
    *,
    keyspace: str | None = None,
    where: Sequence[Condition] = (),
    order_by: Mapping[str, Literal["asc", "desc"]] | None = None,
    limit: int | None = None,
) -> Statement:
    """A SELECT of `columns`, all of them named; the limit is a parameter.

    Raises:
        QueryError: a name or an operator that CQL cannot take, or no column.
    """
    if not columns:
        raise QueryError("no column is selected", where=table, remedy="Name the columns to read")
    conditions, params = _conditions(where)
    text = f"SELECT {', '.join(map(quote, columns))} FROM {quote_table(table, keyspace)}"  # noqa: S608 - quoted
    if conditions:
        text += f" WHERE {conditions}"
    if order_by:
        text += " ORDER BY " + ", ".join(f"{quote(name)} {way.upper()}" for name, way in order_by.items())
    if limit is not None:
        text, params = f"{text} LIMIT ?", (*params, limit)
    return Statement(text, params)


def insert(
    table: str,
    values: Mapping[str, object],
    *,
    keyspace: str | None = None,
    if_not_exists: bool = False,
    ttl_s: int | None = None,
    timestamp_us: int | None = None,
) -> Statement:
    """An INSERT of `values` by column name.

    Raises:
        QueryError: a name that CQL cannot take, or no values.
    """
    if not values:
        raise QueryError("no values to insert", where=table, remedy="Give at least the key columns")
    using, options = _using(ttl_s, timestamp_us)
    text = f"INSERT INTO {quote_table(table, keyspace)} ({', '.join(map(quote, values))}) "
    text += f"VALUES ({', '.join('?' * len(values))})"
    if if_not_exists:
        text += " IF NOT EXISTS"
    return Statement(text + using, (*values.values(), *options))


def update(
    table: str,
    values: Mapping[str, object],
    *,
    where: Sequence[Condition],
    keyspace: str | None = None,
    conditions: Sequence[Condition] = (),
    if_exists: bool = False,
    ttl_s: int | None = None,
    timestamp_us: int | None = None,
) -> Statement:
    """An UPDATE that sets `values` in the rows of `where`; `conditions` make it a lightweight transaction.

    Raises:
        QueryError: a name or an operator that CQL cannot take, no values, or no key in `where`.
    """
    if not values:
        raise QueryError("no values to set", where=table, remedy="Give the columns to change")
    using, options = _using(ttl_s, timestamp_us)
    key, key_params = _key(table, where)
    condition, condition_params = _if(conditions, exists=if_exists)
    assignments = ", ".join(f"{quote(name)} = ?" for name in values)
    text = f"UPDATE {quote_table(table, keyspace)}{using} SET {assignments} WHERE {key}{condition}"  # noqa: S608 - quoted
    return Statement(text, (*options, *values.values(), *key_params, *condition_params))


def delete(
    table: str,
    *,
    where: Sequence[Condition],
    columns: Sequence[str] = (),
    keyspace: str | None = None,
    conditions: Sequence[Condition] = (),
    if_exists: bool = False,
    timestamp_us: int | None = None,
) -> Statement:
    """A DELETE of the rows of `where`, or of `columns` in them; `conditions` make it a lightweight transaction.

    Raises:
        QueryError: a name or an operator that CQL cannot take, or no key in `where`.
    """
    using, options = _using(None, timestamp_us)
    key, key_params = _key(table, where)
    condition, condition_params = _if(conditions, exists=if_exists)
    what = f"{', '.join(map(quote, columns))} " if columns else ""
    text = f"DELETE {what}FROM {quote_table(table, keyspace)}{using} WHERE {key}{condition}"
    return Statement(text, (*options, *key_params, *condition_params))


def batch(statements: Sequence[Statement], *, kind: Literal["logged", "unlogged", "counter"] = "logged") -> Statement:
    """One statement that holds all of `statements`: prepared once, it costs one request.

    Raises:
        QueryError: there is no statement, or one of them reads.
    """
    if not statements:
        raise QueryError("an empty batch", remedy="Give at least one statement")
    for statement in statements:
        if is_read(statement.text):
            raise QueryError(f"a batch cannot hold {statement.text!r}", remedy="Run reads by themselves")
    begin = {"logged": "BEGIN BATCH", "unlogged": "BEGIN UNLOGGED BATCH", "counter": "BEGIN COUNTER BATCH"}[kind]
    body = "".join(f"  {statement.text};\n" for statement in statements)
    params = tuple(value for statement in statements for value in statement.params)
    return Statement(f"{begin}\n{body}APPLY BATCH", params)


def _key(table: str, where: Sequence[Condition]) -> tuple[str, tuple[object, ...]]:
    if not where:
        raise QueryError("names no row", where=table, remedy="Give the key columns in `where`")
    return _conditions(where)


def _if(conditions: Sequence[Condition], *, exists: bool) -> tuple[str, tuple[object, ...]]:
    if not conditions:
        return (" IF EXISTS" if exists else ""), ()
    if exists:
        raise QueryError("IF EXISTS beside other conditions", remedy="CQL takes one or the other")
    text, params = _conditions(conditions)
    return f" IF {text}", params


def _conditions(conditions: Sequence[Condition]) -> tuple[str, tuple[object, ...]]:
    parts: list[str] = []
    for column, operator, _ in conditions:
        if operator not in _OPERATORS:
            raise QueryError(f"{operator!r} is no operator", where=column, remedy=f"Use one of {sorted(_OPERATORS)}")
        parts.append(f"{quote(column)} {operator} ?")
    return " AND ".join(parts), tuple(value for _, _, value in conditions)


def _using(ttl_s: int | None, timestamp_us: int | None) -> tuple[str, tuple[object, ...]]:
    given = [(name, value) for name, value in (("TTL", ttl_s), ("TIMESTAMP", timestamp_us)) if value is not None]
    if not given:
        return "", ()
    return " USING " + " AND ".join(f"{name} ?" for name, _ in given), tuple(value for _, value in given)
