"""A process that carries subscriptions: it shares the shards with others, resolves its own, and tells its handlers.

Who is alive is judged by signs of life that have changed within the lease, by this process's own clock. That is for
liveness alone: what an owner writes is conditional on its epoch, and effects are kept once by other means. So a process
that was suspended, and goes on as if nothing had happened, does work twice at worst.

Source: docs/explanation/feed.md.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from cassorm import faults
from cassorm.errors import ClusterError
from cassorm.events.alive import awake
from cassorm.events.carrying import Carrying, Running
from cassorm.events.crew import Crew
from cassorm.events.crew_tables import CrewTables, carried_as
from cassorm.events.cursor import Carried, Cursor
from cassorm.events.event import Recorded
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pace import Pace
from cassorm.events.pointers import Pointer
from cassorm.events.resolver import stands
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import BEFORE_ALL, Asked, Checkpoint, CursorTables, Overtaken, Start, Subscription
from cassorm.events.watch import Watch
from cassorm.events.window_cursor import WindowCursor

__all__ = ["Carrying", "Crew", "FedStore", "Pace", "Worker"]

logger = logging.getLogger("cassorm.events")

_BUSY_S = 2.0
"""So long after it brought something the feed is looked at as often as can be."""


class FedStore(Protocol):
    """What a worker needs of an event store."""

    @property
    def feed(self) -> FeedTables:
        """The tables of its feed."""

    @property
    def settings(self) -> StoreSettings:
        """What all its clients share."""

    @property
    def crew(self) -> CrewTables:
        """The tables in which its workers look for each other."""

    @property
    def name(self) -> str:
        """What it is called among the stores of its cluster."""

    def decode(self, stream: Stream, aggregate_type: str | None, row: Sequence[Any]) -> Recorded:
        """Return a row of an event with its payload decoded."""


class Worker:
    """Carries subscriptions to the events of one store until it is stopped; any number of processes share the work.

    The workers of one process that serve a store each may be a `crew`: together they cost at rest what one of them does.
    """

    def __init__(
        self,
        store: FedStore,
        subscriptions: Iterable[Subscription],
        *,
        pace: Pace | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.subscriptions = {subscription.name: subscription for subscription in subscriptions}
        self.store = store.name
        self.carried_names = frozenset({self.store, *(carried_as(self.store, name) for name in self.subscriptions)})
        self._crew = crew or Crew(pace)
        self.pace = self._crew.pace
        self._presence = self._crew.presence(store.crew)
        self.id = self._presence.id
        self._alive = self._presence.alive
        self._store = store
        self._feed: FeedTables = store.feed
        self._shards = range(store.settings.shards)
        ttl_us = store.settings.feed_ttl_s * 1_000_000
        self._kept_us = ttl_us - max(ttl_us // 10, 2_000_000)
        """How long pointers are there for certain."""
        self._watch = Watch(store.feed, self._crew, self._presence.now, store.settings)
        self._running: dict[tuple[str, int], Running] = {}
        self._held: dict[tuple[str | None, int], int] = {}
        """The epochs of what the tables may say that this worker owns: a subscription in a shard, or (None) its mark.

        What it let go of after a lapse, or could not give back, nobody else takes up while this worker is alive.
        """
        self._asked: dict[str, Asked] = {}
        self._begun_again: dict[str, UUID | None] = {}
        """Of each subscription that is carried, the last beginning that its owner knows of."""
        self._changing_hands = asyncio.Lock()
        """Held by whoever of this worker's tasks claims or lets go of something."""
        self._stopping = False
        self._stirs = 0
        self._stirred = asyncio.Event()
        """Set, and replaced by another, when those who pause shall go on."""
        self._lacks = True
        """Whether something falls to this worker that it does not own yet."""
        self._active_at = awake()

    # -- its life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Carry the subscriptions until `stop`; then hand over what it owns."""
        self._crew.workers += 1
        try:
            async with self._presence.joined(self):
                try:
                    async with asyncio.TaskGroup() as tasks:
                        for step, pause in (
                            (self._share, self.pace.beat),
                            (self._watch.resolve, self.pace.closing),
                            (self._save, self.pace.checkpoint),
                        ):
                            tasks.create_task(self._repeat(step, pause))
                        tasks.create_task(self._look_on())
                finally:
                    await self._hand_over()
        finally:
            self._crew.workers -= 1

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping = True
        self.stir()

    def stir(self, *, rung: bool = False) -> None:
        """Look at once at what may have changed; `rung`: something comes to the store."""
        if rung:
            self._active_at = awake()
        self._stirs += 1
        self._stirred.set()
        self._stirred = asyncio.Event()

    @property
    def rests(self) -> bool:
        """Whether nothing has come for a while, and everything that had come is handled."""
        return (
            awake() - self._active_at >= self.pace.calm.total_seconds()
            and not self._lacks
            and not self._watch.expects_more
            and not any(running.cursor.scanning or running.cursor.trouble for running in self._running.values())
        )

    async def pause(self, pause: timedelta) -> None:
        """Wait; at rest so long that the crew's workers together go on a few times a second. What stirs it ends that."""
        await self._pause(self._crew.between_turns(pause) if self.rests else pause.total_seconds(), self._stirs)

    @property
    def carried(self) -> list[tuple[str, int]]:
        """The subscriptions and shards that this worker carries at the moment."""
        return sorted(self._running)

    def status(self) -> list[Carrying]:
        """Return how each subscription stands in each shard that this worker carries, sorted by both."""
        return [self._status(*key) for key in self.carried]

    def _status(self, name: str, shard: int) -> Carrying:
        running, now = self._running[name, shard], self._watch.now()
        cursor, trouble = running.cursor, running.cursor.trouble
        feed = self._watch.feeds[shard]
        # What is complete and published is there to be handled: nothing else is waited for.
        behind = cursor.done_upto < feed.complete_upto or bool(feed.published)
        return Carrying(
            subscription=name,
            shard=shard,
            done_upto=cursor.done_upto,
            behind_s=None if cursor.scanning else max(0.0, (now - cursor.done_upto) / 1e6) if behind else 0.0,
            scanning=cursor.scanning,
            handled=cursor.handled,
            per_s=cursor.handled / max(awake() - running.since, 1e-3),
            trouble=None if trouble is None else f"{type(trouble).__name__}: {trouble}",
        )

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]], pause: timedelta) -> None:
        while not self._stopping:
            stirs = self._stirs
            try:
                await step()
            except ClusterError as error:
                logger.warning("worker %s: %s", self.id, error)
            except Exception:
                # Its next turn may go well; if not, others see to what it does not do.
                logger.exception("worker %s goes on after an error of its own", self.id)
            await self._pause(self._crew.between_turns(pause) if self.rests else pause.total_seconds(), stirs)

    async def _pause(self, seconds: float, stirs: int) -> None:
        """Wait until somebody stirs, and not at all if that has happened since `stirs` was noted."""
        if self._stopping or stirs != self._stirs:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stirred.wait()

    async def lapse(self) -> None:
        """Let go of all: this process gave no sign of life for too long. Own nothing before it is claimed again."""
        async with self._changing_hands:
            await self._let_go(list(self._running), give=False)
            self._watch.resolvers.clear()

    async def _hand_over(self) -> None:
        with suppress(ClusterError, TimeoutError):
            async with asyncio.timeout(self.pace.grace.total_seconds()):
                # Closed up to the present, so that nothing that is handled is handled again by the next owner.
                await self._watch.resolve(trail=timedelta(0))
                await asyncio.gather(*(running.drain() for running in self._running.values()))
        await self._let_go(list(self._running), give=True)
        self._watch.resolvers.clear()
        with suppress(ClusterError):
            for name, shard in list(self._held):
                if name is None:
                    await self._feed.release(shard, self.id, self._held[None, shard])
                else:
                    await self._give(name, shard)

    # -- sharing -------------------------------------------------------------------------------------------------

    async def _share(self) -> None:
        """Claim what falls to this worker and is free, let go of what falls to another."""
        self._asked = await self._feed.asked()
        async with self._changing_hands:
            resolving = self._mine(self._alive.workers(self.store))
            await self._claim_marks(resolving)
            for subscription in self.subscriptions.values():
                await self._share_out(subscription)
            # Last: whoever is let go of is closed up to the present first.
            await self._release_marks(resolving)
        self._lacks = bool(self._missing())

    def _missing(self) -> set[tuple[str | None, int]]:
        """Return what falls to this worker and is not its own yet."""
        alive, asked = self._alive, self._asked
        falls: set[tuple[str | None, int]] = {(None, shard) for shard in self._mine(alive.workers(self.store))}
        for name in self.subscriptions:
            if not asked.get(name, Asked()).paused:
                falls |= {(name, shard) for shard in self._mine(alive.workers(carried_as(self.store, name)))}
        return falls - self._running.keys() - {(None, shard) for shard in self._watch.resolvers}

    async def _release_marks(self, resolving: set[int]) -> None:
        for shard in [shard for name, shard in self._held if name is None and shard not in resolving]:
            self._watch.resolvers.pop(shard, None)
            await self._feed.release(shard, self.id, self._held[None, shard])
            self._held.pop((None, shard), None)

    async def _claim_marks(self, resolving: set[int]) -> None:
        missing = sorted(resolving - self._watch.resolvers.keys())
        if missing:
            for shard, standing in (await self._feed.standings(missing)).items():
                if standing.owner == self.id or self._alive.gone(standing.owner, self.store):
                    resolver = self._watch.resolver(shard, self.id)
                    self._held[None, shard] = standing.epoch + 1
                    if await resolver.claim(standing):
                        self._watch.resolvers[shard] = resolver
                    else:
                        self._held.pop((None, shard), None)

    async def _share_out(self, subscription: Subscription) -> None:
        asked = self._asked.get(subscription.name, Asked())
        if asked.begun_again != self._begun_again.setdefault(subscription.name, asked.begun_again):
            await self._let_go([key for key in self._running if key[0] == subscription.name], give=False)
            self._begun_again[subscription.name] = asked.begun_again
        mine = set() if asked.paused else self._mine(self._alive.workers(carried_as(self.store, subscription.name)))
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
            if await self._begin(subscription, shard, marks[shard].resolved_upto):
                standing[shard] = (await self._feed.checkpoints(subscription.name, [shard]))[shard]
        for shard, checkpoint in standing.items():
            if checkpoint.owner != self.id and not self._alive.gone(
                checkpoint.owner, carried_as(self.store, subscription.name)
            ):
                continue
            if self._expired(checkpoint):
                await self._scan_again(subscription.name, shard, checkpoint, marks[shard].resolved_upto)
                continue
            self._held[subscription.name, shard] = checkpoint.epoch + 1
            if await self._feed.take(subscription.name, shard, self.id, checkpoint.epoch):
                await self._start(subscription, shard, checkpoint._replace(epoch=checkpoint.epoch + 1))
            else:
                self._held.pop((subscription.name, shard), None)

    async def _begin(self, subscription: Subscription, shard: int, resolved_upto: int) -> bool:
        """Bring a checkpoint into being where there is none; False when it is better not done yet."""
        if subscription.begin is not Start.BEGINNING:
            if (resolver := self._watch.resolvers.get(shard)) is not None:
                # Nobody may have closed it for long. Who else resolves it has closed what it knows of.
                await self._watch.close(shard, resolver, self._watch.now())
                resolved_upto = max(resolved_upto, resolver.resolved_upto)
            await self._feed.begin(subscription.name, shard, resolved_upto, None)
        elif self._watch.rested(resolved_upto):
            return False  # closed first, which is soon: a scan reads much faster than the feed
        else:
            await self._feed.begin(subscription.name, shard, BEFORE_ALL, resolved_upto)
        return True

    def _ended(self, name: str) -> list[int]:
        """Return the shards in which a subscription goes no further, and say why."""
        found = [shard for (of, shard), running in self._running.items() if of == name and running.ended]
        if not self._stopping:
            for shard in found:
                failure = self._running[name, shard].failure
                logger.error("subscription %s, shard %d begins again: %r", name, shard, failure)
        return found

    def _expired(self, checkpoint: Checkpoint) -> bool:
        """Tell whether pointers behind a checkpoint may be gone by their TTL, or soon."""
        upto = checkpoint.pos if checkpoint.scan_upto is None else checkpoint.scan_upto
        return upto < self._watch.now() - self._kept_us

    async def _scan_again(self, name: str, shard: int, checkpoint: Checkpoint, resolved_upto: int) -> None:
        """Let a subscription that was away for longer than pointers are kept read the streams themselves."""
        if resolved_upto < self._watch.now() - self._kept_us:
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
        feed = await self._watch.feed(shard)
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
            owned=self._presence.owned,
        )
        cursor: Carried = (
            WindowCursor(subscription, feed, tables, checkpoint)
            if subscription.takes == "windows"
            else Cursor(subscription, feed, tables, checkpoint)
        )
        task = asyncio.get_running_loop().create_task(cursor.run())
        self._running[name, shard] = Running(cursor, epoch, task, awake())

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
            now = self._watch.now()
            with suppress(TimeoutError, ClusterError):
                async with asyncio.timeout(self.pace.grace.total_seconds()):
                    for shard in {shard for (_, shard), _ in let_go}:
                        if (resolver := self._watch.resolvers.get(shard)) is not None:
                            await self._watch.close(shard, resolver, now)
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
        for shard in [shard for shard in self._watch.feeds if shard not in carried]:
            del self._watch.feeds[shard]

    async def _give(self, name: str, shard: int) -> None:
        epoch = self._held.get((name, shard))
        if epoch is not None:
            await self._feed.give(name, shard, self.id, epoch)
            self._held.pop((name, shard), None)

    # -- the feed ------------------------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        """Look at the feed again and again: often while something comes, rarely when nothing does."""
        while not self._stopping:
            stirs = self._stirs
            try:
                if self._watch.feeds and await self._watch.look(self._numbers):
                    rested, self._active_at = self.rests, awake()
                    if rested:
                        self.stir()
                        stirs = self._stirs
            except ClusterError as error:
                logger.warning("worker %s: %s", self.id, error)
            except Exception:
                logger.exception("worker %s goes on after an error of its own", self.id)
            if self.rests:
                pause = self._crew.between_looks()
            else:
                busy = awake() - self._active_at < _BUSY_S
                pause = (self.pace.busy if busy else self.pace.idle).total_seconds()
            await self._pause(pause, stirs)

    def _numbers(self, shard: int) -> list[int]:
        numbers = [running.cursor.number for (_, at), running in self._running.items() if at == shard]
        return [number for number in numbers if number is not None]

    async def _save(self) -> None:
        for key, running in list(self._running.items()):
            try:
                await running.cursor.save()
            except Overtaken:
                async with self._changing_hands:
                    if self._running.get(key) is running:
                        await self._let_go([key], give=False)
                        self._held.pop(key, None)
