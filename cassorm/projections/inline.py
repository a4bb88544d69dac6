"""Rows that are written by the append itself: `mode="inline"`."""

from cassorm.events.event import Recorded
from cassorm.projections.active import seen_by
from cassorm.projections.feeder import RowFeeder
from cassorm.projections.kinds import Ground, RowKind


class Inline:
    """Takes what this process has appended to the row of a read model, and leaves to the feed what fails."""

    def __init__(self, ground: Ground, kind: RowKind) -> None:
        self._ground = ground
        self._kind = kind
        self._feeders: dict[int, RowFeeder] = {}

    async def __call__(self, recorded: Recorded) -> None:
        """Fold an event into its row."""
        kind = self._kind
        if recorded.event_type not in kind.event_types or (
            kind.said.aggregates is not None and recorded.aggregate_type not in kind.said.aggregates
        ):
            return
        generation = await seen_by(self._ground.session).generation(self._ground.keyspace, kind.name)
        feeder = self._feeders.get(generation)
        if feeder is None:
            feeder = self._feeders[generation] = kind.feeder(self._ground, generation)
        await feeder([recorded])
