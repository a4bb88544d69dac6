"""Which appends a stream's last events belong to: how `execute` recognises a command that was sent again."""

from collections.abc import Sequence
from uuid import UUID

from cassorm.events.event import Recorded
from cassorm.events.intent import LOOKBACK


class RecentAppends:
    """The append ids of a stream's last events, each with its first and last version."""

    def __init__(self) -> None:
        self.complete_from = 1
        """From this version on every append is known."""
        self._spans: dict[UUID, tuple[int, int]] = {}

    def begin(self, version: int) -> None:
        """Forget everything: what is noted from here on begins at `version`."""
        self.complete_from = version
        self._spans.clear()

    def note(self, page: Sequence[Recorded]) -> None:
        """Note the appends of events that were read, oldest first."""
        spans = self._spans
        for recorded in page:
            known = spans.get(recorded.append_id)
            low, high = known or (recorded.version, recorded.version)
            spans[recorded.append_id] = (min(low, recorded.version), max(high, recorded.version))

    def add(self, append_id: UUID, first: int, last: int) -> None:
        """Note an append that was just made, and forget those too far behind it."""
        self._spans[append_id] = (first, last)
        if len(self._spans) > 2 * LOOKBACK:
            self.complete_from = max(self.complete_from, last - LOOKBACK + 1)
            self._spans = {known: span for known, span in self._spans.items() if span[1] >= self.complete_from}

    def find(self, append_id: UUID) -> tuple[int, int] | None:
        """Return the first and last version of an append; None when it is not known."""
        return self._spans.get(append_id)
