"""Build the next generation of a projection beside the one that is read, until it has come as far."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from cassorm.events.subscription import Placed, Subscription, Window
from cassorm.events.worker import Pace, Worker
from cassorm.projections.kinds import Ground, Kind
from cassorm.projections.registry import Generation
from cassorm.projections.status import scanned_part

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

    def __init__(
        self, ground: Ground, kind: Kind, active: Generation, building: Generation, pace: Pace | None = None
    ) -> None:
        self._ground = ground
        self._kind = kind
        self._active = kind.subscribed(active.number)
        self._building = building
        self._name = kind.subscribed(building.number)
        self._pace = pace
        self._events = 0

    async def run(self, progress: Callable[[RebuildProgress], None] | None) -> None:
        """Return when the new generation has come as far as the old one stood a moment ago."""
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
        begun, goals = time.monotonic(), dict[int, int]()
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
            if part == 1 and not goals:
                goals = await self._goals()
            if goals and all(found[shard].pos >= goal for shard, goal in goals.items()):
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(running), _LOOK_S)

    async def _goals(self) -> dict[int, int]:
        """In each shard how far readers have come with the old generation; where nobody feeds it, the present."""
        feed, shards = self._ground.store.feed, range(self._ground.store.settings.shards)
        active = await feed.checkpoints(self._active, shards)
        standings = await feed.standings(shards)
        return {
            shard: active[shard].pos if shard in active and active[shard].pos > 0 else standings[shard].resolved_upto
            for shard in shards
        }

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
