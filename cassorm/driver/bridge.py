"""From the driver's threads to the event loop: turns, deadlines, and answers that arrive in bursts.

Everything here runs on the loop's thread, except `succeed` and `fail`, which the driver calls on its own.
"""

import asyncio
from collections import deque
from typing import Any

from cassorm.driver.deadlines import Deadlines

# Sends and answers that are handled before other tasks of the loop get their turn.
_BURST = 32
# Answers that are overdue may hold this many of a connection's 32,768 stream ids; beyond, they hold their turns, too.
_MOST_OVERDUE = 16_384


class Expired(Exception):  # noqa: N818 - an outcome for the caller to name, never raised to users
    """The deadline passed without an answer."""


class Abandoned(Exception):  # noqa: N818 - as above
    """The session was closed before the answer arrived."""


PENDING = object()
"""The answer of a request that has none yet."""


class Request:
    """A statement on its way: `future` is done once `answer` or `error` is set."""

    __slots__ = ("_bucket", "_turn", "answer", "error", "future")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.answer: Any = PENDING
        self.error: BaseException | None = None
        self._bucket: set[Request] | None = None
        self._turn = True


class Bridge:
    """Lets `limit` requests be in flight, in the order in which they came, and brings their answers to the loop.

    A turn lasts until the answer or the deadline, not until the caller's task ends: a cancelled task leaves its
    request behind, so that cancelling in a circle cannot pile up work on the server.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit: int) -> None:
        self._loop = loop
        self._limit = limit
        self._free = limit
        self._budget = _BURST
        self._refilling = False
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._done: deque[Request] = deque()
        self._waking = False
        self._overdue = 0
        self._deadlines: Deadlines[Request] = Deadlines(loop, self._expire)
        self._idle: asyncio.Future[None] | None = None

    @property
    def in_flight(self) -> int:
        """How many turns are taken."""
        return self._limit - self._free

    # -- turns ---------------------------------------------------------------------------------------------------

    def take_turn(self) -> bool:
        """Take a turn now, if there is one; it is given back when the request ends, or by `give_back`."""
        if self._free > 0 and self._budget > 0:
            self._spend()
            return True
        return False

    def _spend(self) -> None:
        self._free -= 1
        self._budget -= 1
        if not self._budget and not self._refilling:
            self._refilling = True
            self._loop.call_soon(self._refill)

    def queue_up(self) -> asyncio.Future[None]:
        """Done when the turn has come, after all who asked before; `Abandoned` when the session was closed meanwhile.

        Whoever is cancelled while awaiting it calls `leave_queue`.
        """
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.append(waiter)
        return waiter

    def leave_queue(self, waiter: asyncio.Future[None]) -> None:
        """Pass the turn on if it came in the same moment as the cancellation."""
        if not waiter.cancelled() and waiter.exception() is None:
            self.give_back()

    def give_back(self) -> None:
        """Return a turn that led to no request, or whose request ended."""
        self._free += 1
        if self._waiters:
            self._hand_out()
        if self._idle is not None and self._free == self._limit and not self._waiters and not self._idle.done():
            self._idle.set_result(None)

    def _hand_out(self) -> None:
        waiters = self._waiters
        while waiters and self._free > 0 and self._budget > 0:
            waiter = waiters.popleft()
            if not waiter.done():
                self._spend()
                waiter.set_result(None)

    def _refill(self) -> None:
        self._refilling = False
        self._budget = _BURST
        self._hand_out()

    # -- requests ------------------------------------------------------------------------------------------------

    def watch(self, request: Request, timeout_s: float) -> None:
        """End `request` as `Expired` unless it is answered within `timeout_s`."""
        request._bucket = self._deadlines.add(request, timeout_s)

    def succeed(self, answer: Any, request: Request) -> None:
        """Bring an answer to the loop, from any thread."""
        request.answer = answer
        self._done.append(request)
        if not self._waking:
            self._wake()

    def fail(self, error: BaseException, request: Request) -> None:
        """Bring a failure to the loop, from any thread."""
        request.error = error
        self._done.append(request)
        if not self._waking:
            self._wake()

    def _wake(self) -> None:
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            # The application closed its loop without closing the session: nobody is left to tell.
            self._done.clear()

    def _drain(self) -> None:
        # Cleared before the queue is read: whatever is appended from here on either is seen below or wakes us again.
        self._waking = False
        done = self._done
        for _ in range(_BURST):
            if not done:
                return
            self._settle(done.popleft())
        if done:
            self._waking = True
            self._loop.call_soon(self._drain)

    def _settle(self, request: Request) -> None:
        bucket = request._bucket
        if bucket is None:
            # Its deadline passed before: the caller is gone.
            self._overdue -= 1
        else:
            request._bucket = None
            bucket.discard(request)
        if request._turn:
            request._turn = False
            self.give_back()
        if not request.future.done():
            request.future.set_result(None)

    def _expire(self, request: Request) -> None:
        # A loop that was kept busy past the deadline may find the answer waiting: it counts.
        if request.answer is PENDING and request.error is None:
            self._leave(request, Expired())

    def _leave(self, request: Request, reason: Exception) -> None:
        request._bucket = None
        self._overdue += 1
        if not request.future.done():
            request.error = reason
            request.future.set_result(None)
        if self._overdue <= _MOST_OVERDUE:
            request._turn = False
            self.give_back()

    # -- the end -------------------------------------------------------------------------------------------------

    async def close(self, grace_s: float) -> None:
        """Wait up to `grace_s` for what is in flight or waits for its turn, then end the rest as `Abandoned`."""
        if self._free < self._limit or any(not waiter.done() for waiter in self._waiters):
            self._idle = self._loop.create_future()
            await asyncio.wait([self._idle], timeout=grace_s)
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(Abandoned())
        for request in self._deadlines.pending():
            self._leave(request, Abandoned())
        self._deadlines.close()
