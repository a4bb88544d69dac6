"""What a worker carries: one subscription in one shard at a time, and how it stands."""

import asyncio
from dataclasses import dataclass

from cassorm.events.cursor import Carried


@dataclass(frozen=True, slots=True)
class Carrying:
    """How a subscription stands in a shard: up to which position everything is handled, and what that is worth.

    `behind_s` is 0 when everything that is known to be there is handled, None while streams are scanned. `handled` and
    `per_s` count since this worker took it up; `trouble` is what keeps it from going on at the moment.
    """

    subscription: str
    shard: int
    done_upto: int
    behind_s: float | None
    scanning: bool
    handled: int
    per_s: float
    trouble: str | None


@dataclass(slots=True)
class Running:
    """A subscription as this worker carries it in one shard, under the epoch that its checkpoint was claimed with."""

    cursor: Carried
    epoch: int
    task: asyncio.Task[None]
    since: float

    @property
    def ended(self) -> bool:
        """Whether it goes no further: it could not read, or another owner has it."""
        return self.task.done()

    async def drain(self) -> None:
        """Return when everything that the feed has brought is handled, or when it goes no further."""
        draining = asyncio.ensure_future(self.cursor.drain())
        await asyncio.wait([draining, self.task], return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()

    @property
    def failure(self) -> BaseException | None:
        """Why it goes no further."""
        return None if self.task.cancelled() or not self.task.done() else self.task.exception()
