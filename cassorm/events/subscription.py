"""One subscription in one shard: take what the feed brings, handle it in the order of each stream, move the checkpoint.

The checkpoint never passes what is not complete in the feed, nor what is not handled. After a crash everything behind
it is handled again: effects have to be kept once by their own means, by the version applied or by deterministic ids.

Source: docs/explanation/feed.md.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Literal, NamedTuple
from uuid import UUID

from cassorm.events.event import Recorded
from cassorm.events.pointers import Pointer
from cassorm.events.shard_feed import Delivery, ShardFeed, Stored
from cassorm.events.store import Stream


class Start(Enum):
    """Where a subscription begins that has no checkpoint yet."""

    BEGINNING = "beginning"
    NOW = "now"


Handler = Callable[[Recorded], Awaitable[None]]


class Parked(NamedTuple):
    """An event that its subscription could not handle, and why."""

    subscription: str
    stream: Stream
    version: int
    event_type: str
    pos: int
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told of which events, and what becomes of those that it cannot handle.

    `event_types` and `aggregate_types` are names; None is all. An event whose handler raises or takes longer than
    `handler_timeout` is tried again `attempts` times in all, each pause twice the one before, then parked; the stream's
    later events are held back behind it (`block`), or handled (`go on`).
    """

    name: str
    handler: Handler
    event_types: frozenset[str] | None = None
    aggregate_types: frozenset[str] | None = None
    begin: Start = Start.BEGINNING
    concurrency: int = 32
    attempts: int = 5
    first_pause: timedelta = timedelta(milliseconds=100)
    handler_timeout: timedelta = timedelta(seconds=30)
    after_parking: Literal["block", "go on"] = "block"
    most_ahead: int = 2_000
    """How many deliveries may wait for the handler: the feed is not read further while they do."""

    def wants(self, aggregate_type: str | None, event: Stored) -> bool:
        """Tell whether it is to be told of an event."""
        return (self.event_types is None or event.event_type in self.event_types) and (
            self.aggregate_types is None or aggregate_type in self.aggregate_types
        )


class Checkpoint(NamedTuple):
    """How far a subscription has come in a shard, who carries it on, and under which epoch."""

    pos: int
    owner: UUID | None
    epoch: int


class CursorTables(NamedTuple):
    """What a cursor asks of the store."""

    history: Callable[[int, int, int], Awaitable[list[Pointer]]]
    """Some of a shard's pointers behind a position, up to and with another, from the first; none when there are none."""
    load: Callable[[Pointer], Awaitable[list[Stored]]]
    """The events of a pointer that is resolved; none when its append does not stand there."""
    decode: Callable[[Stream, str | None, Stored], Recorded]
    save: Callable[[int], Awaitable[bool]]
    """Move the checkpoint; False when another owns it by now."""
    park: Callable[[Parked], Awaitable[None]]
    parked: Callable[[Stream], Awaitable[int | None]]
    """The lowest version of a stream that is parked."""
    owned: Callable[[], Awaitable[None]]
    """Return when its owner has given a sign of life within the lease: at once, or after the next one."""


class Overtaken(Exception):  # noqa: N818 - an answer within this package, not an error of its user
    """The checkpoint has another owner by now."""


class Cursor:
    """Carries one subscription through one shard, as its owner."""

    def __init__(self, subscription: Subscription, feed: ShardFeed, tables: CursorTables, checkpoint: int) -> None:
        self.subscription = subscription
        self.checkpoint = checkpoint
        self._feed = feed
        self._tables = tables
        self._begun_at = checkpoint
        self._taken_upto = checkpoint
        self._lanes: dict[Stream, deque[tuple[int, Delivery]]] = {}
        """Of each stream what waits for its turn, oldest first."""
        self._outstanding: list[tuple[int, int]] = []
        """Positions of what is taken and not handled, lowest first, each with the number of its taking."""
        self._handled: set[int] = set()
        self._takings = 0
        self._blocked: dict[Stream, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(subscription.concurrency)
        self._room = asyncio.Event()
        self._room.set()
        self.number = 0
        """The number of the next delivery of the feed."""
        self.failure: BaseException | None = None
        self.lost = False

    # -- taking --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take deliveries for ever: first what lies between the checkpoint and the feed, then what the feed brings."""
        # Everything behind `complete_upto` is kept by the feed from here on, until this cursor has taken it.
        upto = self._feed.complete_upto
        self.number = self._feed.published[0][0] if self._feed.published else self._feed.count
        while self._taken_upto < upto:
            pointers = await self._tables.history(self._feed.shard, self._taken_upto, upto)
            if not pointers:
                self._taken_upto = upto
                break
            loaded = await asyncio.gather(*map(self._tables.load, pointers))
            for pointer, events in zip(pointers, loaded, strict=True):
                if events:
                    await self._take(Delivery(events[0].pos, pointer.stream, pointer.aggregate_type, events))
            self._taken_upto = pointers[-1].pos
        while True:
            self._feed.news.clear()
            for number, delivery in list(self._feed.published):
                if number >= self.number:
                    await self._take(delivery)
                    self.number = number + 1
            if self.number == self._feed.count:
                self._taken_upto = max(self._taken_upto, self._feed.complete_upto)
                await self._feed.news.wait()

    async def _take(self, delivery: Delivery) -> None:
        # One by one: a delivery may have brought together what a former owner has handled and what nobody has.
        wanted = [
            event
            for event in delivery.events
            if event.pos > self._begun_at and self.subscription.wants(delivery.aggregate_type, event)
        ]
        if not wanted:
            return
        while len(self._outstanding) >= self.subscription.most_ahead:
            self._room.clear()
            await self._room.wait()
        self._takings += 1
        heapq.heappush(self._outstanding, (delivery.pos, self._takings))
        taken = (self._takings, delivery._replace(events=wanted))
        lane = self._lanes.get(delivery.stream)
        if lane is not None:
            lane.append(taken)
            return
        self._lanes[delivery.stream] = deque([taken])
        task = asyncio.get_running_loop().create_task(self._work(delivery.stream))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    # -- handling ------------------------------------------------------------------------------------------------

    async def _work(self, stream: Stream) -> None:
        lane = self._lanes[stream]
        async with self._slots:
            while lane:
                taking, delivery = lane.popleft()
                for event in delivery.events:
                    await self._handle(stream, delivery.aggregate_type, event)
                self._done(taking)
            self._lanes.pop(stream, None)

    async def _handle(self, stream: Stream, aggregate_type: str | None, event: Stored) -> None:
        subscription = self.subscription
        problem: BaseException | None = None
        if subscription.after_parking == "block":
            first = self._blocked.get(stream)
            if first is not None and first < event.version:
                await self._park(stream, event, f"held back behind version {first}, which is parked", 0)
                return
        pause = subscription.first_pause.total_seconds()
        for attempt in range(1, subscription.attempts + 1):
            try:
                await self._tables.owned()
                recorded = self._tables.decode(stream, aggregate_type, event)
                async with asyncio.timeout(subscription.handler_timeout.total_seconds()):
                    await subscription.handler(recorded)
                return
            except Exception as error:  # whatever a handler raises
                problem = error
            if attempt < subscription.attempts:
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
                pause *= 2
        self._blocked.setdefault(stream, event.version)
        await self._park(stream, event, f"{type(problem).__name__}: {problem}", subscription.attempts)

    async def _park(self, stream: Stream, event: Stored, error: str, attempts: int) -> None:
        parked = Parked(self.subscription.name, stream, event.version, event.event_type, event.pos, error, attempts)
        await self._tables.park(parked)

    def _done(self, taking: int) -> None:
        self._handled.add(taking)
        while self._outstanding and self._outstanding[0][1] in self._handled:
            self._handled.discard(heapq.heappop(self._outstanding)[1])
        self._room.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and self.failure is None:
            self.failure = task.exception()

    async def drain(self) -> None:
        """Return when everything that the feed has brought is handled."""
        while self.number < self._feed.count or self._tasks:
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))
        self._taken_upto = max(self._taken_upto, self._feed.complete_upto)

    async def stop(self) -> None:
        """Handle nothing more: what is being handled is cancelled, what waits is left."""
        self._lanes.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the checkpoint ------------------------------------------------------------------------------------------

    @property
    def handled_upto(self) -> int:
        """Up to where everything is handled."""
        if self._outstanding:
            return min(self._outstanding[0][0] - 1, self._taken_upto)
        return self._taken_upto

    async def save(self) -> None:
        """Move the checkpoint to where everything is handled.

        Raises:
            Overtaken: another owner carries it on.
        """
        upto = self.handled_upto
        if upto <= self.checkpoint:
            return
        if not await self._tables.save(upto):
            self.lost = True
            raise Overtaken
        self.checkpoint = upto
