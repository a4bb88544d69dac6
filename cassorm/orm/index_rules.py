"""Which conditions the indexes of a table answer."""

from collections.abc import Iterator, Sequence

from cassorm.orm.expressions import RANGES, Condition
from cassorm.orm.model_plan import ModelPlan
from cassorm.schema.table import Index

# What storage-attached indexes compare by equality alone.
_WHOLE = ("text", "ascii", "boolean", "uuid", "blob")


def indexed(plan: ModelPlan, condition: Condition, *, sai: bool) -> bool:
    """Whether an index answers this condition; `sai` is whether the engine has storage-attached ones."""
    return any(True for _ in _answering(plan, condition, sai=sai))


def joined(plan: ModelPlan, conditions: Sequence[Condition], *, sai: bool, near: bool = False) -> bool:
    """Whether indexes answer all of these together: storage-attached ones join, any other stands alone.

    `near` is whether a search by a storage-attached index joins them.
    """
    found = [list(_answering(plan, condition, sai=sai)) for condition in conditions]
    if all(any(_is_sai(index, sai=sai) for index in indexes) for indexes in found):
        return True
    return not near and len(found) == 1 and bool(found[0])


def remedy_by_index(plan: ModelPlan, condition: Condition) -> str:
    """What to declare so that an index answers this condition."""
    field, operator = condition.field, condition.operator
    target = {"CONTAINS KEY": ', target="keys"'}.get(operator, "")
    if condition.on == "entry":
        target = ', target="entries"'
    if operator in RANGES and (field.codec.cql.name in _WHOLE or field.codec.cql.is_collection):
        return f"No index compares {field.codec.cql} by {operator}: make it a clustering column"
    if operator == "CONTAINS" and field.codec.cql.frozen:
        return "Indexes look into collections that are not frozen"
    if any(index.column == field.column for index in plan.table.indexes):
        return f"Its index does not answer {operator}: declare col(index=SAI({target[2:]}))"
    return f"Declare it with col(index={f'SAI({target[2:]})' if target else 'True'})"


def _answering(plan: ModelPlan, condition: Condition, *, sai: bool) -> Iterator[Index]:
    field, operator = condition.field, condition.operator
    for index in plan.table.indexes:
        if index.column != field.column or condition.on == "token":
            continue
        if field.codec.cql.name == "vector":
            # Such an index finds what is near, not what is equal.
            continue
        if condition.on == "entry":
            answers = index.target == "entries"
        elif operator in ("CONTAINS", "CONTAINS KEY"):
            answers = index.target == ("values" if operator == "CONTAINS" else "keys")
        elif operator == "=":
            answers = index.target in (None, "full")
        else:
            answers = operator in RANGES and index.target is None and _is_sai(index, sai=sai)
            answers = answers and field.codec.cql.name not in _WHOLE
        if answers:
            yield index


def _is_sai(index: Index, *, sai: bool) -> bool:
    return index.kind == "sai" or (index.kind is None and sai)
