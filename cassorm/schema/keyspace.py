"""Keyspaces as values, and all that is declared to stand in them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from cassorm.cql.identifiers import MAX_NAME, check_name
from cassorm.cql.types import check_known
from cassorm.errors import QueryError, SchemaError
from cassorm.schema.table import Column, Table, UserType

Replication = int | Mapping[str, int | str]
"""Copies in the session's data centre, or copies by data centre."""


@dataclass(frozen=True, slots=True)
class Keyspace:
    """A keyspace and its replication.

    Raises:
        SchemaError: the name or the number of copies is none that CQL can take.
    """

    name: str
    replication: Replication = field(default=1, hash=False)
    durable_writes: bool = True

    def __post_init__(self) -> None:
        where = f"keyspace {self.name}"
        try:
            check_name(self.name, what="keyspace name", limit=MAX_NAME)
        except QueryError as error:
            raise SchemaError(error.problem, where=where, remedy=error.remedy, part=("name",)) from error
        copies = [self.replication] if isinstance(self.replication, int) else list(self.replication.values())
        bad = [copy for copy in copies if isinstance(copy, bool) or (isinstance(copy, int) and copy < 1)]
        if bad or not copies:
            raise SchemaError(
                f"replication {self.replication!r}",
                where=where,
                remedy="Give the number of copies, or one by data centre: {dc1: 3}",
                part=("replication",),
            )


@dataclass(frozen=True, slots=True)
class Schema:
    """What a file, a folder or a keyspace declares; types come in an order in which they can be created.

    Raises:
        SchemaError: user types that hold each other.
    """

    tables: tuple[Table, ...] = ()
    types: tuple[UserType, ...] = ()
    keyspaces: tuple[Keyspace, ...] = ()

    def __post_init__(self) -> None:
        known = {(kind.keyspace, kind.name): kind for kind in self.types}
        before = {name: [other for other in _held(kind) if other in known] for name, kind in known.items()}
        try:
            ordered = tuple(known[name] for name in TopologicalSorter(before).static_order())
        except CycleError as error:
            circle = [name for _, name in error.args[1]]
            raise SchemaError(
                f"holds itself: {' in '.join(circle)}",
                where=f"type {circle[0]}",
                remedy="Break the circle",
                part=("types", circle[0]),
            ) from error
        object.__setattr__(self, "types", ordered)

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)

    def in_keyspace(self, keyspace: str | None) -> "Schema":
        """The same schema, with what names no keyspace in `keyspace`."""
        return replace(
            self,
            tables=tuple(replace(table, keyspace=table.keyspace or keyspace) for table in self.tables),
            types=tuple(replace(kind, keyspace=kind.keyspace or keyspace) for kind in self.types),
        )


def _held(kind: UserType) -> list[tuple[str | None, str]]:
    names = {name for column in kind.fields for name in column.cql_type.user_types()}
    return [(kind.keyspace, name) for name in sorted(names)]


def check_user_types(columns: Iterable[Column], types: Mapping[str, UserType], where: str) -> None:
    """Return when every user type that the columns use is among `types`, and can be used as it is.

    Raises:
        SchemaError: a type is not declared, or has to be frozen.
    """
    for column in columns:
        kind = column.cql_type
        part, place = ("columns", column.name), f"{where}, column {column.name}"
        try:
            check_known(kind, types)
        except QueryError as error:
            raise SchemaError(error.problem, where=place, remedy=error.remedy, part=part) from error
        if kind.is_user_type and not kind.frozen:
            inner = [field.name for field in types[kind.name].fields if field.cql_type.is_multicell]
            if inner:
                raise SchemaError(
                    f"{kind} is not frozen, nor is {inner[0]} in it",
                    where=place,
                    remedy=f"Write frozen<{kind}>, or freeze {inner[0]} in the type",
                    part=part,
                )
