"""What CQL can answer, checked before anything is sent: which key or index would allow what it cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from cassorm.errors import QueryError
from cassorm.orm.expressions import RANGES, Condition, Ordering
from cassorm.orm.fan_out import MOST_KEYS, Partitions
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.index_rules import indexed, joined, remedy_by_index
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.ring import token_text

EQUAL = ("=", "IN")


@dataclass(frozen=True, slots=True)
class Access:
    """How the server finds the rows of a query: by partitions that are named, by an index, by both, by neither.

    `apart` are the partitions when each is read by a query of its own.
    """

    keyed: bool
    indexed: bool
    apart: Partitions | None = None


def check_conditions(plan: ModelPlan, conditions: Sequence[object]) -> None:
    """Return when all `conditions` are some on this model, of a kind that a query may have.

    Raises:
        QueryError: one is not; the error says what to write.
    """
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise QueryError(
                f"{condition!r} is no condition", where=plan.where, remedy=f"Compare a field, as in {example(plan)}"
            )
        field = condition.field
        if plan.by_attribute.get(field.attribute) is not field:
            raise QueryError(
                f"a condition on {field.where}", where=plan.where, remedy=f"Compare fields of {plan.where}, one by one"
            )
        if condition.params[-1] is None:
            raise QueryError(
                "a comparison with None",
                where=field.where,
                remedy="CQL finds no missing values: compare in only_if(), or store a value that says missing",
            )
        if condition.operator == "!=":
            raise QueryError(
                "!= in a query", where=field.where, remedy="CQL has no !=: use < and >, or filter in Python"
            )
        if condition.on == "entry" and condition.operator != "=":
            raise QueryError(f"{condition.operator} of a map's entry", where=field.where, remedy="Compare with ==")
        if condition.on == "token" and not condition.text.startswith(token_text(plan.partition)):
            key = ", ".join(f"{plan.where}.{each.attribute}" for each in plan.partition)
            raise QueryError(
                "a token of other columns than the partition key", where=plan.where, remedy=f"Write token({key})"
            )
        if condition.on == "column":
            _check_type(condition)


def _check_type(condition: Condition) -> None:
    field, cql = condition.field, condition.field.codec.cql
    if condition.operator in (*EQUAL, *RANGES) and cql.is_multicell:
        raise QueryError(
            f"{condition.operator} of a {cql}",
            where=field.where,
            remedy="Use contains(), or declare it Frozen to compare it as a whole",
        )
    if condition.operator in RANGES and cql.name == "duration":
        raise QueryError(f"{condition.operator} of a duration", where=field.where, remedy="Durations have no order")


def check_read(
    plan: ModelPlan, conditions: Sequence[Condition], *, filtering: bool, sai: bool, near: bool = False
) -> Access:
    """How the server answers a query with these conditions; `sai` is whether the engine has such indexes.

    `near` is for a search by a storage-attached index, which the conditions have to join.

    Raises:
        QueryError: it would refuse, or read the whole table; the error names the key or index that would allow it.
    """
    check_once(conditions)
    missing = [field for field in plan.partition if _given(conditions, field) is None]
    outside = [condition for condition in conditions if not condition.field.is_key]
    clustering = [condition for condition in conditions if condition.field.kind == "clustering"]
    gap = _gap(plan, clustering)
    by_token = any(condition.on == "token" for condition in conditions)
    # Named partitions and tokens need no index, nor do clustering columns that are given in their order.
    sought = [condition for condition in conditions if condition.field.kind == "partition" and condition.on == "column"]
    of_rows = gap or (missing and (not by_token or any(indexed(plan, each, sai=sai) for each in clustering)))
    sought = [*(sought if missing else []), *outside, *(clustering if of_rows else [])]
    by_index = near or (bool(sought) and any(indexed(plan, condition, sai=sai) for condition in conditions))
    if near or not filtering:
        if missing and not sought and not near and not (by_token and not clustering):
            if clustering:
                raise _unanswerable(plan, clustering, missing, gap, sai=sai)
            raise QueryError(
                "reads the whole table", where=plan.where, remedy=f"Give {example(plan)}, or use {plan.where}.scan()"
            )
        if sought and not joined(plan, sought, sai=sai, near=near):
            raise _unanswerable(plan, sought, missing, gap, sai=sai)
    if missing and by_index and any(c.operator == "IN" and c.field.kind == "partition" for c in conditions):
        raise QueryError(
            "IN on a part of the partition key beside an index",
            where=plan.where,
            remedy=f"Add {example(plan, missing)}",
        )
    return Access(not missing, by_index)


def check_once(conditions: Sequence[Condition]) -> None:
    """Return when no column is compared in two ways that exclude each other.

    Raises:
        QueryError: one is; CQL takes one comparison for equality, or one for each end of a range.
    """
    seen: dict[tuple[str, str], str] = {}
    for condition in conditions:
        operator = condition.operator
        if condition.on == "entry":
            continue
        if condition.operator == "IN" and condition.field.kind != "partition" and len(condition.params[0]) > MOST_KEYS:
            raise QueryError(
                f"in_() of {len(condition.params[0]):,} values",
                where=condition.field.where,
                remedy=f"Give at most {MOST_KEYS:,} at a time",
            )
        slot = (condition.field.attribute, condition.on)
        before = seen.get(slot, "")
        end = "=" if operator in EQUAL else operator[0]
        # Parts of collections ("C...") may be asked for one beside the other, and beside nothing else.
        if before and (end in before or "=" in before + end or "C" in before + end) and before + end != "CC":
            raise QueryError(
                f"{operator} twice" if end == before else f"{operator} beside another condition",
                where=condition.field.where,
                remedy="Keep one of the conditions",
            )
        seen[slot] = before if end == "C" and before else before + end


def _given(conditions: Sequence[Condition], field: FieldPlan) -> Condition | None:
    """The condition that names the values of a column."""
    return next((c for c in conditions if c.field is field and c.on == "column" and c.operator in EQUAL), None)


def _gap(plan: ModelPlan, conditions: Sequence[Condition]) -> tuple[FieldPlan, FieldPlan] | None:
    """The clustering column that is restricted although the one before it is not, or by a range; and that one."""
    opened: FieldPlan | None = None
    for field in plan.clustering:
        found = [condition for condition in conditions if condition.field is field]
        if opened is not None and found:
            return field, opened
        # A part of a collection says nothing of where rows stand.
        if any(condition.operator not in (*EQUAL, *RANGES) for condition in found):
            return field, field
        if _given(found, field) is None:
            opened = opened or field
    return None


def _unanswerable(
    plan: ModelPlan,
    sought: Sequence[Condition],
    missing: Sequence[FieldPlan],
    gap: tuple[FieldPlan, FieldPlan] | None,
    *,
    sai: bool,
) -> QueryError:
    for condition in sought:
        field, operator = condition.field, condition.operator
        if field.kind == "partition" and operator in RANGES:
            return QueryError(
                f"{operator} on the partition key",
                where=field.where,
                remedy="Partitions have no order: use =, token() or scan()",
            )
        if field.is_key or indexed(plan, condition, sai=sai):
            continue
        if operator == "IN":
            return QueryError(
                "IN on a column outside the key",
                where=field.where,
                remedy="Run a query for each value, or say allow_filtering()",
            )
        return QueryError(
            f"{operator} on a column that neither key nor index finds",
            where=field.where,
            remedy=f"{remedy_by_index(plan, condition)}, or say allow_filtering()",
        )
    if missing and any(condition.field.is_key and not indexed(plan, condition, sai=sai) for condition in sought):
        return QueryError(
            f"lacks {', '.join(field.attribute for field in missing)} of the partition key",
            where=plan.where,
            remedy=f"Add {example(plan, missing)}, or say allow_filtering() to read the whole table",
        )
    if gap is not None and any(not indexed(plan, condition, sai=sai) for condition in sought):
        field, opened = gap
        ranged = any(condition.field is opened for condition in sought)
        return QueryError(
            f"restricted while {opened.attribute}, before it in the key, is "
            f"{'compared by a range' if ranged else 'not given'}",
            where=field.where,
            remedy=f"Give {opened.attribute} by ==, or say allow_filtering()",
        )
    return QueryError(
        f"conditions on {' and '.join(dict.fromkeys(c.field.attribute for c in sought))}, whose indexes do not join",
        where=plan.where,
        remedy="Declare each with col(index=SAI()), keep one of them, or say allow_filtering()",
    )


def check_order(plan: ModelPlan, orderings: Sequence[Ordering], conditions: Sequence[Condition], found: Access) -> None:
    """Return when the server can give rows in this order.

    Raises:
        QueryError: it cannot; rows are kept in the order of the clustering columns alone.
    """
    if not orderings:
        return
    kept = ", ".join(f"{field.attribute} {field.order}" for field in plan.clustering) or "none"
    remedy = f"Rows of a partition are kept by: {kept}. Order by these, or sort in Python"
    fixed = _fixed(conditions)
    if any(field not in fixed for field in plan.partition):
        raise QueryError(
            "an order over several partitions",
            where=plan.where,
            remedy=f"Give {example(plan)}: rows have an order within one partition alone",
        )
    if found.indexed:
        raise QueryError(
            "an order beside an index", where=plan.where, remedy="An index finds rows in no order: sort them in Python"
        )
    if len({ordering.field.attribute for ordering in orderings}) < len(orderings):
        raise QueryError("an order by one column twice", where=plan.where, remedy="Keep one of them")
    columns = iter(plan.clustering)
    for ordering in orderings:
        for field in columns:
            if field is ordering.field:
                break
            if field not in fixed:
                raise QueryError("cannot be ordered by here", where=ordering.field.where, remedy=remedy)
        else:
            raise QueryError("cannot be ordered by here", where=ordering.field.where, remedy=remedy)
    turned = {ordering.descending != (ordering.field.order == "desc") for ordering in orderings}
    if len(turned) > 1:
        raise QueryError("orders of which some are turned and some not", where=plan.where, remedy=remedy)


def check_groups(plan: ModelPlan, groups: Sequence[FieldPlan], conditions: Sequence[Condition]) -> None:
    """Return when the server can group rows by these columns.

    Raises:
        QueryError: they are not the first of the key, in its order, with the whole partition key among them.
    """
    if not groups:
        return
    fixed = _fixed(conditions)
    key = list(plan.key)
    for group in groups:
        while key and key[0] is not group and key[0] in fixed:
            del key[0]
        if not key or key[0] is not group:
            shown = ", ".join(each.attribute for each in plan.key)
            raise QueryError(
                f"groups by {group.attribute} out of the order of the key",
                where=plan.where,
                remedy=f"Group by {shown}, in order; what == gives may be left out",
            )
        del key[0]
    if key and key[0].kind == "partition":
        raise QueryError(
            "groups by a part of the partition key",
            where=plan.where,
            remedy=f"Group by {', '.join(each.attribute for each in plan.partition)} at least",
        )


def check_distinct(plan: ModelPlan, conditions: Sequence[Condition], groups: Sequence[FieldPlan]) -> None:
    """Return when partitions can be told apart by these conditions.

    Raises:
        QueryError: something of their rows is asked for.
    """
    for field in [*(condition.field for condition in conditions), *groups]:
        if field.kind not in ("partition", "static"):
            raise QueryError(
                "of rows, in a query for partitions",
                where=field.where,
                remedy="Use the partition key and static columns alone, or where() without partitions()",
            )


def _fixed(conditions: Sequence[Condition]) -> list[FieldPlan]:
    return [condition.field for condition in conditions if condition.operator == "=" and condition.on == "column"]


def example(plan: ModelPlan, fields: Sequence[FieldPlan] | None = None) -> str:
    """Conditions on the partition key, or on `fields`, as they are written."""
    return ", ".join(f"{plan.where}.{field.attribute} == ..." for field in fields or plan.partition)
