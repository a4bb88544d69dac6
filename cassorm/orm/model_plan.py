"""What a model class means: its table, its user types, and the code that turns rows into instances and back."""

import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cassorm.cql.dialect import Profile
from cassorm.cql.identifiers import check_name, quote, quote_table
from cassorm.cql.types import parse_type
from cassorm.driver.prepared import Check
from cassorm.driver.session import Session
from cassorm.errors import CassormError, ModelError, QueryError
from cassorm.orm.annotations import CodecReader, annotation_in, optional, said_of
from cassorm.orm.codec import pointing
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.hooks import Hooks, hooks_of
from cassorm.orm.hydration import Hydrate, Saved, make_hydrate, make_params, make_snapshot
from cassorm.orm.live_columns import check_of
from cassorm.orm.markers import Kind
from cassorm.orm.parts import expression_of
from cassorm.orm.sending import read_options, write_options
from cassorm.schema.table import Column, Index, Table, UserType, View, lookup_name

_PLAN = "__cassorm_plan__"
_MOST_TEXTS = 10_000
_MOST_SECONDS = 20 * 365 * 86_400
_INT_TYPES = ("bigint", "int", "smallint", "tinyint", "varint")


@dataclass(frozen=True, slots=True)
class TableOptions:
    """What the class statement of a model says about its table."""

    keyspace: str | None = None
    table: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    ttl: timedelta | int | None = None
    comment: str = ""
    profile: Profile | None = None
    lwt_only: bool = False
    views: Sequence[View] = ()
    unique: Sequence[str | Sequence[str]] = ()
    sending: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Unique:
    """Fields whose values together no two rows share, and the name of the lookup table that keeps them so."""

    fields: tuple[FieldPlan, ...]
    lookup: str


@dataclass(slots=True, eq=False)
class ModelPlan:
    """One model and all that was worked out about it when its class was made."""

    model: type[BaseModel]
    table: Table
    user_types: tuple[UserType, ...]
    fields: tuple[FieldPlan, ...]
    lwt_only: bool
    hooks: Hooks | None
    by_attribute: dict[str, FieldPlan] = field(init=False)
    by_column: dict[str, FieldPlan] = field(init=False)
    partition: tuple[FieldPlan, ...] = field(init=False)
    clustering: tuple[FieldPlan, ...] = field(init=False)
    version: FieldPlan | None = field(init=False)
    unique: tuple[Unique, ...] = field(init=False)
    counts: bool = field(init=False)
    columns_text: str = field(init=False)
    hydrate: Hydrate = field(init=False)
    params: Callable[[Any], list[Any]] = field(init=False)
    snapshot: Callable[[Any], tuple[Any, ...]] = field(init=False)
    check: Check = field(init=False)
    reading: dict[str, Any] = field(init=False, default_factory=dict)
    writing: dict[str, Any] = field(init=False, default_factory=dict)
    keeper: str = field(init=False, default="")
    """Who alone writes its rows, where that is not whoever has a session."""
    current: "Callable[[Session], Awaitable[ModelPlan]] | None" = field(init=False, default=None)
    """Tells, where it is not fixed, which table stands for the model at this moment: its plan has the same fields."""
    expressions: dict[str, Any] = field(init=False)
    shapes: dict[Any, Any] = field(init=False, default_factory=dict)
    _texts: dict[Any, str] = field(init=False, default_factory=dict)
    _key_encoders: tuple[Callable[[Any], Any], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.by_attribute = {each.attribute: each for each in self.fields}
        self.by_column = {each.column: each for each in self.fields}
        self.partition = tuple(each for each in self.fields if each.kind == "partition")
        self.clustering = tuple(each for each in self.fields if each.kind == "clustering")
        self.version = next((each for each in self.fields if each.kind == "version"), None)
        self.unique = tuple(
            Unique(tuple(self.by_column[name] for name in group), lookup_name(self.table.name, group))
            for group in self.table.unique
        )
        self.counts = self.table.has_counters
        self.expressions = {each.attribute: expression_of(each) for each in self.fields}
        self._key_encoders = tuple(each.codec.encode for each in self.key)
        self.columns_text = ", ".join(each.quoted for each in self.fields)
        set_row = getattr(self.model, "_row").__set__  # noqa: B009 - the slot of Model, which pydantic does not know
        self.hydrate = make_hydrate(self.model, self.fields, set_row=set_row, skip_without=self.sparse_at())
        self.params = make_params(self.fields)
        self.snapshot = make_snapshot(self.fields)
        self.check = check_of(self)

    def saved(self, row: Sequence[Any]) -> Saved:
        """What an instance holds of a row: Python values, for a row that was read as for one that was written."""
        if type(row) is Saved:
            return row
        return Saved(each.decoded(value) for each, value in zip(self.fields, row, strict=True))

    def sparse_at(self) -> int | None:
        """Where a row that stands for a partition's static columns alone has NULL."""
        if not self.clustering or not any(each.kind == "static" for each in self.fields):
            return None
        return self.fields.index(self.clustering[0])

    @property
    def key(self) -> tuple[FieldPlan, ...]:
        """The fields of the primary key, in their order."""
        return self.partition + self.clustering

    @property
    def where(self) -> str:
        """How errors name the model."""
        return self.model.__name__

    def on_table(self, table: Table, fields: "tuple[FieldPlan, ...] | None" = None) -> "ModelPlan":
        """The same model on another table, of the same columns; `fields` are its own in another order."""
        made = ModelPlan(
            self.model, table, self.user_types, self.fields if fields is None else fields, self.lwt_only, self.hooks
        )
        made.reading, made.writing, made.keeper = self.reading, self.writing, self.keeper
        return made

    def check_writable(self) -> None:
        """Return when whoever has a session may write rows.

        Raises:
            QueryError: somebody keeps them.
        """
        if self.keeper:
            raise QueryError(
                f"is written by {self.keeper} alone",
                where=self.where,
                remedy="Append an event that it takes, or write to a model of your own",
            )

    def target(self, keyspace: str | None) -> str:
        """The table's name as CQL text; in `keyspace`, where the class names none."""
        return quote_table(self.table.name, self.table.keyspace or keyspace)

    def text(self, kind: str, keyspace: str | None, make: Callable[..., str], *args: Any) -> str:
        """The text of a statement of this model, made once, of `args`."""
        found = self._texts.get((kind, keyspace))
        if found is None:
            if len(self._texts) > _MOST_TEXTS:
                # Of tenants who come and go.
                self._texts.clear()
            found = self._texts[kind, keyspace] = make(*args)
        return found

    def key_of(self, values: Sequence[object], named: Mapping[str, object]) -> list[Any]:
        """The encoded primary key from values in the order of the key, or by attribute.

        Raises:
            QueryError: a part is missing, unknown or does not fit.
        """
        if not named and len(values) == len(self._key_encoders):
            try:
                return [encode(value) for encode, value in zip(self._key_encoders, values, strict=True)]
            except (TypeError, ValueError, OverflowError):
                return self._key_by_name(values, named)
        return self._key_by_name(values, named)

    def _key_by_name(self, values: Sequence[object], named: Mapping[str, object]) -> list[Any]:
        names = [each.attribute for each in self.key]
        shown = ", ".join(names)
        if len(values) > len(names) or (set(named) - set(names)):
            extra = ", ".join(sorted(set(named) - set(names))) or f"{len(values)} values"
            raise QueryError(f"{extra} for the key ({shown})", where=self.where, remedy=f"Give {shown}")
        given = {**dict(zip(names, values, strict=False)), **named}
        missing = [name for name in names if given.get(name) is None]
        if missing:
            raise QueryError(
                f"lacks {', '.join(missing)} of its key ({shown})",
                where=self.where,
                remedy=f"Give {', '.join(missing)}, or use where() for several rows",
            )
        return [each.encode(given[each.attribute]) for each in self.key]


def plan_of(model: type[Any]) -> ModelPlan:
    """The plan of a model class.

    Raises:
        ModelError: the class is abstract, or declared wrongly.
    """
    said: Mapping[str, Any] = getattr(model, "__dict__", {})
    found = said.get(_PLAN)
    if isinstance(found, ModelPlan):
        return found
    options = said.get("__cassorm_options__")
    if not isinstance(options, TableOptions):
        raise ModelError(
            "is no model with a table",
            where=getattr(model, "__name__", repr(model)),
            remedy="Derive it from cassorm.Model, without abstract=True",
        )
    model.model_rebuild()
    return make_plan(model, options)


def make_plan(model: type[BaseModel], options: TableOptions) -> ModelPlan:
    """Work out what the class means, and keep it with the class.

    Raises:
        ModelError: a field or an option is declared wrongly; the error says what to write.
    """
    reader = CodecReader(options.keyspace)
    fields = tuple(_field(model, name, info, reader) for name, info in model.model_fields.items())
    _check_fields(model.__name__, fields, options)
    if model.model_config.get("use_enum_values") and any(each.codec.is_enum for each in fields):
        raise ModelError(
            "use_enum_values with enumerations",
            where=model.__name__,
            remedy="Remove it: values are what is stored anyhow",
        )
    try:
        table = _table(model, fields, options)
    except CassormError as error:
        raise ModelError(f"{error.where}: {error.problem}", where=model.__name__, remedy=error.remedy) from error
    guarded = options.lwt_only or bool(table.unique) or any(each.kind == "version" for each in fields)
    guarded = guarded or (options.profile == "lwt-only" and not table.has_counters)
    plan = ModelPlan(model, table, tuple(reader.user_types.values()), fields, guarded, hooks_of(model))
    try:
        said = dict(options.sending)
        plan.writing = write_options(model.__name__, **said)
        plan.reading = read_options(model.__name__, consistency=said.get("consistency"), timeout=said.get("timeout"))
    except QueryError as error:
        raise ModelError(error.problem, where=error.where, remedy=error.remedy) from error
    setattr(model, _PLAN, plan)
    return plan


def _field(model: type[BaseModel], attribute: str, info: FieldInfo, reader: CodecReader) -> FieldPlan:
    where = f"{model.__name__}.{attribute}"
    marker, options = said_of(info, where)
    kind: Kind = marker.kind if marker is not None else "regular"
    plain, nullable = optional(annotation_in(info))
    is_key = kind in ("partition", "clustering")
    if is_key and (nullable or options.truncate):
        problem = "a key column with None" if nullable else "truncate=True of a key column"
        raise ModelError(problem, where=where, remedy="A key is stored whole: remove it from the field")
    if options.order is not None and kind != "clustering":
        raise ModelError("order= of a column that orders nothing", where=where, remedy="Make it a CK, or remove order=")
    name = options.name or attribute
    try:
        check_name(name, what="column name")
        wanted = parse_type(options.type) if options.type else None
        if kind == "counter":
            wanted = parse_type("counter")
        codec = reader.codec(plain, wanted, frozen=is_key, truncate=options.truncate)
        if codec.cql.name == "vector" and options.index is not None and options.index.compares_directions:
            codec = pointing(codec)
    except CassormError as error:
        raise ModelError(error.problem, where=where, remedy=error.remedy) from error
    return FieldPlan(
        owner=model.__name__,
        attribute=attribute,
        column=name,
        quoted=quote(name),
        codec=codec,
        kind=kind,
        order=options.order or "asc",
        nullable=nullable,
        index=options.index,
        default=_default(info, kind),
        unique=options.unique,
    )


def _default(info: FieldInfo, kind: Kind) -> Callable[[], Any] | None:
    factory: Any = info.default_factory
    if factory is not None:
        return lambda: info.get_default(call_default_factory=True, validated_data={})
    if not info.is_required() and info.default is not None:
        return lambda: copy.deepcopy(info.default)
    return (lambda: 0) if kind in ("counter", "version") else None


def _check_fields(owner: str, fields: Iterable[FieldPlan], options: TableOptions) -> None:
    seen: dict[str, FieldPlan] = {}
    for each in fields:
        if each.column in seen:
            problem = f"has the column {each.column}, as {seen[each.column].attribute} has"
            raise ModelError(problem, where=each.where, remedy="Give one of them another name=")
        seen[each.column] = each
    if not any(each.kind == "partition" for each in fields):
        raise ModelError(
            "has no partition key",
            where=owner,
            remedy="Declare a field as `id: PK[UUID]`, or the class with abstract=True when it is a base of models",
        )
    versions = [each for each in fields if each.kind == "version"]
    if len(versions) > 1:
        raise ModelError(f"has {len(versions)} versions", where=owner, remedy="Keep one Version field")
    if versions and (versions[0].codec.cql.name not in _INT_TYPES or versions[0].nullable):
        raise ModelError("a version that is no int", where=versions[0].where, remedy="Write Version[int]")
    if options.lwt_only and any(each.kind == "counter" for each in fields):
        raise ModelError("lwt_only with counters", where=owner, remedy="Remove it: counters take no conditions")


def _table(model: type[BaseModel], fields: tuple[FieldPlan, ...], said: TableOptions) -> Table:
    if not isinstance(said.options, Mapping):
        raise QueryError(f"options={said.options!r}", where=model.__name__, remedy="Give a dict of table options")
    if not isinstance(said.views, Sequence) or not all(isinstance(view, View) for view in said.views):
        raise QueryError(f"views={said.views!r}", where=model.__name__, remedy="Give a list of View(...)")
    options = dict(said.options)
    if said.ttl is not None:
        options["default_time_to_live"] = seconds(said.ttl, where=f"ttl of {model.__name__}")
    indexes = tuple(
        Index(each.column, each.index.name, each.index.kind, each.index.target, each.index.options)
        for each in fields
        if each.index is not None
    )
    return Table(
        name=said.table or "",
        keyspace=said.keyspace,
        columns=tuple(Column(each.column, str(each.codec.cql), static=each.kind == "static") for each in fields),
        partition_key=tuple(each.column for each in fields if each.kind == "partition"),
        clustering=tuple((each.column, each.order) for each in fields if each.kind == "clustering"),
        options=options,
        profile=said.profile,
        comment=said.comment,
        indexes=indexes,
        views=tuple(said.views),
        unique=tuple(_groups(fields, said)),
    )


def _groups(fields: tuple[FieldPlan, ...], said: TableOptions) -> Iterable[tuple[str, ...]]:
    """The columns of each group of fields that is unique."""
    columns = {each.attribute: each.column for each in fields}
    for each in fields:
        if each.unique:
            yield (each.column,)
    for group in said.unique:
        yield tuple(columns.get(name, name) for name in ([group] if isinstance(group, str) else group))


def seconds(ttl: timedelta | int, *, where: str) -> int:
    """A time to live in whole seconds.

    Raises:
        QueryError: it is no whole number of seconds, or too long for the server.
    """
    whole = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(whole, bool) or not isinstance(whole, int | float) or not 0 <= whole <= _MOST_SECONDS or whole % 1:
        raise QueryError(f"a time to live of {ttl!r}", where=where, remedy="Give whole seconds, at most 20 years")
    return int(whole)
