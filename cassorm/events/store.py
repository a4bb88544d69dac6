"""The contract of every event store; its promises stand here, not on the implementations."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import NamedTuple, Self
from uuid import UUID

from cassorm.events import inquiry
from cassorm.events.event import Event, Recorded
from cassorm.events.inquiry import Inquiry, Moment
from cassorm.events.intent import Expect, Expected
from cassorm.events.position import Position
from cassorm.events.saved import Listener, Listeners

Stream = UUID | str
"""The id of a stream: a UUID, or text in a store that was created with `id_type="text"`."""

READY = 128
"""How many events a store decodes ahead of its reader. So few that they are gone before Python's garbage collector
wakes up (at 700 new objects; an event is four): a long replay then runs half as fast again."""


class Appended(NamedTuple):
    """What an append did: the stream's `version` behind it, and the position of its last event.

    The same append sent again gives the same answer.
    """

    stream: Stream
    version: int
    position: Position
    append_id: UUID


class StreamHead(NamedTuple):
    """Where a stream stands: `version` of its last event, `position` of that event in microseconds."""

    version: int
    position: int
    aggregate_type: str | None
    closed: bool


class Snapshot(NamedTuple):
    """Folded state as it stood at `version`; `event_id` is the id of the event at that version.

    Source: docs/explanation/snapshots.md.
    """

    version: int
    event_id: UUID
    schema_version: int
    encoding: str
    data: bytes
    timestamp: datetime


class EventStore(ABC):
    """Streams of events, each with contiguous versions from 1.

    - Of N appends at one expected version exactly one succeeds; the others raise `ConflictError`.
    - All events of an append land, or none.
    - An append is never reported as a conflict with itself, and never as failed when it may still land.
    - Appends to one stream from one process queue up in the order of their calls.
    """

    _listeners: Listeners

    @abstractmethod
    async def append(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        """Append `events` to a stream, all or nothing.

        `expected` is the exact version that the stream must have (0: it does not exist), or ANY, NO_STREAM, EXISTS.
        The first append fixes the stream's aggregate type. The same `append_id` again is a success that writes
        nothing: always with an exact version or NO_STREAM; with ANY and EXISTS while it stands among the stream's
        last 1,000 events.

        A cancelled append has an unknown outcome: what was sent goes on to its end before the next append to the
        stream from this process begins; send it again with the same `append_id` to learn how it ended.

        Raises:
            ConflictError: the stream is not at `expected`; nothing was written. Load, decide and append again.
            OutcomeUnknownError: no answer within the store's timeout; it may still land. Send it again with the
                error's `append_id`.
            UnavailableError: nothing was sent; call again.
            StreamTypeError: the stream belongs to another aggregate type.
            StreamClosedError: the stream takes no further events.
            QueryError: refused before anything was sent: id, expected version, no events, too large.
            CatalogError: refused before anything was sent: no event, or a payload that would not come back equal.

        Source: docs/explanation/append.md.
        """

    @abstractmethod
    def pages(
        self,
        stream: Stream,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page_size: int = 1_000,
    ) -> AsyncGenerator[list[Recorded]]:
        """Yield the events of a stream in lists of at most `page_size`; otherwise as `read`."""

    @abstractmethod
    async def head(self, stream: Stream) -> StreamHead | None:
        """Return where a stream stands; None when it does not exist."""

    @abstractmethod
    async def save_snapshot(self, stream: Stream, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the stream; one of the same version is replaced."""

    @abstractmethod
    async def snapshots(self, stream: Stream, *, limit: int = 20) -> list[Snapshot]:
        """Return the newest snapshots of a stream, newest first; an empty list when there is none."""

    @abstractmethod
    async def delete_snapshots(self, stream: Stream, versions: Sequence[int]) -> None:
        """Delete the snapshots at these versions; what is not there is passed over."""

    @abstractmethod
    async def initialize(self) -> None:
        """Create what the store needs, or check what is there; doing it twice changes nothing.

        Raises:
            StoreSettingsError: a setting of this process differs from the store's own.
            SchemaDriftError: a table exists with another shape.
        """

    @abstractmethod
    async def close(self) -> None:
        """Wait until every append that was sent has come to its end; later appends are refused."""

    async def read(
        self, stream: Stream, *, from_version: int = 1, to_version: int | None = None, backwards: bool = False
    ) -> AsyncIterator[Recorded]:
        """Yield the events of a stream, oldest first (newest first with `backwards`), both bounds included.

        Bounded by the version that the stream had when the reading began, and by one page of memory. A stream that
        does not exist yields nothing.

        Raises:
            CatalogError: an event has no class here, or its payload no longer fits the class.
        """
        pages = self.pages(stream, from_version=from_version, to_version=to_version, backwards=backwards)
        async with aclosing(pages):
            async for page in pages:
                for recorded in page:
                    yield recorded

    async def get_events(self, stream: Stream, from_version: int = 1, to_version: int | None = None) -> list[Recorded]:
        """Return the events of a stream as a list, oldest first: `read` for streams that fit into memory."""
        return [recorded async for recorded in self.read(stream, from_version=from_version, to_version=to_version)]

    async def save_event(
        self,
        stream: Stream,
        event: Event,
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        """Append one event; otherwise as `append`."""
        return await self.save_events(
            stream, [event], expected=expected, aggregate_type=aggregate_type, append_id=append_id
        )

    async def save_events(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        """Append events; the name that other toolkits give to `append`."""
        return await self.append(stream, events, expected=expected, aggregate_type=aggregate_type, append_id=append_id)

    def get_events_by_type(
        self,
        event_type: type[Event] | str,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        backwards: bool = False,
    ) -> AsyncGenerator[Recorded]:
        """Yield the events of one type from all streams, oldest first: those from `begin` on, before `end`.

        The type is an event class, of whatever schema version, or a name. A bound is an aware datetime, or a date, which
        stands for its first moment in UTC. Order and bounds go by the position: the moment at which an event took its
        place, at or a little behind its `timestamp`. Each stream's events come in their order.

        Raises:
            QueryError: no event type, or no moment.
            EventStoreError: while iterating: the store has no index of its events; the error says how to make one.

        Source: docs/how-to/query-events.md.
        """
        return self._answer(inquiry.by_type(event_type, begin, end, backwards=backwards))

    def get_events_by_aggregate_type(
        self,
        aggregate_type: str,
        *,
        begin: Moment | None = None,
        end: Moment | None = None,
        backwards: bool = False,
    ) -> AsyncGenerator[Recorded]:
        """Yield the events of all streams of one aggregate type; otherwise as `get_events_by_type`."""
        return self._answer(inquiry.by_aggregate_type(aggregate_type, begin, end, backwards=backwards))

    def get_events_by_date_range(
        self, begin: Moment | None = None, end: Moment | None = None, *, backwards: bool = False
    ) -> AsyncGenerator[Recorded]:
        """Yield the events of all streams from `begin` on, before `end`; otherwise as `get_events_by_type`."""
        return self._answer(inquiry.by_date(begin, end, backwards=backwards))

    @abstractmethod
    def _answer(self, asked: Inquiry) -> AsyncGenerator[Recorded]:
        """Yield the events that an inquiry is about, in the order of their positions."""

    def on(self, what: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each event that this store object appends from now on; what is returned ends that.

        `what` is "event_saved". The events of an append are told once it has landed, before `append` returns; a listener
        may be async, and is awaited. What it raises is logged: the event stands. This is for counters and caches of this
        process, and is **no subscription**: it does not tell what other processes append, nor what landed when this one
        crashed, or its caller was cancelled, before it was told. An append sent again is told again, with the same
        event ids. What must happen for each event is the work of `subscribe`.

        Raises:
            QueryError: `what` is something else, or `listener` cannot be called.
        """
        return self._listeners.on(what, listener)

    async def exists(self, stream: Stream) -> bool:
        """Tell whether the stream has events."""
        return await self.head(stream) is not None

    async def __aenter__(self) -> Self:
        await self.initialize()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
