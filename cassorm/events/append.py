"""One append to Cassandra: a conditional batch in the stream's partition, sent until its outcome is known.

The batch is conditional on the stream's `head`, `fence` and `closed`, and on the absence of the first row that it
inserts. It carries the append id in every row. So an answer that was lost is found again by sending *the very same
batch* once more: if the first copy took effect, the second is refused and shows the row with our append id; if it
did not, the second takes effect, and the first no longer can.

Source: docs/explanation/append.md.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cassorm import faults
from cassorm.driver.result import Result
from cassorm.errors import (
    ClusterError,
    ConflictError,
    OutcomeUnknownError,
    StreamClosedError,
    StreamTypeError,
    UnavailableError,
)
from cassorm.events.intent import LOOKBACK, Expect, Intent, other_events
from cassorm.events.queries import STATE_COLUMNS
from cassorm.events.store import Stream

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0


class State(NamedTuple):
    """What the next append to a stream is conditional on; `head` is 0 when the stream does not exist.

    A partition may hold a fence and no events: that stream does not exist, but its fence counts.
    """

    head: int = 0
    last_pos: int = 0
    fence: int | None = None
    closed: bool | None = None
    aggregate_type: str | None = None
    first: int = 1


NEW = State()


class Row(NamedTuple):
    """Where a row of an append stands."""

    version: int
    append_id: UUID
    event_id: UUID
    pos: int


class Refusal(NamedTuple):
    """The answer to a batch that did not apply: the stream's state, and the append that holds the wanted version."""

    state: State
    taken_by: UUID | None


class Landed(NamedTuple):
    """Where an append stands: the stream's version behind it and the position of its last event."""

    version: int
    pos: int


class States:
    """The states of streams as this process last saw them: bounded, newest kept. Hints, never truth."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._states: OrderedDict[Stream, State] = OrderedDict()

    def get(self, stream: Stream) -> State | None:
        """Return what was last seen; None when it is not known."""
        return self._states.get(stream)

    def put(self, stream: Stream, state: State) -> None:
        """Remember a state that was read or written."""
        self._states[stream] = state
        self._states.move_to_end(stream)
        if len(self._states) > self._size:
            self._states.popitem(last=False)


class Tables(NamedTuple):
    """What an append asks of the store."""

    read_state: Callable[[Stream], Awaitable[State]]
    read_rows: Callable[[Stream, int, int], Awaitable[list[Row]]]
    """The rows of a stream from one version to another, both included."""
    announce: Callable[[Intent, State, float], Awaitable[int]]
    """Return a position at which the append may be sent under this state's fence; gives up at a time of the loop."""
    send: Callable[[Intent, int, State, int, timedelta], Awaitable[Result]]
    """Send the batch of an intent behind a head, under a state's fence, at a position, within a time."""


class Appender:
    """Brings appends to their end, one at a time for a stream."""

    def __init__(
        self,
        tables: Tables,
        states: States,
        *,
        request_timeout: timedelta,
        timeout: timedelta,
    ) -> None:
        self._tables = tables
        self._states = states
        self._request_timeout = request_timeout
        self._timeout = timeout

    async def run(self, intent: Intent) -> Landed:
        """Return where the append landed; see `EventStore.append` for what is raised."""
        stream = intent.stream
        deadline = asyncio.get_running_loop().time() + self._timeout.total_seconds()
        hint = self._states.get(stream)
        state = hint or (NEW if intent.exact == 0 else await self._tables.read_state(stream))
        searched = max(0, state.head - LOOKBACK)
        while True:
            if intent.resent and intent.exact is None:
                found = await self._find(intent, searched + 1, state.head)
                if found is not None:
                    return found
                searched = state.head
            problem = self._problem(intent, state)
            if problem is not None:
                if hint is not None:  # it may be out of date
                    hint, state = None, await self._tables.read_state(stream)
                    self._states.put(stream, state)
                    continue
                return await self._found_or(problem, intent, state)
            # A new position for each attempt: a pointer whose fence has moved was given up by its reader for good.
            pos = await self._tables.announce(intent, state, deadline)
            refusal = await self._send_until_known(intent, state, pos, deadline)
            if refusal is None:
                landed = Landed(state.head + len(intent.events), pos + len(intent.events) - 1)
                aggregate_type = state.aggregate_type if state.head else intent.aggregate_type
                self._states.put(
                    stream,
                    State(landed.version, landed.pos, state.fence, state.closed, aggregate_type, state.first),
                )
                return landed
            self._states.put(stream, refusal.state)
            if refusal.taken_by == intent.append_id:
                return await self._own(intent, state.head)
            self._check_truncation(intent, state, refusal)
            hint, state = None, refusal.state
            if asyncio.get_running_loop().time() > deadline:
                raise ConflictError(stream, expected=intent.expectation, actual=state.head)

    def _problem(self, intent: Intent, state: State) -> Exception | None:
        """Return why the append cannot be sent in this state; None when it can."""
        exact = intent.exact
        if (exact is not None and exact != state.head) or (intent.expected is Expect.EXISTS and not state.head):
            return ConflictError(intent.stream, expected=intent.expectation, actual=state.head)
        if state.head and intent.aggregate_type is not None and intent.aggregate_type != state.aggregate_type:
            return StreamTypeError(intent.stream, asked=intent.aggregate_type, actual=state.aggregate_type)
        if state.closed:
            return StreamClosedError(intent.stream, state.head)
        return None

    async def _found_or(self, problem: Exception, intent: Intent, state: State) -> Landed:
        """Return where this very append stands already, else raise the problem."""
        exact = intent.exact
        if intent.resent and exact is not None and state.head > exact:
            rows = await self._tables.read_rows(intent.stream, exact + 1, exact + 1)
            if rows and rows[0].append_id == intent.append_id:
                return await self._own(intent, exact)
        raise problem

    async def _find(self, intent: Intent, begin: int, end: int) -> Landed | None:
        """Look for the append id in a range of versions."""
        if begin > end:
            return None
        for row in await self._tables.read_rows(intent.stream, begin, end):
            if row.append_id == intent.append_id:
                return await self._own(intent, row.version - 1)
        return None

    async def _own(self, intent: Intent, base: int) -> Landed:
        """Return where this append stands, behind version `base`.

        Raises:
            QueryError: the append id stands there for another number of events.
        """
        version = base + len(intent.events)
        rows = await self._tables.read_rows(intent.stream, version, version + 1)
        last = rows[0] if rows and rows[0].version == version else None
        beyond = rows[-1] if rows and rows[-1].version == version + 1 else None
        if (
            last is None
            or last.event_id != intent.events[-1].event_id
            or (beyond is not None and beyond.append_id == intent.append_id)
        ):
            raise other_events(intent, base + 1)
        return Landed(version, last.pos)

    async def _send_until_known(self, intent: Intent, state: State, pos: int, deadline: float) -> Refusal | None:
        """Send one batch, the same again while it is unanswered; return None when it applied.

        Raises:
            OutcomeUnknownError: the deadline came first.
            UnavailableError: nothing was sent.
        """
        loop = asyncio.get_running_loop()
        unanswered: Exception | None = None
        pause = _FIRST_PAUSE_S
        while True:
            left = timedelta(seconds=max(0.1, deadline - loop.time()))
            if faults.at is not None:
                faults.at("writer.before-batch")
            try:
                result = await self._tables.send(intent, state.head, state, pos, min(left, self._request_timeout))
            except OutcomeUnknownError as error:
                unanswered = error
            except UnavailableError as error:
                if unanswered is None:  # nothing of this append is under way
                    raise
                unanswered = error
            except ClusterError as error:
                if unanswered is None:
                    raise
                unanswered = error
            else:
                if faults.at is not None:
                    faults.at("writer.after-batch")
                return None if result.applied else _refusal(result, state.head + 1)
            wait = pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, guards nothing
            if loop.time() + wait >= deadline:
                raise OutcomeUnknownError(
                    f"no answer to append {intent.append_id} within {self._timeout.total_seconds():g} s; "
                    "it may still land",
                    where=f"stream {intent.stream}",
                    remedy="Send the same append again with append_id=error.append_id: it takes effect at most once",
                    append_id=intent.append_id,
                ) from unanswered
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _check_truncation(self, intent: Intent, state: State, refusal: Refusal) -> None:
        """Refuse to guess when the version where the append would stand was cut off behind a snapshot."""
        if refusal.state.first > state.head + 1:
            raise OutcomeUnknownError(
                f"append {intent.append_id} may have landed below version {refusal.state.first}, "
                "where the stream was truncated",
                where=f"stream {intent.stream}",
                remedy="Load the stream and look for the effect of the append before sending it under a new id",
                append_id=intent.append_id,
            )


def state_of(values: Sequence[Any]) -> State:
    """Return the state that static columns tell, in the order of `STATE_COLUMNS`."""
    head, last_pos, fence, closed, aggregate_type, first = values
    return State(head or 0, last_pos or 0, fence, closed, aggregate_type, first or 1)


def _refusal(result: Result, wanted: int) -> Refusal:
    """Read the answer to a batch that did not apply.

    Cassandra answers with one row: that of the `IF NOT EXISTS` when it exists, else the static columns; with nothing
    but `[applied]` when the partition does not exist. ScyllaDB answers with a row for every conditional statement.
    """
    state, taken_by = NEW, None
    for row in result.dicts():
        if row.get("head") is not None or row.get("fence") is not None or row.get("closed") is not None:
            state = state_of([row.get(name) for name in STATE_COLUMNS])
        if row.get("version") == wanted and row.get("append_id") is not None:
            taken_by = row["append_id"]
    return Refusal(state, taken_by)
