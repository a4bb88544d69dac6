"""What a search for the nearest vectors may be joined with."""

from collections.abc import Sequence
from typing import Any

from cassorm.errors import QueryError
from cassorm.orm.expressions import Condition
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.query_rules import Access, check_read

# What servers take for one search.
_MOST_NEAR = 1000


def near_value(plan: ModelPlan, field: FieldPlan, to: Sequence[float]) -> Any:
    """The vector as the driver takes it.

    Raises:
        QueryError: the column is no vector with a storage-attached index, or `to` is none that it can compare.
    """
    indexes = [each for each in plan.table.indexes if each.column == field.column and each.kind in (None, "sai")]
    if field.codec.cql.name != "vector" or not indexes:
        raise QueryError("is no vector with an index", where=field.where, remedy="Declare it with col(index=SAI())")
    return field.encode(to)


def check_near(
    plan: ModelPlan, conditions: Sequence[Condition], *, most: int | None, joined: bool, sai: bool
) -> Access:
    """How the server finds the nearest rows; `joined` is whether an order, groups or limits of partitions are asked for.

    Raises:
        QueryError: it would refuse; the error says what to change.
    """
    if not sai:
        raise QueryError("nearest() on an engine without such indexes", where=plan.where, remedy="Use Cassandra 5")
    if joined:
        raise QueryError(
            "nearest() with another order, groups or a limit for each partition",
            where=plan.where,
            remedy="Keep one of them",
        )
    if most is None or most > _MOST_NEAR:
        raise QueryError("nearest() without a limit", where=plan.where, remedy=f"Add limit(), at most {_MOST_NEAR}")
    for condition in conditions:
        if condition.operator == "IN" and condition.field.kind == "partition":
            raise QueryError(
                "nearest() in several partitions",
                where=condition.field.where,
                remedy="Run a query for each, or leave the partitions out",
            )
    return check_read(plan, conditions, filtering=False, sai=True, near=True)
