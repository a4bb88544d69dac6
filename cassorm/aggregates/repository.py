"""`AggregateRepository`: load, decide, append; again when another writer was first."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar, overload
from uuid import UUID

from cassorm.aggregates.aggregate import Aggregate, check_sound
from cassorm.aggregates.cache import HotCache, Turns
from cassorm.aggregates.decider import Decider, Folded
from cassorm.aggregates.kind import UnfaithfulError, kind_of
from cassorm.aggregates.loading import Loaded, Loader
from cassorm.aggregates.recent import RecentAppends
from cassorm.aggregates.resends import Resends, Saved, saved
from cassorm.aggregates.snapshots import SnapshotKeeper, SnapshotPolicy, cannot_keep
from cassorm.errors import (
    AggregateError,
    ConfigurationError,
    ConflictError,
    EventStoreError,
    QueryError,
    StreamNotFoundError,
    StreamTypeError,
    UnavailableError,
)
from cassorm.events.event import Event
from cassorm.events.payload import shown
from cassorm.events.store import Appended, EventStore, Snapshot, Stream

A = TypeVar("A", bound=Aggregate)
C = TypeVar("C")
S = TypeVar("S")
T = TypeVar("T")

_FIRST_PAUSE_S = 0.005
_LONGEST_PAUSE_S = 0.25


class AggregateRepository(Generic[T]):
    """Aggregates of one type, or the streams of one decider, in an event store.

    ```python
    async with AggregateRepository(store, Order, snapshot_frequency=10, max_events_before_snapshot=100) as orders:
        await orders.execute(order_id, lambda order: order.place("c1"), create=True)
        order = await orders.get(order_id)
    ```

    A snapshot is written at each multiple of `snapshot_frequency` events, when more than `max_events_before_snapshot`
    would have to be replayed, or when a load took longer than `snapshot_slower_than`; None switches each off. The
    newest `snapshots_kept` stay. They are written in the background unless `snapshots_in_background` is False, and
    all of them are done when `close` returns. With `cache` so many hot aggregates are kept in memory: `execute` then
    costs one append and no read. `attempts` bounds how often `execute` decides when other writers are first.

    Raises:
        AggregateError: neither an aggregate class nor a decider.
        ConfigurationError: a number or a time that cannot be.
    """

    @overload
    def __init__(
        self: "AggregateRepository[A]",
        store: EventStore,
        kind: type[A],
        *,
        snapshot_frequency: int | None = ...,
        max_events_before_snapshot: int | None = ...,
        snapshot_slower_than: timedelta | None = ...,
        snapshots_kept: int = ...,
        snapshots_in_background: bool = ...,
        cache: int = ...,
        attempts: int = ...,
    ) -> None: ...
    @overload
    def __init__(
        self: "AggregateRepository[Decider[C, S]]",
        store: EventStore,
        kind: Decider[C, S],
        *,
        snapshot_frequency: int | None = ...,
        max_events_before_snapshot: int | None = ...,
        snapshot_slower_than: timedelta | None = ...,
        snapshots_kept: int = ...,
        snapshots_in_background: bool = ...,
        cache: int = ...,
        attempts: int = ...,
    ) -> None: ...
    def __init__(
        self,
        store: EventStore,
        kind: Any,
        *,
        snapshot_frequency: int | None = 10,
        max_events_before_snapshot: int | None = 100,
        snapshot_slower_than: timedelta | None = None,
        snapshots_kept: int = 2,
        snapshots_in_background: bool = True,
        cache: int = 0,
        attempts: int = 10,
    ) -> None:
        if not isinstance(store, EventStore):
            raise AggregateError(
                f"{shown(store)} is no event store",
                where="AggregateRepository",
                remedy="Pass a MemoryEventStore or a CassandraEventStore first, then the aggregate class",
            )
        self._store = store
        self._of = kind
        self._kind = kind_of(kind)
        policy = SnapshotPolicy(
            every=snapshot_frequency,
            max_replay=max_events_before_snapshot,
            slower_than=snapshot_slower_than,
            keep=snapshots_kept,
            background=snapshots_in_background,
        )
        self._attempts = _whole("attempts", attempts, 1)
        self.snapshots = SnapshotKeeper(store, self._kind, policy)
        """How many snapshots were `written`, `failed`, `skipped`, and `ignored` at a load."""
        self._loader = Loader(store, self._kind, self.snapshots)
        self._resends = Resends(store, self._kind.name)
        self._cache = HotCache(_whole("cache", cache, 0))
        self._turns = Turns()

    @overload
    async def get(self: "AggregateRepository[A]", stream: Stream, /) -> A: ...
    @overload
    async def get(self: "AggregateRepository[Decider[C, S]]", stream: Stream, /) -> Folded[S]: ...
    async def get(self, stream: Stream, /) -> Any:
        """Return the aggregate as its stream stands now; of a decider, its state with the version.

        Raises:
            StreamNotFoundError: there is no such stream.
            StreamTypeError: the stream is of another aggregate type.
        """
        hot = self._cache.peek(stream)
        base = None
        if hot is not None:
            base = Loaded(self._kind.copy(hot.state), hot.version, hot.last_event_id(), hot.snapshot_version)
        loaded = await self._loader.load(stream, base=base)
        return self._kind.present(stream, loaded.version, loaded.snapshot_version, loaded.state)

    async def exists(self, stream: Stream, /) -> bool:
        """Tell whether there is an aggregate of this id.

        Raises:
            StreamTypeError: the stream is of another aggregate type.
        """
        head = await self._store.head(stream)
        if head is not None and head.aggregate_type != self._kind.name:
            raise StreamTypeError(stream, asked=self._kind.name, actual=head.aggregate_type)
        return head is not None

    async def save(self: "AggregateRepository[A]", aggregate: A, /) -> Saved:
        """Append the uncommitted events behind the version that was loaded, and mark them as committed.

        Without any, nothing is sent. Saving again after an unknown outcome is safe: the aggregate keeps its append id
        until its events are known to be saved.

        Raises:
            ConflictError: another writer was first; nothing was written. Get the aggregate again, decide again.
            OutcomeUnknownError: it may have landed, or still land. Save the same aggregate again.
            UnavailableError: nothing was sent; save again.
            AggregateError: not an aggregate of this repository, or half-way through an event.
        """
        if type(aggregate) is not self._of:
            raise AggregateError(
                f"{shown(aggregate)} is no {self._kind.name}",
                where="AggregateRepository.save",
                remedy=f"Save instances of {getattr(self._of, '__name__', self._kind.name)}; a decider has only execute",
            )
        check_sound(aggregate)
        journal = aggregate._journal
        if not journal.uncommitted or journal.append_id is None:
            return Saved(journal.id, journal.version)
        events, append_id = aggregate.uncommitted_events, journal.append_id
        sent_before, journal.sent = journal.sent, True
        self._cache.take(journal.id)
        try:
            appended = await self._append(journal.id, events, journal.committed, append_id)
        except (EventStoreError, QueryError, UnavailableError) as error:
            # Certainly not written now; an earlier copy may still land, unless its version is taken.
            journal.sent = sent_before and not isinstance(error, ConflictError)
            raise
        if appended.version != aggregate.version and journal.append_id == append_id:
            raise AggregateError(
                f"append id {append_id} stands at version {appended.version} for other events",
                where=f"{self._kind.name} {journal.id}",
                remedy="Get the aggregate again and decide again",
            )
        if journal.append_id == append_id:  # else another save of the same aggregate was faster
            aggregate.mark_committed()
            loaded = Loaded(aggregate, snapshot_version=journal.snapshot_version)
            await self._landed(loaded, appended, len(events))
            journal.snapshot_version = loaded.snapshot_version
        return saved(appended)

    @overload
    async def execute(
        self: "AggregateRepository[A]",
        stream: Stream,
        command: Callable[[A], object],
        /,
        *,
        create: bool = ...,
        append_id: UUID | None = ...,
    ) -> Saved: ...
    @overload
    async def execute(
        self: "AggregateRepository[Decider[C, S]]",
        stream: Stream,
        command: C,
        /,
        *,
        create: bool = ...,
        append_id: UUID | None = ...,
    ) -> Saved: ...
    async def execute(
        self, stream: Stream, command: Any, /, *, create: bool = False, append_id: UUID | None = None
    ) -> Saved:
        """Load the aggregate, run the command, append what it emitted; all again when another writer was first.

        A command is a function of the aggregate, sync or async, that emits events, or any value that a decider
        decides on. It may run more than once, each time on a fresh state. What it raises is raised here, with nothing
        written; one that emits nothing writes nothing. With `create` a stream that does not exist begins blank.

        With an `append_id` of its own a command takes effect once, however often it is sent: when the stream's last
        1,000 events hold that append, the command does not run and the answer is that of the first time. After an
        `OutcomeUnknownError`, send the same command with `append_id=error.append_id`.

        Raises:
            StreamNotFoundError: there is no such stream; pass create=True to begin it.
            StreamTypeError: the stream is of another aggregate type.
            ConflictError: other writers were first in all attempts.
            OutcomeUnknownError: it may have landed, or still land. Send the same command with the error's `append_id`.
            AggregateError: the command cannot be called, or runs a command on its own aggregate.

        Source: docs/how-to/aggregates.md.
        """
        self._kind.check_command(command)
        if append_id is not None and not isinstance(append_id, UUID):
            raise AggregateError(
                f"append id {append_id!r} is no UUID", where=f"{self._kind.name} {stream}", remedy="Pass a uuid.UUID"
            )
        async with self._turns.of(stream):
            hot = self._cache.take(stream)
            done = None if hot is None else await self._attempt(stream, hot, command, append_id, hot=True)
            attempt = 0
            while done is None:
                attempt += 1
                try:
                    loaded = await self._load(stream, create, append_id)
                    done = await self._attempt(stream, loaded, command, append_id, hot=False)
                except ConflictError as error:
                    if attempt == self._attempts or error.stream != stream:
                        raise
                    await asyncio.sleep(_pause_s(attempt))
            return done

    async def snapshot(self, stream: Stream, /) -> Snapshot:
        """Write a snapshot of the aggregate as it stands now, and return it.

        Raises:
            StreamNotFoundError: there is no such stream.
            AggregateError: the state would not come back equal, or its type is not declared.
        """
        if not self._kind.kept:
            raise cannot_keep(self._kind, stream, None)
        loaded = await self._loader.load(stream)
        assert loaded.event_id is not None  # noqa: S101 - what was loaded has an event
        try:
            snapshot = self.snapshots.encode(stream, loaded.version, loaded.event_id, loaded.state)
        except UnfaithfulError as error:
            raise cannot_keep(self._kind, stream, error) from error
        await self.snapshots.write(stream, snapshot)
        return snapshot

    async def close(self) -> None:
        """Wait until every snapshot under way is written; close the repository before its store."""
        await self.snapshots.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _attempt(
        self, stream: Stream, loaded: Loaded, command: Any, append_id: UUID | None, *, hot: bool
    ) -> Saved | None:
        """Return how the command ended; None when it was decided on a hot state that is behind its stream."""
        if append_id is not None:
            found = await self._resends.find(stream, loaded, append_id)
            if found is not None:
                self._keep(stream, loaded)
                return found
        try:
            loaded.state, events = await self._kind.decide(loaded.state, command)
        except Exception:
            if hot and await self._moved(stream, loaded.version):
                return None
            raise
        if not events:
            if hot and await self._moved(stream, loaded.version):
                return None
            self._keep(stream, loaded)
            return Saved(stream, loaded.version)
        try:
            return await self._commit(stream, loaded, events, append_id)
        except ConflictError:
            if hot:
                return None
            raise

    async def _commit(self, stream: Stream, loaded: Loaded, events: Sequence[Event], append_id: UUID | None) -> Saved:
        """Append what was decided, and keep the state behind it."""
        try:
            appended = await self._append(
                stream, events, loaded.version, append_id or self._kind.append_id(loaded.state)
            )
        except QueryError:
            found = None if append_id is None else await self._landed_late(stream, append_id)
            if found is None:
                raise
            return found
        if append_id is not None:
            due = self.snapshots.policy.due_after_save(appended.version, loaded.snapshot_version)
            wanted = self._cache.size or due
            if not wanted or not await self._resends.stand_there(appended, loaded.version, events):
                return saved(appended)
        self._kind.settle(loaded.state)
        await self._landed(loaded, appended, len(events))
        self._keep(stream, loaded)
        return saved(appended)

    def _keep(self, stream: Stream, loaded: Loaded) -> None:
        """Keep a state that nothing uncommitted has touched, if there is a cache."""
        if loaded.version:
            self._cache.put(stream, loaded)

    async def _load(self, stream: Stream, create: bool, append_id: UUID | None) -> Loaded:
        recent = None if append_id is None else RecentAppends()
        try:
            loaded = await self._loader.load(stream, recent=recent)
        except StreamNotFoundError:
            if not create:
                raise
            loaded = Loaded(self._kind.blank(stream))
        loaded.recent = recent
        return loaded

    async def _append(self, stream: Stream, events: Sequence[Event], expected: int, append_id: UUID) -> Appended:
        return await self._store.append(
            stream, events, expected=expected, aggregate_type=self._kind.name, append_id=append_id
        )

    async def _landed(self, loaded: Loaded, appended: Appended, count: int) -> None:
        """Note an acknowledged append, and write a snapshot when one is due."""
        loaded.version = appended.version
        loaded.appended = (appended.append_id, count - 1)
        if loaded.recent is not None:
            loaded.recent.add(appended.append_id, appended.version - count + 1, appended.version)
        if self.snapshots.policy.due_after_save(loaded.version, loaded.snapshot_version):
            await self._loader.keep(appended.stream, loaded)

    async def _moved(self, stream: Stream, version: int) -> bool:
        """Tell whether a cached state is behind its stream: what was decided on it does not count."""
        head = await self._store.head(stream)
        return head is None or head.version != version

    async def _landed_late(self, stream: Stream, append_id: UUID) -> Saved | None:
        """Return the answer to an append of which an earlier sending, with other events, landed just now."""
        try:
            loaded = await self._load(stream, False, append_id)
        except StreamNotFoundError:
            return None
        return await self._resends.find(stream, loaded, append_id)


def _pause_s(attempt: int) -> float:
    """Return how long to wait before the next attempt: full jitter, so that writers do not meet again."""
    return random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (attempt - 1)))  # noqa: S311 - no secret


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(
            f"{name} is {value!r}", where="AggregateRepository", remedy=f"Pass a whole number from {least}"
        )
    return value
