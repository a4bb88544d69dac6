"""What a writer rings when it appends after a while: for workers that look at most of their stores rarely."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from cassorm.errors import ClusterError
from cassorm.events.alive import awake

logger = logging.getLogger("cassorm.events")

_EVERY_S: Final = 3.0
"""A worker that has heard it stays awake for longer."""


class Bell:
    """Rung beside an append, never in its way: a bell that nobody hears costs a few seconds, and no event."""

    def __init__(self, write: Callable[[], Awaitable[None]]) -> None:
        self._write = write
        self._rung_at = -_EVERY_S
        self._ringing: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """Ring, unless this process has done so a moment ago."""
        now = awake()
        if now - self._rung_at >= _EVERY_S and self._ringing is None:
            self._rung_at = now
            self._ringing = asyncio.get_running_loop().create_task(self._ring())

    async def _ring(self) -> None:
        try:
            await self._write()
        except ClusterError as error:
            logger.info("a bell was not rung: %s", error)
        finally:
            self._ringing = None
