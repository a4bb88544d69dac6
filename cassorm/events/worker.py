"""A process that carries subscriptions: it shares the shards with others, resolves its own, and tells its handlers.

Who is alive is judged by signs of life that have changed within the lease, by this process's own clock. That is for
liveness alone: what an owner writes is conditional on its epoch, and effects are kept once by other means. So a process
that was suspended, and goes on as if nothing had happened, does work twice at worst.

Source: docs/explanation/feed.md.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID, uuid4

from cassorm import faults
from cassorm.errors import ClusterError
from cassorm.events.alive import Alive, awake
from cassorm.events.cursor import Carried, Cursor
from cassorm.events.event import Recorded
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pointers import Pointer
from cassorm.events.resolver import Lost, Resolver, ResolverTables, stands
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import ShardFeed, Sources, Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import BEFORE_ALL, Checkpoint, CursorTables, Overtaken, Start, Subscription
from cassorm.events.window_cursor import WindowCursor

logger = logging.getLogger("cassorm.events")

_FAR_AHEAD_US = 10_000_000
"""Writers' clocks may be as far ahead of the node's: pointers in buckets to come are looked for as well."""
_FAR_BEHIND_US = 60_000_000
"""So far behind the present a shard is not looked ahead in: it is closed step by step until it is nearer."""
_MANY = 500
"""So many pointers are too many to be read each second for what may be new among them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker does what."""

    beat: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=6)
    """Without a sign of life for so long a worker counts as dead, and stops handling by itself."""
    trail: timedelta = timedelta(milliseconds=500)
    """How far closing trails the present: so that few writers have to begin again."""
    closing: timedelta = timedelta(seconds=1)
    busy: timedelta = timedelta(milliseconds=15)
    idle: timedelta = timedelta(milliseconds=500)
    """Between two looks at the feed: when there was something a moment ago, and when there was not."""
    overlap: timedelta = timedelta(milliseconds=100)
    """How far each look goes back: what lands later still is found when the shard is closed."""
    checkpoint: timedelta = timedelta(seconds=1)
    grace: timedelta = timedelta(seconds=5)
    """How long a worker that is stopped waits for its handlers."""
    rest: timedelta = timedelta(minutes=5)
    """How often a shard in which nothing happens is closed all the same."""


@dataclass(frozen=True, slots=True)
class Carrying:
    """How a subscription stands in a shard: up to which position everything is handled, and what that is worth.

    `behind_s` is 0 when everything that is known to be there is handled. `handled` and `per_s` count since this worker
    took it up; `trouble` is what keeps it from going on at the moment.
    """

    subscription: str
    shard: int
    done_upto: int
    behind_s: float
    scanning: bool
    handled: int
    per_s: float
    trouble: str | None


@dataclass(slots=True)
class _Running:
    cursor: Carried
    epoch: int
    task: asyncio.Task[None]
    since: float

    @property
    def ended(self) -> bool:
        """Whether it goes no further: it could not read, or another owner has it."""
        return self.task.done()

    @property
    def failure(self) -> BaseException | None:
        """Why it goes no further."""
        return None if self.task.cancelled() or not self.task.done() else self.task.exception()


class FedStore(Protocol):
    """What a worker needs of an event store."""

    @property
    def feed(self) -> FeedTables:
        """The tables of its feed."""

    @property
    def settings(self) -> StoreSettings:
        """What all its clients share."""

    def decode(self, stream: Stream, aggregate_type: str | None, row: Sequence[Any]) -> Recorded:
        """Return a row of an event with its payload decoded."""


class Worker:
    """Carries subscriptions to the events of one store until it is stopped; any number of processes share the work."""

    def __init__(self, store: FedStore, subscriptions: Iterable[Subscription], *, pace: Pace | None = None) -> None:
        self.id = uuid4()
        self.pace = pace or Pace()
        self.subscriptions = {subscription.name: subscription for subscription in subscriptions}
        self._store = store
        self._feed: FeedTables = store.feed
        self._shards = range(store.settings.shards)
        self._alive = Alive(self.pace.lease.total_seconds())
        # What lies between two closings shall be few partitions of the feed: all of them are looked at each second.
        self._rest_s = min(self.pace.rest.total_seconds(), store.settings.bucket_s / 2)
        self._feeds: dict[int, ShardFeed] = {}
        self._resolvers: dict[int, Resolver] = {}
        self._closed: dict[int, float] = {}
        """When each shard was closed last."""
        self._running: dict[tuple[str, int], _Running] = {}
        self._held: dict[tuple[str | None, int], int] = {}
        """The epochs of what the tables may say that this worker owns: a subscription in a shard, or (None) its mark.

        What it let go of after a lapse, or could not give back, nobody else takes up while this worker is alive.
        """
        self._beats = 0
        self._node_ahead = 0
        """What to add to microseconds of `awake` for the node's clock: nobody sets that clock behind our back."""
        self._last_beat = awake()
        self._paused: frozenset[str] = frozenset()
        ttl_us = store.settings.feed_ttl_s * 1_000_000
        self._kept_us = ttl_us - max(ttl_us // 10, 2_000_000)
        """How long pointers are there for certain."""
        self._changing_hands = asyncio.Lock()
        """Held by whoever of this worker's tasks claims or lets go of something."""
        self._stopping = asyncio.Event()
        self._beaten = asyncio.Event()

    # -- its life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the subscriptions until `stop`; then hand over what it owns."""
        await self._beat()
        try:
            async with asyncio.TaskGroup() as tasks:
                for step, pause in (
                    (self._beat, self.pace.beat),
                    (self._share, self.pace.beat),
                    (self._resolve, self.pace.closing),
                    (self._save, self.pace.checkpoint),
                ):
                    tasks.create_task(self._repeat(step, pause))
                tasks.create_task(self._look_on())
        finally:
            await self._hand_over()

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    @property
    def carried(self) -> list[tuple[str, int]]:
        """The subscriptions and shards that this worker carries at the moment."""
        return sorted(self._running)

    def status(self) -> list[Carrying]:
        """Return how each subscription stands in each shard that this worker carries, sorted by both."""
        return [self._status(*key) for key in self.carried]

    def _status(self, name: str, shard: int) -> Carrying:
        running, now = self._running[name, shard], self._now()
        cursor, trouble = running.cursor, running.cursor.trouble
        feed = self._feeds[shard]
        # What is complete and published is there to be handled: nothing else is waited for.
        behind = cursor.scanning or cursor.done_upto < feed.complete_upto or bool(feed.published)
        return Carrying(
            subscription=name,
            shard=shard,
            done_upto=cursor.done_upto,
            behind_s=max(0.0, (now - cursor.done_upto) / 1e6) if behind else 0.0,
            scanning=cursor.scanning,
            handled=cursor.handled,
            per_s=cursor.handled / max(awake() - running.since, 1e-3),
            trouble=None if trouble is None else f"{type(trouble).__name__}: {trouble}",
        )

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]], pause: timedelta) -> None:
        while not self._stopping.is_set():
            try:
                await step()
            except ClusterError as error:
                logger.warning("worker %s: %s", self.id, error)
            except Exception:
                # Its next turn may go well; if not, others see to what it does not do.
                logger.exception("worker %s goes on after an error of its own", self.id)
            await self._pause(pause)

    async def _pause(self, pause: timedelta) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause.total_seconds()):
                await self._stopping.wait()

    async def _beat(self) -> None:
        begun = awake()
        self._beats += 1
        await self._feed.beat(self.id, self._beats, self.subscriptions)
        if begun - self._last_beat >= self.pace.lease.total_seconds():
            # Others may have taken over meanwhile: own nothing before it is claimed again.
            logger.warning(
                "worker %s gave no sign of life for %.1f s: it lets go of all", self.id, begun - self._last_beat
            )
            async with self._changing_hands:
                await self._let_go(list(self._running), give=False)
                self._resolvers.clear()
        self._last_beat = begun
        self._beaten.set()
        self._paused = await self._feed.paused()
        beats, node_clock = await self._feed.workers()
        self._alive.saw(beats)
        if (forgotten := self._alive.forgotten()) is not None:
            # Whoever wakes up after so long writes its row anew.
            await self._feed.leave(forgotten)
        # The node's clock, not ours: a mark that a wrong clock sets ahead would drive the writers ahead of it.
        self._node_ahead = node_clock - int(awake() * 1e6)

    async def _owned(self) -> None:
        while awake() - self._last_beat >= self.pace.lease.total_seconds():
            self._beaten.clear()
            await self._beaten.wait()

    async def _hand_over(self) -> None:
        with suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(self.pace.grace.total_seconds()):
                # Closed up to the present, so that nothing that is handled is handled again by the next owner.
                await self._resolve(trail=timedelta(0))
                await asyncio.gather(*(running.cursor.drain() for running in self._running.values()))
        await self._let_go(list(self._running), give=True)
        self._resolvers.clear()
        with suppress(ClusterError):
            for name, shard in list(self._held):
                if name is None:
                    await self._feed.release(shard, self.id, self._held[None, shard])
                else:
                    await self._give(name, shard)
        with suppress(ClusterError):
            await self._feed.leave(self.id)

    # -- sharing -------------------------------------------------------------------------------------------------

    async def _share(self) -> None:
        """Claim what falls to this worker and is free, let go of what falls to another."""
        async with self._changing_hands:
            for subscription in self.subscriptions.values():
                await self._share_out(subscription)
            await self._share_resolving()

    async def _share_resolving(self) -> None:
        resolving = self._mine(self._alive.workers())
        for shard in [shard for name, shard in self._held if name is None and shard not in resolving]:
            self._resolvers.pop(shard, None)
            await self._feed.release(shard, self.id, self._held[None, shard])
            self._held.pop((None, shard), None)
        missing = sorted(resolving - self._resolvers.keys())
        if missing:
            for shard, standing in (await self._feed.standings(missing)).items():
                if standing.owner == self.id or self._alive.gone(standing.owner):
                    resolver = Resolver(self._resolver_tables(), shard, self.id)
                    self._held[None, shard] = standing.epoch + 1
                    if await resolver.claim(standing):
                        self._resolvers[shard] = resolver
                    else:
                        self._held.pop((None, shard), None)

    async def _share_out(self, subscription: Subscription) -> None:
        mine = set() if subscription.name in self._paused else self._mine(self._alive.workers(subscription.name))
        owned = {shard for name, shard in self._running if name == subscription.name}
        ended = self._ended(subscription.name)
        await self._let_go([(subscription.name, shard) for shard in {*(owned - mine), *ended}], give=True)
        for name, shard in list(self._held):
            if name == subscription.name and shard not in mine:
                await self._give(name, shard)
        missing = sorted(mine - {shard for name, shard in self._running if name == subscription.name})
        if not missing:
            return
        standing = await self._feed.checkpoints(subscription.name, missing)
        marks = await self._feed.standings(missing)
        for shard in [shard for shard in missing if shard not in standing]:
            resolved = marks[shard].resolved_upto
            if subscription.begin is Start.BEGINNING:
                await self._feed.begin(subscription.name, shard, BEFORE_ALL, resolved)
            else:
                await self._feed.begin(subscription.name, shard, resolved, None)
            standing[shard] = (await self._feed.checkpoints(subscription.name, [shard]))[shard]
        for shard, checkpoint in standing.items():
            if checkpoint.owner != self.id and not self._alive.gone(checkpoint.owner):
                continue
            if self._expired(checkpoint):
                await self._scan_again(subscription.name, shard, checkpoint, marks[shard].resolved_upto)
                continue
            self._held[subscription.name, shard] = checkpoint.epoch + 1
            if await self._feed.take(subscription.name, shard, self.id, checkpoint.epoch):
                await self._start(subscription, shard, checkpoint._replace(epoch=checkpoint.epoch + 1))
            else:
                self._held.pop((subscription.name, shard), None)

    def _ended(self, name: str) -> list[int]:
        """Return the shards in which a subscription goes no further, and say why."""
        found = [shard for (of, shard), running in self._running.items() if of == name and running.ended]
        if not self._stopping.is_set():
            for shard in found:
                failure = self._running[name, shard].failure
                logger.error("subscription %s, shard %d begins again: %r", name, shard, failure)
        return found

    def _expired(self, checkpoint: Checkpoint) -> bool:
        """Tell whether pointers behind a checkpoint may be gone by their TTL, or soon."""
        upto = checkpoint.pos if checkpoint.scan_upto is None else checkpoint.scan_upto
        return upto < self._now() - self._kept_us

    async def _scan_again(self, name: str, shard: int, checkpoint: Checkpoint, resolved_upto: int) -> None:
        """Let a subscription that was away for longer than pointers are kept read the streams themselves."""
        if resolved_upto < self._now() - self._kept_us:
            return  # nobody has closed the shard for as long: first that, which is soon
        logger.warning(
            "subscription %s, shard %d: its checkpoint is older than the feed's pointers, it scans the streams",
            name,
            shard,
        )
        await self._feed.rescan(name, shard, checkpoint.pos, resolved_upto, checkpoint.epoch)

    def _mine(self, workers: Sequence[UUID]) -> set[int]:
        if self.id not in workers:
            return set()
        at = workers.index(self.id)
        return {shard for shard in self._shards if shard % len(workers) == at}

    async def _start(self, subscription: Subscription, shard: int, checkpoint: Checkpoint) -> None:
        feed = self._feeds.get(shard)
        if feed is None:
            resolved = (await self._feed.standing(shard)).resolved_upto
            sources = Sources(self._feed.events, self._feed.behind, self._feed.pointers)
            feed = self._feeds[shard] = ShardFeed(sources, shard, resolved)
        name, epoch = subscription.name, checkpoint.epoch
        tables = CursorTables(
            history=self._feed.history,
            load=self._load,
            scan=self._feed.scan,
            decode=subscription.decode or self._store.decode,
            save=partial(self._save_at, name, shard, epoch),
            save_scan=partial(self._save_scan_at, name, shard, epoch),
            park=partial(self._feed.park, shard),
            unpark=partial(self._feed.unpark, name, shard),
            parked=partial(self._feed.parked, name, shard),
            parked_streams=partial(self._feed.parked_streams, name, shard),
            owned=self._owned,
        )
        cursor: Carried = (
            WindowCursor(subscription, feed, tables, checkpoint)
            if subscription.takes == "windows"
            else Cursor(subscription, feed, tables, checkpoint)
        )
        task = asyncio.get_running_loop().create_task(cursor.run())
        self._running[name, shard] = _Running(cursor, epoch, task, awake())

    async def _save_scan_at(self, subscription: str, shard: int, epoch: int, token: int) -> bool:
        return await self._feed.save_scan(subscription, shard, token, self.id, epoch)

    async def _save_at(self, subscription: str, shard: int, epoch: int, pos: int) -> bool:
        if faults.at is not None:
            faults.at("checkpoint.before")
        saved = await self._feed.save(subscription, shard, pos, self.id, epoch)
        if faults.at is not None:
            faults.at("checkpoint.after")
        return saved

    async def _load(self, pointer: Pointer) -> list[Stored]:
        events = await self._feed.events(pointer.stream, pointer.from_version, pointer.to_version)
        return events if events and events[0].version == pointer.from_version and stands(pointer, events[0]) else []

    async def _let_go(self, keys: Sequence[tuple[str, int]], *, give: bool) -> None:
        """Stop handling, and leave the checkpoints where everything is handled."""
        # Several of this worker's tasks may let go of the same.
        let_go = [(key, self._running.pop(key)) for key in keys if key in self._running]
        if give:
            # What its handlers are at is done, and handed over as done: closed up to the present, as far as that is its own.
            now = self._now()
            with suppress(TimeoutError, ClusterError):
                async with asyncio.timeout(self.pace.grace.total_seconds()):
                    for shard in {shard for (_, shard), _ in let_go}:
                        if (resolver := self._resolvers.get(shard)) is not None:
                            await self._close(shard, resolver, now)
                    await asyncio.gather(*(running.cursor.finish() for _, running in let_go))
        for (_, _), running in let_go:
            running.task.cancel()
        await asyncio.gather(*(running.task for _, running in let_go), return_exceptions=True)
        for (name, shard), running in let_go:
            if not give:
                continue
            with suppress(Overtaken, ClusterError):
                await running.cursor.save()
            with suppress(ClusterError):
                await self._give(name, shard)
        carried = {shard for _, shard in self._running}
        for shard in [shard for shard in self._feeds if shard not in carried]:
            del self._feeds[shard]

    async def _give(self, name: str, shard: int) -> None:
        epoch = self._held.get((name, shard))
        if epoch is not None:
            await self._feed.give(name, shard, self.id, epoch)
            self._held.pop((name, shard), None)

    # -- the feed ------------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        """Look at the feed again and again: often while something comes, rarely when nothing does."""
        pause, busy, idle = self.pace.busy, self.pace.busy, self.pace.idle
        quiet_since = awake()
        while not self._stopping.is_set():
            try:
                if self._feeds and await self._look():
                    quiet_since = awake()
            except ClusterError as error:
                logger.warning("worker %s: %s", self.id, error)
            pause = busy if awake() - quiet_since < 2 else idle
            await self._pause(pause)

    async def _look(self) -> bool:
        now = self._now()
        overlap = int(self.pace.overlap.total_seconds() * 1e6)
        # What is let go of meanwhile is looked at once more, and harms nobody. Where much has gathered while nobody
        # looked, closing brings it, by and by.
        feeds = dict(self._feeds)
        for shard, feed in self._feeds.items():
            feed.looked_upto = max(feed.looked_upto, feed.complete_upto)
            if now - feed.looked_upto >= _FAR_BEHIND_US:
                del feeds[shard]
        if not feeds:
            return False
        low = min(feed.looked_upto for feed in feeds.values()) - overlap
        low = max(low, min(feed.complete_upto for feed in feeds.values()))
        found = await self._feed.news(sorted(feeds), low, self._latest())
        by_shard: dict[int, list[Pointer]] = {}
        for pointer in found:
            by_shard.setdefault(pointer.shard, []).append(pointer)
        something = False
        for shard, feed in feeds.items():
            pointers = by_shard.get(shard, [])
            feed.looked_upto = max(feed.looked_upto, now - overlap)
            if pointers or feed.unsettled:
                something = bool(await feed.look(pointers)) or bool(feed.unsettled) or something
            self._forget(shard, feed)
        return something

    def _forget(self, shard: int, feed: ShardFeed) -> None:
        numbers = [running.cursor.number for (_, at), running in self._running.items() if at == shard]
        feed.taken(min((number for number in numbers if number is not None), default=feed.count))

    def _now(self) -> int:
        return int(awake() * 1e6) + self._node_ahead

    def _latest(self) -> int:
        """Return up to where to look for pointers: wherever a writer's clock may stand, or the node's."""
        return max(self._now(), time.time_ns() // 1000) + _FAR_AHEAD_US

    async def _resolve(self, trail: timedelta | None = None) -> None:
        """Close the shards of this worker where there is something to close, and learn how far the others are."""
        upto = self._now() - int((self.pace.trail if trail is None else trail).total_seconds() * 1e6)
        resolvers = dict(self._resolvers)
        busy = {shard for shard, resolver in resolvers.items() if self._is_busy(shard, resolver, upto)}
        quiet = resolvers.keys() - busy
        if quiet:
            busy |= await self._late(quiet)
        # Each for itself: replicas that do not answer shall hold up their own shards only.
        failures = await asyncio.gather(
            *(self._close(shard, resolvers[shard], upto) for shard in sorted(busy)),
            self._follow(self._feeds.keys() - busy),
            return_exceptions=True,
        )
        for failure in failures:
            if failure is not None:
                raise failure

    def _is_busy(self, shard: int, resolver: Resolver, upto: int) -> bool:
        """Tell whether there is something to close, as far as it is known, or whether it is time to do it anyway."""
        feed = self._feeds.get(shard)
        return (
            awake() - self._closed.get(shard, 0) >= self._rest_s
            or upto - resolver.resolved_upto > self._rest_s * 1e6
            or (feed is not None and bool(feed.published or feed.unsettled))
        )

    async def _late(self, shards: Collection[int]) -> set[int]:
        """Return those of these shards in which there are pointers behind what is resolved.

        Nobody may have looked ahead there, or not at the right moment: a writer that stood still writes its pointer
        where others have looked long ago.
        """
        resolved = {shard: self._resolvers[shard].resolved_upto for shard in shards if shard in self._resolvers}
        if not resolved:
            return set()
        found = await self._feed.news(sorted(resolved), min(resolved.values()), self._latest())
        if len(found) > _MANY:
            # Most of them are resolved, in shards that were closed later than others: close all, and it is far less.
            return set(resolved)
        return {pointer.shard for pointer in found if pointer.pos > resolved[pointer.shard]}

    async def _close(self, shard: int, resolver: Resolver, upto: int) -> None:
        async with resolver.turn:
            feed = self._feeds.get(shard)
            before = resolver.resolved_upto
            try:
                appended = await resolver.round(upto, None if feed is None else feed.has)
            except Lost:
                if self._resolvers.get(shard) is resolver:
                    del self._resolvers[shard]
                    self._held.pop((None, shard), None)
                return
            if resolver.resolved_upto >= upto:
                self._closed[shard] = awake()
            if feed is not None:
                await feed.finish(resolver.resolved_upto, appended if feed.complete_upto == before else None)

    async def _follow(self, shards: Collection[int]) -> None:
        """Take over how far shards are resolved that others close, or that this worker has closed for another feed."""
        known: dict[int, int] = {
            shard: resolver.resolved_upto for shard, resolver in self._resolvers.items() if shard in shards
        }
        others = sorted(shards - known.keys())
        if others:
            known |= {shard: mark.resolved_upto for shard, mark in (await self._feed.standings(others)).items()}
        for shard, upto in known.items():
            feed = self._feeds.get(shard)
            if feed is not None and feed.complete_upto < upto:
                await feed.finish(upto)

    async def _save(self) -> None:
        for key, running in list(self._running.items()):
            try:
                await running.cursor.save()
            except Overtaken:
                async with self._changing_hands:
                    if self._running.get(key) is running:
                        await self._let_go([key], give=False)
                        self._held.pop(key, None)

    def _resolver_tables(self) -> ResolverTables:
        feed = self._feed
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
