"""Projections that are written as handlers: `@projection("name") class X: @on(OrderPlaced) async def ...(event, tx)`."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid5

from cassorm.driver.session import Session
from cassorm.errors import ModelError, ProjectionError
from cassorm.events.event import Event, Recorded
from cassorm.orm.model import Model
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.projections.active import follow_generations
from cassorm.projections.mapping import check_event, event_names
from cassorm.projections.read_model import ReadModel, check_replayable
from cassorm.projections.row_table import TableWriter
from cassorm.projections.totals import Totals
from cassorm.projections.views import MOST_NAME

F = TypeVar("F", bound=Callable[..., Any])
P = TypeVar("P")
M = TypeVar("M", bound=Model)

_MARK = "__cassorm_on__"
_SPACE = UUID("6d0f2c1e-5f0b-5c3f-9a51-7d2b6c1b8a90")
"""Of ids that follow from an event: the same in every process, for ever."""
_PARAMETERS = 2


@dataclass(frozen=True, slots=True)
class _On:
    events: tuple[type[Event], ...]
    side_effect: bool


def on(*events: type[Event], side_effect: bool = False) -> Callable[[F], F]:
    """Call the function, or the method, for these events: with the event and a `Tx`.

    One with `side_effect=True` is called by a subscription of its own, which no rebuild begins again.

    Raises:
        ModelError: there are no events, or something is none.
    """
    if not events:
        raise ModelError("no event", where="@on", remedy="Write @on(OrderPlaced)")
    checked = tuple(check_event(event, "@on") for event in events)

    def mark(function: F) -> F:
        if not inspect.isfunction(function):
            raise ModelError(f"{function!r} is no function", where="@on", remedy="Write it directly above `def`")
        setattr(function, _MARK, [*getattr(function, _MARK, []), _On(checked, side_effect)])
        return function

    return mark


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredHandlers:
    """What a projection of handlers says, checked; the functions take (self, event, tx), or (event, tx)."""

    name: str
    version: int
    writes: tuple[type[Model], ...]
    source: Any
    effects: Mapping[type[Event], tuple[Callable[..., Any], ...]]
    handlers: Mapping[type[Event], tuple[Callable[..., Any], ...]]
    of_class: bool
    names: frozenset[str] = field(init=False)
    effect_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", event_names(self.handlers))
        object.__setattr__(self, "effect_names", event_names(self.effects))

    @property
    def plans(self) -> tuple[ModelPlan, ...]:
        """The plans of the models that it writes."""
        return tuple(plan_of(model) for model in self.writes)


def projection(name: str, *, version: int = 1, writes: Sequence[type[Model]] = ()) -> Callable[[P], P]:
    """A projection of handlers: a class with methods marked by `on`, or a function that is.

    `writes` are the models that it saves and deletes: nobody else may. Give it another `version` when what the handlers
    do has changed: the projection asks to be rebuilt.

    Raises:
        ModelError: nothing is marked, or a model cannot be written twice alike.
    """
    where = f"projection {name}"
    if not isinstance(name, str) or not 0 < len(name) <= MOST_NAME or not name.isprintable():
        raise ModelError(f"the name {name!r}", where="@projection", remedy=f"Give text of 1 to {MOST_NAME} characters")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelError(f"version={version!r}", where=where, remedy="Count 1, 2, 3")

    def declare(source: P) -> P:
        marked: Any = source
        made = DeclaredHandlers(
            name,
            version,
            tuple(_written(model, name) for model in writes),
            source,
            _functions(marked, where, side_effect=True),
            _functions(marked, where, side_effect=False),
            inspect.isclass(source),
        )
        if not made.handlers and not made.effects:
            raise ModelError("handles no event", where=where, remedy="Mark a method, or the function, with @on(...)")
        if made.handlers and not made.writes:
            raise ModelError(
                "writes no model", where=where, remedy="Give writes=[...], or mark the handlers side_effect=True"
            )
        for plan in made.plans:
            plan.keeper = f"the projection {name}"
            follow_generations(plan, name)
        marked.__declared_handlers__ = made
        return source

    return declare


def _written(model: type[Model], name: str) -> type[Model]:
    where = f"projection {name}"
    if not (isinstance(model, type) and issubclass(model, Model)) or issubclass(model, ReadModel | Totals):
        raise ModelError(
            f"writes {model!r}", where=where, remedy="Name models of tables; read models and totals keep themselves"
        )
    plan = plan_of(model)
    check_replayable(plan)
    keeper = f"the projection {name}"
    if plan.keeper not in ("", keeper):
        raise ModelError(f"writes {model.__name__}, which {plan.keeper} writes", where=where, remedy="Use two models")
    if len(plan.table.name) > MOST_NAME:
        raise ModelError(f"table {plan.table.name!r}", where=where, remedy=f"Give it at most {MOST_NAME} characters")
    return model


def _functions(source: Any, where: str, *, side_effect: bool) -> dict[type[Event], tuple[Callable[..., Any], ...]]:
    found: dict[type[Event], tuple[Callable[..., Any], ...]] = {}
    for function in _marked(source):
        taken = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
        if len(taken) != _PARAMETERS + inspect.isclass(source):
            raise ModelError(
                f"{function.__name__} takes {len(taken)} values",
                where=where,
                remedy=f"Write def {function.__name__}({'self, ' if inspect.isclass(source) else ''}event, tx)",
            )
        for said in getattr(function, _MARK):
            if said.side_effect == side_effect:
                for event in said.events:
                    found[event] = (*found.get(event, ()), function)
    return found


def _marked(source: Any) -> Iterator[Callable[..., Any]]:
    if not inspect.isclass(source):
        if hasattr(source, _MARK):
            yield source
        return
    names = dict.fromkeys(name for base in reversed(source.__mro__) for name in vars(base))
    for name in names:
        function = inspect.getattr_static(source, name)
        if hasattr(function, _MARK):
            yield function


class Tx:
    """What a handler may do: its writes are sent together when it has returned, each at the position of the event.

    So the same event again writes the same, and an older one that comes late changes nothing.
    """

    def __init__(self, name: str, recorded: Recorded, tables: "Tables", *, rebuilding: bool) -> None:
        self.recorded = recorded
        self.rebuilding = rebuilding
        self._name = name
        self._tables = tables
        self._writes: dict[tuple[type[Model], str], tuple[Model | None, Sequence[Any]]] = {}

    def save(self, instance: Model) -> None:
        """Write a row whole; what was not given and is None stays as it is.

        Raises:
            ProjectionError: the projection does not say that it writes this model.
        """
        plan = self._tables.writer(type(instance)).plan
        key = [getattr(instance, each.attribute) for each in plan.key]
        self._writes[type(instance), repr(key)] = instance, key

    def delete(self, model: type[Model], *key: Any) -> None:
        """Delete the row of a whole key.

        Raises:
            ProjectionError: the projection does not say that it writes this model.
            QueryError: a part of the key is missing or does not fit.
        """
        self._tables.writer(model).plan.key_of(key, {})
        self._writes[model, repr([*key])] = None, key

    async def get(self, model: type[M], *key: Any) -> M | None:
        """The row of a whole key as it is now, or None: this event, or a later one, may have written it before.

        Raises:
            ProjectionError: the projection does not say that it writes this model.
        """
        writer = self._tables.writer(model)
        writer.plan.key_of(key, {})
        waiting = self._writes.get((model, repr([*key])))
        found: M | None = waiting[0] if waiting is not None else await writer.read(key)  # type: ignore[assignment]
        return found

    def id(self, number: int = 0) -> UUID:
        """An id that follows from the projection and the event: the same each time it is handled."""
        return uuid5(_SPACE, f"{self._name}/{self.recorded.event_id}/{number}")

    async def send(self) -> None:
        """Send what was written; done for handlers when they have returned."""
        position = self.recorded.position
        for (model, _), (instance, key) in self._writes.items():
            writer = self._tables.writer(model)
            if instance is None:
                await writer.delete(key, position)
            else:
                await writer.insert(instance, position, instance.model_fields_set)
        self._writes.clear()


class Tables:
    """The tables that one generation of a projection writes."""

    def __init__(self, session: Session, name: str, plans: Sequence[ModelPlan], keyspace: str) -> None:
        self._name = name
        self._writers = {plan.model: TableWriter(session, plan, keyspace) for plan in plans}

    def writer(self, model: type[Model]) -> TableWriter:
        """The table of a model.

        Raises:
            ProjectionError: the projection does not say that it writes this model.
        """
        found = self._writers.get(model)
        if found is None:
            shown = getattr(model, "__name__", repr(model))
            raise ProjectionError(
                f"writes {shown}, which it does not say",
                where=f"projection {self._name}",
                remedy=f"Add {shown} to writes=[...]",
            )
        return found


class HandlerFeeder:
    """Calls the handlers of an event, and sends what they wrote."""

    def __init__(
        self,
        said: DeclaredHandlers,
        instance: Any,
        tables: Tables,
        handlers: Mapping[type[Event], tuple[Callable[..., Any], ...]],
        *,
        rebuilding: bool,
    ) -> None:
        self._said = said
        self._instance = instance
        self._tables = tables
        self._handlers = handlers
        self._rebuilding = rebuilding

    async def __call__(self, recorded: Recorded) -> None:
        """Handle an event: all that its handlers wrote is sent, or nothing if one of them raises."""
        tx = Tx(self._said.name, recorded, self._tables, rebuilding=self._rebuilding)
        for base in type(recorded.event).__mro__:
            functions = self._handlers.get(base)
            if functions is not None:
                break
        else:
            raise ProjectionError(
                f"{recorded.event_type} of schema version {recorded.schema_version} has no handler",
                where=f"projection {self._said.name}, version {recorded.version} of stream {recorded.stream}",
                remedy=f"Add @on({type(recorded.event).__name__}), or upcast the event",
            )
        for function in functions:
            given = (self._instance, recorded.event, tx) if self._said.of_class else (recorded.event, tx)
            done = function(*given)
            if inspect.isawaitable(done):
                await done
        await tx.send()
