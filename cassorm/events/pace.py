"""How often a worker does what."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a worker does what."""

    beat: timedelta = timedelta(seconds=1)
    lease: timedelta = timedelta(seconds=6)
    """Without a sign of life for so long a worker counts as dead, and stops handling by itself."""
    trail: timedelta = timedelta(milliseconds=500)
    """How far closing trails the present: so that few writers have to begin again."""
    closing: timedelta = timedelta(seconds=1)
    busy: timedelta = timedelta(milliseconds=5)
    idle: timedelta = timedelta(milliseconds=250)
    """Between two looks at the feed: when there was something a moment ago, and when there was not."""
    overlap: timedelta = timedelta(milliseconds=100)
    """How far each look goes back: what lands later still is found when the shard is closed."""
    checkpoint: timedelta = timedelta(seconds=1)
    grace: timedelta = timedelta(seconds=5)
    """How long a worker that is stopped waits for its handlers."""
    calm: timedelta = timedelta(seconds=10)
    """So long after something came a worker takes its store for one at rest."""
    resting: timedelta = timedelta(seconds=2)
    """Between two looks of a worker at rest at anything but the feed: operators' wishes, pointers that come late."""
    rest: timedelta = timedelta(minutes=5)
    """How often a shard in which nothing happens is closed all the same."""
