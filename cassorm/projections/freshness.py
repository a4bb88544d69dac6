"""Lets a process that keeps rows in a cache drop them when events have changed them, wherever the rows are written."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

from cassorm.errors import ClusterError, SubscriptionError
from cassorm.events.alive import awake
from cassorm.events.crew_tables import carried_as
from cassorm.events.event import Recorded
from cassorm.events.feed_status import subscribed
from cassorm.events.position import Position, shard_of
from cassorm.events.subscription import Start, Subscription
from cassorm.events.worker import Pace, Worker
from cassorm.projections.active import seen_by
from cassorm.projections.kinds import Ground, Kind
from cassorm.projections.waiting import wait_for

logger = logging.getLogger("cassorm.projections")

_PATIENCE = timedelta(seconds=5)
_NO_TIMEOUT = timedelta(days=365)
_NAMED = "caches of "
_LOOK_S = 1.0
_LAPSE_S = 60.0
"""Who was suspended for longer looks upon its caches as of unknown age."""
_GONE_US = 3_600_000_000
"""Whose checkpoint is as old, and who gives no signs of life, was killed."""
_FORGET_S = 300.0


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
    name = f"{_NAMED}{uuid4()}"
    subscription = Subscription(
        name, freshness, event_types=freshness.event_types, begin=Start.NOW, handler_timeout=_NO_TIMEOUT
    )
    worker = Worker(ground.store, [subscription], pace=pace)
    running = asyncio.ensure_future(worker.run())
    looking: asyncio.Future[None] | None = None
    try:
        await _begun(ground, name, running)
        freshness.forget()
        looking = asyncio.ensure_future(_look_on(ground, freshness, name, running))
        yield
    finally:
        if looking is not None:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
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


async def _look_on(ground: Ground, freshness: Freshness, name: str, running: "asyncio.Future[None]") -> None:
    """Forget what killed processes have left behind, now and again, and what is kept here after a long sleep."""
    seen, looked = awake(), -math.inf
    while True:
        try:
            if awake() - seen > _LAPSE_S:
                # Others may have taken this process for dead: then it follows the feed from now on, and is told of no
                # event that came before.
                await _begun(ground, name, running)
                freshness.forget()
                looked = awake()
            seen = awake()
            if seen - looked > _FORGET_S:
                await _forget_killed(ground)
                looked = seen
        except ClusterError as error:
            logger.warning("checkpoints of killed processes are left for later: %s", error)
        except Exception:
            logger.exception("%s goes on after an error of its own", name)
        await asyncio.sleep(_LOOK_S)


async def _forget_killed(ground: Ground) -> None:
    """Forget the checkpoints of caches whose processes were killed: nobody else would."""
    feed, shards = ground.store.feed, range(ground.store.settings.shards)
    names = [name for name in await subscribed(ground.store) if name.startswith(_NAMED)]
    carried, now = await ground.store.crew.all_carried(), await feed.node_clock()
    for name in names:
        if carried_as(ground.store.name, name) not in carried:
            found = await feed.checkpoints(name, shards)
            if all(each.pos < now - _GONE_US for each in found.values()):
                await feed.forget(name)
