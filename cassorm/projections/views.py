"""Other tables with the rows of a read model, under another key: an order history per customer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, create_model

from cassorm.cql.identifiers import check_name
from cassorm.errors import ModelError, QueryError
from cassorm.orm.annotations import optional
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.fields import CK, PK, Col
from cassorm.orm.markers import Marker, Options
from cassorm.orm.model import Model
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.schema.table import View

MOST_NAME = 44
"""A table's name has room for its generation behind it."""


@dataclass(frozen=True, slots=True)
class ReadView:
    """A table `name` with all rows of a read model by another key, kept from the same events.

    `key` are the fields of its partition key, `clustering` those that order each partition, with `desc` behind a name
    to turn it; the field of the stream's id has to be among them. A row in which one of them is None is not in the
    view.

    With `unique` the key holds no id of a stream: no two rows have the same. It cannot refuse what has happened: an
    event that gives a row the key of another is parked, with the ids of both.

    With `native` the server keeps it, as a materialized view of the read model's table: a worker writes each row once.
    Its key is the stream's id and one field more at most. The view follows its table by itself, a moment later:
    `wait_for` and `applied_version` vouch for the row, not for the view. Nothing repairs a view that has come to differ
    from its table; `cassorm schema verify-view` finds that, `rebuild-view` mends it. Cassandra creates one only where
    `materialized_views_enabled` is true.
    """

    name: str
    key: Sequence[str]
    clustering: Sequence[str] = ()
    unique: bool = False
    native: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredView:
    """A view that was checked: the model by which it is read, and the fields of its key."""

    name: str
    model: type[Model]
    partition: tuple[str, ...]
    clustering: tuple[str, ...]
    unique: bool = False
    native: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """The fields of its key, in their order."""
        return self.partition + self.clustering

    @property
    def plan(self) -> ModelPlan:
        """The plan of its model."""
        return plan_of(self.model)

    def serves(self, names: Sequence[str]) -> bool:
        """Whether rows with given values of these fields are rows of one partition that follow one another."""
        rest = [name for name in names if name not in self.partition]
        return set(self.partition) <= set(names) and set(rest) == set(self.clustering[: len(rest)])


def declared(owner: type[Model], view: ReadView) -> DeclaredView:
    """The view as a model that reads it.

    Raises:
        ModelError: a field is none, the stream's id is not in its key, or the server cannot keep it and is to.
    """
    plan = plan_of(owner)
    where = f"view {view.name} of {owner.__name__}"
    partition = tuple([view.key] if isinstance(view.key, str) else view.key)
    said = [
        _ordered(each, where) for each in ([view.clustering] if isinstance(view.clustering, str) else view.clustering)
    ]
    names = (*partition, *(name for name, _ in said))
    for name in names:
        if name not in plan.by_attribute:
            raise ModelError(f"has no field {name}", where=where, remedy=f"Use {', '.join(plan.by_attribute)}")
    if len(set(names)) < len(names) or not partition:
        problem = "names a field twice" if partition else "has no key"
        raise ModelError(problem, where=where, remedy="Name each field of the key once")
    (stream,) = plan.partition
    if view.native:
        _check_native(view, [name for name in names if name != stream.attribute], where)
    if view.unique:
        return _unique(owner, view, partition, names, where)
    if stream.attribute not in names:
        raise ModelError(
            f"lacks {stream.attribute}: rows of several streams would be one",
            where=where,
            remedy=f'Add "{stream.attribute}" to the end of clustering=',
        )
    _check_name(view, where)
    orders = dict(said)
    fields: dict[str, Any] = {}
    for name in [*names, *(each.attribute for each in plan.fields if each.attribute not in names)]:
        fields[name] = _field(plan.by_attribute[name], owner, name in partition, orders.get(name))
    options: dict[str, Any] = {"table": view.name, "keyspace": plan.table.keyspace}
    model = create_model(
        f"{owner.__name__}_{view.name}",
        __base__=Model,
        __module__=owner.__module__,
        __doc__=f"The rows of {owner.__name__} by {', '.join(names)}.",
        __cls_kwargs__=options,
        **fields,
    )
    return DeclaredView(view.name, model, partition, tuple(orders), native=view.native)


def native_views(views: Iterable[DeclaredView]) -> tuple[View, ...]:
    """What the server is to keep: materialized views with all columns of the read model's table."""
    tables = [view.plan.table for view in views if view.native]
    return tuple(View(table.name, table.partition_key, table.clustering) for table in tables)


def _check_native(view: ReadView, added: Sequence[str], where: str) -> None:
    """Return when a server can keep the view; `added` are the fields of its key besides the stream's id."""
    if view.unique:
        raise ModelError(
            "is unique and native: a view that the server keeps refuses nothing",
            where=where,
            remedy="Leave native= out: the table of a unique view is written by conditions",
        )
    if len(added) > 1:
        raise ModelError(
            f"is native, and its key adds {' and '.join(added)} to the stream's id: the server allows one field",
            where=where,
            remedy=f"Leave native= out: then it is a table kept from the same events; or keep {added[0]} alone",
        )


def _unique(
    owner: type[Model], view: ReadView, partition: tuple[str, ...], names: tuple[str, ...], where: str
) -> DeclaredView:
    """The table that says which stream has a key."""
    plan = plan_of(owner)
    (stream,) = plan.partition
    if names != partition or stream.attribute in names or {"owner", "claimed_at"} & set(names):
        raise ModelError(
            "has clustering=, the stream's id, owner or claimed_at in a key that is unique",
            where=where,
            remedy="Name the fields in key= whose values no two rows share",
        )
    _check_name(view, where)
    fields: dict[str, Any] = {name: _field(plan.by_attribute[name], owner, True, None) for name in partition}
    column: Any = Col
    made: Any = Field()
    made.metadata.append(Options(type=str(stream.codec.cql)))
    model = create_model(
        f"{owner.__name__}_{view.name}",
        __base__=Model,
        __module__=owner.__module__,
        __doc__=f"Which {owner.__name__} has {', '.join(names)}.",
        __cls_kwargs__={"table": view.name, "keyspace": plan.table.keyspace, "profile": "lwt-only"},
        **fields,
        owner=(column[owner.model_fields[stream.attribute].annotation], made),
        claimed_at=(column[datetime], Field()),
    )
    return DeclaredView(view.name, model, partition, (), unique=True)


def _check_name(view: ReadView, where: str) -> None:
    try:
        check_name(view.name, what="view name", limit=MOST_NAME)
    except QueryError as error:
        raise ModelError(error.problem, where=where, remedy=error.remedy) from error


def _field(field: FieldPlan, owner: type[Model], in_partition: bool, order: Any) -> tuple[Any, Any]:
    """The field as it stands in a view: with the same type, and its place in the key."""
    info = owner.model_fields[field.attribute]
    marker: Any = PK if in_partition else CK
    metadata = [part for part in info.metadata if not isinstance(part, Marker | Options)]
    annotation: Any = info.annotation
    if metadata:
        annotation = Annotated[(annotation, *metadata)]
    options: dict[str, Any] = {}
    if in_partition or order is not None:
        if field.nullable:
            # Rows without a value are not in the view.
            annotation = optional(annotation)[0]
        annotation = marker[annotation]
    elif info.default_factory is not None:
        options["default_factory"] = info.default_factory
    elif not info.is_required():
        options["default"] = info.default
    made: Any = Field(**options, exclude=info.exclude, repr=info.repr)
    made.metadata.append(Options(name=field.column, type=str(field.codec.cql), order=order))
    return annotation, made


def _ordered(text: str, where: str) -> tuple[str, Any]:
    name, _, order = text.strip().partition(" ")
    order = order.strip().lower() or "asc"
    if order not in ("asc", "desc"):
        raise ModelError(f"{text!r} as a clustering field", where=where, remedy='Write "placed_at" or "placed_at desc"')
    return name, order
