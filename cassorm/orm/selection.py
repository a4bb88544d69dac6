"""What a query selects, as a value: its CQL text, and whether a server answers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from cassorm.driver.session import Session
from cassorm.errors import QueryError
from cassorm.orm.codec import Codec
from cassorm.orm.context import current_keyspace
from cassorm.orm.expressions import Aggregate, Condition, Expression, Ordering
from cassorm.orm.fan_out import MOST_TOGETHER, Partitions, partitions_of
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.hydration import Hydrate, make_hydrate, make_tuples
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.nearest import check_near
from cassorm.orm.query_rules import Access, check_distinct, check_groups, check_order, check_read

M = TypeVar("M")

_MOST_SHAPES = 1000


def values_of(plan: ModelPlan, columns: Sequence[Expression[Any] | Aggregate]) -> tuple[str, Hydrate]:
    """These columns, and functions over them, as CQL text; and what makes tuples of their rows.

    Raises:
        QueryError: something is neither, or there is nothing.
    """
    decoders: list[Codec | Callable[[Any], Any] | None] = []
    texts = []
    for column in columns:
        if isinstance(column, Aggregate):
            texts.append(column.text)
            decoders.append(column.decode)
        elif isinstance(column, Expression) and column.field in plan.fields:
            texts.append(column.field.quoted)
            decoders.append(column.field.codec)
        else:
            raise QueryError(f"{column!r} is no column", where=plan.where, remedy="Give fields of the model")
    if not texts:
        raise QueryError("values() of nothing", where=plan.where, remedy="Name at least one field")
    return ", ".join(texts), make_tuples(decoders)


def into_of(plan: ModelPlan, model: type[BaseModel]) -> tuple[Sequence[FieldPlan], Hydrate]:
    """The fields that another model has of these, and what makes its instances of their rows: written once for each.

    Raises:
        QueryError: it is no model, or has a field that this one has not.
    """
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        raise QueryError(f"into({model!r})", where=plan.where, remedy="Give a pydantic model")
    known: tuple[Sequence[FieldPlan], Hydrate] | None = plan.shapes.get(("into", model))
    if known is not None:
        return known
    unknown = [name for name in model.model_fields if name not in plan.by_attribute]
    if unknown or not model.model_fields:
        raise QueryError(
            f"{model.__name__} has {', '.join(unknown) or 'no fields'}",
            where=plan.where,
            remedy=f"Use fields of {', '.join(plan.by_attribute)}",
        )
    fields = [plan.by_attribute[name] for name in model.model_fields]
    first = plan.clustering[:1]
    sparse_at = fields.index(first[0]) if plan.sparse_at() is not None and first[0] in fields else None
    made = plan.shapes["into", model] = fields, make_hydrate(model, fields, skip_without=sparse_at)
    return made


@dataclass(frozen=True, slots=True, repr=False)
class Selection(Generic[M]):
    """Columns, conditions, orders and limits of one model, and how its rows are turned into what is given."""

    plan: ModelPlan
    columns: str
    hydrate: Hydrate
    conditions: tuple[Condition, ...] = ()
    orderings: tuple[Ordering, ...] = ()
    groups: tuple[FieldPlan, ...] = ()
    most: int | None = None
    most_per_partition: int | None = None
    filtering: bool = False
    near: tuple[FieldPlan, Any] | None = None
    aggregated: bool = False
    distinct: bool = False
    as_json: bool = False
    as_values: bool = False
    session: Session | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        values = [value for condition in self.conditions for value in condition.params]
        return f"{type(self).__name__}({self.text(self.conditions)!r}, {values!r})"

    def statement(self, *, sai: bool = True) -> tuple[str, list[Any]]:
        """The CQL text and its parameters; `sai` is whether the engine has storage-attached indexes.

        Raises:
            QueryError: the server would refuse it, or read the whole table; the error says what would allow it.
        """
        self.checked(sai=sai)
        return self.text(self.conditions), [*self.values_given(), *self.limits()]

    def checked(self, *, sai: bool, adding: bool = False) -> Access:
        """How the server will find the rows; `adding` is for whoever adds up what each of many partitions gives.

        Raises:
            QueryError: it would refuse, or read the whole table; the error says what would allow it.
        """
        plan, conditions = self.plan, self.conditions
        if self.near is not None:
            joined = self.orderings or self.groups or self.aggregated or self.distinct or self.most_per_partition
            return check_near(plan, conditions, most=self.most, joined=bool(joined), sai=sai)
        found = check_read(plan, conditions, filtering=self.filtering, sai=sai)
        check_order(plan, self.orderings, conditions, found)
        check_groups(plan, self.groups, conditions)
        if self.distinct:
            check_distinct(plan, conditions, self.groups)
        if self.most_per_partition is not None and (self.distinct or (self.aggregated and not self.groups)):
            raise QueryError(
                f"per_partition_limit() of {'partitions' if self.distinct else 'an aggregate'}",
                where=plan.where,
                remedy="Remove it, or use group_by()",
            )
        if not found.keyed:
            return found
        return replace(found, apart=self._apart(indexed=found.indexed, adding=adding))

    def compiled(self, *, sai: bool, adding: bool = False) -> tuple[str, Access]:
        """The CQL text, and what `checked` gives: worked out once for all queries that differ in values alone.

        Raises:
            QueryError: the server would refuse it, or read the whole table; the error says what would allow it.
        """
        if self.near is not None or any(condition.operator == "IN" for condition in self.conditions):
            return self.text(self.conditions), self.checked(sai=sai, adding=adding)
        shape = (
            *(condition.text for condition in self.conditions),
            self.columns,
            self.orderings,
            self.groups,
            self.most is None,
            self.most_per_partition is None,
            (self.filtering, self.aggregated, self.distinct, self.as_json, sai, adding),
            current_keyspace.get(),
        )
        known = self.plan.shapes
        found: tuple[str, Access] | None = known.get(shape)
        if found is None:
            if len(known) >= _MOST_SHAPES:
                known.clear()
            found = known[shape] = self.text(self.conditions), self.checked(sai=sai, adding=adding)
        return found

    def text(self, conditions: Sequence[Condition]) -> str:
        """The CQL text, with these conditions instead of the query's own."""
        plan = self.plan
        how = f"{'JSON ' if self.as_json else ''}{'DISTINCT ' if self.distinct else ''}"
        text = f"SELECT {how}{self.columns} FROM {plan.target(current_keyspace.get())}"  # noqa: S608 - quoted
        if conditions:
            text += f" WHERE {' AND '.join(condition.text for condition in conditions)}"
        if self.groups:
            text += f" GROUP BY {', '.join(each.quoted for each in self.groups)}"
        if self.orderings:
            orders = (f"{each.field.quoted} {'DESC' if each.descending else 'ASC'}" for each in self.orderings)
            text += f" ORDER BY {', '.join(orders)}"
        if self.near is not None:
            text += f" ORDER BY {self.near[0].quoted} ANN OF ?"
        if self.most_per_partition is not None:
            text += " PER PARTITION LIMIT ?"
        if self.most is not None:
            text += " LIMIT ?"
        return f"{text} ALLOW FILTERING" if self.filtering else text

    def values_given(self) -> list[Any]:
        """The parameters of the conditions."""
        return [value for condition in self.conditions for value in condition.params]

    def limits(self) -> list[Any]:
        """The parameters behind those of the conditions."""
        near = [] if self.near is None else [self.near[1]]
        return near + [most for most in (self.most_per_partition, self.most) if most is not None]

    def _apart(self, *, indexed: bool, adding: bool) -> Partitions | None:
        """The partitions that are read one by one: many, or some by an index that takes one at a time."""
        partitions = partitions_of(self.plan, self.conditions)
        if partitions is None or (partitions.count <= MOST_TOGETHER and not indexed):
            return None
        if self.aggregated and not self.groups and not adding:
            key = ", ".join(f"{self.plan.where}.{each.attribute}" for each in self.plan.partition)
            raise QueryError(
                f"an aggregate over {partitions.count} partitions, which are read one by one",
                where=self.plan.where,
                remedy=f"Add group_by({key}) and join the groups in Python, or give at most {MOST_TOGETHER} keys",
            )
        return partitions

    def may_skip(self, found: Access) -> bool:
        """Whether `hydrate` may leave out rows that the server counts."""
        if self.as_values or self.plan.sparse_at() is None:
            return False
        return not found.keyed or partitions_of(self.plan, self.conditions) is not None
