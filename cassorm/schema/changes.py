"""What it would take to turn a live schema into the wanted one: each difference, its statements, and what they cost."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cassorm.cql.dialect import Dialect
from cassorm.schema import ddl
from cassorm.schema.diff import Difference, Setting, compare, compare_types
from cassorm.schema.keyspace import Keyspace, Schema, check_user_types
from cassorm.schema.table import Column, Index, Table, UserType, View

Effect = Literal["safe", "loses data", "impossible"]
"""safe: no row is lost; loses data: values are gone; impossible: no statement changes it."""

_GAP = "queries that need it fail until it is built again"
_COPY = "needs a new table and a copy of the rows"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement that is still to be run, and the name of what it creates or changes."""

    text: str
    creates: str


@dataclass(frozen=True, slots=True)
class Change:
    """One difference, where it is, what removing it costs, and the statements that do; none when it is impossible.

    `note` is what else to know, or to do instead.
    """

    where: str
    difference: Difference
    effect: Effect
    steps: tuple[Step, ...] = ()
    note: str = ""

    @property
    def creates(self) -> bool:
        """Whether it is the creation of something that is not there, and of no column."""
        return self.difference.kind in _CREATED and self.effect == "safe"

    @property
    def needs_copy(self) -> bool:
        """Whether it takes a new table and a copy of the rows."""
        return self.note == _COPY


_CREATED = ("missing keyspace", "missing type", "missing table", "missing index", "missing view")


@dataclass(frozen=True, slots=True)
class Site:
    """Where the schema is to live: the engine, and the data centre that a bare number of copies is for."""

    dialect: Dialect
    datacenter: str


def changes(
    wanted: Schema,
    live: Schema,
    place: Site,
    *,
    options: bool = True,
    extra: bool = False,
    whole: bool = False,
    ignore: Collection[str] = (),
    unnamed: str | None = None,
) -> Iterator[Change]:
    """Every change from `live` to `wanted`, in an order in which they can be made; both name their keyspaces.

    `options` compares the options that `wanted` sets, `extra` reports what the live tables have besides, `whole` also
    the tables and types that `wanted` does not name, less those of the names in `ignore`. The statements leave out the
    keyspace `unnamed`: they are to be run in it.

    Raises:
        SchemaError: the engine lacks something, or a type is not declared.
    """
    for name in keyspaces(wanted):
        declared = next((keyspace for keyspace in wanted.keyspaces if keyspace.name == name), None)
        stands = next((keyspace for keyspace in live.keyspaces if keyspace.name == name), None)
        yield from _keyspace(name, declared, stands, place)
        types = {kind.name: kind for kind in live.types if kind.keyspace == name}
        tables = {table.name: table for table in live.tables if table.keyspace == name}
        written = None if name == unnamed else name
        mine = [replace(kind, keyspace=written) for kind in wanted.types if kind.keyspace == name]
        for kind in mine:
            yield from _type(f"type {name}.{kind.name}", kind, types.get(kind.name), place.dialect, extra=extra)
        known = types | {kind.name: kind for kind in mine}
        named = [table for table in wanted.tables if table.keyspace == name]
        for table in named:
            check_user_types(table.columns, known, table.where)
            written_as = replace(table, keyspace=written)
            where = f"{name}.{table.name}"
            yield from _table(where, written_as, tables.get(table.name), place.dialect, options=options, extra=extra)
        if whole:
            yield from _unnamed(tables.values(), {*(table.name for table in named), *ignore})
            yield from _unnamed(types.values(), {kind.name for kind in mine})


def keyspaces(schema: Schema) -> Iterable[str]:
    """The names of the keyspaces that the schema declares or uses."""
    names = [keyspace.name for keyspace in schema.keyspaces]
    names += [kind.keyspace for kind in schema.types if kind.keyspace]
    names += [table.keyspace for table in schema.tables if table.keyspace]
    return dict.fromkeys(names)


def _keyspace(name: str, declared: Keyspace | None, stands: Keyspace | None, place: Site) -> Iterator[Change]:
    where = f"keyspace {name}"
    if stands is None:
        found = Difference("missing keyspace", f"missing keyspace {name}", name)
        if declared is None:
            yield Change(where, found, "impossible", note="create it first, or declare its replication")
            return
        text = ddl.create_keyspace(
            name,
            declared.replication,
            place.dialect,
            datacenter=place.datacenter,
            durable_writes=declared.durable_writes,
        )
        yield Change(where, found, "safe", (Step(text, name),))
    elif declared is not None:
        now = dict(sorted(_copies(stands, place.datacenter).items()))
        expected = dict(sorted(_copies(declared, place.datacenter).items()))
        if list(expected) == ["replication_factor"]:  # as many in every data centre
            expected = dict.fromkeys(now, expected["replication_factor"])
        if expected != now:
            shown = f"{now}, expected {expected}"
            yield Change(
                where,
                Difference("wrong replication", f"replication is {shown}", shown),
                "safe",
                (Step(ddl.alter_replication(name, expected), name),),
                "run `nodetool repair` afterwards: new replicas are empty until then",
            )


def _copies(keyspace: Keyspace, datacenter: str) -> Mapping[str, int | str]:
    return {datacenter: keyspace.replication} if isinstance(keyspace.replication, int) else keyspace.replication


def _type(where: str, wanted: UserType, live: UserType | None, dialect: Dialect, *, extra: bool) -> Iterator[Change]:
    if live is None:
        shown = ", ".join(f"{column.name} {column.type}" for column in wanted.fields)
        found = Difference("missing type", f"missing type {wanted.name}", shown)
        yield Change(where, found, "safe", (Step(ddl.create_type(wanted, dialect), wanted.name),))
        return
    at_the_end = [column.name for column in wanted.fields][: len(live.fields)] == [one.name for one in live.fields]
    for found in compare_types(wanted, live, extra=extra):
        if found.kind == "missing field" and isinstance(found.wanted, Column) and at_the_end:
            yield Change(where, found, "safe", (Step(ddl.add_field(wanted, found.wanted, dialect), wanted.name),))
        elif found.kind == "missing field":
            yield Change(where, found, "impossible", note="fields can be added at the end alone: declare it last")
        elif found.kind == "extra field":
            yield Change(where, found, "impossible", note="no field can be dropped: declare it, or make a new type")
        else:
            yield Change(where, found, "impossible", note="make a new type, and a new column or table that uses it")


def _table(
    where: str, wanted: Table, live: Table | None, dialect: Dialect, *, options: bool, extra: bool
) -> Iterator[Change]:
    if live is None:
        names = [wanted.name, *(index.name for index in wanted.indexes), *(view.name for view in wanted.views)]
        steps = tuple(map(Step, ddl.table_statements(wanted, dialect), names))
        shown = f"{len(wanted.columns)} columns"
        yield Change(where, Difference("missing table", f"missing table {wanted.name}", shown), "safe", steps)
        return
    # Not the options that a profile gives on this engine: for those an operator may have better ones.
    for found in compare(wanted, live, options=options, extra=extra):
        yield _part(where, found, wanted, live, dialect)


def _part(where: str, found: Difference, wanted: Table, live: Table, dialect: Dialect) -> Change:
    def made(text: str, name: str, note: str = "", *, effect: Effect = "safe") -> Change:
        return Change(where, found, effect, (Step(text, name),), note)

    match found.kind, found.wanted, found.live:
        case "missing column", Column() as column, _:
            return made(ddl.add_column(wanted, column, dialect), wanted.name)
        case "missing index" | "missing view", Index() | View() as part, _:
            return Change(where, found, "safe", (_created(wanted, part, dialect),))
        case "wrong index" | "wrong view", Index() | View() as part, Index() | View() as stands:
            steps = (_dropped(wanted, stands), _created(wanted, part, dialect))
            return Change(where, found, "safe", steps, _GAP)
        case "extra index" | "extra view", _, Index() | View() as stands:
            step = _dropped(wanted, stands)
            return made(step.text, step.creates, "its data stay in the table; see that no query needs it")
        case "wrong option", Setting() as setting, _:
            text = ddl.alter_option(wanted, setting.name, setting.value, dialect)
            note = "rows written before keep theirs" if setting.name == "default_time_to_live" else ""
            return made(text, wanted.name, note)
        case "extra column", _, Column() as column if column.name not in live.key:
            text = ddl.drop_column(wanted, column)
            return made(text, wanted.name, "its values are gone at once, in every row", effect="loses data")
    return Change(where, found, "impossible", note=_COPY)


def _created(table: Table, part: Index | View, dialect: Dialect) -> Step:
    if isinstance(part, Index):
        return Step(ddl.create_index(table, part, dialect), part.name)
    return Step(ddl.create_view(table, part, dialect), part.name)


def _dropped(table: Table, part: Index | View) -> Step:
    what: Literal["INDEX", "MATERIALIZED VIEW"] = "INDEX" if isinstance(part, Index) else "MATERIALIZED VIEW"
    return Step(ddl.drop(what, part.name, table.keyspace), part.name)


def _unnamed(live: Iterable[Table | UserType], named: Collection[str]) -> Iterator[Change]:
    for one in live:
        if one.name in named:
            continue
        where = f"{one.keyspace}.{one.name}"
        if isinstance(one, Table):
            found = Difference("extra table", f"extra table {one.name}", f"{len(one.columns)} columns")
            dropped = [_dropped(one, view) for view in one.views]
            steps = (*dropped, Step(ddl.drop("TABLE", one.name, one.keyspace), one.name))
            yield Change(where, found, "loses data", steps, "its rows are gone")
        else:
            found = Difference("extra type", f"extra type {one.name}", f"{len(one.fields)} fields")
            step = Step(ddl.drop("TYPE", one.name, one.keyspace), one.name)
            yield Change(f"type {where}", found, "safe", (step,), "the server refuses while a table uses it")
