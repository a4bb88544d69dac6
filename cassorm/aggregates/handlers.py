"""`@apply`: which method of an aggregate folds which event."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, overload

from cassorm.errors import AggregateError
from cassorm.events.event import Event

Handler = Callable[[Any, Any], object]
"""A method of an aggregate: (self, event)."""

_DECLARED: Final = "__cassorm_handlers__"
"""Where a class body collects its handlers: methods that share the name `_` replace one another as attributes."""


# Typed as returning any handler, so that `_` of a subclass or of two mixins may take another event.
@overload
def apply(function: Handler, /) -> Handler: ...
@overload
def apply(*events: type[Event]) -> Callable[[Handler], Handler]: ...
def apply(*given: Any) -> Any:
    """Return the method as it is, registered for the events of its annotation, or for those named.

    ```python
    @apply
    def _(self, event: LineAdded | LineReturned) -> None: ...

    @apply(OrderPlaced)
    def _(self, event): ...
    ```

    A handler sets fields and does nothing else: it runs at every load. Several may share the name `_`.

    Raises:
        AggregateError: not used in the body of a class, or not on a plain method (self, event).
    """
    body = sys._getframe(1).f_locals
    if "__qualname__" not in body or "__module__" not in body:
        raise AggregateError(
            "is used outside the body of a class",
            where="@apply",
            remedy="Decorate a method of a class derived from Aggregate",
        )
    declared: list[_Declared] = body.setdefault(_DECLARED, [])
    owner = body["__qualname__"]
    if len(given) == 1 and not isinstance(given[0], type):
        declared.append(_Declared(_checked(given[0], owner), None))
        return given[0]

    def register(function: Handler) -> Handler:
        declared.append(_Declared(_checked(function, owner), given))
        return function

    return register


@dataclass(frozen=True, slots=True)
class _Declared:
    function: types.FunctionType
    events: tuple[type[Event], ...] | None
    """As named to `@apply(...)`; None when the annotation tells."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A handler of a class; `name` is the attribute by which a subclass may override it, None when it has none."""

    function: Handler
    name: str | None


Registry = Mapping[type[Event], Registered]


class Handlers(dict[type, Handler]):
    """Event class -> method, a lookup for each event folded; a class not met before is sought by its bases, once."""

    def __init__(self, aggregate: str, registry: Registry, ignored: Iterable[type[Event]]) -> None:
        super().__init__({event: entry.function for event, entry in registry.items()})
        self.update(dict.fromkeys(ignored, _ignore))
        self._aggregate = aggregate

    def __missing__(self, event: type) -> Handler:
        """Return the handler of the nearest base class.

        Raises:
            AggregateError: there is none.
        """
        for base in event.__mro__[1:]:
            handler = self.get(base)
            if handler is not None:
                self[event] = handler
                return handler
        raise AggregateError(
            f"has no handler for event {event.__name__}",
            where=f"aggregate {self._aggregate}",
            remedy=f"Add an @apply method annotated with {event.__name__}, or declare it: ignore=[{event.__name__}]",
        )


def registry_of(cls: type) -> dict[type[Event], Registered]:
    """Return the handlers of a class, those of its bases included; its own win.

    Raises:
        AggregateError: two handlers of the class itself take one event, or an annotation names none.
    """
    registry: dict[type[Event], Registered] = {}
    for base in reversed(cls.__mro__[1:]):
        registry.update(base.__dict__.get("__registry__", {}))
    for event, entry in registry.items():
        override = cls.__dict__.get(entry.name) if entry.name else None
        if isinstance(override, types.FunctionType):
            registry[event] = Registered(override, entry.name)
    own: dict[type[Event], Registered] = {}
    for declared in cls.__dict__.get(_DECLARED, ()):
        name = declared.function.__name__
        entry = Registered(declared.function, name if cls.__dict__.get(name) is declared.function else None)
        for event in _events_of(cls, declared):
            if event in own:
                _refuse(cls, name, f"takes {event.__name__}, and so does another", "Keep one handler for each event")
            own[event] = entry
    return registry | own


def check_events(events: Iterable[object], where: str) -> tuple[type[Event], ...]:
    """Return `events` when each is an event class.

    Raises:
        AggregateError: one is not.
    """
    classes: list[type[Event]] = []
    for event in events:
        if not (isinstance(event, type) and issubclass(event, Event)):
            raise AggregateError(
                f"{event!r} is no event class", where=where, remedy="Name classes derived from cassorm.Event"
            )
        classes.append(event)
    return tuple(classes)


def _ignore(_aggregate: Any, _event: Any) -> None:
    """Fold an event that was declared to change nothing."""


def _checked(function: Any, owner: str) -> types.FunctionType:
    """Return the function when it is a plain method of (self, event)."""
    if not isinstance(function, types.FunctionType):
        raise AggregateError(
            f"{function!r} is no plain method", where=f"@apply in {owner}", remedy="Decorate `def _(self, event: ...)`"
        )
    where = f"{owner}.{function.__name__}"
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise AggregateError(
            "is async or a generator, and would never run",
            where=where,
            remedy="Write a plain `def`: a handler only sets fields",
        )
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if kinds not in ([_PLAIN] * 2, [_POSITIONAL, _PLAIN], [_POSITIONAL] * 2):
        raise AggregateError("does not take (self, event)", where=where, remedy="Write `def _(self, event: ...)`")
    return function


_PLAIN = inspect.Parameter.POSITIONAL_OR_KEYWORD
_POSITIONAL = inspect.Parameter.POSITIONAL_ONLY


def _events_of(cls: type, declared: _Declared) -> tuple[type[Event], ...]:
    function = declared.function
    where = f"{cls.__qualname__}.{function.__name__}"
    if declared.events is not None:
        if not declared.events:
            _refuse(cls, function.__name__, "names no event", "Write @apply, or @apply(OrderPlaced)")
        return check_events(declared.events, where)
    parameter = list(inspect.signature(function).parameters)[1]
    annotation = function.__annotations__.get(parameter)
    if annotation is None:
        _refuse(
            cls, function.__name__, "does not say which event it takes", "Annotate it, or write @apply(OrderPlaced)"
        )
    # Only this one is evaluated: others may name what is not defined yet, the class itself for example.
    only = types.SimpleNamespace(__annotations__={"event": annotation})
    try:
        resolved = typing.get_type_hints(only, function.__globals__, dict(vars(cls)))["event"]
    except NameError as error:
        _refuse(cls, function.__name__, f"names an event that is not found here ({error})", "Write @apply(OrderPlaced)")
    union = typing.get_origin(resolved) in (typing.Union, types.UnionType)
    return check_events(typing.get_args(resolved) if union else (resolved,), where)


def _refuse(cls: type, name: str, problem: str, remedy: str) -> NoReturn:
    raise AggregateError(problem, where=f"{cls.__qualname__}.{name}", remedy=remedy)
