"""Who is alive, by signs of life that change within the lease: by the observer's own clock, and no other."""

import time
from uuid import UUID

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Counts the time for which the machine was suspended, where there is such a clock."""
_LEASES_KEPT = 20
"""After so many leases without a sign of life a worker's row is removed."""


def awake() -> float:
    """Return seconds of a clock that nobody sets."""
    return time.clock_gettime(_CLOCK)


class Alive:
    """Who has given a sign of life lately, and which subscriptions they carry."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._seen: dict[UUID, tuple[int, float, frozenset[str]]] = {}
        self._begun = awake()

    def saw(self, beats: dict[UUID, tuple[int, frozenset[str]]]) -> None:
        """Take note of all signs of life."""
        now = awake()
        for worker, (beat, subscriptions) in beats.items():
            known = self._seen.get(worker)
            changed = known is None or known[0] != beat
            self._seen[worker] = (beat, now if changed or known is None else known[1], subscriptions)
        for worker in self._seen.keys() - beats.keys():
            del self._seen[worker]

    def workers(self, subscription: str | None = None) -> list[UUID]:
        """Return those who are alive, sorted; only those who carry a subscription if one is named."""
        now = awake()
        return sorted(
            worker
            for worker, (_, changed, subscriptions) in self._seen.items()
            if now - changed < self._lease_s and (subscription is None or subscription in subscriptions)
        )

    def gone(self, owner: UUID | None) -> bool:
        """Tell whether an owner has given no sign of life for the lease; it cannot be told before that has passed."""
        if owner is None:
            return True
        known = self._seen.get(owner)
        since = self._begun if known is None else known[1]
        return awake() - since >= self._lease_s

    def forgotten(self) -> UUID | None:
        """Return one who has given no sign of life for so long that nobody needs to know of it any more."""
        now = awake()
        return next(
            (worker for worker, (_, changed, _) in self._seen.items() if now - changed > _LEASES_KEPT * self._lease_s),
            None,
        )
