"""Loading: the newest snapshot that can be used, and the events behind it; without one, all events."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from cassorm.aggregates.kind import Kind
from cassorm.aggregates.recent import RecentAppends
from cassorm.aggregates.snapshots import SnapshotKeeper, check_seal
from cassorm.errors import CassormError, EventStoreError, QueryError, StreamNotFoundError, StreamTypeError
from cassorm.events.event import Recorded
from cassorm.events.intent import event_id_of
from cassorm.events.store import EventStore, Snapshot, Stream

_LONG = 100
"""After a page of so many events the event loop gets its turn, even when the next page has already come."""


@dataclass(slots=True)
class Loaded:
    """A state as it stands at `version`, 0 before the first event."""

    state: Any
    version: int = 0
    event_id: UUID | None = None
    """The id of the event at `version`; None before the first event, and when `appended` tells it."""
    snapshot_version: int = 0
    """The version of the newest snapshot that can be used; 0 when there is none."""
    recent: RecentAppends | None = None
    appended: tuple[UUID, int] | None = None
    """The last append and the index of its last event: its id is a hash, made only when it is asked for."""

    def last_event_id(self) -> UUID | None:
        """Return the id of the event at `version`; None before the first event."""
        if self.appended is not None:
            self.event_id, self.appended = event_id_of(*self.appended), None
        return self.event_id


class Loader:
    """Loads the states of one kind from one store."""

    def __init__(self, store: EventStore, kind: Kind[Any], keeper: SnapshotKeeper) -> None:
        self._store = store
        self._kind = kind
        self._keeper = keeper

    async def load(self, stream: Stream, *, base: Loaded | None = None, recent: RecentAppends | None = None) -> Loaded:
        """Return the state at the stream's head, and write a snapshot when the policy asks for one.

        `base` is an earlier state to go on from, if its event is the stream's; it is changed. `recent` takes note of
        every append that is seen.

        Raises:
            StreamNotFoundError: the stream has no events.
            StreamTypeError: the stream is of another aggregate type.
        """
        started = time.monotonic()
        loaded = None if base is None else await self._replay(stream, base, recent)
        if loaded is None and self._kind.kept:
            async with aclosing(self._candidates(stream)) as candidates:
                async for snapshot, found in candidates:
                    loaded = await self._replay(stream, found, recent)
                    if loaded is not None:
                        break
                    self._keeper.ignore(stream, snapshot, "the stream has no such event at its version")
        if loaded is None:
            loaded = await self._replay(stream, Loaded(self._kind.blank(stream)), recent)
        if loaded is None:
            raise StreamNotFoundError(stream, self._kind.name)
        took = timedelta(seconds=time.monotonic() - started)
        if self._keeper.policy.due_after_load(loaded.version, loaded.snapshot_version, took):
            await self.keep(stream, loaded)
        return loaded

    async def keep(self, stream: Stream, loaded: Loaded) -> None:
        """Write a snapshot of a state that is known to be the stream's."""
        event_id = loaded.last_event_id()
        if event_id is not None and await self._keeper.keep(stream, loaded.version, event_id, loaded.state):
            loaded.snapshot_version = loaded.version

    async def _candidates(self, stream: Stream) -> AsyncGenerator[tuple[Snapshot, Loaded]]:
        """Yield the snapshots that can be decoded, newest first: nearly always the first one is the one."""
        tried: int | None = None
        for limit in (1, 20):
            try:
                found = await self._store.snapshots(stream, limit=limit)
            except QueryError:  # an id that no stream can have
                raise
            except CassormError as error:  # an optimisation: without it the events tell
                self._keeper.cannot_read(stream, error)
                return
            for snapshot in found:
                if tried is not None and snapshot.version >= tried:
                    continue
                tried = snapshot.version
                state = self._decode(stream, snapshot)
                if state is not None:
                    yield snapshot, Loaded(state[0], snapshot.version, snapshot.event_id, snapshot.version)
            if len(found) < limit:
                return

    def _decode(self, stream: Stream, snapshot: Snapshot) -> tuple[Any] | None:
        """Return the state of a snapshot, in a tuple; None when it cannot be used."""
        try:
            check_seal(stream, snapshot)
            return self._kind.decode(stream, snapshot.version, snapshot.schema_version, snapshot.data)
        except Exception as error:
            self._keeper.ignore(stream, snapshot, str(error))
            return None

    async def _replay(self, stream: Stream, base: Loaded, recent: RecentAppends | None) -> Loaded | None:
        """Return the base with all later events folded in; None when the stream does not hold the base's event."""
        start = expected = max(1, base.version)
        if recent is not None:
            recent.begin(start)
        async with aclosing(self._store.pages(stream, from_version=start)) as pages:
            async for page in pages:
                _check_page(stream, page, expected)
                events = page
                if expected == start:
                    self._check_type(stream, page[0])
                    if base.event_id is not None:
                        if page[0].event_id != base.event_id:
                            return None
                        events = page[1:]
                if recent is not None:
                    recent.note(page)
                base.state = self._kind.fold(base.state, events)
                expected = page[-1].version + 1
                base.version, base.event_id = page[-1].version, page[-1].event_id
                if len(page) >= _LONG:
                    await asyncio.sleep(0)
        return base if expected > start else None

    def _check_type(self, stream: Stream, recorded: Recorded) -> None:
        if recorded.aggregate_type != self._kind.name:
            raise StreamTypeError(stream, asked=self._kind.name, actual=recorded.aggregate_type)


def _check_page(stream: Stream, page: list[Recorded], expected: int) -> None:
    if page[0].version != expected or page[-1].version != expected + len(page) - 1:
        raise EventStoreError(
            f"events from version {expected} are expected; versions {page[0].version} to {page[-1].version} came, "
            f"{len(page)} in number",
            where=f"stream {stream}",
            remedy="Check the consistency level of reads, and repair the events table",
        )
