"""Who is alive, by signs of life that change within the lease: by the observer's own clock, and no other."""

import time
from typing import NamedTuple
from uuid import UUID

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time for which the machine was suspended, where there is such a clock."""
_LEASES_KEPT = 20
"""After so many leases without a sign of life a worker's row is removed."""


def awake() -> float:
    """Return seconds of a clock that nobody sets."""
    return time.clock_gettime(_CLOCK)


class _Seen(NamedTuple):
    beat: int
    beaten: float
    """When the beat was seen to change."""
    carried: frozenset[str]
    since: float
    """Since when it has said to carry these."""


class Alive:
    """Who has given a sign of life lately, and what they say to carry."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: dict[UUID, _Seen] = {}
        self._begun = awake()

    def saw(self, beats: dict[UUID, tuple[int, frozenset[str]]]) -> None:
        """Take note of all signs of life."""
        now = awake()
        for worker, (beat, carried) in beats.items():
            known = self._seen.get(worker, _Seen(beat, now, carried, now))
            self._seen[worker] = _Seen(
                beat,
                known.beaten if known.beat == beat else now,
                carried,
                known.since if known.carried == carried else now,
            )
        for worker in self._seen.keys() - beats.keys():
            del self._seen[worker]

    def workers(self, carried: str | None = None) -> list[UUID]:
        """Return those who are alive, sorted; only those who carry something if that is named."""
        now = awake()
        return sorted(
            worker
            for worker, seen in self._seen.items()
            if now - seen.beaten < self._lease_s and (carried is None or carried in seen.carried)
        )

    def gone(self, owner: UUID | None, carried: str) -> bool:
        """Tell whether an owner has given no sign of life, or has not said to carry this, for the lease.

        It cannot be told before that has passed.
        """
        if owner is None:
            return True
        now, known = awake(), self._seen.get(owner)
        if known is None:
            return now - self._begun >= self._lease_s
        lacks = carried not in known.carried and now - known.since >= self._lease_s
        return lacks or now - known.beaten >= self._lease_s

    def forgotten(self) -> UUID | None:
        """Return one who has given no sign of life for so long that nobody needs to know of it any more."""
        now = awake()
        return next(
            (worker for worker, seen in self._seen.items() if now - seen.beaten > _LEASES_KEPT * self._lease_s),
            None,
        )
