"""Where the subscriptions of a store stand: who carries them, how far they are behind, what they could not handle."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from cassorm.cql.identifiers import quote_table
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pointers import Pointer
from cassorm.events.position import tokens_of
from cassorm.events.subscription import BEFORE_ALL, Checkpoint, Subscription

LOOK = timedelta(seconds=2.5)
"""Between the two looks that tell who is alive, and how fast it goes: more than two signs of life."""
_MOST_COUNTED = 5_000
_FAR_AHEAD_US = 10_000_000


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One subscription.

    `carried` is the number of shards whose owner has given a sign of life between the two looks, `without_owner` are the
    others, and `workers` is the number of such owners. `behind_events` counts the wanted events in the feed behind the checkpoints, up to about 5,000 appends a
    shard, and `behind` is how long the oldest of them waits: checkpoints are moved once a second, so that a moment's
    events are always among them. `rate` is in events a second. `scanned` is the part of the store that is done while
    the streams are read, 1 from then on. `parked` are streams. `known` is False for a subscription that has checkpoints
    and that nobody named.
    """

    subscription: str
    shards: int
    carried: int
    without_owner: tuple[int, ...]
    workers: int
    scanned: float
    behind: timedelta
    behind_events: int
    rate: float
    parked: int
    paused: bool
    known: bool = True


class _Look(NamedTuple):
    at: int
    beats: dict[UUID, int]
    checkpoints: dict[str, dict[int, Checkpoint]]


async def feed_status(
    store: CassandraEventStore, subscriptions: Iterable[Subscription], *, look: timedelta = LOOK
) -> list[FeedStatus]:
    """Return where these subscriptions stand, and all others that have checkpoints; two looks are taken, `look` apart."""
    known = {subscription.name: subscription for subscription in subscriptions}
    feed, shards = store.feed, range(store.settings.shards)
    names = list(dict.fromkeys([*known, *await subscribed(store)]))
    first = await _look(store, names, shards)
    await asyncio.sleep(look.total_seconds())
    second = await _look(store, names, shards)
    alive = {worker for worker, beat in second.beats.items() if first.beats.get(worker) != beat}
    paused = await feed.paused()
    found = []
    for name in names:
        subscription, checkpoints = known.get(name), second.checkpoints[name]
        waiting = await asyncio.gather(
            *(
                _waiting(feed, subscription, shard, checkpoint.pos, second.at)
                for shard, checkpoint in checkpoints.items()
            )
        )
        handled = await asyncio.gather(
            *(
                _count(feed, subscription, shard, first.checkpoints[name][shard].pos, checkpoint.pos)
                for shard, checkpoint in checkpoints.items()
                if shard in first.checkpoints[name]
            )
        )
        parked = await asyncio.gather(*(feed.parked_streams(name, shard) for shard in checkpoints))
        oldest = min((pos for _, pos in waiting if pos is not None), default=second.at)
        owners = {shard: checkpoint.owner for shard, checkpoint in checkpoints.items() if checkpoint.owner in alive}
        found.append(
            FeedStatus(
                subscription=name,
                shards=len(shards),
                carried=len(owners),
                without_owner=tuple(shard for shard in shards if shard not in owners),
                workers=len(set(owners.values())),
                scanned=scanned_part(checkpoints, len(shards)),
                behind=timedelta(microseconds=max(0, second.at - oldest)),
                behind_events=sum(count for count, _ in waiting),
                rate=sum(handled) * 1e6 / max(1, second.at - first.at),
                parked=sum(map(len, parked)),
                paused=name in paused,
                known=subscription is not None,
            )
        )
    return found


async def subscribed(store: CassandraEventStore) -> list[str]:
    """Return the names of all subscriptions that have checkpoints, sorted."""
    table = quote_table(store.tables.checkpoints, store.keyspace)
    # As many rows as subscriptions times shards: a small table, gone through whole.
    rows = store.session.stream(f"SELECT DISTINCT subscription, shard FROM {table}")
    return sorted({name async for name, _ in rows})


def scanned_part(checkpoints: dict[int, Checkpoint], shards: int) -> float:
    """Return which part of the store a subscription has read: 1 when it follows the feed in all shards."""
    done = 0.0
    for shard, found in checkpoints.items():
        if found.scan_upto is None or found.scan_token is None:
            done += found.scan_upto is None
            continue
        first, last = tokens_of(shard, shards)
        done += (found.scan_token - first) / (last - first)
    return done / shards


async def _look(store: CassandraEventStore, names: list[str], shards: range) -> _Look:
    checkpoints = await asyncio.gather(*(store.feed.checkpoints(name, shards) for name in names))
    signs, _ = await store.crew.signs()
    at = await store.feed.node_clock()
    beats = {worker: sign.beat for worker, sign in signs.items()}
    return _Look(at, beats, dict(zip(names, checkpoints, strict=True)))


async def _waiting(
    feed: FeedTables, subscription: Subscription | None, shard: int, pos: int, now: int
) -> tuple[int, int | None]:
    if pos <= BEFORE_ALL:
        return 0, None  # it reads the streams: how many there are nobody knows
    found, low = list[Pointer](), pos
    while len(found) < _MOST_COUNTED:
        page = await feed.history(shard, low, now + _FAR_AHEAD_US, most=_MOST_COUNTED)
        if not page:
            break
        found += page
        low = page[-1].pos
    pointers = _wanted(subscription, found)
    return _events(pointers), pointers[0].pos if pointers else None


async def _count(feed: FeedTables, subscription: Subscription | None, shard: int, low: int, high: int) -> int:
    if low <= BEFORE_ALL or low >= high:
        return 0
    return _events(_wanted(subscription, await feed.history(shard, low, high, most=_MOST_COUNTED)))


def _wanted(subscription: Subscription | None, pointers: list[Pointer]) -> list[Pointer]:
    return [pointer for pointer in pointers if subscription is None or subscription.may_want(pointer)]


def _events(pointers: list[Pointer]) -> int:
    return sum(pointer.to_version - pointer.from_version + 1 for pointer in pointers)
