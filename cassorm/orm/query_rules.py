"""What CQL can answer, checked before anything is sent: which key or index would allow what it cannot."""

from collections.abc import Sequence

from cassorm.errors import QueryError
from cassorm.orm.expressions import RANGES, Condition, Ordering
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan

# Beyond this a coordinator waits for too many replicas at once.
MOST_PARTITIONS = 100
_EQUAL = ("=", "IN")
# What storage-attached indexes compare by equality alone.
_WHOLE = ("text", "ascii", "boolean", "uuid", "blob")


def check_conditions(plan: ModelPlan, conditions: Sequence[object]) -> None:
    """Return when all `conditions` are some on this model, of a kind that a query may have.

    Raises:
        QueryError: one is not; the error says what to write.
    """
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise QueryError(
                f"{condition!r} is no condition", where=plan.where, remedy=f"Compare a field, as in {_example(plan)}"
            )
        field = condition.field
        if plan.by_attribute.get(field.attribute) is not field:
            raise QueryError(
                f"a condition on {field.where}", where=plan.where, remedy=f"Compare fields of {plan.where}, one by one"
            )
        if condition.params == (None,):
            raise QueryError(
                "a comparison with None",
                where=field.where,
                remedy="CQL finds no missing values: compare in only_if(), or store a value that says missing",
            )
        if condition.operator == "!=":
            raise QueryError(
                "!= in a query", where=field.where, remedy="CQL has no !=: use < and >, or filter in Python"
            )


def check_read(plan: ModelPlan, conditions: Sequence[Condition], *, filtering: bool) -> None:
    """Return when the server answers a query with these conditions.

    Raises:
        QueryError: it would refuse, or read the whole table; the error names the key or index that would allow it.
    """
    _check_partitions(plan, conditions)
    if filtering:
        return
    if not conditions:
        raise QueryError(
            "reads the whole table", where=plan.where, remedy=f"Give {_example(plan)}, or use {plan.where}.scan()"
        )
    free = [condition for condition in conditions if not _indexed(plan, condition)]
    missing = [
        field for field in plan.partition if not any(c.field is field and c.operator in _EQUAL for c in conditions)
    ]
    for condition in free:
        if not condition.field.is_key:
            raise QueryError(
                f"{condition.operator} on a column that neither key nor index finds",
                where=condition.field.where,
                remedy=f"{_index_remedy(plan, condition)}, or say allow_filtering()",
            )
    if missing:
        ranged = [condition for condition in free if condition.field.is_key]
        if ranged or len(free) == len(conditions):
            raise QueryError(
                f"lacks {', '.join(field.attribute for field in missing)} of the partition key",
                where=plan.where,
                remedy=f"Add {_example(plan, missing)}, or say allow_filtering() to read the whole table",
            )
        return
    _check_clustering(plan, free)


def _check_partitions(plan: ModelPlan, conditions: Sequence[Condition]) -> None:
    seen: set[tuple[str, str]] = set()
    for condition in conditions:
        field, operator = condition.field, condition.operator
        slot = (field.attribute, ">" if operator.startswith(">") else "<" if operator.startswith("<") else "=")
        if slot in seen and operator in (*_EQUAL, *RANGES):
            raise QueryError(f"{operator} twice", where=field.where, remedy="Keep one of the conditions")
        seen.add(slot)
        if field.kind == "partition" and operator in RANGES:
            raise QueryError(
                f"{operator} on the partition key",
                where=field.where,
                remedy="Partitions have no order: use =, or scan()",
            )
        if field.kind == "partition" and operator == "IN" and len(condition.params[0]) > MOST_PARTITIONS:
            raise QueryError(
                f"IN over {len(condition.params[0])} partitions",
                where=field.where,
                remedy=f"One node would gather them all: give at most {MOST_PARTITIONS}, or use db.get_many()",
            )
        if operator == "IN" and not field.is_key:
            raise QueryError("IN on a column outside the key", where=field.where, remedy="Run a query for each value")


def _check_clustering(plan: ModelPlan, free: Sequence[Condition]) -> None:
    open_at: FieldPlan | None = None
    for field in plan.clustering:
        found = [condition for condition in free if condition.field is field]
        if found and open_at is not None:
            how = "compared by a range" if any(c.field is open_at for c in free) else "not given"
            raise QueryError(
                f"restricted while {open_at.attribute}, before it in the key, is {how}",
                where=field.where,
                remedy=f"Give {open_at.attribute} by ==, or say allow_filtering()",
            )
        if not found or found[0].operator not in _EQUAL:
            open_at = open_at or field


def check_order(plan: ModelPlan, orderings: Sequence[Ordering], conditions: Sequence[Condition]) -> None:
    """Return when the server can give rows in this order.

    Raises:
        QueryError: it cannot; rows are kept in the order of the clustering columns alone.
    """
    if not orderings:
        return
    kept = ", ".join(f"{field.attribute} {field.order}" for field in plan.clustering) or "none"
    remedy = f"Rows of a partition are kept by: {kept}. Order by these, or sort in Python"
    fixed = [condition.field for condition in conditions if condition.operator == "="]
    if any(field not in fixed for field in plan.partition):
        raise QueryError(
            "an order over several partitions",
            where=plan.where,
            remedy=f"Give {_example(plan)}: rows have an order within one partition alone",
        )
    expected = [field for field in plan.clustering if field not in fixed or any(o.field is field for o in orderings)]
    for ordering, field in zip(orderings, [*expected, *[None] * len(orderings)], strict=False):
        if ordering.field is not field:
            raise QueryError("cannot be ordered by here", where=ordering.field.where, remedy=remedy)
    turned = {ordering.descending != (ordering.field.order == "desc") for ordering in orderings}
    if len(turned) > 1:
        raise QueryError("orders of which some are turned and some not", where=plan.where, remedy=remedy)


def check_write(plan: ModelPlan, conditions: Sequence[Condition], *, whole_rows: bool, static: bool = False) -> None:
    """Return when these conditions name rows for a write; `whole_rows` may be a range, else each is named by its key.

    Raises:
        QueryError: they do not; the error names what is missing.
    """
    for condition in conditions:
        field = condition.field
        if not field.is_key:
            raise QueryError(
                "a condition outside the key", where=field.where, remedy="Rows are named by their key: use only_if()"
            )
        if not whole_rows and condition.operator not in _EQUAL:
            raise QueryError(f"{condition.operator} in a write", where=field.where, remedy="Name each row by ==")
    if not conditions:
        raise QueryError("names no row", where=plan.where, remedy=f"Add where({_example(plan, plan.key)})")
    check_read(plan, conditions, filtering=False)
    given = [condition.field for condition in conditions]
    missing = [field for field in plan.clustering if field not in given]
    if missing and not whole_rows and not static:
        raise QueryError(
            f"lacks {', '.join(field.attribute for field in missing)} of the key",
            where=plan.where,
            remedy=f"Add where({_example(plan, missing)})",
        )


def _indexed(plan: ModelPlan, condition: Condition) -> bool:
    field, operator = condition.field, condition.operator
    for index in plan.table.indexes:
        if index.column != field.column:
            continue
        if operator in ("CONTAINS", "CONTAINS KEY", "ENTRY"):
            wanted = {"CONTAINS": "values", "CONTAINS KEY": "keys", "ENTRY": "entries"}[operator]
            if index.target == wanted:
                return True
        elif operator == "=":
            return index.target in (None, "full")
        elif operator in RANGES and index.kind != "secondary" and field.codec.cql.name not in _WHOLE:
            return True
    return False


def _index_remedy(plan: ModelPlan, condition: Condition) -> str:
    field, operator = condition.field, condition.operator
    target = {"CONTAINS KEY": ', target="keys"', "ENTRY": ', target="entries"'}.get(operator, "")
    if operator in RANGES and field.codec.cql.name in _WHOLE:
        return f"No index compares {field.codec.cql} by {operator}: make it a clustering column"
    if any(index.column == field.column for index in plan.table.indexes):
        return f"Its index does not answer {operator}: declare col(index=SAI({target[2:]}))"
    return f"Declare it with col(index={f'SAI({target[2:]})' if target else 'True'})"


def _example(plan: ModelPlan, fields: Sequence[FieldPlan] | None = None) -> str:
    return ", ".join(f"{plan.where}.{field.attribute} == ..." for field in fields or plan.partition)
