"""Where a projection stands: which generation is read, how far it is behind, what it could not take."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cassorm.events.feed_status import scanned_part
from cassorm.events.subscription import Subscription
from cassorm.projections.kinds import Ground, Kind
from cassorm.projections.registry import Generation, State

_MOST_COUNTED = 5_000
"""In each shard no more appends are counted: whoever is further behind is far behind."""
_AHEAD_US = 10_000_000


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """One projection.

    `behind_events` counts what waits in the feed for it, and stops at 5,000 appends a shard; `behind` is how long the
    oldest of these waits. While it catches up by a scan, `scanned` is the part of the store that is done, from 0 to 1.
    `parked` is the number of streams with an event that it could not take.
    """

    name: str
    generation: int
    building: int | None
    retired: tuple[int, ...]
    changed: bool
    """Whether the mapping of this process is another one than that of the generation that is read."""
    event_types: tuple[str, ...]
    scanned: float
    behind_events: int
    behind: timedelta
    parked: int
    paused: bool


async def status_of(ground: Ground, kind: Kind, generations: Sequence[Generation]) -> ProjectionStatus:
    """Where a projection stands."""
    active = next(each for each in generations if each.state is State.ACTIVE)
    name = kind.subscribed(active.number)
    feed, shards = ground.store.feed, range(ground.store.settings.shards)
    # Two conditions only: the handler is not called.
    subscription = kind.subscription(ground, active.number, building=False)
    now, checkpoints, paused = await asyncio.gather(feed.node_clock(), feed.checkpoints(name, shards), feed.paused())
    waiting = await asyncio.gather(
        *(_behind(ground, subscription, shard, found.pos, now) for shard, found in checkpoints.items())
    )
    parked = await asyncio.gather(*(feed.parked_streams(name, shard) for shard in checkpoints))
    oldest = min((first for _, first in waiting if first is not None), default=now)
    return ProjectionStatus(
        name=kind.name,
        generation=active.number,
        building=next((each.number for each in generations if each.state is State.BUILDING), None),
        retired=tuple(each.number for each in generations if each.state is State.RETIRED),
        changed=active.fingerprint != kind.fingerprint,
        event_types=tuple(sorted(kind.event_types)),
        scanned=scanned_part(checkpoints, len(shards)),
        behind_events=sum(count for count, _ in waiting),
        behind=timedelta(microseconds=max(0, now - oldest)),
        parked=sum(map(len, parked)),
        paused=name in paused,
    )


async def _behind(ground: Ground, subscription: Subscription, shard: int, pos: int, now: int) -> tuple[int, int | None]:
    """How many events wait in a shard, and the position of the first."""
    if pos <= 0:
        return 0, None  # it scans the streams: how many there are nobody knows
    pointers = await ground.store.feed.history(shard, pos, now + _AHEAD_US, most=_MOST_COUNTED)
    wanted = [pointer for pointer in pointers if subscription.may_want(pointer)]
    count = sum(pointer.to_version - pointer.from_version + 1 for pointer in wanted)
    return count, wanted[0].pos if wanted else None
