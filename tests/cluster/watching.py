"""Watching a loop and a session while something happens to them."""

import asyncio
from datetime import timedelta
from typing import Self

from cassorm.driver.session import Session
from cassorm.errors import UnavailableError


class Heartbeat:
    """A task that wants to run every 5 ms, and how long it had to wait instead."""

    _EVERY_S = 0.005

    def __init__(self) -> None:
        self.gaps_s: list[float] = []

    async def __aenter__(self) -> Self:
        self._last = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._task.cancel()
        self._note()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._EVERY_S)
            self._note()

    def _note(self) -> None:
        now = asyncio.get_running_loop().time()
        self.gaps_s.append(now - self._last - self._EVERY_S)
        self._last = now


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
