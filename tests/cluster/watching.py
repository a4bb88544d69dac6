"""Watching a loop and a session while something happens to them."""

import asyncio
import threading
import time
from datetime import timedelta
from typing import Self

from cassorm.driver.session import Session
from cassorm.errors import UnavailableError


class Heartbeat:
    """A task that wants to run every 5 ms, and for how long the loop was blocked instead.

    A machine that is busy holds up the loop as well. So a thread beats beside the task: only while the thread goes on
    and the task does not is the loop blocked, and the thread's beats tell for how long. A call that waits counts in full;
    a step that computes in Python shares the interpreter with the thread, and counts about half.
    """

    _EVERY_S = 0.005

    def __init__(self) -> None:
        self.blocked_s: list[float] = []
        self._beats = 0
        self._ended = threading.Event()

    async def __aenter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat_beside, daemon=True)
        self._thread.start()
        self._seen = self._beats
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        self._note()
        self._ended.set()
        self._thread.join()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._EVERY_S)
            self._note()

    def _note(self) -> None:
        beats = self._beats
        self.blocked_s.append((beats - self._seen) * self._EVERY_S)
        self._seen = beats

    def _beat_beside(self) -> None:
        while not self._ended.is_set():
            time.sleep(self._EVERY_S)
            self._beats += 1


async def until_it_works(db: Session, within_s: float) -> float:
    """How long it took until `db` answers again."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while True:
        try:
            await db.execute("SELECT key FROM system.local", timeout=timedelta(seconds=1))
        except UnavailableError:
            if loop.time() - begun > within_s:
                raise
            await asyncio.sleep(0.05)
        else:
            return loop.time() - begun
