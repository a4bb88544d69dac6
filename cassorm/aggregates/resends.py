"""Commands that were sent before: how `execute` finds what became of an append id of the caller's.

Source: docs/how-to/aggregates.md, "When the answer is lost".
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from cassorm.aggregates.loading import Loaded
from cassorm.aggregates.recent import RecentAppends
from cassorm.errors import CassormError
from cassorm.events.event import Event
from cassorm.events.intent import LOOKBACK
from cassorm.events.payload import same
from cassorm.events.position import Position
from cassorm.events.store import Appended, EventStore, Stream


class Saved(NamedTuple):
    """Where a stream stands behind a command or a save.

    `version` is the stream's. `position` is that of the last event appended, and `append_id` the id under which it
    was; both are None when there was nothing to append.
    """

    stream: Stream
    version: int
    position: Position | None = None
    append_id: UUID | None = None

    @property
    def changed(self) -> bool:
        """Whether events were appended."""
        return self.position is not None


class Resends:
    """Looks for appends in the last events of streams."""

    def __init__(self, store: EventStore, aggregate_type: str) -> None:
        self._store = store
        self._aggregate_type = aggregate_type

    async def find(self, stream: Stream, loaded: Loaded, append_id: UUID) -> Saved | None:
        """Return the answer to an append that stands among the last events up to the version loaded.

        What was seen at the load, or at an earlier call, is not read again.
        """
        recent = loaded.recent
        if recent is None:
            recent = loaded.recent = RecentAppends()
            recent.begin(loaded.version + 1)
        begin = max(1, loaded.version - LOOKBACK + 1)
        if recent.complete_from > begin:
            async for page in self._store.pages(stream, from_version=begin, to_version=recent.complete_from - 1):
                recent.note(page)
            recent.complete_from = begin
        span = recent.find(append_id)
        if span is None:
            return None
        # Sent once more as it stands there: the store answers as it did the first time.
        events = [recorded.event for recorded in await self._store.get_events(stream, *span)]
        return saved(
            await self._store.append(
                stream, events, expected=span[0] - 1, aggregate_type=self._aggregate_type, append_id=append_id
            )
        )

    async def stand_there(self, appended: Appended, version: int, events: Sequence[Event]) -> bool:
        """Tell whether what stands behind `version` is this append with these events.

        An append id of the caller's may have been sent before, with other events, and have landed only now: the store
        then answers as it would have done the first time, and a state decided here is not the stream's.
        """
        if appended.version != version + len(events):
            return False
        try:
            recorded = await self._store.get_events(appended.stream, version + 1, appended.version)
        except CassormError:
            return False  # not known
        return len(recorded) == len(events) and all(
            one.append_id == appended.append_id and type(one.event) is type(event) and same(one.event, event)
            for one, event in zip(recorded, events, strict=True)
        )


def saved(appended: Appended) -> Saved:
    """Return the answer to an append."""
    return Saved(appended.stream, appended.version, appended.position, appended.append_id)
