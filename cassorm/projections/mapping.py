"""What events mean for the fields of a read model: `customer: Col[str] = map_from_event(OrderPlaced, "customer")`."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, overload

from pydantic_core import PydanticUndefined

from cassorm.errors import ModelError, ProjectionError
from cassorm.events.event import Event, Recorded
from cassorm.orm.fields import col
from cassorm.orm.markers import IndexOn

E = TypeVar("E", bound=Event)
Make = Callable[[Any, Any, Recorded], Any]
"""(event, row, recorded) -> value."""
_MOST_PARAMETERS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """In the metadata of a field: what `map_from_event` was given; looked at when the class is made."""

    events: object
    how: object = None
    transform: Callable[[Any], Any] | None = None


class Step(NamedTuple):
    """One field that an event sets, and how."""

    attribute: str
    make: Make


@overload
def map_from_event(
    events: type[E],
    how: str | Callable[[E], Any] | Callable[[E, Any], Any] | Callable[[E, Any, Recorded], Any] | None = None,
    **options: Any,
) -> Any: ...
@overload
def map_from_event(
    events: Sequence[type[Event]] | Mapping[type[Event], Any],
    how: str | Callable[..., Any] | None = None,
    **options: Any,
) -> Any: ...
def map_from_event(
    events: type[Event] | Sequence[type[Event]] | Mapping[type[Event], Any],
    how: str | Callable[..., Any] | None = None,
    *,
    transform: Callable[[Any], Any] | None = None,
    default: Any = PydanticUndefined,
    default_factory: Callable[[], Any] | None = None,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - the word of CQL
    index: bool | IndexOn = False,
    truncate: bool = False,
    **field_options: Any,
) -> Any:
    """A field of a read model that events set.

    - `map_from_event(OrderPlaced, "customer")`: from the event's field of that name, or `"address.city"` inside it; of
      the same name as the field without one.
    - `map_from_event([OrderPlaced, CustomerChanged], "customer")`: from either.
    - `map_from_event(LineAdded, lambda e, row: row.total + e.amount, default=Decimal(0))`: from the event and the row as
      it was before, or also from how the event is recorded: `lambda e, row, recorded: recorded.timestamp`. The function
      may use these alone: it runs again at each replay, and has to give the same.
    - `map_from_event({OrderPlaced: "open", OrderShipped: "shipped"})`: these values, or what functions among them give.

    `transform` is applied to what comes out. The others are those of `col`; without a default no row can begin before
    an event has set the field.
    """
    made = col(
        default=default,
        default_factory=default_factory,
        name=name,
        type=type,
        index=index,
        truncate=truncate,
        **field_options,
    )
    made.metadata.append(Mapped(events, how, transform))
    return made


@dataclass(frozen=True, slots=True)
class Rules:
    """What each class of event does to a row: which fields it sets, in their order; no row is left by `deleting`."""

    owner: str
    steps: Mapping[type[Event], tuple[Step, ...]]
    deleting: frozenset[type[Event]]
    names: frozenset[str] = field(init=False)
    """The names of the events that it knows."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", event_names([*self.steps, *self.deleting]))

    def of(self, recorded: Recorded) -> tuple[Step, ...] | None:
        """What an event sets; None when it deletes the row.

        Raises:
            ProjectionError: it has the name of one that is mapped, and another class.
        """
        kind = type(recorded.event)
        found = self.steps.get(kind)
        if found is not None:
            return found
        for base in kind.__mro__:
            if base in self.deleting:
                return None
            if base in self.steps:
                return self.steps[base]
        raise ProjectionError(
            f"{recorded.event_type} of schema version {recorded.schema_version} is not mapped",
            where=f"{self.owner}, version {recorded.version} of stream {recorded.stream}",
            remedy=f"Map {kind.__name__} as well, or upcast it to a version that is mapped",
        )


def event_names(events: Iterable[type[Event]]) -> frozenset[str]:
    """The names under which such events are stored."""
    return frozenset(event.__event_type__ for event in events)


def steps_of(owner: str, mapped: Mapping[str, Mapped]) -> dict[type[Event], tuple[Step, ...]]:
    """What each class of event sets, from what the fields of a class say.

    Raises:
        ModelError: something is no event, or an event has no such field.
    """
    found: dict[type[Event], list[Step]] = {}
    for attribute, said in mapped.items():
        for event, make in makers(f"{owner}.{attribute}", attribute, said).items():
            found.setdefault(event, []).append(Step(attribute, make))
    return {event: tuple(steps) for event, steps in found.items()}


def makers(where: str, attribute: str, said: Mapped) -> dict[type[Event], Make]:
    """How each event gives the value of one field.

    Raises:
        ModelError: something is no event, or an event has no such field.
    """
    if isinstance(said.events, Mapping):
        if said.how is not None:
            raise ModelError(
                f"{said.how!r} beside a dict of events", where=where, remedy="Put it into the dict, event by event"
            )
        made = {
            _event(event, where): _maker(value, where) if callable(value) else _constant(value)
            for event, value in said.events.items()
        }
    else:
        listed: Sequence[object] = said.events if isinstance(said.events, Sequence) else [said.events]
        kinds = [_event(event, where) for event in listed]
        made = {event: _maker_for(event, said.how, attribute, where) for event in kinds}
    if not made:
        raise ModelError("no event", where=where, remedy="Write map_from_event(OrderPlaced, ...)")
    if said.transform is not None:
        made = {event: partial(_transformed, said.transform, make) for event, make in made.items()}
    return made


def check_event(event: object, where: str) -> type[Event]:
    """The class of event that this is.

    Raises:
        ModelError: it is none, or one of which nothing is ever stored.
    """
    return _event(event, where)


def _event(event: object, where: str) -> type[Event]:
    if not (isinstance(event, type) and issubclass(event, Event)):
        raise ModelError(f"{event!r} is no event class", where=where, remedy="Name a class derived from cassorm.Event")
    if not event.__event_type__:
        raise ModelError(f"{event.__name__} is the base of all events", where=where, remedy="Name one derived from it")
    return event


def _maker_for(event: type[Event], how: object, attribute: str, where: str) -> Make:
    if callable(how):
        return _maker(how, where)
    if how is not None and not isinstance(how, str):
        raise ModelError(
            f"{how!r} is neither a field of the event nor a function",
            where=where,
            remedy="Give a field's name, a function, or a dict {event: value}",
        )
    path = how or attribute
    first = path.partition(".")[0]
    if first not in event.model_fields and not hasattr(event, first):
        raise ModelError(
            f"{event.__name__} has no field {first}",
            where=where,
            remedy=f"Use one of {', '.join(event.model_fields) or 'none: it has no fields'}; "
            f"or give a constant: {{{event.__name__}: ...}}",
        )
    get = attrgetter(path)
    return lambda event, row, recorded: get(event)


def _maker(function: Callable[..., Any], where: str) -> Make:
    count = parameters_of(function)
    if inspect.iscoroutinefunction(function):
        raise ModelError("the function is async", where=where, remedy="Write a plain one: it makes a value of an event")
    if not 1 <= count <= _MOST_PARAMETERS:
        raise ModelError(
            f"the function takes {count} values",
            where=where,
            remedy="Take (event), (event, row) or (event, row, recorded)",
        )
    if count == 1:
        return lambda event, row, recorded: function(event)
    if count == 2:
        return lambda event, row, recorded: function(event, row)
    return function


def parameters_of(function: Callable[..., Any]) -> int:
    """How many values a function asks for; 1 for one that does not tell."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some of those written in C
        return 1
    return sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)


def _constant(value: object) -> Make:
    return lambda event, row, recorded: value


def _transformed(transform: Callable[[Any], Any], make: Make, event: Any, row: Any, recorded: Recorded) -> Any:
    return transform(make(event, row, recorded))
