"""What a live cluster lacks of a schema, and what it has otherwise than wanted."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cassorm.driver.session import Session
from cassorm.errors import SchemaDriftError, SchemaError
from cassorm.schema import ddl
from cassorm.schema.diff import Difference, compare, type_differences
from cassorm.schema.introspect import introspect, introspect_keyspace, introspect_types
from cassorm.schema.keyspace import Keyspace, Schema, check_user_types
from cassorm.schema.table import Column, Index, Table, UserType, View

_ELSEWHERE = "Use another name or keyspace, or move the data into a new one"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that is still to be run, and the name of what it creates."""

    text: str
    creates: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they can be run, and the differences of what exists, by its name."""

    steps: tuple[Step, ...] = ()
    drift: Mapping[str, Sequence[Difference]] = field(default_factory=dict)

    def refuse_drift(self) -> None:
        """Return when nothing exists otherwise than wanted.

        Raises:
            SchemaDriftError: lists every difference of the first that has one.
        """
        for where, found in self.drift.items():
            raise SchemaDriftError(where, [difference.text for difference in found], remedy=_remedy(where, found))


async def plan(session: Session, schema: Schema, *, options: bool = False) -> Plan:
    """What `apply` would run on the live cluster, and what it would refuse; nothing is changed.

    Raises:
        SchemaError: the engine lacks something, a type is not declared, or a keyspace does not exist.
        ClusterError: the cluster could not be asked.
    """
    schema = _placed(schema, session.keyspace)
    steps: list[Step] = []
    drift: dict[str, Sequence[Difference]] = {}
    for name in _keyspaces(schema):
        declared = next((keyspace for keyspace in schema.keyspaces if keyspace.name == name), None)
        steps += await _plan_keyspace(session, name, declared, drift)
        part = Schema(
            tuple(table for table in schema.tables if table.keyspace == name),
            tuple(kind for kind in schema.types if kind.keyspace == name),
        )
        steps += await _plan_inside(session, name, part, drift, options=options)
    return Plan(tuple(steps), drift)


async def _plan_keyspace(
    session: Session, name: str, declared: Keyspace | None, drift: dict[str, Sequence[Difference]]
) -> list[Step]:
    live = await introspect_keyspace(session, name)
    if live is None:
        if declared is None:
            raise SchemaError(
                "does not exist", where=f"keyspace {name}", remedy="Create it first, or declare its replication"
            )
        return [Step(_create_keyspace(session, declared), name)]
    if declared is not None:
        now = dict(sorted(_copies(live, session.datacenter).items()))
        expected = dict(sorted(_copies(declared, session.datacenter).items()))
        if list(expected) == ["replication_factor"]:  # as many in every data centre
            expected = dict.fromkeys(now, expected["replication_factor"])
        if expected != now:
            drift[f"keyspace {name}"] = [Difference(f"replication is {now}, expected {expected}")]
    return []


async def _plan_inside(
    session: Session, keyspace: str, wanted: Schema, drift: dict[str, Sequence[Difference]], *, options: bool
) -> list[Step]:
    types, live = await asyncio.gather(
        introspect_types(session, keyspace), introspect(session, keyspace, {table.name for table in wanted.tables})
    )
    steps: list[Step] = []
    for kind in wanted.types:
        if kind.name not in types:
            steps.append(Step(ddl.create_type(kind), kind.name))
        elif found := type_differences(kind, types[kind.name]):
            drift[f"type {keyspace}.{kind.name}"] = [Difference(text) for text in found]
    known = types | {kind.name: kind for kind in wanted.types}
    for table in wanted.tables:
        check_user_types(table.columns, known, table.where)
        if table.name not in live:
            steps += _created(table, session)
            continue
        refused: list[Difference] = []
        # Not the options that a profile gives on this engine: for those an operator may have better ones.
        for difference in compare(table, live[table.name], options=options):
            if isinstance(difference.missing, Index | View):
                steps.append(_added(table, difference.missing, session))
            else:
                refused.append(difference)
        if refused:
            drift[f"{keyspace}.{table.name}"] = refused
    return steps


def _placed(schema: Schema, keyspace: str | None) -> Schema:
    schema = schema.in_keyspace(keyspace)
    parts: list[Table | UserType] = [*schema.tables, *schema.types]
    for part in parts:
        if part.keyspace is None:
            raise SchemaError(
                "belongs to no keyspace", where=part.name, remedy="Name one in it, or connect with keyspace=..."
            )
    return schema


def _keyspaces(schema: Schema) -> Iterable[str]:
    names = [keyspace.name for keyspace in schema.keyspaces]
    names += [kind.keyspace for kind in schema.types if kind.keyspace]
    names += [table.keyspace for table in schema.tables if table.keyspace]
    return dict.fromkeys(names)


def _create_keyspace(session: Session, keyspace: Keyspace) -> str:
    return ddl.create_keyspace(
        keyspace.name,
        keyspace.replication,
        session.dialect,
        datacenter=session.datacenter,
        durable_writes=keyspace.durable_writes,
    )


def _copies(keyspace: Keyspace, datacenter: str) -> Mapping[str, int | str]:
    return {datacenter: keyspace.replication} if isinstance(keyspace.replication, int) else keyspace.replication


def _created(table: Table, session: Session) -> Iterator[Step]:
    names = [table.name, *(index.name for index in table.indexes), *(view.name for view in table.views)]
    for text, name in zip(ddl.table_statements(table, session.dialect), names, strict=True):
        yield Step(text, name)


def _added(table: Table, part: Index | View, session: Session) -> Step:
    if isinstance(part, Index):
        return Step(ddl.create_index(table, part, session.dialect), part.name)
    return Step(ddl.create_view(table, part, session.dialect), part.name)


def _remedy(where: str, found: Sequence[Difference]) -> str:
    columns = [one.missing for one in found if isinstance(one.missing, Column)]
    if len(columns) < len(found):
        return _ELSEWHERE
    return "Run " + "; ".join(f"ALTER TABLE {where} ADD {ddl.column_text(column)}" for column in columns)
