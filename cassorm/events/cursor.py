"""One subscription in one shard: take what the feed brings, handle it in the order of each stream, move the checkpoint.

The checkpoint never passes what is not complete in the feed, nor what is not handled. After a crash everything behind
it is handled again: effects have to be kept once by their own means, by the version applied or by deterministic ids.

Source: docs/explanation/feed.md.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import accumulate, islice
from typing import NamedTuple, Protocol

from cassorm import faults
from cassorm.errors import OutcomeUnknownError, UnavailableError
from cassorm.events.event import Recorded
from cassorm.events.progress import Progress
from cassorm.events.shard_feed import ShardFeed, Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import Checkpoint, CursorTables, Left, Overtaken, Parked, Subscription

logger = logging.getLogger("cassorm.events")

_LONGEST_PAUSE_S = 5.0
_EVENTS_TOGETHER = 1_000
"""Of one stream at most so many events are handed to a handler that takes streams."""


class Carried(Protocol):
    """What a worker knows of a subscription in a shard."""

    @property
    def number(self) -> int | None:
        """The number of the next delivery that is wanted of the feed; None when none is."""

    @property
    def handled(self) -> int:
        """How many events were handled."""

    @property
    def trouble(self) -> BaseException | None:
        """What keeps it from going on at the moment."""

    @property
    def scanning(self) -> bool:
        """Whether it still reads streams that stood there before it began to follow the feed."""

    @property
    def done_upto(self) -> int:
        """The position up to which everything is handled."""

    async def run(self) -> None:
        """Handle what there is, for ever; cancelled, it leaves what is not handled to the next owner."""

    async def save(self) -> None:
        """Move the checkpoint to where everything is handled.

        Raises:
            Overtaken: another owner carries it on.
        """

    async def drain(self) -> None:
        """Return when everything that the feed has brought is handled; at once while it catches up."""

    async def finish(self) -> None:
        """Return when what is being handled is handled; nothing more is begun."""


class _Waiting(NamedTuple):
    progress: Progress
    taking: int
    aggregate_type: str | None
    events: list[Stored]


class Attempts:
    """Calls a handler until it succeeds or has failed too often."""

    def __init__(self, subscription: Subscription, owned: Callable[[], Awaitable[None]]) -> None:
        self._subscription = subscription
        self._owned = owned
        self.trouble: BaseException | None = None
        """What keeps the cluster from answering a handler, while it does not."""

    async def make(self, call: Callable[[], Awaitable[None]]) -> BaseException | None:
        """Return None when it succeeded, else what it raised the last time."""
        subscription = self._subscription
        pause, failed = subscription.first_pause.total_seconds(), 0
        while True:
            await self._owned()
            try:
                if faults.at is not None:
                    faults.at("handler.before")
                async with asyncio.timeout(subscription.handler_timeout.total_seconds()):
                    await call()
                if faults.at is not None:
                    faults.at("handler.after")
            except (UnavailableError, OutcomeUnknownError) as error:
                # Not the event's fault: parking what an outage meets would park everything.
                if self.trouble is None:
                    logger.warning("subscription %s waits: %s", subscription.name, error)
                self.trouble = error
            except Left:
                raise
            except (Exception, asyncio.CancelledError) as error:  # whatever a handler raises
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise  # it is we who are cancelled, and not something that the handler has waited for
                failed += 1
                if failed >= subscription.attempts:
                    return error
            else:
                self.trouble = None
                return None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_S)


async def until_answered(call: Callable[[], Awaitable[None]]) -> None:
    """Return when a write that may be repeated was answered."""
    pause = 0.05
    while True:
        try:
            return await call()
        except (UnavailableError, OutcomeUnknownError) as error:
            logger.warning("cannot be written, trying again: %s", error)
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)


class Cursor:
    """Carries a subscription that takes events or streams through one shard, as its owner; see `Carried`."""

    def __init__(
        self, subscription: Subscription, feed: ShardFeed, tables: CursorTables, checkpoint: Checkpoint
    ) -> None:
        self.subscription = subscription
        self.checkpoint = checkpoint.pos
        self.number: int | None = None
        self.handled = 0
        self._feed = feed
        self._tables = tables
        self._attempts = Attempts(subscription, tables.owned)
        self._begun = checkpoint
        self._scan: Progress | None = None
        self._scanned_upto = checkpoint.scan_token
        self._progress = Progress(checkpoint.pos)
        self._joined_at = checkpoint.pos
        """What stands up to here was read behind the feed."""
        self._lanes: dict[Stream, deque[_Waiting]] = {}
        """Of each stream what waits for its turn, oldest first."""
        self._waiting = 0
        self._room = asyncio.Event()
        self._slots = asyncio.Semaphore(subscription.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._blocked: dict[Stream, int] = {}
        self._ending = False

    @property
    def trouble(self) -> BaseException | None:
        """What keeps it from going on at the moment."""
        return self._attempts.trouble

    @property
    def scanning(self) -> bool:
        """Whether it still reads streams that stood there before it began to follow the feed."""
        return self._begun.scan_upto is not None

    @property
    def done_upto(self) -> int:
        """The position up to which everything is handled."""
        return self._progress.done_upto

    # -- taking --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle what there is, for ever."""
        if self.subscription.after_parking == "block":
            self._blocked = await self._tables.parked_streams()
        async with self._group:
            if self._begun.scan_upto is not None:
                await self._catch_up(self._begun.scan_upto, self._begun.scan_token or -(2**63))
            while not self._ending:
                await self._read_history()
                await self._follow()

    async def _catch_up(self, upto: int, token: int) -> None:
        """Handle what the shard's streams behind a token hold, up to a position that is resolved."""
        begun = self._begun.pos
        self._scan = scan = Progress(token)
        async for part in self._tables.scan(self._feed.shard, token):
            wanted = [event for at, event in part.events if begun < at <= upto]
            await self._take(scan, part.token, part.stream, part.aggregate_type, wanted)
            if part.last:
                scan.taken_upto = part.token
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._ending:
            return  # what waits is not handled: the next owner goes on from the token that is noted
        if not await self._tables.save(upto):
            raise Overtaken
        self.checkpoint = upto
        self._progress = Progress(upto)
        self._begun, self._scan = Checkpoint(upto, None, 0), None

    async def _read_history(self) -> None:
        """Take what lies between the checkpoint and what the feed keeps."""
        progress, feed = self._progress, self._feed
        while progress.taken_upto < feed.complete_upto:
            upto = feed.complete_upto
            pointers = await self._tables.history(feed.shard, progress.taken_upto, upto)
            wanted = [pointer for pointer in pointers if self.subscription.may_want(pointer)]
            loaded = await asyncio.gather(*map(self._tables.load, wanted))
            for pointer, events in zip(wanted, loaded, strict=True):
                await self._take(progress, pointer.pos, pointer.stream, pointer.aggregate_type, events)
            progress.taken_upto = pointers[-1].pos if pointers else upto
        # No await from the comparison above to here: from now on the feed keeps all that is published.
        self._joined_at = progress.taken_upto
        self.number = feed.published[0][0] if feed.published else feed.count

    async def _follow(self) -> None:
        """Take what the feed brings; return when it has dropped something that was not taken yet."""
        feed, progress = self._feed, self._progress
        while True:
            feed.news.clear()
            first = feed.published[0][0] if feed.published else feed.count
            number = self.number
            if number is None or number < first:
                self.number = None
                return
            deliveries = [delivery for _, delivery in islice(feed.published, number - first, None)]
            # Behind each of them, up to where it is known that nothing else will come: the handler may be slow.
            untaken = [*accumulate((delivery.pos - 1 for delivery in reversed(deliveries)), min)][-2::-1]
            complete_upto = feed.complete_upto
            for delivery, upto in zip(deliveries, [*untaken, complete_upto], strict=False):
                # One by one: a delivery may have brought together what a former owner has handled and what nobody has.
                events = [event for event in delivery.events if event.pos > self._joined_at]
                await self._take(progress, delivery.pos, delivery.stream, delivery.aggregate_type, events)
                number += 1
                self.number = number
                progress.taken_upto = max(progress.taken_upto, min(upto, complete_upto))
            if number == feed.count:
                progress.taken_upto = max(progress.taken_upto, feed.complete_upto)
                await feed.news.wait()

    async def _take(
        self, progress: Progress, at: int, stream: Stream, aggregate_type: str | None, events: list[Stored]
    ) -> None:
        wanted = [event for event in events if self.subscription.wants(aggregate_type, event)]
        if not wanted:
            return
        while self._waiting >= self.subscription.most_ahead:
            self._room.clear()
            await self._room.wait()
        self._waiting += len(wanted)
        waiting = _Waiting(progress, progress.take(at), aggregate_type, wanted)
        lane = self._lanes.get(stream)
        if lane is not None:
            lane.append(waiting)
            return
        self._lanes[stream] = deque([waiting])
        task = self._group.create_task(self._work(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- handling ------------------------------------------------------------------------------------------------

    async def _work(self, stream: Stream) -> None:
        lane = self._lanes[stream]
        async with self._slots:
            while lane and not self._ending:
                waiting = [lane.popleft()]
                events = waiting[0].events
                if self.subscription.takes == "streams":
                    while lane and len(events) < _EVENTS_TOGETHER:
                        waiting.append(lane.popleft())
                        events = events + waiting[-1].events
                    await self._handle_together(stream, waiting[-1].aggregate_type, events)
                else:
                    for event in events:
                        await self._handle(stream, waiting[0].aggregate_type, event)
                for one in waiting:
                    one.progress.done(one.taking)
                self._waiting -= len(events)
                self.handled += len(events)
                self._room.set()
            self._lanes.pop(stream, None)

    async def _handle_together(self, stream: Stream, aggregate_type: str | None, events: list[Stored]) -> None:
        decode, handler = self._tables.decode, self.subscription.handler

        async def call() -> None:
            await handler([decode(stream, aggregate_type, event) for event in events])

        if len(events) == 1 or stream in self._blocked or await self._attempts.make(call) is not None:
            for event in events:
                await self._handle(stream, aggregate_type, event)

    async def _handle(self, stream: Stream, aggregate_type: str | None, event: Stored) -> None:
        if stream in self._blocked and await self._held_back(stream, event):
            return
        decode, handler = self._tables.decode, self.subscription.handler
        together = self.subscription.takes == "streams"

        async def call() -> None:
            recorded: Recorded = decode(stream, aggregate_type, event)
            await handler([recorded] if together else recorded)

        problem = await self._attempts.make(call)
        if problem is None:
            return
        if self.subscription.after_parking == "block":
            self._blocked.setdefault(stream, event.version)
        await self._park(stream, event, f"{type(problem).__name__}: {problem}", self.subscription.attempts)

    async def _held_back(self, stream: Stream, event: Stored) -> bool:
        """Tell whether an event has to wait behind one of its stream that is parked."""
        first = self._blocked[stream]
        if event.version <= first:
            return event.version == first  # parked itself, before the checkpoint could tell
        first_now = await self._tables.parked(stream)
        if first_now is not None and first_now < event.version:
            await self._park(stream, event, f"held back behind version {first_now}, which is parked", 0)
            # Whoever replays what is parked may have come to the end just before.
            if await self._tables.parked(stream) != event.version:
                return True
            await until_answered(lambda: self._tables.unpark(stream, event.version))
        self._blocked.pop(stream, None)
        return False

    async def _park(self, stream: Stream, event: Stored, error: str, attempts: int) -> None:
        parked = Parked(self.subscription.name, stream, event.version, event.event_type, event.pos, error, attempts)
        logger.error("subscription %s parks version %d of %s: %s", parked.subscription, event.version, stream, error)
        await until_answered(lambda: self._tables.park(parked))

    async def drain(self) -> None:
        """Return when everything that the feed has brought is handled; at once while it catches up."""
        while self.number is not None and (self.number < self._feed.count or self._tasks):
            await (asyncio.wait(self._tasks) if self._tasks else asyncio.sleep(0))
        if self.number is not None:
            self._progress.taken_upto = max(self._progress.taken_upto, self._feed.complete_upto)

    async def finish(self) -> None:
        """Return when what is being handled is handled; nothing more is begun."""
        self._ending = True
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self.number == self._feed.count:
            self._progress.taken_upto = max(self._progress.taken_upto, self._feed.complete_upto)

    # -- the checkpoint ------------------------------------------------------------------------------------------

    async def save(self) -> None:
        """Move the checkpoint to where everything is handled.

        Raises:
            Overtaken: another owner carries it on.
        """
        if self._scan is not None:
            token = self._scan.done_upto
            if self._scanned_upto is None or token > self._scanned_upto:
                if not await self._tables.save_scan(token):
                    raise Overtaken
                self._scanned_upto = token
            return
        upto = self.done_upto
        if self.scanning or upto <= self.checkpoint:
            return
        if not await self._tables.save(upto):
            raise Overtaken
        self.checkpoint = upto
