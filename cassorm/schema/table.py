"""Tables as values: what files, code and live keyspaces all become, and what DDL and comparisons read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from zlib import crc32

from cassorm.cql.dialect import PROFILES, Profile
from cassorm.cql.identifiers import MAX_NAME, check_name
from cassorm.cql.types import CqlType, near_types, parse_type
from cassorm.errors import CassormError, QueryError, SchemaError
from cassorm.schema.foreign import COMPUTED, is_computed
from cassorm.schema.indexing import kind_for
from cassorm.schema.options import normalized

Order = Literal["asc", "desc"]
Clustering = tuple[tuple[str, Order], ...]
Target = Literal["values", "keys", "entries", "full"]
ALL_COLUMNS = ("*",)
LOOKUP_COLUMNS = ("owner", "claim", "state")
"""What a lookup table of unique columns has besides them."""
_TARGETS: tuple[Target, ...] = ("values", "keys", "entries", "full")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or a field of a user type; `type` is kept in its one spelling.

    Raises:
        SchemaError: the name or the type is none that CQL can take.
    """

    name: str
    type: str
    static: bool = False

    def __post_init__(self) -> None:
        try:
            check_name(self.name, what="column name")
            object.__setattr__(self, "type", str(parse_type(self.type)))
        except QueryError as error:
            raise _at(error, f"column {self.name}", "columns", str(self.name)) from error

    @property
    def cql_type(self) -> CqlType:
        """The type as a value."""
        return parse_type(self.type)


@dataclass(frozen=True, slots=True)
class Index:
    """An index on one column.

    `kind` is "sai", "secondary" or the full name of a class on the server; None leaves it to the engine: SAI where
    there is one. `target` says what of a collection is indexed; None means its values, or all of a frozen one.
    The table gives it a name when it has none.
    """

    column: str
    name: str = ""
    kind: str | None = None
    target: Target | None = None
    options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class View:
    """A materialized view: its own key over the base table's columns, `("*",)` for all of them.

    It is kept by the server, without repair between base and view; Cassandra has views switched off by default.
    The columns of its key are always among its `columns`. `filter` is what a live view's WHERE says besides; none is
    ever created with one.
    """

    name: str
    partition_key: tuple[str, ...]
    clustering: Clustering = ()
    columns: tuple[str, ...] = ALL_COLUMNS
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    comment: str = ""
    filter: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key, in their order."""
        return (*self.partition_key, *(name for name, _ in self.clustering))


@dataclass(frozen=True, slots=True)
class UserType:
    """A user-defined type and its fields.

    Raises:
        SchemaError: the name or a field is none that CQL can take; the error says what to write.
    """

    name: str
    fields: tuple[Column, ...]
    keyspace: str | None = None

    def __post_init__(self) -> None:
        where = f"type {self.name}"
        _check_names(where, self.name, self.keyspace, what="type name", limit=None)
        if not self.fields:
            raise SchemaError("has no fields", where=where, remedy="Give it at least one field")
        _check_unique("field", (column.name for column in self.fields), where, "columns")
        for column in self.fields:
            if column.cql_type.name == "counter" or (column.cql_type.is_user_type and not column.cql_type.frozen):
                raise SchemaError(
                    f"field {column.name} of type {column.type}",
                    where=where,
                    remedy="Use bigint" if column.type == "counter" else f"Write frozen<{column.type}>",
                    part=("columns", column.name),
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with its indexes and views; every rule that needs no live cluster has been checked.

    `profile` says how the table is used and gives compaction and compression on any engine; what `options` say
    goes before it. Columns keep the order in which they were declared. `unique` are groups of columns whose values no
    two rows share: a lookup table for each keeps them so, as long as all writes go through models.

    Raises:
        SchemaError: a rule of CQL is broken; `part` names the part of the table.
    """

    name: str
    columns: tuple[Column, ...]
    partition_key: tuple[str, ...]
    clustering: Clustering = ()
    keyspace: str | None = None
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    profile: Profile | None = None
    comment: str = ""
    indexes: tuple[Index, ...] = ()
    views: tuple[View, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        _check_names(self.where, self.name, self.keyspace, what="table name", limit=MAX_NAME)
        try:
            object.__setattr__(self, "options", normalized(self.options))
            _check_columns(self)
            _check_key(self)
            _check_counters(self)
            _check_profile(self)
            object.__setattr__(self, "indexes", tuple(_checked_index(self, index) for index in self.indexes))
            _check_unique("index", (index.name for index in self.indexes), self.where, "indexes")
            object.__setattr__(self, "views", tuple(_checked_view(self, view) for view in self.views))
            _check_unique("view", (self.name, *(view.name for view in self.views)), self.where, "views")
            for group in self.unique:
                _check_group(self, group)
            _check_unique("unique", (", ".join(group) for group in self.unique), self.where, "unique")
            _check_unique(
                "lookup table", (lookup_name(self.name, group) for group in self.unique), self.where, "unique"
            )
        except (QueryError, SchemaError) as error:
            if error.where:
                raise
            raise _at(error, self.where, *getattr(error, "part", ())) from error

    @property
    def where(self) -> str:
        """How errors name the table."""
        return f"table {self.keyspace}.{self.name}" if self.keyspace else f"table {self.name}"

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key, in their order."""
        return (*self.partition_key, *(name for name, _ in self.clustering))

    @property
    def has_counters(self) -> bool:
        """Whether it is a counter table."""
        return any(column.type == "counter" for column in self.columns)

    def column(self, name: str) -> Column | None:
        """The column of that name; None when there is none."""
        return next((column for column in self.columns if column.name == name), None)

    def user_types(self) -> frozenset[str]:
        """The names of the user types that its columns use."""
        return frozenset(name for column in self.columns for name in column.cql_type.user_types())


def _check_group(table: Table, group: tuple[str, ...]) -> None:
    part = ("unique", group[0] if group else "")
    if not group:
        raise _refused("unique of no column", "Name at least one column", *part)
    _check_unique("column", group, f"{table.where}, unique {', '.join(group)}", "unique")
    for name in group:
        try:
            _check_key_column(table.column(name), name, table)
        except SchemaError as error:
            problem = error.problem.replace("key column", "unique column", 1)
            raise _refused(problem, error.remedy or "", *(error.part or part)) from error
        if name in LOOKUP_COLUMNS:
            raise _refused(f"unique column {name}: its lookup table has a column of that name", "Rename it", *part)
    if set(table.key) <= set(group):
        raise _refused(f"unique {', '.join(group)}, which holds the key", "Remove it: keys are unique anyhow", *part)


def _check_names(where: str, name: str, keyspace: str | None, *, what: str, limit: int | None) -> None:
    try:
        check_name(name, what=what, limit=limit)
        if keyspace is not None:
            check_name(keyspace, what="keyspace name", limit=MAX_NAME)
    except QueryError as error:
        raise _at(error, where, "name") from error


def _at(error: CassormError, where: str, *part: str) -> SchemaError:
    return SchemaError(error.problem, where=where, remedy=error.remedy, part=part)


def _refused(problem: str, remedy: str, *part: str) -> SchemaError:
    return SchemaError(problem, remedy=remedy, part=part)


def _check_unique(what: str, names: Iterable[str], where: str, part: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise SchemaError(f"{what} {name} is there twice", where=where, remedy="Rename one", part=(part, name))
        seen.add(name)


def _check_columns(table: Table) -> None:
    if not table.columns:
        raise _refused("has no columns", "Give it at least its key columns", "columns")
    _check_unique("column", (column.name for column in table.columns), table.where, "columns")
    for column in table.columns:
        if column.static and not table.clustering:
            raise _refused(
                f"column {column.name} is static in a table without clustering columns",
                "Remove `static`, or add a clustering column to the key",
                "columns",
                column.name,
            )


def _check_key(table: Table) -> None:
    if not table.partition_key:
        raise _refused("has no partition key", "Name at least one column in the key", "key")
    _check_unique("key column", table.key, table.where, "key")
    for name in table.key:
        _check_key_column(table.column(name), name, table)
    _check_orders(table.clustering)


def _check_key_column(column: Column | None, name: str, table: Table) -> None:
    if column is None:
        known = ", ".join(known.name for known in table.columns)
        raise _refused(f"key column {name} is no column", f"Declare it, or use one of {known}", "key", name)
    if column.static:
        raise _refused(f"key column {name} is static", "Remove `static`", "columns", name)
    if column.cql_type.is_user_type and not column.cql_type.frozen:
        near = near_types(column.type)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        problem = f"key column {name} of unknown type {column.type!r}, or of a user type that is not frozen"
        raise _refused(problem, f"{meant}For a user type write frozen<{column.type}>", "columns", name)
    if column.cql_type.is_multicell:
        raise _refused(f"key column {name} is not frozen", f"Write frozen<{column.type}>", "columns", name)
    if not {"counter", "duration"}.isdisjoint(column.cql_type.names()):
        raise _refused(f"key column {name} is a {column.type}", "Use another type, such as bigint", "columns", name)


def _check_orders(clustering: Clustering) -> None:
    for name, order in clustering:
        if order not in ("asc", "desc"):
            raise _refused(f"order {order!r} of {name}", "Write asc or desc", "clustering_order", name)


def _check_counters(table: Table) -> None:
    if not table.has_counters:
        return
    for column in table.columns:
        if column.name not in table.key and column.type != "counter":
            raise _refused(
                f"column {column.name} {column.type} beside counters",
                "A table holds either counters or other columns: move one of them to a table of its own",
                "columns",
                column.name,
            )
    if table.options.get("default_time_to_live"):
        raise _refused("counters do not expire", "Remove default_time_to_live", "options", "default_time_to_live")
    if table.views:
        raise _refused("a view on counters", "Remove the view", "views", table.views[0].name)


def _check_profile(table: Table) -> None:
    if table.profile is not None and table.profile not in PROFILES:
        raise _refused(f"unknown profile {table.profile!r}", f"Use one of {', '.join(PROFILES)}", "profile")


def _checked_index(table: Table, index: Index) -> Index:
    column = table.column(index.column)
    part = ("indexes", index.column)
    if column is None:
        raise _refused(f"index on {index.column}, which is no column", "Index a declared column", *part)
    if table.partition_key == (column.name,):
        raise _refused(f"index on {column.name}, which is the partition key", "Remove it: it finds nothing new", *part)
    if table.has_counters:
        what = f"the counter {column.name}" if column.type == "counter" else f"{column.name} beside counters"
        raise _refused(f"index on {what}", "Tables of counters have no indexes: remove it", *part)
    if index.kind not in (None, "sai", "secondary") and "." not in str(index.kind):
        raise _refused(
            f"index on {column.name} of kind {index.kind!r}", "Use sai, secondary or the full name of a class", *part
        )
    options = {str(key): str(value) for key, value in index.options.items()}
    name = check_name(index.name or _index_name(table.name, index), what="index name", limit=MAX_NAME)
    target = _target(column, index.target, part)
    try:
        kind = kind_for(column.cql_type, index.kind, target, options)
    except QueryError as error:
        raise _refused(f"index on {column.name} {error.problem}", error.remedy or "", *part) from error
    return replace(index, name=name, kind=kind, target=target, options=options)


def _index_name(table: str, index: Index) -> str:
    target = f"_{index.target}" if index.target in ("keys", "entries") else ""
    return _fitting(f"{table}_{index.column}{target}_idx")


def lookup_name(table: str, unique: Iterable[str]) -> str:
    """The name of the table that keeps these columns of `table` unique."""
    return _fitting(f"{table}_by_{'_'.join(unique)}_unique")


def _fitting(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 9]}_{crc32(name.encode()):08x}"


def _target(column: Column, target: Target | None, part: tuple[str, ...]) -> Target | None:
    kind = column.cql_type
    if target is not None and target not in _TARGETS:
        raise _refused(f"index target {target!r}", f"Use one of {', '.join(_TARGETS)}", *part)
    if not kind.is_collection:
        allowed: tuple[Target | None, ...] = (None,)
    elif kind.frozen:
        allowed = ("full",)
    else:
        allowed = ("values", "keys", "entries") if kind.name == "map" else ("values",)
    if target not in (None, *allowed):
        raise _refused(f"index on the {target} of {column.name} {column.type}", "Remove the target", *part)
    return target or allowed[0]


def _checked_view(table: Table, view: View) -> View:
    try:
        check_name(view.name, what="view name", limit=MAX_NAME)
        _check_view_key(table, view)
        _check_view_columns(table, view)
        _check_orders(view.clustering)
        options = normalized(view.options)
        if options.get("default_time_to_live"):
            raise _refused("has a TTL of its own", "Rows expire with the base table's: remove default_time_to_live")
    except (QueryError, SchemaError) as error:
        raise _refused(f"view {view.name}: {error.problem}", error.remedy or "", "views", view.name) from error
    columns = view.columns
    if columns != ALL_COLUMNS:
        columns = (*view.key, *(name for name in columns if name not in view.key))
    return replace(view, columns=columns, options=options)


def _check_view_key(table: Table, view: View) -> None:
    computed = [name for name in view.columns if is_computed(name)]
    if computed:
        raise _refused(f"computes {computed[0]}", COMPUTED)
    if not view.partition_key:
        raise _refused("has no key", "Give its key: one new column, then the columns of the table's key")
    _check_unique("key column", view.key, "", "views")
    for name in view.key:
        _check_key_column(table.column(name), name, table)
    missing = [name for name in table.key if name not in view.key]
    if missing:
        raise _refused(
            f"lacks key column {missing[0]} of the table", "A view's key holds every column of the table's key: add it"
        )
    added = [name for name in view.key if name not in table.key]
    if len(added) > 1:
        raise _refused(f"adds {' and '.join(added)} to the table's key", "A view adds one column at most")


def _check_view_columns(table: Table, view: View) -> None:
    if view.columns == ALL_COLUMNS:
        static = [column.name for column in table.columns if column.static]
        if static:
            raise _refused(
                f"selects *, which holds the static column {static[0]}",
                "A view has no static columns: name the columns to select",
            )
        return
    _check_unique("column", view.columns, "", "views")
    for name in view.columns:
        column = table.column(name)
        if column is None or column.static:
            raise _refused(f"selects {name}, which is {'static' if column else 'no column'}", "Select other columns")
