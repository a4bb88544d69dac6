"""What the server did for a statement, as it noted it: read from its own tables."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cassorm.cql.tokens import tokens
from cassorm.driver.consistency import Consistency
from cassorm.driver.observing import Observer, observed_by
from cassorm.driver.result import Result
from cassorm.errors import UnavailableError

Execute = Callable[..., Awaitable[Result]]

_SESSION = (
    "SELECT coordinator, duration, started_at, request, parameters FROM system_traces.sessions WHERE session_id = ?"
)
_EVENTS = "SELECT activity, source, source_elapsed, thread FROM system_traces.events WHERE session_id = ?"
# Nodes write traces after they have answered.
_PATIENCE_S = 2.0
_FIRST_WAIT_S = 0.005


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One step: what a node did, and when, counted from when that node began."""

    activity: str
    source: str
    elapsed: timedelta
    thread: str


@dataclass(frozen=True, slots=True)
class Trace:
    """What the server did for one statement: as a whole, and in `events`, in their order.

    `coordinator` is the address of the node that was asked; `parameters` are what it noted of the request.
    """

    id: UUID
    text: str
    coordinator: str
    started_at: datetime
    duration: timedelta
    request: str
    parameters: dict[str, str]
    events: tuple[TraceEvent, ...]

    def __str__(self) -> str:
        head = f"{self.text}\n{self.request} by {self.coordinator} in {_shown(self.duration)}"
        return "\n".join(
            [head, *(f"{_shown(each.elapsed):>12}  {each.source}  {each.activity}" for each in self.events)]
        )


def _shown(time: timedelta) -> str:
    return f"{time / timedelta(milliseconds=1):.3f} ms"


class _Asking(Observer):
    def __init__(self, names: Collection[str]) -> None:
        self.found: list[tuple[str, UUID]] = []
        self._names = names

    def traces(self, text: str) -> bool:
        return not self._names or any(token.value in self._names for token in tokens(text))

    def traced(self, text: str, trace_id: UUID) -> None:
        self.found.append((text, trace_id))


@asynccontextmanager
async def tracing(execute: Execute, names: Collection[str]) -> AsyncIterator[list[Trace]]:
    """The traces of what is sent inside the block, there when it ends, in the order of the answers.

    With `names`, those of tables, only statements with one of them in their text are traced.
    """
    asking = _Asking(names)
    traces: list[Trace] = []
    with observed_by(asking):
        yield traces
    with observed_by():
        traces += [await _read(execute, text, trace_id) for text, trace_id in asking.found]


async def _read(execute: Execute, text: str, trace_id: UUID) -> Trace:
    wait_s, left_s = _FIRST_WAIT_S, _PATIENCE_S
    while True:
        row = (await execute(_SESSION, (trace_id,), consistency=Consistency.ONE)).one()
        if row is not None and row[1] is not None and row[2] is not None:
            break
        if left_s <= 0:
            raise UnavailableError(
                f"the server has not written its trace {trace_id}",
                where=text,
                remedy="Read system_traces later; a node that is busy writes traces late, or drops them",
            )
        await asyncio.sleep(wait_s)
        left_s, wait_s = left_s - wait_s, wait_s * 2
    coordinator, duration, started_at, request, parameters = row
    found = await execute(_EVENTS, (trace_id,), consistency=Consistency.ONE)
    events = tuple(
        TraceEvent(activity, str(source), timedelta(microseconds=elapsed or 0), thread)
        for activity, source, elapsed, thread in found
    )
    return Trace(
        trace_id,
        text,
        str(coordinator),
        started_at,
        timedelta(microseconds=duration),
        request,
        dict(parameters or {}),
        events,
    )
