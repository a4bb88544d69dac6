"""Names in CQL text: checked, then written bare or quoted."""

import re

from cassorm.errors import QueryError

# Keyspaces, tables, views and indexes are folders and files on the server, which sets this limit.
MAX_NAME = 48

_NAME = re.compile(r"[A-Za-z0-9_]+")
_BARE = re.compile(r"[a-z][a-z0-9_]*")

# Words that CQL reads as its own unless they are quoted: those of Cassandra 4.1 to 6 and of ScyllaDB together.
# One word too many costs two quotation marks, one too few a syntax error.
_RESERVED_WORDS = """
    add allow alter and any apply asc authorize batch begin by cast columnfamily commit create default delete
    desc describe drop entries execute for from full grant if in index infinity insert into is keyspace let
    limit materialized mbean mbeans modify nan norecursive not null of on or order primary prune rename replace
    revoke schema select set table then to token transaction truncate unlogged unset update use using view where
    with
"""
RESERVED = frozenset(_RESERVED_WORDS.split())


def check_name(name: str, *, what: str = "name", limit: int | None = None) -> str:
    """`name` itself, when CQL can take it as the name of a `what`.

    Raises:
        QueryError: use letters, digits and underscores only, and no more than `limit` of them.
    """
    if not isinstance(name, str):
        raise QueryError(f"{name!r} is no {what}", remedy="Give the name as text")
    if not _NAME.fullmatch(name):
        raise QueryError(f"{name!r} is no {what}", remedy="Use letters, digits and underscores only")
    if limit is not None and len(name) > limit:
        raise QueryError(
            f"{name!r} has {len(name)} characters, too many for a {what}", remedy=f"Use at most {limit} characters"
        )
    return name


def quote(name: str, *, what: str = "name", limit: int | None = None) -> str:
    """`name` as CQL text: bare when CQL reads it back unchanged, else in double quotation marks.

    Raises:
        QueryError: the name has other characters than letters, digits and underscores, or more than `limit`.
    """
    check_name(name, what=what, limit=limit)
    if _BARE.fullmatch(name) and name not in RESERVED:
        return name
    return f'"{name}"'


def quote_table(table: str, keyspace: str | None = None) -> str:
    """`keyspace.table`, or `table` alone, as CQL text; views and indexes are named alike.

    Raises:
        QueryError: one of the names is longer than 48 characters or holds others than letters, digits and underscores.
    """
    quoted = quote(table, what="table name", limit=MAX_NAME)
    return quoted if keyspace is None else f"{quote_keyspace(keyspace)}.{quoted}"


def quote_keyspace(keyspace: str) -> str:
    """The keyspace's name as CQL text.

    Raises:
        QueryError: it is longer than 48 characters or holds others than letters, digits and underscores.
    """
    return quote(keyspace, what="keyspace name", limit=MAX_NAME)
