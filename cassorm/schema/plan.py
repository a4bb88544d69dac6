"""What a live cluster lacks of a schema, and what it has otherwise than wanted."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cassorm.driver.session import Session
from cassorm.errors import SchemaDriftError, SchemaError
from cassorm.schema import ddl
from cassorm.schema.changes import Change, Site, Step, changes, keyspaces
from cassorm.schema.introspect import introspect, introspect_keyspace, introspect_types
from cassorm.schema.keyspace import Schema
from cassorm.schema.table import Column, Table, UserType
from cassorm.schema.unique import with_lookups

_ELSEWHERE = "See `cassorm schema plan` for what can be altered; anything else needs a new table and a copy of the rows"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can be run, and the differences of what exists, by its name."""

    steps: tuple[Step, ...] = ()
    drift: Mapping[str, Sequence[str]] = field(default_factory=dict)
    missing: Mapping[str, Sequence[Column]] = field(default_factory=dict)

    def refuse_drift(self) -> None:
        """Return when nothing exists otherwise than wanted.

        Raises:
            SchemaDriftError: lists every difference of the first that has one.
        """
        for where, found in self.drift.items():
            columns = self.missing.get(where, ())
            remedy = _ELSEWHERE if len(columns) < len(found) else _additions(where, columns)
            raise SchemaDriftError(where, found, remedy=remedy)


async def plan(session: Session, schema: Schema, *, options: bool = False) -> Plan:
    """What `apply` would run on the live cluster, and what it would refuse; nothing is changed.

    Raises:
        SchemaError: the engine lacks something, a type is not declared, or a keyspace does not exist.
        ClusterError: the cluster could not be asked.
    """
    steps: list[Step] = []
    drift: dict[str, list[str]] = {}
    missing: dict[str, list[Column]] = {}
    for change in await compare_live(session, schema, options=options):
        if change.difference.kind == "missing keyspace" and not change.creates:
            raise SchemaError("does not exist", where=change.where, remedy=change.note.capitalize())
        if change.creates:
            steps += change.steps
            continue
        drift.setdefault(change.where, []).append(change.difference.text)
        if isinstance(change.difference.missing, Column):
            missing.setdefault(change.where, []).append(change.difference.missing)
    return Plan(tuple(steps), drift, missing)


async def compare_live(
    session: Session,
    schema: Schema,
    *,
    options: bool = True,
    extra: bool = False,
    whole: bool = False,
    ignore: Collection[str] = (),
    unnamed: str | None = None,
) -> list[Change]:
    """Every change from what the live cluster holds to `schema`; see `changes`. Nothing is changed.

    Raises:
        SchemaError: the engine lacks something, or a type is not declared.
        ClusterError: the cluster could not be asked.
    """
    schema = _placed(schema, session.keyspace)
    names = None if whole else {table.name for table in schema.tables}
    parts = await asyncio.gather(*(_live(session, name, names) for name in keyspaces(schema)))
    live = Schema(
        tuple(table for part in parts for table in part.tables),
        tuple(kind for part in parts for kind in part.types),
        tuple(keyspace for part in parts for keyspace in part.keyspaces),
    )
    place = Site(session.dialect, session.datacenter)
    found = changes(schema, live, place, options=options, extra=extra, whole=whole, ignore=ignore, unnamed=unnamed)
    return list(found)


async def _live(session: Session, keyspace: str, names: Collection[str] | None) -> Schema:
    found, types, tables = await asyncio.gather(
        introspect_keyspace(session, keyspace),
        introspect_types(session, keyspace),
        introspect(session, keyspace, names),
    )
    return Schema(tuple(tables.values()), tuple(types.values()), () if found is None else (found,))


def _placed(schema: Schema, keyspace: str | None) -> Schema:
    schema = with_lookups(schema.in_keyspace(keyspace))
    parts: list[Table | UserType] = [*schema.tables, *schema.types]
    for part in parts:
        if part.keyspace is None:
            raise SchemaError(
                "belongs to no keyspace", where=part.name, remedy="Name one in it, or connect with keyspace=..."
            )
    return schema


def _additions(where: str, columns: Iterable[Column]) -> str:
    return "Run " + "; ".join(f"ALTER TABLE {where} ADD {ddl.column_text(column)}" for column in columns)
