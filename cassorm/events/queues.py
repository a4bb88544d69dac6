"""Appends to one stream follow one another within a process, in the order of their calls."""

import asyncio
from collections import deque

from cassorm.events.store import Stream

_Waiting = deque[asyncio.Future[None]]


class Queues:
    """One queue a stream, there for as long as somebody is in it."""

    def __init__(self) -> None:
        self._busy: dict[Stream, _Waiting | None] = {}

    def __len__(self) -> int:
        return len(self._busy)

    def enter(self, stream: Stream) -> bool:
        """Take the turn of a stream that nobody appends to; False when there is somebody, then `wait` for it."""
        if stream in self._busy:
            return False
        self._busy[stream] = None
        return True

    async def wait(self, stream: Stream) -> None:
        """Take the turn when those before have left; whoever is cancelled meanwhile has none."""
        if self.enter(stream):
            return
        waiting = self._busy[stream]
        if waiting is None:
            waiting = self._busy[stream] = deque()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came, and the cancellation at the same time
                self.leave(stream)
            raise

    def leave(self, stream: Stream) -> None:
        """Give the turn to the next who still waits."""
        waiting = self._busy[stream]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._busy[stream]
