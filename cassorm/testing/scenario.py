"""given / when / then: what a command does to an aggregate or a decider, without any store.

```python
given(Account, [Opened(owner="Zoë"), Deposited(amount=Decimal(10))]).when(
    lambda account: account.withdraw(Decimal(4))
).then([Withdrawn(amount=Decimal(4))])
```
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, overload
from uuid import UUID

from cassorm.aggregates.aggregate import Aggregate
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.kind import Kind, kind_of
from cassorm.errors import AggregateError
from cassorm.events import payload
from cassorm.events.event import Event, Recorded
from cassorm.events.ids import new_id
from cassorm.events.metadata import NO_METADATA
from cassorm.events.store import Stream

A = TypeVar("A", bound=Aggregate)
C = TypeVar("C")
S = TypeVar("S")
W = TypeVar("W")

_ID = UUID("00000000-0000-4000-8000-000000000001")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Outcome(Generic[S]):
    """What a command came to: the events it gave, or the error it raised; `state` is what stands behind it."""

    def __init__(self, state: S, events: Sequence[Event], error: Exception | None) -> None:
        self.state = state
        self.events = tuple(events)
        self.error = error

    def then(self, events: Sequence[Event]) -> "Outcome[S]":
        """Assert that exactly these events were given, in this order."""
        self._no_error()
        if list(self.events) != list(events):
            raise AssertionError(f"expected events\n{_listed(events)}\ngot\n{_listed(self.events)}")
        return self

    def then_nothing(self) -> "Outcome[S]":
        """Assert that the command changed nothing."""
        return self.then([])

    def then_raises(self, error: type[Exception], match: str | None = None) -> "Outcome[S]":
        """Assert that the command was refused with this error, its text matching a regular expression."""
        if self.error is None:
            raise AssertionError(f"expected {error.__name__}, got events\n{_listed(self.events)}")
        if not isinstance(self.error, error):
            raise AssertionError(f"expected {error.__name__}, got {self.error!r}") from self.error
        if match is not None and not re.search(match, str(self.error)):
            raise AssertionError(f"expected text that matches {match!r}, got {str(self.error)!r}") from self.error
        return self

    def then_state(self, check: Callable[[S], object] | None = None, /, **fields: Any) -> "Outcome[S]":
        """Assert that fields of the state have these values, or that a function of the state returns true."""
        self._no_error()
        if check is not None and not check(self.state):
            raise AssertionError(f"the check fails for {self.state!r}")
        for name, value in fields.items():
            if getattr(self.state, name) != value:
                raise AssertionError(f"expected {name} {value!r}, got {getattr(self.state, name)!r}")
        return self

    def _no_error(self) -> None:
        if self.error is not None:
            raise AssertionError(f"the command raised {self.error!r}") from self.error


class Given(Generic[W, S]):
    """A history, ready for one command or many, each on a state of its own. `W` is what a command is."""

    def __init__(self, kind: Kind[Any], events: Sequence[Event], stream: Stream) -> None:
        self._kind = kind
        self._events = [_stored(event) for event in events]
        self._stream = stream

    def when(self, command: W) -> Outcome[S]:
        """Return what the command came to.

        Raises:
            AggregateError: an async command; use `await ....when_async(command)`.
        """
        running = self._run(command)
        try:
            running.send(None)
        except StopIteration as done:
            outcome: Outcome[S] = done.value
            return outcome
        running.close()
        raise AggregateError(
            "waits for something",
            where=f"command to {self._kind.name}",
            remedy="Write `(await given(...).when_async(command)).then(...)`",
        )

    async def when_async(self, command: W) -> Outcome[S]:
        """Return what an async command came to."""
        return await self._run(command)

    async def _run(self, command: Any) -> Outcome[S]:
        self._kind.check_command(command)
        before = self._folded(self._events)
        try:
            state, events = await self._kind.decide(before, command)
        except AggregateError:
            raise  # a mistake in the code under test, never a business rule
        except Exception as error:
            return Outcome(before, (), error)
        replayed = self._folded([*self._events, *(_stored(event) for event in events)])
        if not self._kind.equal(replayed, state):
            raise AssertionError(
                f"the command left\n  {state!r}\nand a replay of its events gives\n  {replayed!r}\n"
                "State that is changed outside the folding of an event is lost at the next load"
            )
        return Outcome(state, events, None)

    def _folded(self, events: Sequence[Event]) -> Any:
        page = [
            Recorded(
                stream=self._stream,
                aggregate_type=self._kind.name,
                version=version,
                event=event,
                event_id=_ID,
                append_id=_ID,
                event_type=type(event).__event_type__,
                schema_version=type(event).__schema_version__,
                timestamp=_EPOCH,
                metadata=NO_METADATA,
                position=version,
            )
            for version, event in enumerate(events, 1)
        ]
        return self._kind.fold(self._kind.blank(self._stream), page)


@overload
def given(
    kind: type[A], events: Sequence[Event] = ..., *, id: Stream | None = ...
) -> Given[Callable[[A], object], A]: ...
@overload
def given(kind: Decider[C, S], events: Sequence[Event] = ..., *, id: Stream | None = ...) -> Given[C, S]: ...
def given(
    kind: Any,
    events: Sequence[Event] = (),
    *,
    id: Stream | None = None,  # noqa: A002 - the domain's own word
) -> Given[Any, Any]:
    """Return an aggregate class or a decider with its history, oldest first, to be followed by `.when(command)`.

    Every event goes through JSON as it would in a store, so a payload that a store refuses fails the test; and a
    command that changes state other than through its events fails it too.

    Raises:
        AggregateError: neither an aggregate class nor a decider, or an event without a handler.
        CatalogError: an event that would not come back equal from a store.
    """
    if isinstance(events, Event):
        raise AggregateError(
            f"{payload.shown(events)} is no list", where="given", remedy="Pass a list of events, oldest first"
        )
    return Given(kind_of(kind), events, new_id() if id is None else id)


def _stored(event: Event) -> Event:
    """Return the event as it comes back from a store."""
    data = payload.dump(event)
    return payload.load(event.__event_type__, event.__schema_version__, payload.JSON, data)


def _listed(events: Sequence[Event]) -> str:
    return "\n".join(f"  {event!r}" for event in events) or "  none"
