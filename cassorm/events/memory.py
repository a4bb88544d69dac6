"""The event store as a dict: for tests, and the shortest reading of the contract."""

import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from cassorm.errors import ConflictError, StreamTypeError
from cassorm.events import payload
from cassorm.events.event import Event, Recorded
from cassorm.events.inquiry import Inquiry
from cassorm.events.intent import LOOKBACK, Encoded, Expect, Expected, Intent, Limits, check_stream, other_events, plan
from cassorm.events.memory_feed import Entry, MemoryFeed
from cassorm.events.metadata import Metadata
from cassorm.events.position import Position, shard_of
from cassorm.events.saved import Listeners, saved
from cassorm.events.store import READY, Appended, EventStore, Snapshot, Stream, StreamHead
from cassorm.events.subscription import Start

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Row(NamedTuple):
    encoded: Encoded
    intent: Intent
    position: int


class MemoryEventStore(EventStore):
    """Keeps every stream in this process; see `EventStore` for the promises.

    Payloads are kept as JSON, so that what Cassandra would refuse or change is refused here as well.
    `clock` returns microseconds since 1970.
    """

    def __init__(
        self,
        *,
        id_type: str = "uuid",
        limits: Limits | None = None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.id_type = id_type
        self._limits = limits or Limits()
        self._clock = clock
        self._store_id = uuid4()
        self._streams: dict[Stream, list[_Row]] = {}
        self._types: dict[Stream, str | None] = {}
        self._snapshots: dict[Stream, dict[int, Snapshot]] = {}
        self._feed = MemoryFeed()
        self._listeners = Listeners()

    async def append(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        """Append `events`, all or nothing; see `EventStore.append`."""
        intent = plan(
            stream,
            events,
            expected=expected,
            aggregate_type=aggregate_type,
            append_id=append_id,
            id_type=self.id_type,
            limits=self._limits,
        )
        rows = self._streams.get(stream, [])
        before = self._find(intent, rows)
        if before is not None:
            return self._appended(stream, rows, before)
        if rows and aggregate_type is not None and self._types[stream] != aggregate_type:
            raise StreamTypeError(stream, asked=aggregate_type, actual=self._types[stream])
        exact = intent.exact
        if (exact is not None and exact != len(rows)) or (expected is Expect.EXISTS and not rows):
            raise ConflictError(stream, expected=intent.expectation, actual=len(rows))
        first = max(self._clock(), rows[-1].position + 1 if rows else 0, intent.after + 1)
        added = [_Row(encoded, intent, first + index) for index, encoded in enumerate(intent.events)]
        self._streams[stream] = rows + added
        self._types.setdefault(stream, aggregate_type)
        for version, row in enumerate(added, len(rows) + 1):
            self._feed.add(Entry(stream, version, row.position, row.encoded.event_type, self._types[stream]))
        appended = self._appended(stream, self._streams[stream], len(rows) + len(added))
        if self._listeners:
            pos, version = appended.position.micros, appended.version
            await self._listeners.tell(saved(intent, events, self._types[stream], version=version, pos=pos))
        return appended

    @staticmethod
    def _find(intent: Intent, rows: list[_Row]) -> int | None:
        """Return the version behind an append that stands in the stream already."""
        if not intent.resent:
            return None
        begin = intent.exact if intent.exact is not None else max(0, len(rows) - LOOKBACK)
        found = [
            version for version, row in enumerate(rows[begin:], begin + 1) if row.intent.append_id == intent.append_id
        ]
        if not found or (intent.exact is not None and found[0] != begin + 1):
            return None
        if len(found) != len(intent.events):
            raise other_events(intent, found[0])
        return found[-1]

    def _appended(self, stream: Stream, rows: list[_Row], version: int) -> Appended:
        row = rows[version - 1]
        position = Position(self._store_id, shard_of(stream, 16), row.position, stream, version)
        return Appended(stream, version, position, row.intent.append_id)

    async def pages(
        self,
        stream: Stream,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page_size: int = 1_000,
    ) -> AsyncGenerator[list[Recorded]]:
        """Yield the events of a stream in lists; see `EventStore.read`."""
        check_stream(stream, self.id_type)
        rows = self._streams.get(stream, [])
        versions = range(max(1, from_version), min(len(rows), len(rows) if to_version is None else to_version) + 1)
        ordered = versions[::-1] if backwards else versions
        size = min(page_size, READY)
        for start in range(0, len(ordered), size):
            yield [self._recorded(stream, version, rows[version - 1]) for version in ordered[start : start + size]]

    def _recorded(self, stream: Stream, version: int, row: _Row) -> Recorded:
        encoded, intent = row.encoded, row.intent
        return Recorded(
            stream,
            self._types[stream],
            version,
            payload.load(encoded.event_type, encoded.schema_version, payload.JSON, encoded.data),
            encoded.event_id,
            intent.append_id,
            encoded.event_type,
            encoded.schema_version,
            _EPOCH + timedelta(milliseconds=intent.timestamp_ms),
            Metadata.decode(intent.metadata),
            row.position,
        )

    async def _answer(self, asked: Inquiry) -> AsyncGenerator[Recorded]:
        found = [entry for entry in self._feed.events if asked.low <= entry.pos <= asked.high]
        if asked.kind == "type":
            found = [entry for entry in found if entry.event_type == asked.name]
        elif asked.kind == "aggregate type":
            found = [entry for entry in found if entry.aggregate_type == asked.name]
        for entry in sorted(found, key=lambda entry: entry.pos, reverse=asked.backwards):
            yield self._at(entry)

    async def subscribe(
        self,
        name: str,
        *,
        from_: Start = Start.BEGINNING,
        event_types: Iterable[type[Event] | str] | None = None,
        aggregate_types: Iterable[str] | None = None,
        pace: object = None,
    ) -> AsyncGenerator[Recorded]:
        """Yield the events of all streams to the subscription `name`, as `CassandraEventStore.subscribe` does.

        Checkpoints live as long as the store. Several who subscribe under one name, in one event loop, share the streams.
        """
        types = (
            None
            if event_types is None
            else {one if isinstance(one, str) else one.__event_type__ for one in event_types}
        )
        aggregates = None if aggregate_types is None else set(aggregate_types)

        def wants(entry: Entry) -> bool:
            return (types is None or entry.event_type in types) and (
                aggregates is None or entry.aggregate_type in aggregates
            )

        async with aclosing(self._feed.follow(name, from_, wants)) as entries:
            async for entry in entries:
                yield self._at(entry)

    def _at(self, entry: Entry) -> Recorded:
        return self._recorded(entry.stream, entry.version, self._streams[entry.stream][entry.version - 1])

    async def head(self, stream: Stream) -> StreamHead | None:
        """Return where a stream stands; None when it does not exist."""
        check_stream(stream, self.id_type)
        rows = self._streams.get(stream)
        return StreamHead(len(rows), rows[-1].position, self._types[stream], closed=False) if rows else None

    async def save_snapshot(self, stream: Stream, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the stream."""
        check_stream(stream, self.id_type)
        self._snapshots.setdefault(stream, {})[snapshot.version] = snapshot

    async def snapshots(self, stream: Stream, *, limit: int = 20) -> list[Snapshot]:
        """Return the newest snapshots of a stream, newest first."""
        check_stream(stream, self.id_type)
        return sorted(self._snapshots.get(stream, {}).values(), reverse=True)[:limit]

    async def delete_snapshots(self, stream: Stream, versions: Sequence[int]) -> None:
        """Delete the snapshots at these versions."""
        check_stream(stream, self.id_type)
        for version in versions:
            self._snapshots.get(stream, {}).pop(version, None)

    async def initialize(self) -> None:
        """Do nothing: a dict needs no tables."""

    async def close(self) -> None:
        """Do nothing: no append is ever under way."""
