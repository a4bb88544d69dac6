"""Build the next generation of a projection beside the one that is read, until it holds what has happened."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cassorm.events.feed_status import scanned_part
from cassorm.events.subscription import Placed, Subscription, Window
from cassorm.events.worker import Pace, Worker
from cassorm.projections.kinds import Ground, Kind
from cassorm.projections.registry import Generation

_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """How far a rebuild is: the part of the store that is scanned, from 0 to 1, and what this process did of it.

    `left` is None until enough is done to tell.
    """

    name: str
    generation: int
    scanned: float
    events: int
    events_per_s: float
    left: timedelta | None


class Rebuild:
    """One rebuild, as one process carries it; others that run the projection take their share."""

    def __init__(self, ground: Ground, kind: Kind, building: Generation, pace: Pace | None = None) -> None:
        self._ground = ground
        self._kind = kind
        self._building = building
        self._name = kind.subscribed(building.number)
        self._pace = pace
        self._events = 0

    async def run(self, progress: Callable[[RebuildProgress], None] | None) -> None:
        """Return when the new generation holds all that had happened a moment ago."""
        subscription = self._kind.subscription(self._ground, self._building.number, building=True)
        worker = Worker(self._ground.store, [self._counted(subscription)], pace=self._pace)
        running = asyncio.ensure_future(worker.run())
        try:
            await self._caught_up(running, progress)
        finally:
            worker.stop()
            await running

    async def _caught_up(
        self, running: "asyncio.Future[None]", progress: Callable[[RebuildProgress], None] | None
    ) -> None:
        begun, goal = time.monotonic(), 0
        first: float | None = None
        feed, shards = self._ground.store.feed, range(self._ground.store.settings.shards)
        while True:
            if running.done():
                running.result()
            found = await feed.checkpoints(self._name, shards)
            part = scanned_part(found, len(shards))
            first = part if first is None else first
            if progress is not None:
                progress(self._progress(part, first, time.monotonic() - begun))
            if part == 1:
                # Not the closing mark: nobody may have moved it for long.
                goal = goal or await feed.node_clock()
                there = await asyncio.gather(*(self._has_come(shard, found[shard].pos, goal) for shard in shards))
                if all(there):
                    return
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), _LOOK_S)

    async def _has_come(self, shard: int, pos: int, goal: int) -> bool:
        """Whether everything up to `goal` is handled: a shard in which nothing happens is closed no further."""
        return pos >= goal or not await self._ground.store.feed.history(shard, pos, goal, most=1)

    def _progress(self, part: float, first: float, elapsed_s: float) -> RebuildProgress:
        done = part - first
        left = timedelta(seconds=elapsed_s * (1 - part) / done) if done > 0 else None
        rate = self._events / elapsed_s if elapsed_s else 0.0
        return RebuildProgress(self._kind.name, self._building.number, part, self._events, rate, left)

    def _counted(self, subscription: Subscription) -> Subscription:
        handler = subscription.handler

        async def counted(given: Any) -> None:
            if isinstance(given, Window):
                await handler(replace(given, events=lambda: self._counting(given)))
                return
            await handler(given)
            self._events += len(given) if isinstance(given, list) else 1

        return replace(subscription, handler=counted)

    async def _counting(self, window: Window) -> AsyncIterator[Placed]:
        async for placed in window.events():
            self._events += 1
            yield placed
