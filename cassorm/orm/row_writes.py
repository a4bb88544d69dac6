"""The row of one instance, written: whole, what has changed of it, or gone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from cassorm.driver.session import Session
from cassorm.errors import QueryError, StaleRowError
from cassorm.orm.expressions import Assignment, Condition, Expression
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.hydration import Saved, changed
from cassorm.orm.model import Model, remember, stored_row
from cassorm.orm.model_plan import ModelPlan, Unique
from cassorm.orm.sending import joined_for_write
from cassorm.orm.unique import Claims, Wanted
from cassorm.orm.writes import (
    Compiled,
    Delete,
    Outcome,
    Update,
    has_listeners,
    insert_compiled,
    outcome,
    partition_of,
    told_of_write,
)

_APPLIED = Outcome(applied=True)
_CHANGED = "the row has changed since it was read"


async def insert_row(
    session: Session,
    plan: ModelPlan,
    instance: Model,
    *,
    if_not_exists: bool = False,
    ttl: timedelta | int | None = None,
    timestamp: datetime | int | None = None,
    **options: Any,
) -> Outcome:
    """Write the row whole; `options` are those of `Session.execute`.

    Raises:
        QueryError: a value does not fit, or the model takes no plain inserts; nothing was sent.
        OutcomeUnknownError: with `if_not_exists`: no answer came.
    """
    made = insert_compiled(plan, instance, if_not_exists=if_not_exists, ttl=ttl, timestamp=timestamp)
    # As it is sent: what changes while the answer is waited for is still to be saved.
    sent = plan.snapshot(instance)
    if plan.unique:
        found = await _insert_claimed(session, plan, instance, made, options)
    else:
        prepared = await session.prepare(made.text, check=plan.check)
        try:
            said = joined_for_write(plan.where, plan.writing, options, once=made.once) if plan.writing else options
            result = await session.execute(prepared, made.params, **said)
        finally:
            if has_listeners(session):
                told_of_write(session, replace(made, partition=partition_of(plan, instance)))
        found = outcome(plan, result) if if_not_exists else _APPLIED
    if found:
        remember(instance, sent)
    return found


async def save_row(
    session: Session, plan: ModelPlan, instance: Model, *, ttl: timedelta | int | None = None, **options: Any
) -> bool:
    """Whether something had to be written: see `Database.save`.

    Raises:
        StaleRowError: another writer was first; nothing was written.
        QueryError: the key was changed, or a value does not fit; nothing was sent.
        OutcomeUnknownError: a comparing write was not answered.
    """
    row = stored_row(instance)
    if row is None:
        with _advanced(plan, instance):
            found = await insert_row(session, plan, instance, if_not_exists=plan.lwt_only, ttl=ttl, **options)
            if not found:
                raise StaleRowError(plan.where, found=found.found, problem="a row with this key is there already")
        return True
    differing = changed(instance, plan.fields, row)
    if not differing:
        return False
    moved = [each for each in plan.unique if any(field in differing for field in each.fields)]
    before = _before(plan, row) if moved else {}
    wanted = _wanted(moved, instance.__dict__)
    made = _saving(plan, instance, differing, ttl, _guards(moved, before))
    with _advanced(plan, instance):
        sent = plan.snapshot(instance)
        if moved:
            claims = Claims(session, plan, _key(plan, instance), options)
            held = await claims.standing(_wanted(moved, before))
            found = await claims.around(wanted, lambda: _sent(session, made, options))
        else:
            found = await _sent(session, made, options)
        if not found:
            raise StaleRowError(plan.where, found=found.found, problem=_CHANGED)
    remember(instance, sent)
    if moved:
        await claims.release(held)
    return True


async def delete_row(
    session: Session, plan: ModelPlan, instance: Model, *, if_exists: bool = False, **options: Any
) -> Outcome:
    """Delete the row: see `Database.delete`.

    Raises:
        StaleRowError: another writer was first; nothing was deleted.
    """
    row = stored_row(instance)
    before = instance.__dict__ if row is None else _before(plan, row)
    guards = _guards(plan.unique, before) if plan.unique else []
    if plan.version is not None:
        guards = [_equals(plan.version, getattr(instance, plan.version.attribute))]
    write: Delete[Any] = Delete(plan, _key_conditions(plan, instance))
    if guards:
        write = write.only_if(*guards)
    elif if_exists or plan.lwt_only:
        write = write.if_exists()
    made = write.compiled()
    if plan.unique:
        claims = Claims(session, plan, _key(plan, instance), options)
        held = await claims.standing(_wanted(plan.unique, before))
    found = await _sent(session, made, options)
    # Where only unique values are compared, a row that is not there at all is no conflict.
    if not found and guards and (plan.version is not None or any(each is not None for each in found.found.values())):
        raise StaleRowError(plan.where, found=found.found, problem=_CHANGED)
    remember(instance, None)
    if plan.unique and found:
        await claims.release(held)
    return found


async def _insert_claimed(
    session: Session, plan: ModelPlan, instance: Model, made: Compiled, options: dict[str, Any]
) -> Outcome:
    made = replace(made, partition=partition_of(plan, instance))
    values = dict(instance.__dict__)
    back: Delete[Any] = Delete(plan, _key_conditions(plan, instance)).only_if(*_guards(plan.unique, values))

    async def undo() -> None:
        await _sent(session, back.compiled(), options)

    claims = Claims(session, plan, _key(plan, instance), options)
    return await claims.around(_wanted(plan.unique, values), lambda: _sent(session, made, options), undo)


def _wanted(uniques: Iterable[Unique], values: Mapping[str, Any]) -> list[Wanted]:
    """What has to be claimed for a row of these values: none of a group with a None in it, as any row may have that."""
    found = [(each, tuple(values[field.attribute] for field in each.fields)) for each in uniques]
    return [(each, group) for each, group in found if None not in group]


def _guards(uniques: Iterable[Unique], values: Mapping[str, Any]) -> list[Condition]:
    """The conditions that the row holds these unique values; None says nothing, as a row that is not there has it too."""
    fields = dict.fromkeys(field for each in uniques for field in each.fields if not field.is_key)
    return [_equals(field, values[field.attribute]) for field in fields if values[field.attribute] is not None]


def _before(plan: ModelPlan, row: Sequence[Any]) -> dict[str, Any]:
    """What the instance held when it was read or written last, by attribute."""
    if type(row) is Saved:
        return {field.attribute: value for field, value in zip(plan.fields, row, strict=True)}
    return {field.attribute: field.decoded(value) for field, value in zip(plan.fields, row, strict=True)}


def _key(plan: ModelPlan, instance: Model) -> list[Any]:
    return [getattr(instance, each.attribute) for each in plan.key]


@contextmanager
def _advanced(plan: ModelPlan, instance: Model) -> Iterator[None]:
    """The instance has the version that the block writes, and its old one again when the block fails."""
    version = plan.version
    if version is None:
        yield
        return
    values = instance.__dict__
    before = values[version.attribute]
    values[version.attribute] = before + 1
    try:
        yield
    except BaseException:
        values[version.attribute] = before
        raise


async def _sent(session: Session, made: Compiled, options: dict[str, Any]) -> Outcome:
    prepared = await session.prepare(made.text, check=made.plan.check)
    said = joined_for_write(made.plan.where, made.plan.writing, options, once=made.once)
    try:
        result = await session.execute(prepared, made.params, **said)
    finally:
        told_of_write(session, made)
    return outcome(made.plan, result)


def _saving(
    plan: ModelPlan,
    instance: Model,
    differing: Sequence[FieldPlan],
    ttl: timedelta | int | None,
    guards: list[Condition],
) -> Compiled:
    """The UPDATE of what differs, if the version is as it was read; without one if `guards` hold."""
    assignments = []
    for each in differing:
        if each.is_key:
            raise QueryError(
                "the key of a stored row was changed", where=each.where, remedy="Insert a new row, delete the old one"
            )
        if each.kind in ("version", "counter"):
            how = "is advanced by save alone" if each.kind == "version" else "changes by update(... + n) alone"
            raise QueryError(f"was set, and {how}", where=each.where, remedy="Leave it as it was read")
        assignments.append(_assigned(each, getattr(instance, each.attribute)))
    if plan.version is not None:
        before = getattr(instance, plan.version.attribute)
        assignments.append(_assigned(plan.version, before + 1))
        guards = [_equals(plan.version, before)]
    write: Update[Any] = Update.of(plan, assignments).where(*_key_conditions(plan, instance))
    if guards:
        write = write.only_if(*guards)
    elif plan.lwt_only:
        write = write.if_exists()
    return (write if ttl is None else write.ttl(ttl)).compiled()


def _key_conditions(plan: ModelPlan, instance: Model) -> tuple[Condition, ...]:
    return tuple(_equals(each, getattr(instance, each.attribute)) for each in plan.key)


def _equals(field: FieldPlan, value: Any) -> Condition:
    found: Condition = Expression(field) == value
    return found


def _assigned(field: FieldPlan, value: Any) -> Assignment:
    return Expression(field).set(value)
