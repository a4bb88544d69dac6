"""Deadlines of thousands of requests on one timer of the event loop."""

import asyncio
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Sets of things that fall due together, a tick of `tick_s` seconds each: never early, late by a tick or two.

    Adding and dropping are an operation on a set, nothing is left behind by what was dropped, and the loop is woken
    for what waits alone; for what was dropped, once at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[T], None], *, tick_s: float = 0.02) -> None:
        self._loop = loop
        self._expire = expire
        self._tick_s = tick_s
        self._buckets: dict[int, set[T]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0

    def add(self, thing: T, timeout_s: float) -> set[T]:
        """The set that holds `thing` until it falls due; discard it there when it is done."""
        # Not the loop's own time: uvloop takes it once a turn, and a turn with a burst of sends is a long one.
        tick = int((monotonic() + timeout_s) / self._tick_s) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = set()
            if self._timer is None or tick < self._wakes_at:
                self._wake_at(tick)
        bucket.add(thing)
        return bucket

    def pending(self) -> list[T]:
        """All things that have neither fallen due nor been dropped."""
        return [thing for bucket in self._buckets.values() for thing in bucket]

    def close(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_at(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wakes_at = tick
        self._timer = self._loop.call_later(tick * self._tick_s - monotonic(), self._on_tick)

    def _on_tick(self) -> None:
        self._timer = None
        now = int(monotonic() / self._tick_s)
        for tick in sorted(self._buckets):
            # What was added and dropped again is gone: nobody is woken for it.
            if tick <= now or not self._buckets.get(tick):
                for thing in self._buckets.pop(tick, ()):
                    self._expire(thing)
        if self._buckets and self._timer is None:
            self._wake_at(min(self._buckets))
