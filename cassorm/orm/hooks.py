"""Methods of a model that run around its writes: `@before_save def tidy(self) -> None`.

They run for `db.insert`, `db.save`, `db.delete` and `db.insert_many`, which have the instance in hand; `Model.update()`,
`Model.delete()` and batches write without one, and run none.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar

from cassorm.errors import ModelError

Moment = Literal["before_save", "after_save", "before_delete", "after_delete"]
F = TypeVar("F", bound=Callable[..., Any])
Run = Callable[[Any, Any], Any]

_MARK = "__cassorm_hook__"


def before_save(function: F) -> F:
    """Run the method before the instance is inserted or saved: it may change fields, and stops the write by raising.

    It takes `self`, or `self` and the database; it may be async. A base's run first; one of the same name replaces it.
    """
    return _marked(function, "before_save")


def after_save(function: F) -> F:
    """Run the method when an insert or a save has been acknowledged, and wrote something; see `before_save`."""
    return _marked(function, "after_save")


def before_delete(function: F) -> F:
    """Run the method before the instance's row is deleted: it stops that by raising; see `before_save`."""
    return _marked(function, "before_delete")


def after_delete(function: F) -> F:
    """Run the method when the deletion of the instance's row has been acknowledged; see `before_save`."""
    return _marked(function, "after_delete")


def _marked(function: F, moment: Moment) -> F:
    if not inspect.isfunction(function):
        raise ModelError(
            f"@{moment} of {function!r}", remedy=f"Write @{moment} directly above `def ...(self)`: it is for methods"
        )
    setattr(function, _MARK, (*getattr(function, _MARK, ()), moment))
    return function


class Hooks:
    """The hooks of one model, each moment's in the order in which they run."""

    __slots__ = ("after_delete", "after_save", "before_delete", "before_save")

    def __init__(self, runs: Sequence[tuple[Moment, Run]]) -> None:
        self.before_save = tuple(run for moment, run in runs if moment == "before_save")
        self.after_save = tuple(run for moment, run in runs if moment == "after_save")
        self.before_delete = tuple(run for moment, run in runs if moment == "before_delete")
        self.after_delete = tuple(run for moment, run in runs if moment == "after_delete")


def hooks_of(model: type[Any]) -> Hooks | None:
    """The hooks that the class and its bases declare; None when they declare none.

    Raises:
        ModelError: one takes other parameters than `self` and the database.
    """
    # A method that replaces one of a base is a hook as that was, decorated again or not.
    moments: dict[str, list[Moment]] = {}
    for base in reversed(model.__mro__):
        for name, function in vars(base).items():
            for moment in getattr(function, _MARK, ()):
                found = moments.setdefault(name, [])
                if moment not in found:
                    found.append(moment)
    runs = [
        (moment, _run(model, name, inspect.getattr_static(model, name)))
        for name, found in moments.items()
        for moment in found
    ]
    return Hooks(runs) if runs else None


def _run(model: type[Any], name: str, function: Callable[..., Any]) -> Run:
    where = f"{model.__name__}.{name}"
    if not inspect.isfunction(function):
        raise ModelError("is a hook, and no method", where=where, remedy="Write `def ...(self) -> None`")
    parameters = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    needed = [each for each in parameters if each.default is each.empty]
    if not parameters or len(needed) > 2:
        raise ModelError(
            f"is a hook with {len(needed)} parameters", where=where, remedy="Take `self`, or `self` and the database"
        )
    if len(parameters) > 1:
        return function
    return lambda instance, _: function(instance)


async def run_hooks(runs: Sequence[Run], instance: Any, database: Any) -> None:
    """Run them one after the other; what one raises ends it."""
    for run in runs:
        done: Awaitable[Any] | None = run(instance, database)
        if inspect.isawaitable(done):
            await done
