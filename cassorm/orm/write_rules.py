"""Which rows a write may name, and under which conditions, checked before anything is sent."""

from collections.abc import Sequence

from cassorm.errors import QueryError
from cassorm.orm.expressions import RANGES, Assignment, Condition
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.query_rules import EQUAL, check_once, example

_MOST_PARTITIONS = 100


def check_rows(plan: ModelPlan, conditions: Sequence[Condition], *, ranges: bool, static: bool) -> None:
    """Return when these conditions name what a write is to change: rows by their key, or ranges of them with `ranges`.

    `static` is for writes to static columns alone, which belong to whole partitions.

    Raises:
        QueryError: they do not; the error names what is missing.
    """
    for condition in conditions:
        if condition.on != "column" or not condition.field.is_key:
            raise QueryError(
                "a condition outside the key",
                where=condition.field.where,
                remedy="Rows are named by their key: use only_if()",
            )
        if condition.operator not in EQUAL and not (
            ranges and condition.operator in RANGES and condition.field.kind == "clustering"
        ):
            raise QueryError(
                f"{condition.operator} in a write", where=condition.field.where, remedy="Name each row by =="
            )
    if not conditions:
        raise QueryError("names no row", where=plan.where, remedy=f"Add where({example(plan, plan.key)})")
    check_once(conditions)
    partitions = partitions_named(plan, conditions)
    if partitions > _MOST_PARTITIONS:
        raise QueryError(
            f"a write to {partitions} partitions",
            where=plan.where,
            remedy=f"One node would carry it to all: name at most {_MOST_PARTITIONS}, or write them one by one",
        )
    given = [condition.field for condition in conditions]
    _check_whole(plan, [field for field in plan.partition if field not in given], "partition key")
    if static:
        for condition in conditions:
            if condition.field.kind == "clustering":
                raise QueryError(
                    "a row is named for static columns",
                    where=condition.field.where,
                    remedy="They belong to the partition: remove the condition, or write other columns as well",
                )
        return
    missing = [field for field in plan.clustering if field not in given]
    if not ranges:
        _check_whole(plan, missing, "key")
        return
    for before, field in zip(plan.clustering, plan.clustering[1:], strict=False):
        if field in given and (
            before in missing or any(c.field is before and c.operator in RANGES for c in conditions)
        ):
            how = "not given" if before in missing else "compared by a range"
            raise QueryError(
                f"restricted while {before.attribute}, before it in the key, is {how}",
                where=field.where,
                remedy=f"Give {before.attribute} by ==",
            )


def _check_whole(plan: ModelPlan, missing: Sequence[FieldPlan], what: str) -> None:
    if missing:
        raise QueryError(
            f"lacks {', '.join(field.attribute for field in missing)} of the {what}",
            where=plan.where,
            remedy=f"Add where({example(plan, missing)})",
        )


def partitions_named(plan: ModelPlan, conditions: Sequence[Condition]) -> int:
    """How many partitions these conditions name."""
    count = 1
    for condition in conditions:
        if condition.operator == "IN" and condition.field.kind == "partition":
            count *= len(condition.params[0])
    return count


def check_guards(
    plan: ModelPlan, conditions: Sequence[Condition], guards: Sequence[Condition], *, static: bool
) -> None:
    """Return when a write to these rows may have conditions; `guards` is empty for `if_exists()`.

    Raises:
        QueryError: the server would refuse it.
    """
    if plan.table.has_counters:
        raise QueryError("a condition on counters", where=plan.where, remedy="Counters take no conditions: remove it")
    if any(each.operator == "IN" for each in conditions):
        raise QueryError("in_() with a condition", where=plan.where, remedy="Name one row by ==")
    if static:
        for guard in guards:
            if guard.field.kind != "static":
                raise QueryError(
                    "a condition on a row, in a write to static columns",
                    where=guard.field.where,
                    remedy="Compare static columns, or write a column of the row as well",
                )


def check_assignments(plan: ModelPlan, assignments: Sequence[object]) -> None:
    """Return when these are changes that one update can carry out.

    Raises:
        QueryError: something is no assignment to a column that can be changed, or one column is set twice.
    """
    if not assignments:
        raise QueryError("an update of nothing", where=plan.where, remedy="Give assignments: Model.field.set(...)")
    seen: dict[str, list[str]] = {}
    for each in assignments:
        if not isinstance(each, Assignment) or plan.by_attribute.get(each.field.attribute) is not each.field:
            shown = each.field.where if isinstance(each, Assignment) else repr(each)
            raise QueryError(f"{shown} is no assignment", where=plan.where, remedy="Write Model.field.set(...)")
        field = each.field
        if field.is_key:
            raise QueryError(
                "an assignment to the key", where=field.where, remedy="Insert a new row and delete this one"
            )
        if field.kind == "counter" and not each.once:
            raise QueryError("set() of a counter", where=field.where, remedy="Add to it or subtract from it")
        whole = f"{field.quoted} = ?"
        before = seen.setdefault(field.attribute, [])
        if before and (field.kind == "counter" or whole in (*before, each.text)):
            raise QueryError("assigned twice", where=field.where, remedy="Keep one of the assignments")
        before.append(each.text)
