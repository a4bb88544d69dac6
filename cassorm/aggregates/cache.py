"""Hot aggregates, kept in memory between commands; and the order in which commands to one id take their turns."""

import asyncio
from collections import OrderedDict
from contextvars import ContextVar

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


class Turns:
    """Commands to one id follow one another within this process, in the order of their calls.

    A command that itself runs commands on other ids does not queue for them: two such commands could wait for each
    other for ever. They compete as writers of two processes do, by the expected version.
    """

    def __init__(self) -> None:
        self._turns: dict[Stream, _Turn] = {}

    def of(self, stream: Stream) -> "_Hold":
        """Return a context manager that holds the turn of an id.

        Raises:
            AggregateError: on entering it, when a command on this id is what calls.
        """
        return _Hold(self._turns, stream)


class _Turn:
    """The lock of an id that somebody works on, and how many hold or want it."""

    __slots__ = ("lock", "users")

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


class _Hold:
    """One command's hold on an id: what runs in its context, tasks included, finds it in `_held`."""

    __slots__ = ("_active", "_stream", "_token", "_turn", "_turns")

    def __init__(self, turns: dict[Stream, _Turn], stream: Stream) -> None:
        self._turns = turns
        self._stream = stream
        self._active = True
        self._turn: _Turn | None = None

    async def __aenter__(self) -> None:
        outer = tuple(hold for hold in _held.get() if hold._active)
        if any(hold._turns is self._turns and hold._stream == self._stream for hold in outer):
            raise AggregateError(
                "a command runs another command on the aggregate that it works on",
                where=f"aggregate {self._stream}",
                remedy="Call the method of the aggregate that the command was given",
            )
        if not outer:
            turn = self._turns.get(self._stream)
            if turn is None:
                turn = self._turns[self._stream] = _Turn()
            self._turn = turn
            turn.users += 1
            try:
                await turn.lock.acquire()
            except BaseException:
                self._leave(turn)
                raise
        self._token = _held.set((*outer, self))

    async def __aexit__(self, *_: object) -> None:
        self._active = False
        _held.reset(self._token)
        if self._turn is not None:
            self._turn.lock.release()
            self._leave(self._turn)

    def _leave(self, turn: _Turn) -> None:
        turn.users -= 1
        if not turn.users:
            del self._turns[self._stream]


_held: ContextVar[tuple[_Hold, ...]] = ContextVar("cassorm_held_turns", default=())
