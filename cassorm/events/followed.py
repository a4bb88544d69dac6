"""A subscription as an iterator: the next event is asked for, and the one before is thereby handled."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Protocol

from cassorm.events.event import Recorded
from cassorm.events.subscription import Handler, Left


class Carrier(Protocol):
    """What carries the handler of an iterator: a worker."""

    async def run(self) -> None:
        """Call the handler until `stop`."""

    def stop(self) -> None:
        """End `run` soon."""


async def follow(carry: Callable[[Handler], Carrier]) -> AsyncGenerator[Recorded]:
    """Yield events as a carrier brings them; one counts as handled when the next is asked for.

    Whoever leaves the iteration gives the event that it was looking at back: it comes again the next time.
    """
    events: asyncio.Queue[tuple[Recorded, asyncio.Future[None]]] = asyncio.Queue()

    handed_over: set[asyncio.Future[None]] = set()
    has_left = False

    async def hand_over(recorded: Recorded) -> None:
        handled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not has_left:
            handed_over.add(handled)
            await events.put((recorded, handled))
            await asyncio.wait([handled])
            handed_over.discard(handled)
        if has_left and not (handled.done() and not handled.cancelled()):
            raise Left

    carrier = carry(hand_over)
    running = asyncio.ensure_future(carrier.run())
    try:
        while True:
            coming = asyncio.ensure_future(events.get())
            await asyncio.wait([coming, running], return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                running.result()
                return
            recorded, handled = coming.result()
            yield recorded
            handled.set_result(None)
    finally:
        has_left = True
        for handled in handed_over:
            handled.cancel()
        carrier.stop()
        with suppress(asyncio.CancelledError):
            await running
