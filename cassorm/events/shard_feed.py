"""What one shard of the feed brings, once for all subscriptions of a process: appends, in order within each stream.

Two ways lead here. `look` runs ahead: what has both its pointer and its events is published at once. `finish` comes
behind, with what a resolver knows for good, and publishes what the first way has missed. A subscription may be told of
everything that is published, and may set its checkpoint no further than `complete_upto`.

Source: docs/explanation/feed.md.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from cassorm.events.pointers import Pointer
from cassorm.events.resolver import stands
from cassorm.events.store import Stream

_MOST_KEPT = 20_000
"""Events that are kept for readers who have not taken them yet; what is complete can be read again elsewhere."""


class Stored(NamedTuple):
    """A row of an event, its payload not decoded: who does not ask for it pays nothing, and cannot stumble over it."""

    version: int
    event_id: UUID
    append_id: UUID
    event_type: str
    schema_version: int
    encoding: str
    data: bytes
    metadata: str | None
    timestamp: datetime
    pos: int


class Delivery(NamedTuple):
    """Events of one stream that follow one another; `pos` is the position of the first."""

    pos: int
    stream: Stream
    aggregate_type: str | None
    events: list[Stored]

    @property
    def version(self) -> int:
        """The version of the last of them."""
        return self.events[-1].version


class Sources(NamedTuple):
    """What a shard's feed asks of the store."""

    events: Callable[[Stream, int, int], Awaitable[list[Stored]]]
    """The events of a stream from one version to another, both included; fewer when they are not there."""
    behind: Callable[[Stream, int, int], Awaitable[list[Stored]]]
    """The events of a stream behind a position and below a version, oldest first."""
    pointers: Callable[[int, int, int], Awaitable[list[Pointer]]]


class ShardFeed:
    """Publishes the appends of one shard behind `complete_upto`, each once, in order within its stream."""

    def __init__(self, sources: Sources, shard: int, complete_upto: int) -> None:
        self._sources = sources
        self.shard = shard
        self.complete_upto = complete_upto
        self.looked_upto = complete_upto
        """Up to where somebody has looked ahead."""
        self.published: deque[tuple[int, Delivery]] = deque()
        """What was published behind `complete_upto` or is not yet taken by all readers, with its number."""
        self.kept = 0
        """How many events are published and not forgotten."""
        self.count = 0
        """How many were published: the number of the next."""
        self._versions: dict[Stream, tuple[int, int]] = {}
        """Of streams with appends behind `complete_upto`: the version published last, and its pointer's position."""
        self._waiting: dict[tuple[int, Stream], Pointer] = {}
        """Pointers seen whose events were not there yet."""
        self.news = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def unsettled(self) -> int:
        """How many pointers were seen whose events have not come."""
        return len(self._waiting)

    async def look(self, pointers: Sequence[Pointer]) -> int:
        """Publish what stands of these pointers and of those that waited; return how many appends that were."""
        async with self._turn:
            before = self.count
            for pointer in pointers:
                if pointer.pos > self.complete_upto and not self.has(pointer):
                    self._waiting[pointer.pos, pointer.stream] = pointer
            candidates = sorted(self._waiting.values(), key=lambda pointer: (pointer.pos, pointer.from_version))
            loaded = await asyncio.gather(*map(self._load, candidates))
            for pointer, events in zip(candidates, loaded, strict=True):
                if events:
                    await self._publish(pointer, events)
                    del self._waiting[pointer.pos, pointer.stream]
                elif self.has(pointer):
                    del self._waiting[pointer.pos, pointer.stream]
            return self.count - before

    async def finish(self, upto: int, appended: Sequence[Pointer] | None = None) -> None:
        """Publish what is missing up to a position that is resolved, and make that the one to which all is complete.

        `appended` are the pointers of what was appended up to there, if they are known already.
        """
        async with self._turn:
            if upto <= self.complete_upto:
                return
            pointers = (
                await self._sources.pointers(self.shard, self.complete_upto, upto) if appended is None else appended
            )
            missing = [pointer for pointer in pointers if pointer.pos > self.complete_upto and not self.has(pointer)]
            for pointer, events in zip(missing, await asyncio.gather(*map(self._load, missing)), strict=True):
                # Resolved: what does not stand there now never will.
                if events:
                    await self._publish(pointer, events)
            self.complete_upto = upto
            for key in [key for key in self._waiting if key[0] <= upto]:
                del self._waiting[key]
            for stream in [stream for stream, (_, pos) in self._versions.items() if pos <= upto]:
                del self._versions[stream]
            self.news.set()

    def taken(self, number: int) -> None:
        """Forget what all readers have taken, everything below `number`, and what is too much; if it is complete."""
        while (
            self.published
            and (self.published[0][0] < number or self.kept > _MOST_KEPT)
            and self.published[0][1].events[-1].pos <= self.complete_upto
        ):
            self.kept -= len(self.published.popleft()[1].events)

    def has(self, pointer: Pointer) -> bool:
        """Tell whether what stands in the stream up to the last version of a pointer was published."""
        known = self._versions.get(pointer.stream)
        return known is not None and known[0] >= pointer.to_version

    async def _load(self, pointer: Pointer) -> list[Stored]:
        """Return the events that a pointer announced; none when they do not stand there, or not under this pointer."""
        events = await self._sources.events(pointer.stream, pointer.from_version, pointer.to_version)
        if not events:
            return []
        return events if events[0].version == pointer.from_version and stands(pointer, events[0]) else []

    async def _publish(self, pointer: Pointer, events: list[Stored]) -> None:
        known = self._versions.get(pointer.stream)
        if known is None and pointer.prev_pos > self.complete_upto:
            # An append before this one stands behind what is complete, and its pointer was not seen: it comes first.
            earlier = await self._sources.behind(pointer.stream, self.complete_upto, pointer.from_version)
            events = earlier + events
        elif known is not None and known[0] + 1 < pointer.from_version:
            events = await self._sources.events(pointer.stream, known[0] + 1, pointer.from_version - 1) + events
        elif known is not None:
            events = [event for event in events if event.version > known[0]]
        if not events:
            return
        self._versions[pointer.stream] = (events[-1].version, pointer.pos)
        self.published.append((self.count, Delivery(events[0].pos, pointer.stream, pointer.aggregate_type, events)))
        self.kept += len(events)
        self.count += 1
        self.news.set()
