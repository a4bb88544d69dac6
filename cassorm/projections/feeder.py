"""The handler of a read model's subscription: events of one stream in, one write out."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from cassorm.events.event import Recorded
from cassorm.events.store import EventStore, Stream
from cassorm.projections.fold import NOTHING, Change, Folding, Standing, fold
from cassorm.projections.past import MOST_VERSION, past_events

_MOST_KNOWN = 10_000


class Rows(Protocol):
    """Where a read model's rows are kept."""

    async def read(self, stream: Stream) -> Standing:
        """The row of a stream as it is written."""

    async def write(self, change: Change) -> None:
        """Write what a fold has made of a row."""


class RowFeeder:
    """Folds the events of a stream into its row; called twice with the same it leaves the same.

    Rows that it has written it remembers: what a row is at a version does not depend on who writes it, so another
    writer can only be further on.
    """

    def __init__(self, kind: Folding, rows: Rows, store: EventStore, *, most_known: int = _MOST_KNOWN) -> None:
        self._kind = kind
        self._rows = rows
        self._store = store
        self._known: OrderedDict[Stream, Standing] = OrderedDict()
        self._most_known = most_known

    async def __call__(self, events: Sequence[Recorded]) -> None:
        """Take events of one stream, oldest first.

        Raises:
            ProjectionError: one of them cannot be mapped; nothing was written.
        """
        stream = events[0].stream
        standing = NOTHING
        # A row that is begun again from the first event needs no look at what stands there, unless others want its keys.
        if events[0].version > 1 or self._kind.guarded:
            standing = self._known.get(stream) or await self._rows.read(stream)
            events = [recorded for recorded in events if recorded.version > standing.version]
            if not events:
                return
        if standing is NOTHING and self._kind.guarded and self._kind.rules.deleting:
            # No row: perhaps it was deleted, and another has its keys by now.
            events = await self._complete(stream, standing, events, to_head=True)
        elif events[-1].version - standing.version > len(events):
            events = await self._complete(stream, standing, events)
        change = fold(self._kind, standing, events)
        self._known.pop(stream, None)
        await self._rows.write(change)
        self._known[stream] = change.standing
        if len(self._known) > self._most_known:
            self._known.popitem(last=False)

    async def _complete(
        self, stream: Stream, standing: Standing, events: Sequence[Recorded], *, to_head: bool = False
    ) -> list[Recorded]:
        """The events with those between them that were not brought: of other types, or missed by a former owner."""
        last = events[-1]
        here = {recorded.version: recorded for recorded in events}
        between = past_events(
            self._store,
            stream,
            self._kind.rules.names,
            from_version=standing.version + 1,
            to_version=MOST_VERSION if to_head else last.version,
            aggregate_type=last.aggregate_type,
        )
        async for page in between:
            for recorded in page:
                here.setdefault(recorded.version, recorded)
        return [here[version] for version in sorted(here)]
