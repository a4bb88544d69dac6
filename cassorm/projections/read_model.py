"""Read models: a row for each stream, declared as a model whose fields say which events set them."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, dataclass_transform

from pydantic.fields import FieldInfo

from cassorm.cql.identifiers import check_name
from cassorm.errors import ModelError, QueryError
from cassorm.events.event import Event
from cassorm.events.store import EventStore, Stream
from cassorm.orm.expressions import Expression
from cassorm.orm.fields import Col, ck, col, pk
from cassorm.orm.markers import IndexOn, Options
from cassorm.orm.model import Model, ModelMeta
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.orm.pydantic_internals import fields_are_known
from cassorm.orm.query import Query
from cassorm.orm.values import Int
from cassorm.projections.active import follow_generations
from cassorm.projections.fold import NOTHING, fold
from cassorm.projections.live import live_rows
from cassorm.projections.mapping import Mapped, Rules, check_event, map_from_event, steps_of
from cassorm.projections.past import past_events
from cassorm.projections.shared import shared_row
from cassorm.projections.views import MOST_NAME, DeclaredView, ReadView, declared, native_views

Mode = Literal["async", "inline"]
Storage = Literal["table", "shared"]


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """What the class of a read model says, checked."""

    name: str
    model: type["ReadModel"]
    rules: Rules
    key: str
    required: tuple[str, ...]
    views: tuple[DeclaredView, ...]
    view_keys: tuple[tuple[str, ...], ...]
    """Of `kept_views`."""
    aggregates: frozenset[str] | None
    mode: Mode
    storage: Storage

    @property
    def plan(self) -> ModelPlan:
        """The plan of the model."""
        return plan_of(self.model)

    @property
    def kept_views(self) -> tuple[DeclaredView, ...]:
        """The views that are tables, written by whoever writes the rows; the server keeps the others."""
        return tuple(view for view in self.views if not view.native)

    @property
    def guarded(self) -> bool:
        """Whether a view is unique."""
        return any(view.unique for view in self.views)

    def view(self, name: str) -> DeclaredView:
        """The view of that name.

        Raises:
            QueryError: there is none.
        """
        for view in self.views:
            if view.name == name:
                return view
        names = ", ".join(each.name for each in self.views) or "none"
        raise QueryError(f"has no view {name!r}", where=self.model.__name__, remedy=f"Views of it: {names}")


@dataclass_transform(kw_only_default=True, field_specifiers=(pk, ck, col, map_from_event))
class ReadModelMeta(ModelMeta):
    """Makes read models of classes, and checks their mappings."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        aggregate: str | Sequence[str] | None = None,
        mode: Mode = "async",
        storage: Storage = "table",
        abstract: bool = False,
        **options: Any,
    ) -> Any:
        """The class; `aggregate` names the types of the streams that have a row, all if it is left out."""
        if abstract:
            return super().__new__(mcs, name, bases, namespace, abstract=True, **options)
        for option in ("unique", "lwt_only"):
            if options.get(option):
                raise ModelError(
                    f"{option}= of a read model",
                    where=name,
                    remedy="A row cannot refuse what has happened: reserve unique values in the command",
                )
        _index(name, namespace)
        cls: Any = super().__new__(mcs, name, bases, namespace, **options)
        if not fields_are_known(cls):
            raise ModelError(
                "an annotation names what is not defined yet", where=name, remedy="Define it above the read model"
            )
        cls.__declared__ = _declare(cls, aggregate, mode, storage)
        return cls


class ReadModel(Model, metaclass=ReadModelMeta, abstract=True):
    """A row for each stream of an aggregate type, kept by events; read as any model, and written by them alone.

    ```python
    class OrderSummary(ReadModel, table="order_summaries", aggregate="Order"):
        order_id: PK[UUID]
        customer: Col[str] = map_from_event(OrderPlaced, "customer")
        total: Col[Decimal] = map_from_event(LineAdded, lambda e, row: row.total + e.amount, default=Decimal(0))
        __indexes__ = ["customer"]
        __deleted_by__ = [OrderPurged]
    ```

    The field of the key is the id of the stream. `applied_version` is the version that the row has come to. With
    `mode="inline"` a row is also written by the append itself, with `storage="shared"` as JSON in a table that many
    read models share.

    Raises:
        ModelError: when the class is made, and its mapping is wrong; the error says what to write.
    """

    applied_version: Col[Int] = col(default=0, exclude=True, repr=False)

    __declared__: ClassVar[Declared]
    __indexes__: ClassVar[Sequence[str]] = ()
    __views__: ClassVar[Sequence[ReadView]] = ()
    __deleted_by__: ClassVar[Sequence[type[Event]]] = ()

    @classmethod
    async def find_by_id(cls, key: Any) -> Self | None:
        """The row of a stream, or None."""
        said = declared_of(cls)
        if said.storage == "shared":
            found: Self | None = await shared_row(said, key)
            return found
        return await cls.get(key)

    @classmethod
    async def find_by(cls, **values: Any) -> list[Self]:
        """The rows that have these values, by the key, a view or an index: whichever finds them.

        Raises:
            QueryError: a field is none, or nothing finds rows by it.
        """
        unique = next((each for each in declared_of(cls).views if each.unique and {*each.key} == values.keys()), None)
        if unique is None:
            return await cls.found_by(**values).all()
        claim: Any = await unique.model.get(**values)
        row = None if claim is None else await cls.get(claim.owner)
        # The claim comes a moment before the row that has the key.
        return [row] if row is not None and all(getattr(row, name) == values[name] for name in values) else []

    @classmethod
    def found_by(cls, **values: Any) -> Query[Self]:
        """The same as a query that is still to be run: iterate over it, limit it, or page through it.

        Raises:
            QueryError: a field is none, or nothing finds rows by it.
        """
        said = declared_of(cls)
        plan = plan_of(cls)
        unknown = [name for name in values if name not in plan.by_attribute]
        if unknown or not values:
            problem = f"has no field {', '.join(unknown)}" if unknown else "find_by() of nothing"
            raise QueryError(problem, where=cls.__name__, remedy=f"Use {', '.join(plan.by_attribute)}")
        view = (
            None
            if said.key in values
            else next((each for each in said.views if not each.unique and each.serves([*values])), None)
        )
        if view is None:
            return cls.where(*(Expression(plan.by_attribute[name]) == value for name, value in values.items()))
        fields = view.plan.by_attribute
        return view.model.where(*(Expression(fields[name]) == value for name, value in values.items())).into(cls)

    @classmethod
    def view(cls, name: str) -> Any:
        """The model of a view, for queries of the ORM: `OrderSummary.view("orders_by_customer").where(...)`.

        Raises:
            QueryError: there is none of that name.
        """
        return declared_of(cls).view(name).model

    @classmethod
    async def live(cls, store: EventStore, stream: Stream) -> Self | None:
        """The row as the stream's events make it at this moment, folded in memory; None when there is none.

        Raises:
            ProjectionError: an event cannot be mapped.
        """
        said = declared_of(cls)
        standing = NOTHING
        async for events in past_events(store, stream, said.rules.names):
            standing = fold(said, standing, events).standing
        row: Self | None = standing.row
        return row

    @classmethod
    def live_all(cls, store: EventStore, *, parallel: int = 4) -> AsyncGenerator[Self]:
        """Yield the row of each stream, folded in memory while all streams are read, in no order; no table is needed.

        **It reads every event of the store**, `parallel` shards at a time, and keeps few rows in memory. What was
        appended before the first row is asked for is in it; what is appended meanwhile may be, of each stream up to
        some version. Rows that a unique view would refuse are among them.

        Raises:
            ProjectionError: while iterating: an event cannot be mapped; a table shows the row without it.
            QueryError: `parallel` is no number from 1 on.

        Source: docs/how-to/read-models.md.
        """
        return live_rows(declared_of(cls), store, parallel)


def declared_of(model: type[Any]) -> Declared:
    """What the class says.

    Raises:
        ModelError: it is no read model, or an abstract one.
    """
    found = model.__dict__.get("__declared__") if isinstance(model, type) else None
    if not isinstance(found, Declared):
        raise ModelError(
            "is no read model with a table",
            where=getattr(model, "__name__", repr(model)),
            remedy="Derive it from cassorm.ReadModel, without abstract=True",
        )
    return found


def _index(name: str, namespace: Mapping[str, Any]) -> None:
    indexes = namespace.get("__indexes__", ())
    for field in [indexes] if isinstance(indexes, str) else indexes:
        info = namespace.get(field)
        if not isinstance(info, FieldInfo):
            raise ModelError(
                f"__indexes__ names {field!r}, which is no field that is mapped here",
                where=name,
                remedy="Name fields of the class, or write index=True where the field is declared",
            )
        info.metadata.append(Options(index=IndexOn()))


def _declare(cls: type[ReadModel], aggregate: object, mode: object, storage: object) -> Declared:
    plan, where = plan_of(cls), cls.__name__
    name = plan.table.name
    if len(name) > MOST_NAME:
        raise ModelError(
            f"table {name!r} of {len(name)} characters", where=where, remedy=f"Give table= at most {MOST_NAME}"
        )
    _check_choice("mode", mode, Mode, where)
    _check_choice("storage", storage, Storage, where)
    check_name(name, what="table name", limit=MOST_NAME)
    _check_columns(plan)
    key = plan.partition[0].attribute
    mapped = {}
    for attribute, info in cls.model_fields.items():
        said = [part for part in info.metadata if isinstance(part, Mapped)]
        if said and attribute == key:
            raise ModelError("is mapped", where=f"{where}.{key}", remedy="The key is the id of the stream: remove it")
        if said:
            mapped[attribute] = said[0]
        elif attribute not in (key, "applied_version") and info.is_required():
            raise ModelError(
                "has neither a mapping nor a default",
                where=f"{where}.{attribute}",
                remedy="Write = map_from_event(...), or = col(default=...)",
            )
    deleting = frozenset(check_event(event, f"{where}.__deleted_by__") for event in _listed(cls.__deleted_by__))
    rules = Rules(where, steps_of(where, mapped), deleting)
    both = sorted(event.__name__ for event in deleting & rules.steps.keys())
    if both:
        raise ModelError(
            f"{both[0]} deletes the row, and sets {rules.steps[_named(rules, both[0])][0].attribute}",
            where=where,
            remedy="Remove it from __deleted_by__, or from the mapping",
        )
    if not mapped:
        raise ModelError("no field is mapped", where=where, remedy="Write field: Col[...] = map_from_event(...)")
    views = tuple(declared(cls, view) for view in _listed(cls.__views__))
    if storage == "shared" and (views or plan.table.indexes):
        raise ModelError(
            "has views or indexes, and is kept as JSON", where=where, remedy="Remove them, or storage='shared'"
        )
    _check_names(name, [*(view.name for view in views), *(view.name for view in plan.table.views)], where)
    plan.table = replace(plan.table, views=(*plan.table.views, *native_views(views)))
    made = Declared(
        name,
        cls,
        rules,
        key,
        tuple(each for each, info in cls.model_fields.items() if info.is_required() and each != key),
        views,
        tuple(view.key for view in views if not view.native),
        aggregates_of(aggregate, where),
        mode,  # type: ignore[arg-type]  # checked above
        storage,  # type: ignore[arg-type]
    )
    for each in (plan, *(view.plan for view in views)):
        each.keeper = f"the projection {name}"
        follow_generations(each, name, shared=storage == "shared")
    return made


def _listed(said: Any) -> Sequence[Any]:
    return said if isinstance(said, Sequence) else [said]


def _named(rules: Rules, name: str) -> type[Event]:
    return next(event for event in rules.steps if event.__name__ == name)


def _check_names(table: str, views: Sequence[str], where: str) -> None:
    for number, name in enumerate(views):
        if name in (table, *views[:number]):
            raise ModelError(f"two tables or views have the name {name}", where=where, remedy="Give one another name")


def _check_choice(option: str, value: object, choices: Any, where: str) -> None:
    if value not in choices.__args__:
        raise ModelError(f"{option}={value!r}", where=where, remedy=f"Use one of {', '.join(choices.__args__)}")


def _check_columns(plan: ModelPlan) -> None:
    where = plan.where
    if len(plan.key) > 1:
        raise ModelError(
            f"has a key of {len(plan.key)} columns, {' and '.join(each.attribute for each in plan.key)}",
            where=where,
            remedy="The key is the id of the stream, one PK field: for other keys declare __views__",
        )
    check_replayable(plan)
    cql = plan.partition[0].codec.cql.name
    if cql not in ("uuid", "text"):
        raise ModelError(f"a key of type {cql}", where=plan.partition[0].where, remedy="Streams are UUIDs or text")


def check_replayable(plan: ModelPlan) -> None:
    """Return when writing a row of the model twice leaves the same as writing it once.

    Raises:
        ModelError: it does not.
    """
    for each in plan.fields:
        if each.kind in ("counter", "static", "version"):
            raise ModelError(
                f"a {each.kind} column", where=each.where, remedy="Write Col[...]: a replay would change it again"
            )
        if each.codec.cql.name == "list" and not each.codec.cql.frozen:
            raise ModelError(
                "a list that is not frozen, whose items a replay would write again",
                where=each.where,
                remedy="Write Col[Frozen[list[...]]]",
            )
    if plan.lwt_only:
        raise ModelError(
            "takes writes with conditions alone", where=plan.where, remedy="Remove lwt_only=, unique= and Version"
        )


def aggregates_of(aggregate: object, where: str) -> frozenset[str] | None:
    """The names of aggregate types; None for all.

    Raises:
        ModelError: something is no name.
    """
    if aggregate is None:
        return None
    names = [aggregate] if isinstance(aggregate, str) else aggregate
    if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) and name for name in names):
        raise ModelError(
            f"aggregate={aggregate!r}", where=where, remedy='Give the name of an aggregate type, such as "Order"'
        )
    return frozenset(names)
