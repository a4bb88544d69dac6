"""One subscription in one shard, by windows: what many streams add up to, step by step behind the closing mark.

Source: docs/explanation/feed.md.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

from cassorm import faults
from cassorm.errors import CassormError
from cassorm.events.cursor import until_answered
from cassorm.events.pointers import Pointer
from cassorm.events.shard_feed import ShardFeed, Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import (
    BEFORE_ALL,
    Checkpoint,
    CursorTables,
    Overtaken,
    Parked,
    Placed,
    Subscription,
    Unfit,
    Window,
)

logger = logging.getLogger("cassorm.events")

_LONGEST_PAUSE_S = 5.0
_LOADED_TOGETHER = 32
"""Appends whose events are in memory at one time, however many a window has."""


class WindowCursor:
    """Carries a subscription that takes windows through one shard, as its owner; see `Carried`."""

    def __init__(
        self, subscription: Subscription, feed: ShardFeed, tables: CursorTables, checkpoint: Checkpoint
    ) -> None:
        self.subscription = subscription
        self.checkpoint = checkpoint.pos
        self.done_upto = checkpoint.pos
        self.number: int | None = None
        self.handled = 0
        self.trouble: BaseException | None = None
        self._feed = feed
        self._tables = tables
        self._scan_upto = checkpoint.scan_upto
        self._ending = False
        self._at_work = asyncio.Lock()
        """Held while a window is handled, and until that is noted."""
        self._left_out: set[tuple[Stream, int]] = set()
        self._failed: Counter[tuple[Stream, int]] = Counter()

    @property
    def scanning(self) -> bool:
        """Whether it still reads streams that stood there before it began to follow the feed."""
        return self._scan_upto is not None

    async def run(self) -> None:
        """Handle one window after the other, for ever."""
        if self._scan_upto is not None:
            upto, begun = self._scan_upto, self.done_upto
            whole = begun == BEFORE_ALL
            await self._hand_over(Window(self._feed.shard, begun, upto, whole, lambda: self._scanned(begun, upto)))
            if not await self._tables.save(upto):
                raise Overtaken
            self.checkpoint = self.done_upto = upto
            self._scan_upto = None
        while True:
            self._feed.news.clear()
            low, upto = self.done_upto, self._feed.complete_upto
            if low >= upto:
                await self._feed.news.wait()
                continue
            pointers = await self._tables.history(self._feed.shard, low, upto)
            high = pointers[-1].pos if pointers else upto
            async with self._at_work:
                if self._ending:
                    return
                if any(self.subscription.may_want(pointer) for pointer in pointers):
                    await self._hand_over(Window(self._feed.shard, low, high, False, self._following(pointers)))
                self.done_upto = high

    async def _hand_over(self, window: Window) -> None:
        """Return when the handler has taken the window, without the events that it cannot take."""
        subscription, pause = self.subscription, self.subscription.first_pause.total_seconds()
        seconds = subscription.handler_timeout.total_seconds()
        self._left_out.clear()
        self._failed.clear()
        while True:
            await self._tables.owned()
            try:
                if faults.at is not None:
                    faults.at("handler.before")
                # A scan takes as long as it takes.
                async with asyncio.timeout(None if self.scanning else seconds):
                    await subscription.handler(window)
            except Unfit as unfit:
                await self._count(unfit)
            except Exception as error:  # whatever a handler raises: no single event is to blame
                if self.trouble is None:
                    logger.exception("subscription %s, shard %d waits", subscription.name, window.shard)
                self.trouble = error
            else:
                if faults.at is not None:
                    faults.at("handler.after")
                self.trouble = None
                return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    async def _count(self, unfit: Unfit) -> None:
        recorded = unfit.placed.recorded
        key = (recorded.stream, recorded.version)
        self._failed[key] += 1
        if self._failed[key] < self.subscription.attempts:
            return
        parked = Parked(
            self.subscription.name, *key, recorded.event_type, recorded.position, str(unfit), self._failed[key]
        )
        await self._park(parked)

    async def _park(self, parked: Parked) -> None:
        logger.error(
            "subscription %s parks version %d of %s: %s",
            parked.subscription,
            parked.version,
            parked.stream,
            parked.error,
        )
        await until_answered(lambda: self._tables.park(parked))
        self._left_out.add((parked.stream, parked.version))

    def _following(self, pointers: Sequence[Pointer]) -> Callable[[], AsyncIterator[Placed]]:
        async def events() -> AsyncIterator[Placed]:
            wanted = [pointer for pointer in pointers if self.subscription.may_want(pointer)]
            for start in range(0, len(wanted), _LOADED_TOGETHER):
                part = wanted[start : start + _LOADED_TOGETHER]
                loaded = await asyncio.gather(*map(self._tables.load, part))
                for pointer, found in zip(part, loaded, strict=True):
                    for event in found:
                        placed = await self._placed(pointer.stream, pointer.aggregate_type, event, pointer.pos)
                        if placed is not None:
                            yield placed

        return events

    async def _scanned(self, begun: int, upto: int) -> AsyncIterator[Placed]:
        async for part in self._tables.scan(self._feed.shard, -(2**63)):
            for at, event in part.events:
                if begun < at <= upto:
                    placed = await self._placed(part.stream, part.aggregate_type, event, at)
                    if placed is not None:
                        yield placed

    async def _placed(self, stream: Stream, aggregate_type: str | None, event: Stored, at: int) -> Placed | None:
        if not self.subscription.wants(aggregate_type, event) or (stream, event.version) in self._left_out:
            return None
        try:
            recorded = self._tables.decode(stream, aggregate_type, event)
        except CassormError as error:
            await self._park(
                Parked(self.subscription.name, stream, event.version, event.event_type, event.pos, str(error), 1)
            )
            return None
        self.handled += 1
        return Placed(recorded, at)

    async def drain(self) -> None:
        """Return at once: what is not handed over is left to the next owner."""

    async def finish(self) -> None:
        """Return when the window that is being handled is handled; no other is begun."""
        self._ending = True
        async with self._at_work:
            return

    async def save(self) -> None:
        """Move the checkpoint to where everything is handled.

        Raises:
            Overtaken: another owner carries it on.
        """
        if self.scanning or self.done_upto <= self.checkpoint:
            return
        upto = self.done_upto
        if not await self._tables.save(upto):
            raise Overtaken
        self.checkpoint = upto
