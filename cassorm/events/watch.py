"""What a worker looks at: ahead in the feeds of its shards, and behind, closing those that it resolves.

Source: docs/explanation/feed.md.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from uuid import UUID

from cassorm.events.alive import awake
from cassorm.events.crew import Crew
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pointers import Pointer
from cassorm.events.resolver import Lost, Resolver, ResolverTables
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import ShardFeed, Sources

_FAR_AHEAD_US = 10_000_000
"""Writers' clocks may be as far ahead of the node's: pointers in buckets to come are looked for as well."""
_FAR_BEHIND_US = 60_000_000
"""So far behind the present a shard is not looked ahead in: it is closed step by step until it is nearer."""
_LATE_US = 900_000_000
"""So far back pointers that come late are looked for at rest; what comes later still is found when the shard is closed."""
_MANY = 500
"""So many pointers are too many to be read each second for what may be new among them."""


class Watch:
    """The feeds of the shards that a process carries, and the resolvers of those that it owns."""

    def __init__(self, tables: FeedTables, crew: Crew, now: Callable[[], int], settings: StoreSettings) -> None:
        self._tables = tables
        self._crew = crew
        self._pace = crew.pace
        self.now = now
        """Microseconds by the node's clock."""
        # What lies between two closings shall be few partitions of the feed, and its pointers be there for long.
        self._rest_s = min(self._pace.rest.total_seconds(), settings.bucket_s / 2)
        self._rest_most_s = max(self._rest_s, settings.feed_ttl_s / 4)
        self.feeds: dict[int, ShardFeed] = {}
        self.resolvers: dict[int, Resolver] = {}
        self._closed: dict[int, float] = {}
        """When each shard was closed last."""

    @property
    def expects_more(self) -> bool:
        """Whether something has come that is not complete, or is not taken yet."""
        return any(feed.published or feed.unsettled for feed in self.feeds.values())

    @property
    def _rest(self) -> float:
        """How many seconds a shard in which nothing happens is left alone; of many stores the more."""
        rest = self._crew.between_closings(timedelta(seconds=self._rest_s), len(self.resolvers))
        return min(self._rest_most_s, rest)

    async def feed(self, shard: int) -> ShardFeed:
        """Return the feed of a shard, which begins where the shard is resolved."""
        if shard not in self.feeds:
            resolved = (await self._tables.standing(shard)).resolved_upto
            sources = Sources(self._tables.events, self._tables.behind, self._tables.pointers)
            self.feeds[shard] = ShardFeed(sources, shard, resolved)
        return self.feeds[shard]

    def resolver(self, shard: int, owner: UUID) -> Resolver:
        """Return a resolver that has yet to claim its shard."""
        return Resolver(self._resolver_tables(), shard, owner)

    async def look(self, numbers: Callable[[int], Iterable[int]]) -> bool:
        """Look ahead in all feeds; tell whether there was something.

        `numbers` tells of a shard the numbers of the deliveries that its readers want next.
        """
        now = self.now()
        overlap = int(self._pace.overlap.total_seconds() * 1e6)
        far_behind = max(_FAR_BEHIND_US, int(3e6 * self._crew.between_looks()))
        # What is let go of meanwhile is looked at once more, and harms nobody. Where much has gathered while nobody
        # looked, closing brings it, by and by.
        feeds = dict(self.feeds)
        for shard, feed in self.feeds.items():
            feed.looked_upto = max(feed.looked_upto, feed.complete_upto)
            if now - feed.looked_upto >= far_behind:
                del feeds[shard]
        if not feeds:
            return False
        low = min(feed.looked_upto for feed in feeds.values()) - overlap
        low = max(low, min(feed.complete_upto for feed in feeds.values()))
        found = await self._tables.news(sorted(feeds), low, self._latest())
        by_shard: dict[int, list[Pointer]] = {}
        for pointer in found:
            by_shard.setdefault(pointer.shard, []).append(pointer)

        async def publish(shard: int, feed: ShardFeed) -> bool:
            pointers = by_shard.get(shard, [])
            something = bool(pointers or feed.unsettled) and (bool(await feed.look(pointers)) or bool(feed.unsettled))
            feed.taken(min(numbers(shard), default=feed.count))
            return something

        for feed in feeds.values():
            feed.looked_upto = max(feed.looked_upto, now - overlap)
        moving = [item for item in feeds.items() if item[0] in by_shard or item[1].unsettled or item[1].published]
        # Side by side: one shard after the other, the last would wait for the events of all others.
        return any(await asyncio.gather(*(publish(*item) for item in moving)))

    def _latest(self) -> int:
        """Return up to where to look for pointers: wherever a writer's clock may stand, or the node's."""
        return max(self.now(), time.time_ns() // 1000) + _FAR_AHEAD_US

    async def resolve(self, trail: timedelta | None = None) -> None:
        """Close the shards of this worker where there is something to close, and learn how far the others are."""
        upto = self.now() - int((self._pace.trail if trail is None else trail).total_seconds() * 1e6)
        resolvers = dict(self.resolvers)
        busy = {shard for shard, resolver in resolvers.items() if self._is_busy(shard, resolver, upto)}
        quiet = resolvers.keys() - busy
        if quiet:
            busy |= await self._late(quiet)
        # Each for itself: replicas that do not answer shall hold up their own shards only.
        failures = await asyncio.gather(
            *(self.close(shard, resolvers[shard], upto) for shard in sorted(busy)),
            self._follow(self.feeds.keys() - busy),
            return_exceptions=True,
        )
        for failure in failures:
            if failure is not None:
                raise failure

    def rested(self, resolved_upto: int, now: int | None = None) -> bool:
        """Tell whether a shard was not closed for so long that it will be, whatever happens in it."""
        return (self.now() if now is None else now) - resolved_upto > self._rest * 1e6

    def _is_busy(self, shard: int, resolver: Resolver, upto: int) -> bool:
        """Tell whether there is something to close, as far as it is known, or whether it is time to do it anyway."""
        feed = self.feeds.get(shard)
        return (
            awake() - self._closed.get(shard, 0) >= self._rest
            or self.rested(resolver.resolved_upto, upto)
            or (feed is not None and bool(feed.published or feed.unsettled))
        )

    async def _late(self, shards: Collection[int]) -> set[int]:
        """Return those of these shards in which there are pointers behind what is resolved.

        Nobody may have looked ahead there, or not at the right moment: a writer that stood still writes its pointer
        where others have looked long ago.
        """
        resolved = {shard: self.resolvers[shard].resolved_upto for shard in shards if shard in self.resolvers}
        if not resolved:
            return set()
        low = max(min(resolved.values()), self.now() - _LATE_US)
        found = await self._tables.news(sorted(resolved), low, self._latest())
        if len(found) > _MANY:
            # Most of them are resolved, in shards that were closed later than others: close all, and it is far less.
            return set(resolved)
        return {pointer.shard for pointer in found if pointer.pos > resolved[pointer.shard]}

    async def close(self, shard: int, resolver: Resolver, upto: int) -> None:
        """Close a shard up to a position, and tell its feed."""
        async with resolver.turn:
            feed = self.feeds.get(shard)
            before = resolver.resolved_upto
            try:
                appended = await resolver.round(upto, None if feed is None else feed.has)
            except Lost:
                if self.resolvers.get(shard) is resolver:
                    del self.resolvers[shard]
                return
            if resolver.resolved_upto >= upto:
                self._closed[shard] = awake()
            if feed is not None:
                await feed.finish(resolver.resolved_upto, appended if feed.complete_upto == before else None)

    async def _follow(self, shards: Collection[int]) -> None:
        """Take over how far shards are resolved that others close, or that this worker has closed for another feed."""
        known: dict[int, int] = {
            shard: resolver.resolved_upto for shard, resolver in self.resolvers.items() if shard in shards
        }
        others = sorted(shards - known.keys())
        if others:
            known |= {shard: mark.resolved_upto for shard, mark in (await self._tables.standings(others)).items()}
        for shard, upto in known.items():
            feed = self.feeds.get(shard)
            if feed is not None and feed.complete_upto < upto:
                await feed.finish(upto)

    def _resolver_tables(self) -> ResolverTables:
        feed = self._tables
        return ResolverTables(
            feed.standing,
            feed.claim,
            feed.close,
            feed.resolve,
            feed.next_pointers,
            feed.state,
            feed.row,
            feed.raise_fence,
        )
