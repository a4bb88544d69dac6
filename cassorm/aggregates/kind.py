"""What a repository has to know of what it keeps: one small interface over aggregate classes and deciders."""

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter
from pydantic_core import from_json, to_json

from cassorm.aggregates.aggregate import Aggregate, check_sound, fold, restore
from cassorm.aggregates.decider import Decider, Folded
from cassorm.errors import AggregateError
from cassorm.events.event import Event, Recorded
from cassorm.events.ids import new_id
from cassorm.events.payload import same, shown
from cassorm.events.store import Stream

S = TypeVar("S")


class UnfaithfulError(Exception):
    """A state that would not come back equal from its snapshot."""


class Kind(ABC, Generic[S]):
    """How the states of one aggregate type are made, folded, decided on and kept."""

    name: str
    schema_version: int
    kept: bool
    """Whether there can be snapshots."""

    @abstractmethod
    def blank(self, stream: Stream) -> S:
        """Return the state of a stream without events."""

    @abstractmethod
    def fold(self, state: S, page: Sequence[Recorded]) -> S:
        """Return the state behind events that follow it without a gap."""

    @abstractmethod
    async def decide(self, state: S, command: Any) -> tuple[S, Sequence[Event]]:
        """Return the state behind a command, and the events that lead there."""

    @abstractmethod
    def append_id(self, state: S) -> UUID:
        """Return the id under which the events of `decide` are appended."""

    @abstractmethod
    def settle(self, state: S) -> None:
        """Take note that the events of `decide` were saved."""

    @abstractmethod
    def present(self, stream: Stream, version: int, snapshot_version: int, state: S) -> Any:
        """Return what `get` gives to the user."""

    @abstractmethod
    def check_command(self, command: object) -> None:
        """Refuse what can be no command.

        Raises:
            AggregateError: names it.
        """

    @abstractmethod
    def dump(self, state: S) -> bytes:
        """Return the JSON of a state."""

    @abstractmethod
    def load(self, stream: Stream, version: int, data: bytes) -> S:
        """Return the state that `dump` wrote; any exception means that it cannot be used."""

    @abstractmethod
    def upcast(self, schema_version: int, document: Any) -> Any:
        """Return a snapshot of a lower schema version in today's shape; None to ignore it."""

    @abstractmethod
    def equal(self, left: S, right: S) -> bool:
        """Tell whether two states are the same."""

    def copy(self, state: S) -> S:
        """Return a state that shares nothing with this one."""
        return deepcopy(state)

    def encode(self, stream: Stream, version: int, state: S) -> bytes:
        """Return the JSON of a state that comes back equal.

        Raises:
            UnfaithfulError: it would not.
        """
        try:
            data = self.dump(state)
            loaded = self.load(stream, version, data)
        except Exception as error:
            raise UnfaithfulError(f"{shown(state)} has no JSON that loads again ({error})") from error
        if not self.equal(loaded, state):
            raise UnfaithfulError(f"{shown(state)} would come back as {shown(loaded)}")
        return data

    def decode(self, stream: Stream, version: int, schema_version: int, data: bytes) -> tuple[S] | None:
        """Return the state of a snapshot, in a tuple; None when its schema version is not used here.

        Any exception means that it cannot be used.
        """
        if schema_version == self.schema_version:
            return (self.load(stream, version, data),)
        if schema_version > self.schema_version:
            return None
        document = self.upcast(schema_version, from_json(data))
        if document is None:
            return None
        return (self.load(stream, version, to_json(document, bytes_mode="base64", inf_nan_mode="constants")),)


class AggregateKind(Kind[Aggregate]):
    """A class derived from `Aggregate`."""

    kept = True

    def __init__(self, cls: type[Aggregate]) -> None:
        self.cls = cls
        self.name = cls.__aggregate_type__
        self.schema_version = cls.__snapshot_schema_version__

    def blank(self, stream: Stream) -> Aggregate:
        """Return a blank aggregate."""
        return self.cls(stream)

    def fold(self, state: Aggregate, page: Sequence[Recorded]) -> Aggregate:
        """Apply the events to the aggregate itself."""
        fold(state, page)
        return state

    async def decide(self, state: Aggregate, command: Any) -> tuple[Aggregate, Sequence[Event]]:
        """Run the command on the aggregate; wait for it when it is async."""
        result = command(state)
        if inspect.isawaitable(result):
            await result
        elif inspect.isgenerator(result) or inspect.isasyncgen(result):
            raise AggregateError(
                "is a generator and did not run",
                where=f"command {shown(command)}",
                remedy="Let it call emit() rather than yield events",
            )
        check_sound(state)
        return state, state.uncommitted_events

    def append_id(self, state: Aggregate) -> UUID:
        """Return the aggregate's own."""
        return state.append_id or new_id()

    def settle(self, state: Aggregate) -> None:
        """Mark the aggregate as committed."""
        state.mark_committed()

    def present(self, stream: Stream, version: int, snapshot_version: int, state: Aggregate) -> Aggregate:
        """Return the aggregate itself; it remembers the snapshot for its save."""
        state._journal.snapshot_version = snapshot_version
        return state

    def check_command(self, command: object) -> None:
        """Refuse what cannot be called."""
        if not callable(command):
            raise AggregateError(
                f"{shown(command)} cannot be called",
                where=f"command to {self.name}",
                remedy=f"Pass a function of the {self.name}, such as lambda order: order.pay()",
            )

    def dump(self, state: Aggregate) -> bytes:
        """Return the JSON of the aggregate's fields."""
        return state.__pydantic_serializer__.to_json(state, round_trip=True, by_alias=False, warnings="error")

    def load(self, stream: Stream, version: int, data: bytes) -> Aggregate:
        """Return the aggregate with these fields."""
        return restore(self.cls, stream, version, data)

    def upcast(self, schema_version: int, document: Any) -> Any:
        """Ask the class."""
        return self.cls.upcast_snapshot(schema_version, document)

    def equal(self, left: Aggregate, right: Aggregate) -> bool:
        """Compare the fields."""
        return same(*({name: getattr(one, name) for name in self.cls.model_fields} for one in (left, right)))


class DeciderKind(Kind[Any]):
    """A `Decider`."""

    def __init__(self, decider: Decider[Any, Any]) -> None:
        self._decider = decider
        self.name = decider.name
        self.schema_version = decider.snapshot_schema_version
        self.kept = decider.state is not None
        self._adapter = _adapter(decider) if self.kept else None
        self._fields = _field_names(decider.state)

    def blank(self, stream: Stream) -> Any:
        """Return the initial state."""
        return self._decider.initial()

    def fold(self, state: Any, page: Sequence[Recorded]) -> Any:
        """Return the state evolved by each event."""
        evolve = self._decider.evolve
        recorded = page[0] if page else None
        try:
            for recorded in page:
                state = evolve(state, recorded.event)
        except Exception as error:
            if recorded is not None:
                error.add_note(
                    f"while folding {recorded.event_type} at version {recorded.version} of stream {recorded.stream}"
                )
            raise
        return state

    async def decide(self, state: Any, command: Any) -> tuple[Any, Sequence[Event]]:
        """Decide, and evolve by what was decided: events that do not evolve are never saved."""
        decided: Any = self._decider.decide(command, state)
        if isinstance(decided, Event) or not isinstance(decided, Iterable):
            if inspect.iscoroutine(decided):
                decided.close()
            raise AggregateError(
                f"decide returned {shown(decided)} for {shown(command)}",
                where=f"decider {self.name}",
                remedy="Return a list of events, [] when nothing happens; decide is a plain function",
            )
        events = list(decided)
        for event in events:
            if not isinstance(event, Event):
                raise AggregateError(
                    f"decide returned {shown(event)} among its events",
                    where=f"decider {self.name}",
                    remedy="Return instances of classes derived from cassorm.Event",
                )
            state = self._decider.evolve(state, event)
        return state, events

    def append_id(self, state: Any) -> UUID:
        """Return a new one."""
        return new_id()

    def settle(self, state: Any) -> None:
        """Do nothing: the state is a value."""

    def present(self, stream: Stream, version: int, snapshot_version: int, state: Any) -> Folded[Any]:
        """Return the state with its version."""
        return Folded(stream, version, state)

    def check_command(self, command: object) -> None:
        """Take any value: `decide` knows its commands."""

    def dump(self, state: Any) -> bytes:
        """Return the JSON of the state, by its declared type."""
        assert self._adapter is not None  # noqa: S101 - the repository asks `kept` first
        return self._adapter.dump_json(state, round_trip=True, by_alias=False, warnings="error")

    def load(self, stream: Stream, version: int, data: bytes) -> Any:
        """Return the state of the declared type."""
        assert self._adapter is not None  # noqa: S101 - the repository asks `kept` first
        if self._fields is not None:
            found = from_json(data)
            if not isinstance(found, dict) or found.keys() != self._fields:
                raise ValueError("it does not hold exactly the fields of the state")
        return self._adapter.validate_json(data, by_alias=False, by_name=True)

    def upcast(self, schema_version: int, document: Any) -> Any:
        """Ask the decider."""
        upcast = self._decider.upcast_snapshot
        return None if upcast is None else upcast(schema_version, document)

    def equal(self, left: Any, right: Any) -> bool:
        """Compare types and values."""
        return type(left) is type(right) and same(left, right)


def kind_of(kept: object) -> Kind[Any]:
    """Return how to handle an aggregate class or a decider.

    Raises:
        AggregateError: it is neither.
    """
    if isinstance(kept, type) and issubclass(kept, Aggregate) and kept is not Aggregate:
        return AggregateKind(kept)
    if isinstance(kept, Decider):
        return DeciderKind(kept)
    raise AggregateError(
        f"{shown(kept)} is neither an aggregate class nor a decider",
        where="AggregateRepository",
        remedy="Pass a class derived from cassorm.Aggregate, or a cassorm.Decider",
    )


_FAITHFUL = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")


def _adapter(decider: Decider[Any, Any]) -> TypeAdapter[Any]:
    state = decider.state
    if isinstance(state, TypeAdapter):
        return state
    try:
        try:
            return TypeAdapter(state, config=_FAITHFUL)
        except PydanticUserError as error:
            if error.code != "type-adapter-config-unused":
                raise
            return TypeAdapter(state)  # a model or a dataclass has its own configuration
    except Exception as error:
        raise AggregateError(
            f"{shown(state)} is no type that pydantic knows",
            where=f"decider {decider.name}, state",
            remedy="Pass a pydantic model, a dataclass or a type of plain values; or None for no snapshots",
        ) from error


def _field_names(state: Any) -> frozenset[str] | None:
    """Return the fields that a snapshot must hold, each; None when the type has no fields of its own."""
    if isinstance(state, type) and issubclass(state, BaseModel):
        return frozenset(state.model_fields)
    if isinstance(state, type) and dataclasses.is_dataclass(state):
        return frozenset(one.name for one in dataclasses.fields(state))
    return None
