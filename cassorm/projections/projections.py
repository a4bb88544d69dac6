"""The projections of one store, together: their tables and generations, what feeds them, where they stand."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import cached_property
from typing import Any

from cassorm.errors import ClusterError, ConfigurationError, ProjectionError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.position import Position
from cassorm.events.store import Stream
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Crew, Pace, Worker
from cassorm.orm.context import current_keyspace
from cassorm.orm.database import Database
from cassorm.projections.active import seen_by
from cassorm.projections.freshness import fresh_caches
from cassorm.projections.inline import Inline
from cassorm.projections.kinds import Ground, Kind, RowKind, kind_of
from cassorm.projections.levels import levels_of
from cassorm.projections.rebuild import Rebuild, RebuildProgress
from cassorm.projections.registry import Generation, Registry, State
from cassorm.projections.status import ProjectionStatus, status_of
from cassorm.projections.waiting import wait_for
from cassorm.schema.apply import apply
from cassorm.schema.keyspace import Schema

logger = logging.getLogger("cassorm.projections")

_WATCH_S = 2.0
_PAUSE_S = 1.0
_NOTICED_S = 2.5
"""Readers ask about once a second which generation is read, workers every two."""
_WAIT = timedelta(seconds=10)


class Projections:
    """Read models, totals and handlers that one event store feeds.

    ```python
    projections = Projections(store, [OrderSummary, RevenueByCountry])
    await projections.create()
    await projections.run()
    ```

    Their tables are in the keyspace of the session, or of the store where that has none. Any number of processes may
    `run` them: the work is shared. `beside` are other subscriptions that the same worker carries. A `crew` is for the
    stores of many tenants in one process: with each a `Projections` of its own.

    Raises:
        ProjectionError: something is no projection, or two have one name.
        ConfigurationError: the store is none that feeds tables, or a table is in another keyspace.
    """

    def __init__(
        self,
        store: CassandraEventStore,
        projections: Iterable[Any],
        *,
        db: Database | None = None,
        pace: Pace | None = None,
        crew: Crew | None = None,
        beside: Iterable[Subscription] = (),
    ) -> None:
        if not isinstance(store, CassandraEventStore):
            raise ConfigurationError(
                f"a {type(store).__name__} feeds no tables",
                where="Projections",
                remedy="Give a CassandraEventStore; read models of a store in memory are folded by live()",
            )
        session = db or store.session
        self.ground = Ground(store, session, current_keyspace.get() or session.keyspace or store.keyspace)
        self.kinds: dict[str, Kind] = {}
        for thing in projections:
            self._add(kind_of(thing))
        self.changed: frozenset[str] = frozenset()
        """Those whose mapping is not that of what readers see: they are not fed until they are rebuilt."""
        self._crew = crew
        self._pace = pace if crew is None else crew.pace
        self._beside = list(beside)
        self._stopping = asyncio.Event()
        self._hooks: list[Callable[[], None]] = []
        if isinstance(session, Database):
            for name in self.kinds:
                self._check_alone(session.waits.get((self.ground.keyspace, name)), name)
                session.waits[self.ground.keyspace, name] = self.wait_for

    @cached_property
    def _registry(self) -> Registry:
        # Not before it is needed: the store may be initialised later.
        return Registry(self.ground.session, self.ground.keyspace, levels_of(self.ground.store))

    def _add(self, kind: Kind) -> None:
        known = self.kinds.get(kind.name)
        if known is not None:
            raise ProjectionError(
                f"two projections have the name {kind.name}",
                where="Projections",
                remedy="Give one another table=, or name",
            )
        for plan in kind.plans:
            other = next(
                (each.name for each in self.kinds.values() for one in each.plans if one.table.name == plan.table.name),
                None,
            )
            if other is not None:
                raise ProjectionError(
                    f"{kind.name} and {other} have the table {plan.table.name}",
                    where="Projections",
                    remedy="Give one of them another table=",
                )
            if plan.table.keyspace not in (None, self.ground.keyspace):
                raise ConfigurationError(
                    f"its table is in keyspace {plan.table.keyspace}, the others in {self.ground.keyspace}",
                    where=f"projection {kind.name}",
                    remedy="Leave keyspace= out of the class, or connect to that keyspace",
                )
        self.kinds[kind.name] = kind

    def _check_alone(self, known: object, name: str) -> None:
        other = getattr(known, "__self__", None)
        if isinstance(other, Projections) and other.ground.store.name != self.ground.store.name:
            raise ProjectionError(
                f"its tables in keyspace {self.ground.keyspace} are fed by store {other.ground.store.name} already",
                where=f"projection {name} of store {self.ground.store.name}",
                remedy="Connect without a keyspace, then each store has its tables beside it; or make the Projections "
                "within `async with db.in_keyspace(...)`",
            )

    def _kind(self, name: str) -> Kind:
        found = self.kinds.get(name)
        if found is None:
            raise ProjectionError(
                f"there is no projection {name!r}", where="Projections", remedy=f"Use {', '.join(self.kinds) or 'none'}"
            )
        return found

    # -- tables and generations ----------------------------------------------------------------------------------

    async def create(self) -> list[str]:
        """Create what is missing of tables; return the names of projections whose mapping has changed.

        Safe to run twice, and by several processes at once. A changed projection is left as it is, and not fed any
        more by this process until it is rebuilt: what its new mapping makes does not belong into the old rows.

        Raises:
            SchemaDriftError: a table exists with another shape; nothing was changed.
            ProjectionError: the keys of a read model cannot be the ids of the store's streams.
        """
        for kind in self.kinds.values():
            await kind.check(self.ground)
        await self._registry.create()
        changed = []
        for kind in self.kinds.values():
            generations = await self._registry.begin(kind.name, kind.fingerprint)
            active = _active(generations)
            if active.fingerprint == kind.fingerprint:
                await self._create_tables(kind, active.number)
                continue
            changed.append(kind.name)
            logger.warning(
                "projection %s: its mapping has changed since generation %d was made; it is not fed until you rebuild it",
                kind.name,
                active.number,
            )
        self.changed = frozenset(changed)
        return changed

    async def _create_tables(self, kind: Kind, generation: int) -> None:
        types = {each.name: each for plan in kind.plans for each in plan.user_types}
        schema = Schema(tuple(kind.tables(self.ground, generation)), tuple(types.values()))
        await apply(self.ground.session, schema.in_keyspace(self.ground.keyspace))

    async def generations(self, name: str) -> list[Generation]:
        """The generations of a projection, oldest first."""
        return await self._registry.generations(self._kind(name).name)

    async def give_up(self, name: str) -> None:
        """Give up the generation that is building, if there is one; `drop_retired` takes its tables away."""
        for each in await self.generations(name):
            if each.state is State.BUILDING:
                await self._registry.retire(name, each.number)

    async def drop_retired(self, name: str) -> list[str]:
        """Drop the tables of retired generations; return their names.

        It waits a moment first, until readers and workers have noticed what is read now.
        """
        kind, dropped = self._kind(name), []
        retired = [each for each in await self.generations(name) if each.state is State.RETIRED]
        if retired:
            await asyncio.sleep(_NOTICED_S)
        for each in retired:
            dropped += await kind.drop(self.ground, each.number)
            await self.ground.store.feed.forget(kind.subscribed(each.number))
            await self._registry.dropped(name, each.number)
        return dropped

    # -- feeding -------------------------------------------------------------------------------------------------

    async def subscriptions(self) -> list[Subscription]:
        """What a worker has to carry now: each generation that is read or being built with today's mapping."""
        return self._subscriptions(await self._wanted())

    async def _wanted(self) -> list[tuple[str, int, State]]:
        """The generations that are fed now."""
        generations = await self._registry.all(self.kinds)
        return [
            (name, each.number, each.state)
            for name, kind in self.kinds.items()
            for each in generations[name]
            if each.fingerprint == kind.fingerprint and each.state in (State.ACTIVE, State.BUILDING)
        ]

    def _subscriptions(self, wanted: Iterable[tuple[str, int, State]]) -> list[Subscription]:
        found = [
            self.kinds[name].subscription(self.ground, number, building=state is State.BUILDING)
            for name, number, state in wanted
        ]
        effects = (kind.side_effects(self.ground) for kind in self.kinds.values())
        found += [each for each in effects if each is not None]
        return [each for each in found if each.event_types] + self._beside

    async def run(self) -> None:
        """Feed all projections, and those generations that are being built, until `stop`."""
        self._stopping.clear()
        while not self._stopping.is_set():
            try:
                await self._carry(await self._wanted())
            except ClusterError as error:
                logger.warning("projections wait: %s", error)
                await asyncio.sleep(_PAUSE_S)

    async def _carry(self, wanted: list[tuple[str, int, State]]) -> None:
        """Feed these generations until others are wanted."""
        worker = Worker(self.ground.store, self._subscriptions(wanted), pace=self._pace, crew=self._crew)
        running = asyncio.ensure_future(worker.run())
        try:
            await self._watch(wanted, worker, running)
        finally:
            worker.stop()
            await running

    def stop(self) -> None:
        """End `run` soon."""
        self._stopping.set()

    async def _watch(
        self, wanted: list[tuple[str, int, State]], worker: Worker, running: "asyncio.Future[None]"
    ) -> None:
        """Return when other subscriptions are wanted, or none any more."""
        while not self._stopping.is_set() and not running.done():
            stopping = asyncio.ensure_future(self._stopping.wait())
            turn = asyncio.ensure_future(worker.pause(timedelta(seconds=_WATCH_S)))
            either: list[asyncio.Future[Any]] = [stopping, turn, running]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            turn.cancel()
            try:
                if await self._wanted() != wanted:
                    return
            except ClusterError as error:
                logger.warning("generations of projections cannot be read: %s", error)

    def inline(self) -> Callable[[], None]:
        """Write the rows of read models with `mode="inline"` in the call of each append of this process.

        What is returned ends that. The feed brings the same events to the same rows: what a crash between append and
        row leaves out, it repairs.
        """
        feeders = {}
        for kind in self.kinds.values():
            if isinstance(kind, RowKind) and kind.said.mode == "inline":
                feeders[kind] = Inline(self.ground, kind)
        off = [self.ground.store.on("event_saved", each) for each in feeders.values()]

        def end() -> None:
            for each in off:
                each()

        return end

    # -- asking --------------------------------------------------------------------------------------------------

    async def status(self) -> list[ProjectionStatus]:
        """Where each projection stands.

        Raises:
            ProjectionError: one of them was not created here.
        """
        for name in self.kinds:
            await seen_by(self.ground.session).asked(self.ground.keyspace, name)
        return [
            await status_of(self.ground, kind, await self._registry.generations(kind.name))
            for kind in self.kinds.values()
        ]

    async def wait_for(self, position: Position, name: str, timeout: timedelta = _WAIT) -> None:
        """Return when the effect of an append can be read: `position` is what the append gave.

        Raises:
            SubscriptionError: not within `timeout`; the error says where the projection stands.
            QueryError: the position is of another store.
        """
        kind = self._kind(name)
        generation = await seen_by(self.ground.session).asked(self.ground.keyspace, name)
        await wait_for(self.ground, kind, generation, position, timeout)
        kind.tell(self.ground, position.stream)

    def fresh_caches(self) -> AbstractAsyncContextManager[None]:
        """Within the block, drop what a `RowCache` of this database holds of a row as soon as an event has changed it.

        Also when another process appended the event, and another wrote the row: this one follows the feed, and drops
        the entry once the row's own write can be read.
        """
        return fresh_caches(self.ground, self.kinds.values(), self._pace)

    async def rebuild(
        self,
        name: str,
        *,
        progress: Callable[[RebuildProgress], None] | None = None,
        despite_parked: bool = False,
    ) -> Generation:
        """Build the next generation of a projection beside the one that is read, and switch to it; return it.

        Called again after a crash it goes on where that left off. Readers see the old generation until the new one
        holds what has happened; side effects are not called. The old one is kept until `drop_retired`.
        `despite_parked` switches also when the new one could not take events that the old one took.

        Raises:
            ProjectionError: a generation with another mapping is building, another process has switched meanwhile, or
                events were parked.
        """
        kind = self._kind(name)
        await kind.check(self.ground)
        await self._registry.create()
        active = _active(await self._registry.begin(name, kind.fingerprint))
        building = await self._registry.build(name, kind.fingerprint)
        await self._create_tables(kind, building.number)
        rebuild = Rebuild(self.ground, kind, building, self._pace)
        await rebuild.run(progress)
        if not despite_parked:
            await self._check_parked(kind, active, building)
        if not await self._registry.switch(name, active.number, building.number):
            raise ProjectionError(
                "another generation became active meanwhile", where=f"projection {name}", remedy="Look at its status"
            )
        await self.ground.store.feed.stir()
        self.changed -= {name}
        return building._replace(state=State.ACTIVE)

    async def _check_parked(self, kind: Kind, active: Generation, building: Generation) -> None:
        """Return when readers of the new generation miss nothing that those of the old one saw."""
        feed, shards = self.ground.store.feed, range(self.ground.store.settings.shards)

        async def parked(generation: Generation) -> set[Stream]:
            found = await asyncio.gather(
                *(feed.parked_streams(kind.subscribed(generation.number), shard) for shard in shards)
            )
            return set().union(*found)

        worse = sorted(map(str, await parked(building) - await parked(active)))
        if worse:
            raise ProjectionError(
                f"generation {building.number} has parked events of {len(worse)} streams that the one that is read "
                f"has not, {worse[0]} among them; it was not switched to",
                where=f"projection {kind.name}",
                remedy="Look at what is parked, and correct the mapping; give_up() and rebuild(), or rebuild() with "
                "despite_parked=True",
            )


def _active(generations: Iterable[Generation]) -> Generation:
    return next(each for each in generations if each.state is State.ACTIVE)
