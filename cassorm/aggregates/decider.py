"""`Decider`: an aggregate as two functions, `decide(command, state) -> events` and `evolve(state, event) -> state`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from cassorm.aggregates.declaration import check_schema_version, check_type_name
from cassorm.errors import AggregateError
from cassorm.events.event import Event
from cassorm.events.payload import shown
from cassorm.events.store import Stream

C = TypeVar("C")
S = TypeVar("S")


class Folded(NamedTuple, Generic[S]):
    """The state of a decider's stream as it stands at `version`."""

    id: Stream
    version: int
    state: S


@dataclass(frozen=True, kw_only=True)
class Decider(Generic[C, S]):
    """Pure functions over a stream; `AggregateRepository` runs them as it runs aggregates.

    ```python
    def decide(command: Add, state: int) -> list[Added]:
        return [Added(amount=command.amount)] if command.amount else []

    def evolve(state: int, event: Added) -> int:
        return state + event.amount

    counter = Decider(name="Counter", initial=int, decide=decide, evolve=evolve, state=int)
    ```

    `decide` returns the events that follow from a command: none when it changes nothing; it raises to refuse.
    `evolve` returns the state behind an event; it never raises. `initial` makes the state of a stream without events.
    `state` is the state's type, as pydantic takes it: without it there are no snapshots. `upcast_snapshot` takes the
    schema version and the JSON value of an older snapshot and returns it in today's shape, or None to ignore it.

    Raises:
        AggregateError: a function that cannot be called, or a name or schema version that cannot be.
    """

    name: str
    initial: Callable[[], S]
    decide: Callable[[C, S], Iterable[Event]]
    evolve: Callable[[S, Any], S]
    state: Any = None
    snapshot_schema_version: int = 1
    upcast_snapshot: Callable[[int, Any], Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what could only fail later."""
        check_type_name(self.name, "Decider")
        where = f"decider {self.name}"
        check_schema_version(self.snapshot_schema_version, where)
        functions = {"initial": self.initial, "decide": self.decide, "evolve": self.evolve}
        if self.upcast_snapshot is not None:
            functions["upcast_snapshot"] = self.upcast_snapshot
        for name, function in functions.items():
            if not callable(function):
                raise AggregateError(
                    f"{name} is {shown(function)}, not a function", where=where, remedy=f"Pass {name}=a_function"
                )
