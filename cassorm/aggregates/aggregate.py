"""`Aggregate`: state folded from one stream, and the commands that decide what happens next."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cassorm.aggregates.declaration import check_names, check_schema_version, check_state, check_type_name
from cassorm.aggregates.handlers import Handlers, Registry, check_events, registry_of
from cassorm.errors import AggregateError
from cassorm.events.event import Event, Recorded
from cassorm.events.ids import new_id
from cassorm.events.payload import shown
from cassorm.events.store import Stream

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import SchemaSerializer, SchemaValidator

    class _State:
        """What a type checker sees of the pydantic model: its constructor takes the id, not the fields."""

        model_config: ClassVar[ConfigDict]
        model_fields: ClassVar[dict[str, FieldInfo]]
        model_fields_set: set[str]
        __pydantic_validator__: ClassVar[SchemaValidator]
        __pydantic_serializer__: ClassVar[SchemaSerializer]
        __pydantic_fields__: ClassVar[dict[str, FieldInfo]]
        __private_attributes__: ClassVar[dict[str, Any]]
        _journal: "Journal"

        def model_dump(self, **options: Any) -> dict[str, Any]: ...
        def model_dump_json(self, **options: Any) -> str: ...
        def model_copy(self, *, deep: bool = False) -> Self: ...
        def __repr_args__(self) -> Iterable[tuple[str | None, Any]]: ...
        def __copy__(self) -> Self: ...
        def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self: ...
        def __setstate__(self, state: dict[Any, Any]) -> None: ...
        @classmethod
        def __pydantic_init_subclass__(cls, **options: Any) -> None: ...

else:
    _State = BaseModel


@dataclass(slots=True)
class Journal:
    """What an aggregate knows about its stream, beside its state. For this package alone."""

    id: Stream
    version: int = 0
    uncommitted: list[Event] = field(default_factory=list)
    append_id: UUID | None = None
    folding: bool = False
    """Fields may be set: a handler runs, or the state is being made."""
    shared: bool = False
    """A copy has the same append id: whoever emits next takes a new one, for its events are other events."""
    sent: bool = False
    """The uncommitted events were sent under `append_id` and it is not known that they did not land."""
    spoiled: str | None = None
    """The event whose handler raised midway: the state is not to be trusted any more."""
    snapshot_version: int = 0
    """The version of the newest snapshot that is known."""

    @property
    def committed(self) -> int:
        """The version before the uncommitted events."""
        return self.version - len(self.uncommitted)


class Aggregate(_State):
    """A pydantic model whose fields are the state; they change in `@apply` methods only.

    ```python
    @aggregate("Order")
    class Order(Aggregate):
        total: Decimal = Decimal(0)

        def add_line(self, amount: Decimal) -> None:
            if amount <= 0:
                raise ValueError("a line costs something")
            self.emit(LineAdded(amount=amount))

        @apply
        def _(self, event: LineAdded) -> None:
            self.total += event.amount
    ```

    `Order(id)` is blank: version 0, every field at its default. Class keywords, each with the same meaning in
    `@aggregate`: `name` (the aggregate type; the class's own name unless given), `snapshot_schema_version` (1; raise
    it when fields or handlers change, so that older snapshots are upcast or ignored), `ignore` (events without a
    handler that are to be passed over).

    Raises:
        AggregateError: at class definition, when a field has no default or a name that the API needs, or a handler
            is wrong; the message names it and what to do.
    """

    __slots__ = ("_journal",)

    model_config = ConfigDict(
        extra="forbid",
        ser_json_bytes="base64",  # the JSON of a snapshot has to come back as the very same state
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )
    __aggregate_type__: ClassVar[str] = "Aggregate"
    __snapshot_schema_version__: ClassVar[int] = 1
    __registry__: ClassVar[Registry] = {}
    __ignored__: ClassVar[tuple[type[Event], ...]] = ()
    __handlers__: ClassVar[Handlers] = Handlers("Aggregate", {}, ())

    def __init__(self, id: Stream) -> None:  # noqa: A002 - the domain's own word
        if not isinstance(id, UUID | str):
            raise AggregateError(
                f"{id!r} is a {type(id).__name__}, not an id",
                where=f"aggregate {self.__aggregate_type__}",
                remedy="Pass a uuid.UUID, or a str in a store with text ids",
            )
        _open(self, id)
        self.__pydantic_validator__.validate_python({}, self_instance=self)
        self._journal.folding = False

    @property
    def id(self) -> Stream:
        """The id of the aggregate and of its stream."""
        return self._journal.id

    @property
    def version(self) -> int:
        """The version of the last event applied, uncommitted ones included; 0 when there is none."""
        return self._journal.version

    @property
    def uncommitted_events(self) -> tuple[Event, ...]:
        """The events that were emitted and not yet saved, oldest first."""
        return tuple(self._journal.uncommitted)

    @property
    def append_id(self) -> UUID | None:
        """The id under which the uncommitted events are sent, however often; None when there are none."""
        return self._journal.append_id

    def emit(self, event: Event, /) -> None:
        """Apply a new event and keep it as uncommitted.

        Raises:
            AggregateError: no event, no handler for it, called within a handler, or before an earlier save with an
                unknown outcome was settled.
        """
        journal = self._journal
        if not isinstance(event, Event):
            self._refuse(f"{shown(event)} is no event", "Emit instances of classes derived from cassorm.Event")
        if journal.folding:
            self._refuse(
                f"emits {type(event).__name__} within an @apply method, which would emit it again at every load",
                "Emit it in the command",
            )
        check_sound(self)
        if journal.sent:
            self._refuse(
                f"emits {type(event).__name__} while append {journal.append_id} is not settled",
                "Save it again first: the same append takes effect at most once; or load it anew",
            )
        handler = self.__handlers__[type(event)]
        journal.folding = True
        try:
            handler(self, event)
        except BaseException:
            journal.spoiled = type(event).__name__
            raise
        finally:
            journal.folding = False
        if journal.append_id is None or journal.shared:
            journal.append_id, journal.shared = new_id(), False
        journal.uncommitted.append(event)
        journal.version += 1

    def raise_event(self, event: Event, /) -> None:
        """Apply a new event; the name that other toolkits give to `emit`."""
        self.emit(event)

    def mark_committed(self) -> None:
        """Forget the uncommitted events and their append id: they were saved."""
        journal = self._journal
        journal.uncommitted = []
        journal.append_id = None
        journal.sent = journal.shared = False

    @classmethod
    def from_events(cls, id: Stream, events: Iterable[Event | Recorded]) -> Self:  # noqa: A002 - the domain's own word
        """Return the aggregate as its stream's events leave it, all committed; `events` are oldest first, from 1.

        Raises:
            AggregateError: an event without a handler, or recorded events with a gap.
        """
        made = cls(id)
        journal = made._journal
        handlers = cls.__handlers__
        journal.folding = True
        try:
            for version, given in enumerate(events, 1):
                if isinstance(given, Recorded) and given.version != version:
                    made._refuse(
                        f"got version {given.version} where {version} comes next", "Pass the whole stream, from 1"
                    )
                event = given.event if isinstance(given, Recorded) else given
                handlers[type(event)](made, event)
                journal.version = version
        finally:
            journal.folding = False
        return made

    @classmethod
    def upcast_snapshot(cls, schema_version: int, state: dict[str, Any]) -> dict[str, Any] | None:
        """Return the state of an older snapshot in today's shape, as JSON values; None to ignore it.

        Override it to use snapshots of lower schema versions. It may change `state` and return it.
        """
        return None

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Refuse names that the API needs before pydantic makes fields of them."""
        super().__init_subclass__()
        check_names(cls, Aggregate)

    @classmethod
    def __pydantic_init_subclass__(
        cls,
        *,
        name: str | None = None,
        snapshot_schema_version: int | None = None,
        ignore: Sequence[type[Event]] = (),
        **keywords: Any,
    ) -> None:
        """Check the fields and register the handlers."""
        super().__pydantic_init_subclass__(**keywords)
        check_state(cls)
        cls.__registry__ = registry_of(cls)
        _declare(cls, name or cls.__name__, snapshot_schema_version, ignore)

    if not TYPE_CHECKING:  # a type checker that sees it takes any name

        def __setattr__(self, name: str, value: Any) -> None:
            if name in self.__pydantic_fields__:
                if not self._journal.folding:
                    self._refuse(
                        f"sets {name} outside an @apply method, which would be lost at the next load",
                        f"Emit an event, and set {name} in its @apply method",
                    )
                self.__dict__[name] = value  # its event was validated: no second validation in the fold
            else:
                super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine, theirs = self._journal, other._journal
        return (
            (mine.id, mine.version, mine.uncommitted) == (theirs.id, theirs.version, theirs.uncommitted)
        ) and self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        yield "id", self._journal.id
        yield "version", self._journal.version
        yield from super().__repr_args__()

    def __copy__(self) -> Self:
        return _with_journal(super().__copy__(), self._journal)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return _with_journal(super().__deepcopy__(memo), self._journal)

    def __getstate__(self) -> dict[Any, Any]:
        self._journal.shared = True
        state: dict[Any, Any] = super().__getstate__()  # type: ignore[assignment]  # pydantic's is a dict
        return {**state, "journal": self._journal}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        object.__setattr__(self, "_journal", state["journal"])
        super().__setstate__(state)

    def _refuse(self, problem: str, remedy: str) -> NoReturn:
        raise AggregateError(problem, where=f"{self.__aggregate_type__} {self._journal.id}", remedy=remedy)


A = TypeVar("A", bound=Aggregate)


def aggregate(
    name: str, *, snapshot_schema_version: int | None = None, ignore: Sequence[type[Event]] = ()
) -> Callable[[type[A]], type[A]]:
    """Return a decorator that gives an aggregate class its type's name, as it is stored with every stream.

    `snapshot_schema_version` and `ignore` are the class keywords of `Aggregate`.

    Raises:
        AggregateError: a name that is no text of 1 to 200 printable characters, or not put on an aggregate class.
    """
    if not isinstance(name, str):
        raise AggregateError(f"got {shown(name)}", where="@aggregate", remedy="Write @aggregate('Order')")

    def decorate(cls: type[A]) -> type[A]:
        if not (isinstance(cls, type) and issubclass(cls, Aggregate)):
            raise AggregateError(
                f"{shown(cls)} is no aggregate class",
                where=f"@aggregate({name!r})",
                remedy="Derive it from cassorm.Aggregate",
            )
        _declare(cls, name, snapshot_schema_version, ignore)
        return cls

    return decorate


def fold(aggregate: Aggregate, page: Sequence[Recorded]) -> None:
    """Apply events that were read; they follow the aggregate's version without a gap."""
    if not page:
        return
    handlers = aggregate.__handlers__
    journal = aggregate._journal
    journal.folding = True
    recorded = page[0]
    try:
        for recorded in page:
            event = recorded.event
            handlers[type(event)](aggregate, event)
    except Exception as error:
        journal.spoiled = recorded.event_type
        error.add_note(f"while folding {recorded.event_type} at version {recorded.version} of stream {recorded.stream}")
        raise
    finally:
        journal.folding = False
    journal.version = page[-1].version


def restore(cls: type[A], stream: Stream, version: int, state: bytes) -> A:
    """Return an aggregate from the JSON of its state.

    Raises:
        ValueError: the JSON does not hold exactly the fields of the class.
    """
    made = cls.__new__(cls)
    _open(made, stream)
    made.__pydantic_validator__.validate_json(state, self_instance=made, by_alias=False, by_name=True)
    # A default in place of what is not there would be a state that no replay gives.
    missing = cls.__pydantic_fields__.keys() - made.model_fields_set
    if missing:
        raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    made._journal.folding = False
    made._journal.version = version
    return made


def check_sound(aggregate: Aggregate) -> None:
    """Refuse an aggregate whose handler raised midway.

    Raises:
        AggregateError: names the event.
    """
    spoiled = aggregate._journal.spoiled
    if spoiled is not None:
        aggregate._refuse(
            f"is half-way through {spoiled}: its @apply method raised", "Load it again; check rules in the command"
        )


def _open(made: Aggregate, stream: Stream) -> None:
    # While `folding`, so that a model_post_init of the user's may set fields.
    object.__setattr__(made, "_journal", Journal(stream, folding=True))


def _with_journal(made: A, journal: Journal) -> A:
    journal.shared = True
    object.__setattr__(made, "_journal", replace(journal, uncommitted=list(journal.uncommitted)))
    return made


def _declare(cls: type[Aggregate], name: str, schema_version: int | None, ignore: Sequence[type[Event]]) -> None:
    where = cls.__qualname__
    check_type_name(name, where)
    if schema_version is not None:
        check_schema_version(schema_version, where)
        cls.__snapshot_schema_version__ = schema_version
    if isinstance(ignore, type) or not isinstance(ignore, Iterable):
        raise AggregateError(f"ignore={shown(ignore)} is no list", where=where, remedy="Write ignore=[OrderViewed]")
    cls.__aggregate_type__ = name
    cls.__ignored__ = (*cls.__ignored__, *check_events(ignore, where))
    unhandled = [event for event in cls.__ignored__ if event not in cls.__registry__]
    cls.__handlers__ = Handlers(name, cls.__registry__, unhandled)
