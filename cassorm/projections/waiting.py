"""Read your own writes: return when the effect of an append can be read."""

import asyncio
import time
from datetime import timedelta

from cassorm.errors import QueryError, SubscriptionError
from cassorm.events.feed_status import scanned_part
from cassorm.events.position import Position
from cassorm.projections.kinds import Ground, Kind

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.1
_EVERY = 4
"""So many looks at the row for each look at the checkpoint, which moves about once a second."""


async def wait_for(ground: Ground, kind: Kind, generation: int, position: Position, timeout: timedelta) -> None:
    """Return when the row has applied the version at `position`, or the projection has handled the shard up to it.

    Raises:
        SubscriptionError: not within `timeout`; the error says where the projection stands.
        QueryError: that is no position of this store.
    """
    if not isinstance(position, Position):
        raise QueryError(
            f"{position!r} is no position", where="wait_for()", remedy="Give the position of what append() returned"
        )
    settings = ground.store.settings
    if position.store_id != settings.store_id or not 0 <= position.shard < settings.shards:
        raise QueryError(
            f"a position of store {position.store_id}",
            where=f"wait_for() on store {settings.store_id}",
            remedy="Give a position that an append to this store returned",
        )
    applied = kind.applied(ground, generation)
    name, deadline = kind.subscribed(generation), time.monotonic() + timeout.total_seconds()
    pause, version, look = _FIRST_PAUSE_S, 0, 0
    while True:
        if applied is not None:
            version = await applied.version(position.stream)
            if version >= position.version:
                return
        if applied is None or look % _EVERY == _EVERY - 1:
            # An event that sets nothing, or deletes the row, leaves no version: the checkpoint passes it all the same.
            found = (await ground.store.feed.checkpoints(name, [position.shard])).get(position.shard)
            if found is not None and found.scan_upto is None and found.pos >= position.micros:
                return
        look += 1
        left = deadline - time.monotonic()
        if left <= 0:
            raise await _late(ground, kind, name, position, version=version, timeout=timeout)
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _late(
    ground: Ground, kind: Kind, name: str, position: Position, *, version: int, timeout: timedelta
) -> SubscriptionError:
    feed, shard = ground.store.feed, position.shard
    checkpoints, paused, now = await asyncio.gather(feed.checkpoints(name, [shard]), feed.paused(), feed.node_clock())
    found = checkpoints.get(shard)
    parked = await feed.parked(name, shard, position.stream)
    remedy = "Wait longer, or see what its workers log"
    if found is None:
        stands, remedy = "nobody has begun to feed it", "Run `await projections.run()` in a process"
    elif parked is not None and parked <= position.version:
        stands, remedy = f"version {parked} of the stream is parked", "Correct the mapping, and replay what is parked"
    elif name in paused:
        stands, remedy = "it is paused", "Resume it"
    elif found.scan_upto is not None:
        stands = f"it catches up, and has scanned {scanned_part(checkpoints, 1):.0%} of shard {shard}"
        remedy = "Wait until it has caught up"
    else:
        stands = f"shard {shard} is handled up to {max(0.0, (now - found.pos) / 1e6):.1f} s ago"
        if found.owner is None:
            stands, remedy = f"{stands}, and nobody carries it", "Run `await projections.run()` in a process"
    row = f", the row has applied version {version}" if version else ""
    return SubscriptionError(
        f"version {position.version} of stream {position.stream} is not in effect after "
        f"{timeout.total_seconds():g} s: {stands}{row}",
        subscription=kind.name,
        where=f"projection {kind.name}",
        remedy=remedy,
    )
