"""Events across streams: an index by type, by aggregate type and by time, kept by a subscription of its own.

The feed forgets by its TTL; the index does not. It refers to events, which are read from their streams, many at a time.
A question reads the days and partitions that have an answer: its cost follows the answer, not the store.

Source: docs/how-to/query-events.md.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar

from cassorm.errors import EventStoreError, QueryError, SubscriptionError
from cassorm.events.event import Event, Recorded
from cassorm.events.feed_tables import FeedTables
from cassorm.events.index_tables import IndexTables, Partition, Reference, day_of, hour_of
from cassorm.events.inquiry import Inquiry, moment_of
from cassorm.events.metadata import Metadata
from cassorm.events.position import Position, shard_of
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import Subscription

SUBSCRIPTION: Final = "$events_by_type"
"""The name of the subscription that keeps the index."""
_ROUNDS: Final = 2
_LISTED: Final = 100_000
_HOURS_AHEAD: Final = 4
_PAGE: Final = 4_000
_FIRST_LOOK: Final = 32
_LOOK: Final = 128
_AT_ONCE: Final = 32

T = TypeVar("T")
R = TypeVar("R")
Found = tuple[Stream, str | None, Stored]


class EventIndex:
    """Finds the events of a store by type and time; `store.index` is that of a store.

    ```python
    await store.index.create()
    worker = Worker(store, [store.index.subscription()])
    ```

    It is filled from the beginning of the store, also with what the feed has forgotten, and then follows the feed.
    """

    def __init__(
        self,
        tables: IndexTables,
        feed: FeedTables,
        settings: StoreSettings,
        *,
        decode: Callable[[Stream, str | None, Sequence[Any]], Recorded],
        where: str,
    ) -> None:
        self._tables = tables
        self._feed = feed
        self._settings = settings
        self._decode = decode
        self._where = where
        self._ready = False
        self._begun: dict[int, int] = {}

    async def create(self) -> None:
        """Create the tables of the index, where they are missing."""
        await self._tables.create()

    async def exists(self) -> bool:
        """Tell whether the tables of the index were created."""
        return await self._tables.exist()

    def subscription(self) -> Subscription:
        """Return what keeps the index: give it to a worker. All who carry it have one name and share the work."""
        keeper = _Keeper(self._tables, self._settings.shards)
        return Subscription(SUBSCRIPTION, keeper, takes="streams", after_parking="go on", decode=_unread)

    # -- how far it stands ---------------------------------------------------------------------------------------

    async def upto(self) -> int | None:
        """Return the position up to which every event is in the index; None while it is filled for the first time.

        Events behind it may be there already. `moment_of` makes a moment of it.
        """
        shards = range(self._settings.shards)
        if not self._begun:
            self._begun = {shard: standing.begun for shard, standing in (await self._feed.standings(shards)).items()}
        found = await self._feed.checkpoints(SUBSCRIPTION, shards)
        # Only a shard whose streams have been gone through has a checkpoint behind the store's beginning.
        if any(shard not in found or found[shard].pos <= self._begun[shard] for shard in shards):
            return None
        return min(checkpoint.pos for checkpoint in found.values())

    async def wait_for(self, position: Position, *, timeout: timedelta = timedelta(seconds=10)) -> None:
        """Return when the event at a position, and whatever stands before it in its shard, is in the index.

        Raises:
            SubscriptionError: it was not by then; the error says how far the index stands.
            QueryError: the position is another store's.
        """
        if position.store_id != self._settings.store_id:
            raise QueryError(
                f"position {position} is of another store", where=self._where, remedy="Ask the store that gave it"
            )
        deadline, pause = asyncio.get_running_loop().time() + timeout.total_seconds(), 0.01
        while True:
            found = (await self._feed.checkpoints(SUBSCRIPTION, [position.shard])).get(position.shard)
            if found is not None and found.pos >= position.micros:
                return
            if asyncio.get_running_loop().time() + pause > deadline:
                stands = "has not been begun" if found is None else f"stands at {moment_of(found.pos):%F %T.%f}"
                raise SubscriptionError(
                    f"position {position} is not in the index after {timeout.total_seconds():g} s: "
                    f"shard {position.shard} {stands}",
                    subscription=SUBSCRIPTION,
                    remedy=f"Look whether a worker carries {SUBSCRIPTION} and is not behind: cassorm projections status",
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.25)

    # -- finding -------------------------------------------------------------------------------------------------

    async def find(self, inquiry: Inquiry) -> AsyncGenerator[Recorded]:
        """Yield the events that an inquiry is about, in the order of their positions.

        Raises:
            EventStoreError: there is no index, or an event that it refers to is gone.
        """
        await self._check()
        if inquiry.empty:
            return
        pieces = _pieces(self._references(inquiry))
        async with aclosing(_ahead(pieces, self._load, 1)) as loaded:
            async for found in loaded:
                for stream, aggregate_type, event in found:
                    yield self._decode(stream, aggregate_type, event)

    async def _check(self) -> None:
        if self._ready:
            return
        if not await self._tables.exist():
            problem, remedy = "has no index of its events", "Call `await store.index.create()` once, then run"
        elif await self.upto() is None:
            problem, remedy = "has an index of its events that is not filled yet", "Wait for, or run,"
        else:
            self._ready = True
            return
        raise EventStoreError(
            problem,
            where=self._where,
            remedy=f"{remedy} a worker that keeps it: `Worker(store, [store.index.subscription()])`",
        )

    async def _references(self, inquiry: Inquiry) -> AsyncGenerator[list[Reference]]:
        """Yield references in the order of the answer, a list at a time."""
        opened = _ahead(self._hours(inquiry), partial(self._open, inquiry), _HOURS_AHEAD)
        async with aclosing(opened) as hours:
            async for parts in hours:
                async for references in _merged(parts, backwards=inquiry.backwards):
                    yield references

    async def _hours(self, inquiry: Inquiry) -> AsyncGenerator[list[Partition]]:
        days = _each(await self._tables.days(inquiry))
        async with aclosing(_ahead(days, partial(self._tables.hours, inquiry), _HOURS_AHEAD)) as found:
            async for hours in found:
                for partitions in hours:
                    yield partitions

    async def _open(self, inquiry: Inquiry, partitions: list[Partition]) -> list["_Part"]:
        size = max(50, _PAGE // len(partitions))
        parts = [_Part(self._tables, partition, inquiry, size) for partition in partitions]
        await asyncio.gather(*(part.fill() for part in parts))
        return parts

    async def _load(self, references: Sequence[Reference]) -> list[Found]:
        """Return the events that references stand for, in their order."""
        versions: dict[Stream, list[int]] = defaultdict(list)
        for reference in references:
            versions[reference.stream].append(reference.version)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def of(stream: Stream) -> dict[int, tuple[str | None, Stored]]:
            async with slots:
                return await self._tables.events(stream, versions[stream])

        by_stream = dict(zip(versions, await asyncio.gather(*map(of, versions)), strict=True))
        found: list[Found] = []
        for _, stream, version in references:
            event = by_stream[stream].get(version)
            if event is not None:
                found.append((stream, *event))
            elif (await self._tables.state(stream)).first <= version:
                raise EventStoreError(
                    "was recorded, and is not there",
                    where=f"{self._where}, stream {stream}, version {version}",
                    remedy="Repair the table of events, restore it, or look at what is missing: cassorm events audit",
                )
        return found


class _Unread(Event, abstract=True):
    """Stands for a payload that nobody asked for."""


_UNREAD = _Unread()


def _unread(stream: Stream, aggregate_type: str | None, event: Stored) -> Recorded:
    """Return an event without its payload: the index needs no class of it, and no payload is unfit for it."""
    return Recorded(
        stream,
        aggregate_type,
        event.version,
        _UNREAD,
        event.event_id,
        event.append_id,
        event.event_type,
        event.schema_version,
        event.timestamp,
        Metadata(),
        event.pos,
    )


class _Keeper:
    """Writes references to the events that it is told of: those that come together go out together."""

    def __init__(self, tables: IndexTables, shards: int) -> None:
        self._tables = tables
        self._shards = shards
        self._waiting: dict[Partition, list[Reference]] = defaultdict(list)
        self._coming: asyncio.Future[None] | None = None
        self._rounds = asyncio.Semaphore(_ROUNDS)
        self._listed: set[Partition] = set()

    async def __call__(self, events: list[Recorded]) -> None:
        for recorded in events:
            pos, shard = recorded.position, shard_of(recorded.stream, self._shards)
            reference = Reference(pos, recorded.stream, recorded.version)
            day, hour = day_of(pos), hour_of(pos)
            self._waiting[Partition("type", recorded.event_type, day, hour, shard)].append(reference)
            self._waiting[Partition("date", "", day, hour, shard)].append(reference)
            if recorded.aggregate_type is not None:
                self._waiting[Partition("aggregate type", recorded.aggregate_type, day, hour, shard)].append(reference)
        if self._coming is None:
            self._coming = asyncio.ensure_future(self._round())
            self._coming.add_done_callback(_seen)
        # Others wait for the same: it goes on when this one is cancelled.
        await asyncio.shield(self._coming)

    async def _round(self) -> None:
        async with self._rounds:
            waiting, self._waiting = self._waiting, defaultdict(list)
            self._coming = None
            new = waiting.keys() - self._listed
            if new:
                await self._tables.list_partitions(new)
                if len(self._listed) > _LISTED:
                    self._listed.clear()
                self._listed |= new
            await asyncio.gather(*(self._tables.refer(*one) for one in waiting.items()))


class _Part:
    """One partition as it is gone through, a page at a time."""

    def __init__(self, tables: IndexTables, partition: Partition, inquiry: Inquiry, size: int) -> None:
        self._tables = tables
        self._partition = partition
        self._inquiry = inquiry
        self._size = size
        self._state: bytes | None = None
        self.rows: list[Reference] = []
        self.more = True

    async def fill(self) -> None:
        """Read the next page, if none of this one is left."""
        while self.more and not self.rows:
            self.rows, self._state = await self._tables.page(self._partition, self._inquiry, self._size, self._state)
            self.more = self._state is not None


async def _merged(parts: list[_Part], *, backwards: bool) -> AsyncGenerator[list[Reference]]:
    """Yield what several partitions hold, in one order."""
    sign = -1 if backwards else 1

    def place(reference: Reference) -> int:
        return sign * reference.pos

    while parts := [part for part in parts if part.rows]:
        # Up to the end of the page that ends first nothing else can come in between.
        ends = [place(part.rows[-1]) for part in parts if part.more]
        bound = min(ends) if ends else None
        piece: list[Reference] = []
        for part in parts:
            ripe = part.rows if bound is None else [row for row in part.rows if place(row) <= bound]
            piece += ripe
            part.rows = part.rows[len(ripe) :]
        yield sorted(piece, key=place)
        await asyncio.gather(*(part.fill() for part in parts))


async def _pieces(lists: AsyncGenerator[list[Reference]]) -> AsyncGenerator[list[Reference]]:
    """Yield the same in pieces: a small one first, for who wants no more than that."""
    size = _FIRST_LOOK
    async with aclosing(lists):
        async for references in lists:
            start = 0
            while start < len(references):
                yield references[start : start + size]
                start, size = start + size, _LOOK


async def _each(items: Iterable[T]) -> AsyncGenerator[T]:
    for item in items:
        yield item


async def _ahead(items: AsyncGenerator[T], work: Callable[[T], Coroutine[Any, Any, R]], many: int) -> AsyncGenerator[R]:
    """Yield what `work` makes of each item, in their order, while the next `many` are under way."""
    under_way: deque[asyncio.Task[R]] = deque()
    try:
        async with aclosing(items):
            async for item in items:
                under_way.append(asyncio.get_running_loop().create_task(work(item)))
                if len(under_way) > many:
                    yield await under_way.popleft()
            while under_way:
                yield await under_way.popleft()
    finally:
        for one in under_way:
            one.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def _seen(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.exception()
