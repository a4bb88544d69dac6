"""All events of a store in memory, in the order in which they were appended, for whoever subscribes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple

from cassorm.events.store import Stream
from cassorm.events.subscription import Start


class Entry(NamedTuple):
    """Where an event stands, and what it is."""

    stream: Stream
    version: int
    pos: int
    event_type: str
    aggregate_type: str | None


class _Checkpoint:
    """How far one subscription has come, and what it has handed out."""

    def __init__(self, begin: int) -> None:
        self.handled_upto = begin
        """All events below this number are handled."""
        self._handled: set[int] = set()
        self._given: dict[int, Stream] = {}

    def take(self, number: int, stream: Stream) -> bool:
        """Hand an event out; False when it is handled, or when it, or one of its stream, is in somebody's hands."""
        if number in self._handled or stream in self._given.values():
            return False
        self._given[number] = stream
        return True

    def give_back(self, number: int) -> None:
        del self._given[number]

    def done(self, number: int) -> None:
        self._given.pop(number, None)
        self._handled.add(number)
        while self.handled_upto in self._handled:
            self._handled.remove(self.handled_upto)
            self.handled_upto += 1


class MemoryFeed:
    """The events of a `MemoryEventStore`, and how far each subscription has come."""

    def __init__(self) -> None:
        self.events: list[Entry] = []
        """All of them, in the order of their appends."""
        self._checkpoints: dict[str, _Checkpoint] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, entry: Entry) -> None:
        """Take an event that was appended."""
        self.events.append(entry)
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def follow(self, name: str, begin: Start, wants: Callable[[Entry], bool]) -> AsyncGenerator[Entry]:
        """Yield what a subscription wants; one event counts as handled when the next is asked for."""
        if name not in self._checkpoints:
            self._checkpoints[name] = _Checkpoint(0 if begin is Start.BEGINNING else len(self.events))
        checkpoint = self._checkpoints[name]
        number: int | None = None
        try:
            while True:
                number = self._next(checkpoint, wants)
                if number is None:
                    await self._news()
                    continue
                yield self.events[number]
                checkpoint.done(number)
                self._wake()  # the next event of its stream may be waited for by another
                number = None
        finally:
            if number is not None:
                checkpoint.give_back(number)
                self._wake()

    def _next(self, checkpoint: _Checkpoint, wants: Callable[[Entry], bool]) -> int | None:
        for number in range(checkpoint.handled_upto, len(self.events)):
            entry = self.events[number]
            if not checkpoint.take(number, entry.stream):
                continue
            if wants(entry):
                return number
            checkpoint.done(number)
        return None

    async def _news(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)
