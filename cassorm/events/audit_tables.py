"""The CQL of the audit: events, pointers and checkpoints, gone through by ranges of tokens."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final, NamedTuple
from uuid import UUID

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.events.append import State, state_of
from cassorm.events.queries import STATE_COLUMNS
from cassorm.events.settings import StoreSettings
from cassorm.events.store import Stream
from cassorm.events.tables import TableNames, events_table, feed_table
from cassorm.schema.token_ranges import TokenRange, fitting_count, persist, token_ranges, within

_STATE: Final = ", ".join(STATE_COLUMNS)
_PAGE: Final = 1_000
_TOGETHER: Final = 100


class EventRow(NamedTuple):
    """Where an event stands, without its payload."""

    version: int
    append_id: UUID
    event_id: UUID
    pos: int


class PointerRow(NamedTuple):
    """What a pointer says of its append."""

    shard: int
    pos: int
    stream: Stream
    append_id: UUID
    from_version: int
    to_version: int


class CheckpointRow(NamedTuple):
    """How far a subscription has come in a shard, and up to where it scans, if it does."""

    subscription: str
    shard: int
    pos: int
    scan_upto: int | None


class AuditTables:
    """What the audit asks, at the store's own consistency; reads only."""

    def __init__(self, session: Session, keyspace: str, names: TableNames, settings: StoreSettings) -> None:
        self._session = session
        self._settings = settings
        self._events_table = events_table(names, keyspace, settings.id_type)
        self._feed_table = feed_table(names, keyspace, settings.id_type, settings.feed_ttl_s)
        events, feed, checkpoints = (
            quote_table(name, keyspace) for name in (names.events, names.feed, names.checkpoints)
        )
        self._streams = (
            f"SELECT aggregate_id, {_STATE}, version, append_id, event_id, pos FROM {events} "
            f"WHERE {within(('aggregate_id',))}"
        )
        self._pointers = (
            f"SELECT shard, pos, aggregate_id, append_id, from_version, to_version FROM {feed} "
            f"WHERE {within(('shard', 'bucket'))}"
        )
        self._pointers_at = f"SELECT pos, aggregate_id FROM {feed} WHERE shard = ? AND bucket = ? AND pos IN ?"
        self._rows = f"SELECT version, append_id, event_id, pos FROM {events} WHERE aggregate_id = ?"
        self._rows_at = f"{self._rows} AND version IN ?"
        self._state = f"SELECT DISTINCT {_STATE}, aggregate_id FROM {events} WHERE aggregate_id = ?"
        self._checkpoints = f"SELECT subscription, shard, pos, scan_upto FROM {checkpoints}"

    async def stream_ranges(self) -> list[TokenRange]:
        """Return the ranges in which the streams are gone through."""
        return token_ranges(await fitting_count(self._session, self._events_table))

    async def pointer_ranges(self) -> list[TokenRange]:
        """Return the ranges in which the pointers are gone through."""
        return token_ranges(await fitting_count(self._session, self._feed_table))

    async def streams(self, part: TokenRange) -> AsyncGenerator[list[tuple[Stream, State, EventRow | None]]]:
        """Yield the events of a range, stream by stream, with the state of each; no event where a stream has none."""
        async with aclosing(self._pages(self._streams, (part.start, part.end))) as pages:
            async for page in pages:
                yield [
                    (stream, state_of(rest[:6]), None if rest[6] is None else EventRow(*rest[6:]))
                    for stream, *rest in page
                ]

    async def pointers(self, part: TokenRange) -> AsyncGenerator[list[PointerRow]]:
        """Yield the pointers of a range."""
        async with aclosing(self._pages(self._pointers, (part.start, part.end))) as pages:
            async for page in pages:
                yield [PointerRow(*row) for row in page]

    async def pointers_at(self, shard: int, positions: Iterable[int]) -> set[tuple[int, Stream]]:
        """Return the pointers of a shard that stand at these positions: positions and streams."""
        buckets: dict[int, list[int]] = {}
        for pos in positions:
            buckets.setdefault(pos // (self._settings.bucket_s * 1_000_000), []).append(pos)
        found: set[tuple[int, Stream]] = set()
        for bucket, wanted in buckets.items():
            for start in range(0, len(wanted), _TOGETHER):
                params = (shard, bucket, wanted[start : start + _TOGETHER])
                found |= {(pos, stream) for pos, stream in await self._all(self._pointers_at, params)}
        return found

    async def rows(self, stream: Stream) -> list[EventRow]:
        """Return all events of a stream, oldest first."""
        return [EventRow(*row) for row in await self._all(self._rows, (stream,))]

    async def rows_at(self, stream: Stream, versions: Sequence[int]) -> dict[int, EventRow]:
        """Return the events of a stream at these versions, as far as they are there."""
        return {row[0]: EventRow(*row) for row in await self._all(self._rows_at, (stream, [*versions]))}

    async def state(self, stream: Stream) -> State:
        """Return where a stream stands."""
        found = await self._all(self._state, (stream,))
        return state_of(found[0][: len(STATE_COLUMNS)]) if found else State()

    async def checkpoints(self) -> list[CheckpointRow]:
        """Return the checkpoints of all subscriptions: as many as subscriptions times shards."""
        return [CheckpointRow(*row) for row in await self._all(self._checkpoints, ())]

    async def _all(self, text: str, params: Sequence[object]) -> list[tuple[Any, ...]]:
        async with aclosing(self._pages(text, params)) as pages:
            return [row async for page in pages for row in page]

    async def _pages(self, text: str, params: Sequence[object]) -> AsyncGenerator[list[tuple[Any, ...]]]:
        """Yield pages; one that is not answered is asked for again."""
        prepared = await self._session.prepare(text)
        pages = self._session.pages(prepared, params, page_size=_PAGE, consistency=self._settings.consistency)

        async def following() -> list[tuple[Any, ...]] | None:
            try:
                return await anext(pages)
            except StopAsyncIteration:
                return None

        try:
            while (page := await persist(following)) is not None:
                yield page
        finally:
            pages.close()
