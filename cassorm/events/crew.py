"""Workers of one process: their common signs of life, and what they may ask for while nothing happens.

A process may serve many stores, with a worker for each: the stores of tenants, a keyspace each. What it asks for at rest
is shared out among them, so that it does not grow with the stores: where nothing happens, each is looked at more rarely.
Whoever appends to a store after a while rings a bell, where the store was made for that (`workers_in`), and it is looked
at as often as if it were the only one.

Source: docs/explanation/feed.md.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from cassorm.errors import ClusterError, ConfigurationError
from cassorm.events.alive import Alive, awake
from cassorm.events.crew_tables import CrewTables, Sign
from cassorm.events.pace import Pace

logger = logging.getLogger("cassorm.events")

_LOOKS_PER_S = 6.0
_TURNS_PER_S = 3.0
_CLOSINGS_PER_S = 1.0
"""At rest all workers of a crew together look so often for news, do each of the other things, and close shards."""


class Member(Protocol):
    """A worker of a crew."""

    @property
    def store(self) -> str:
        """The name of the store that it serves."""

    @property
    def carried_names(self) -> frozenset[str]:
        """What others shall know that it carries: its store, and each subscription together with that."""

    async def lapse(self) -> None:
        """Let go of all: others may have taken over."""

    def stir(self, *, rung: bool = False) -> None:
        """Look at what has changed; `rung`: something comes to the store."""


class Presence:
    """That a process is there, in one keyspace where the workers of its stores look for each other.

    Who is alive is judged by signs of life that have changed within the lease, by this process's own clock.
    """

    def __init__(self, tables: CrewTables, pace: Pace) -> None:
        self.id = uuid4()
        self.alive = Alive(pace.lease.total_seconds())
        self._tables = tables
        self._pace = pace
        self._members: list[Member] = []
        self._beats = 0
        self._revision = 0
        self._said: frozenset[str] | None = None
        """What the table says that this process carries; None when it has to be said anew."""
        self._last_beat = awake()
        self._carried: dict[UUID, tuple[int | None, frozenset[str]]] = {}
        self._rung: dict[str, UUID] = {}
        self._node_ahead = 0
        """What to add to microseconds of `awake` for the node's clock: nobody sets that clock behind our back."""
        self._beaten = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    def now(self) -> int:
        """Return microseconds by the node's clock, as it was last seen.

        Not by ours: a mark that a wrong clock sets ahead would drive the writers ahead of it.
        """
        return int(awake() * 1e6) + self._node_ahead

    async def owned(self) -> None:
        """Return once this process has given a sign of life within the lease."""
        while awake() - self._last_beat >= self._pace.lease.total_seconds():
            self._beaten.clear()
            await self._beaten.wait()

    @asynccontextmanager
    async def joined(self, member: Member) -> AsyncIterator[None]:
        """Give signs of life for a worker too, from before the block to its end.

        Raises:
            ConfigurationError: another worker of the crew serves its store.
        """
        if any(other.store == member.store for other in self._members):
            raise ConfigurationError(
                "another worker of this crew serves it: each would take the shards from the other",
                where=f"event store {member.store}",
                remedy="Give one worker all subscriptions of a store, or Projections those that are `beside` them",
            )
        self._members.append(member)
        try:
            await self.beat()
            if not self._tasks:
                self._last_beat = awake()
                loop = asyncio.get_running_loop()
                self._tasks = [loop.create_task(self._repeat(self.beat, self._pace.beat))]
                if self._tables.rung:
                    self._tasks.append(loop.create_task(self._repeat(self._listen, 2 * self._pace.idle)))
            yield
        finally:
            self._members.remove(member)
            with suppress(ClusterError):
                await self._depart()

    async def _depart(self) -> None:
        if self._members:
            await self.beat()
            return
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with self._turn:
            if not self._members:
                self._said = None
                await self._tables.leave(self.id)

    async def beat(self) -> None:
        """Give a sign of life, and see who else does."""
        async with self._turn:
            begun = awake()
            await self._give_sign()
            if self._tasks and begun - self._last_beat >= self._pace.lease.total_seconds():
                logger.warning(
                    "worker %s gave no sign of life for %.1f s: it lets go of all", self.id, begun - self._last_beat
                )
                await asyncio.gather(*(member.lapse() for member in self._members))
            self._last_beat = begun
            self._beaten.set()
            await self._see()

    async def _give_sign(self) -> None:
        self._beats += 1
        carried = frozenset().union(*(member.carried_names for member in self._members))
        if carried == self._said:
            await self._tables.beat(self.id, self._beats)
            return
        self._revision += 1
        await self._tables.here(self.id, Sign(self._beats, self._revision), carried)
        self._said = carried

    async def _see(self) -> None:
        before = self.alive.workers()
        signs, node_clock = await self._tables.signs()
        if signs:
            self._node_ahead = node_clock - int(awake() * 1e6)
        changed = [
            worker
            for worker, sign in signs.items()
            if worker not in self._carried or self._carried[worker][0] != sign.revision
        ]
        for worker in changed:
            self._carried[worker] = await self._tables.carried(worker)
        for worker in self._carried.keys() - signs.keys():
            del self._carried[worker]
        own = signs.get(self.id)
        if own is None or own.revision != self._revision:
            self._said = None  # somebody took this worker for dead, and removed its row
        self.alive.saw({worker: (sign.beat, self._carried[worker][1]) for worker, sign in signs.items()})
        if (forgotten := self.alive.forgotten()) is not None:
            # Whoever wakes up after so long writes its row anew.
            await self._tables.leave(forgotten)
        if changed or self.alive.workers() != before:
            for member in self._members:
                member.stir()

    async def _repeat(self, step: Callable[[], Coroutine[Any, Any, None]], pause: timedelta) -> None:
        while True:
            await asyncio.sleep(pause.total_seconds())
            try:
                await step()
            except ClusterError as error:
                logger.warning("worker %s: %s", self.id, error)
            except Exception:
                # Its next turn may go well; if not, others see to what it does not do.
                logger.exception("worker %s goes on after an error of its own", self.id)

    async def _listen(self) -> None:
        """Stir those at whose stores somebody rings."""
        bells = await self._tables.bells(self.now() / 1e6)
        for member in self._members:
            if member.store in bells and bells[member.store] != self._rung.get(member.store):
                member.stir(rung=True)
        self._rung = bells


class Crew:
    """The workers of one process that share their signs of life and what they ask for at rest.

    ```python
    crew = Crew()
    workers = [Worker(store, [welcome], crew=crew) for store in stores]
    await asyncio.gather(*(worker.run() for worker in workers))
    ```
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.workers = 0
        """How many are running."""
        self._presences: dict[str, Presence] = {}

    def presence(self, tables: CrewTables) -> Presence:
        """Return where the worker of a store gives its signs of life."""
        return self._presences.setdefault(tables.home, Presence(tables, self.pace))

    def between_looks(self) -> float:
        """Return how many seconds a worker that rests waits between two looks at its feed."""
        return self._spread(self.pace.idle, _LOOKS_PER_S)

    def between_turns(self, pause: timedelta) -> float:
        """Return how many seconds a worker that rests waits before it does again what else it does at this pace."""
        return self._spread(max(pause, self.pace.resting), _TURNS_PER_S)

    def between_closings(self, pause: timedelta, shards: int) -> float:
        """Return for how many seconds a worker leaves each of its shards alone in which nothing happens."""
        return self._spread(pause, _CLOSINGS_PER_S / max(1, shards))

    def _spread(self, pause: timedelta, per_s: float) -> float:
        # One alone keeps its pace.
        return max(pause.total_seconds(), (self.workers - 1) / per_s)
