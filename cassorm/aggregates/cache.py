"""Hot aggregates, kept in memory between commands; and the order in which commands to one id take their turns."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from cassorm.aggregates.loading import Loaded
from cassorm.errors import AggregateError
from cassorm.events.store import Stream


class HotCache:
    """The states last used, by id: bounded, the one that was not used for longest leaves first.

    A state that a command works on is taken out and put back when its append was acknowledged, so that nothing
    half-done ever stays here. It is a hint: every append names the version it expects.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._entries: OrderedDict[Stream, Loaded] = OrderedDict()

    def take(self, stream: Stream) -> Loaded | None:
        """Take a state out; None when it is not here."""
        return self._entries.pop(stream, None)

    def peek(self, stream: Stream) -> Loaded | None:
        """Return a state that stays here, not to be changed; None when it is not here."""
        return self._entries.get(stream)

    def put(self, stream: Stream, loaded: Loaded) -> None:
        """Keep a state whose every event is committed; an older one never replaces a newer one."""
        if not self.size:
            return
        there = self._entries.get(stream)
        if there is None or there.version <= loaded.version:
            self._entries[stream] = loaded
        self._entries.move_to_end(stream)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(slots=True)
class _Turn:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


@dataclass(slots=True)
class _Hold:
    turns: "Turns"
    stream: Stream
    active: bool = True


_held: ContextVar[tuple[_Hold, ...]] = ContextVar("cassorm_held_turns", default=())


class Turns:
    """Commands to one id follow one another within this process, in the order of their calls.

    A command that itself runs commands on other ids does not queue for them: two such commands could wait for each
    other for ever. They compete as writers of two processes do, by the expected version.
    """

    def __init__(self) -> None:
        self._turns: dict[Stream, _Turn] = {}

    @asynccontextmanager
    async def of(self, stream: Stream) -> AsyncGenerator[None]:
        """Hold the turn of an id.

        Raises:
            AggregateError: a command on this id is what calls.
        """
        outer = [hold for hold in _held.get() if hold.active]
        if any(hold.turns is self and hold.stream == stream for hold in outer):
            raise AggregateError(
                "a command runs another command on the aggregate that it works on",
                where=f"aggregate {stream}",
                remedy="Call the method of the aggregate that the command was given",
            )
        hold = _Hold(self, stream)
        token = _held.set((*outer, hold))
        try:
            if outer:
                yield
            else:
                async with self._lock(stream):
                    yield
        finally:
            hold.active = False
            _held.reset(token)

    @asynccontextmanager
    async def _lock(self, stream: Stream) -> AsyncGenerator[None]:
        turn = self._turns.get(stream)
        if turn is None:
            turn = self._turns[stream] = _Turn()
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._turns[stream]
