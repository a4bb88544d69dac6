"""What must not write unique columns: a write without an instance knows neither the old value nor whose it was."""

from collections.abc import Iterable

from cassorm.errors import QueryError
from cassorm.orm.expressions import Assignment
from cassorm.orm.model_plan import ModelPlan


def check_update(plan: ModelPlan, assignments: Iterable[object]) -> None:
    """Return when no unique column is among those that are assigned to.

    Raises:
        QueryError: one is.
    """
    if plan.unique:
        columns = [each.field.quoted for each in assignments if isinstance(each, Assignment)]
        _check(plan, columns, "update() of a unique column", "Read the row, set the field, and use db.save()")


def check_delete(plan: ModelPlan, columns: tuple[str, ...]) -> None:
    """Return when no unique value goes with these columns, or with the whole row where none is named.

    Raises:
        QueryError: one does.
    """
    if not plan.unique:
        return
    if not columns:
        raise QueryError(
            "delete() of rows with unique columns", where=plan.where, remedy="Read the rows, and use db.delete()"
        )
    _check(plan, columns, "delete() of a unique column", "Read the row, set the field to None, and use db.save()")


def check_batch(plan: ModelPlan) -> None:
    """Return when the rows of the model may be inserted in a batch.

    Raises:
        QueryError: they have unique columns: their claims stand in other partitions.
    """
    if plan.unique:
        raise QueryError(
            "a batched insert of a row with unique columns",
            where=plan.where,
            remedy="Use db.save(), or db.insert_many(..., if_not_exists=True) for many",
        )


def _check(plan: ModelPlan, columns: Iterable[str], problem: str, remedy: str) -> None:
    given = set(columns)
    for unique in plan.unique:
        for field in unique.fields:
            if field.quoted in given:
                raise QueryError(problem, where=field.where, remedy=remedy)
