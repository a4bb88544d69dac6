"""Lets a process that keeps rows in a cache drop them when events have changed them, wherever the rows are written."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

from cassorm.errors import SubscriptionError
from cassorm.events.event import Recorded
from cassorm.events.position import Position, shard_of
from cassorm.events.subscription import Start, Subscription
from cassorm.events.worker import Pace, Worker
from cassorm.projections.active import seen_by
from cassorm.projections.kinds import Ground, Kind
from cassorm.projections.waiting import wait_for

_PATIENCE = timedelta(seconds=5)
_NO_TIMEOUT = timedelta(days=365)


class Freshness:
    """Tells those who keep rows when an event can be seen in them."""

    def __init__(self, ground: Ground, kinds: Iterable[Kind]) -> None:
        self._ground = ground
        self._kinds = [kind for kind in kinds if kind.applied(ground, 1) is not None]

    @property
    def event_types(self) -> frozenset[str]:
        """The events that change rows."""
        return frozenset[str]().union(*(kind.event_types for kind in self._kinds))

    def forget(self) -> None:
        """Tell that any row may have changed: of what happened before, nobody will be told."""
        for kind in self._kinds:
            kind.tell(self._ground, None)

    async def __call__(self, recorded: Recorded) -> None:
        """Return when all rows that an event changes show it, and whoever keeps them was told."""
        await asyncio.gather(
            *(self._seen(kind, recorded) for kind in self._kinds if recorded.event_type in kind.event_types)
        )

    async def _seen(self, kind: Kind, recorded: Recorded) -> None:
        ground, settings = self._ground, self._ground.store.settings
        shard = shard_of(recorded.stream, settings.shards)
        position = Position(settings.store_id, shard, recorded.position, recorded.stream, recorded.version)
        shown = False
        while not shown:
            generation = await seen_by(ground.session).asked(ground.keyspace, kind.name)
            with suppress(SubscriptionError):
                await wait_for(ground, kind, generation, position, _PATIENCE)
                shown = True
            # After the write can be read, not before: what was read meanwhile is what stands there no more.
            kind.tell(ground, recorded.stream)


@asynccontextmanager
async def fresh_caches(ground: Ground, kinds: Iterable[Kind], pace: Pace | None) -> AsyncIterator[None]:
    """Within the block, tell the caches of the session of each row that an event has changed."""
    freshness = Freshness(ground, kinds)
    name = f"caches of {uuid4()}"
    subscription = Subscription(
        name, freshness, event_types=freshness.event_types, begin=Start.NOW, handler_timeout=_NO_TIMEOUT
    )
    worker = Worker(ground.store, [subscription], pace=pace)
    running = asyncio.ensure_future(worker.run())
    try:
        await _begun(ground, name, running)
        freshness.forget()
        yield
    finally:
        worker.stop()
        await running
        await ground.store.feed.forget(name)


async def _begun(ground: Ground, name: str, running: "asyncio.Future[None]") -> None:
    """Return when every shard is followed: what is appended from now on is told."""
    feed, shards = ground.store.feed, range(ground.store.settings.shards)
    while len(await feed.checkpoints(name, shards)) < len(shards):
        if running.done():
            running.result()
        await asyncio.sleep(0.02)
