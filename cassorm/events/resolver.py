"""The closing half of the feed: up to which position of a shard it is known, for good, what was appended and what was not.

A round closes the shard up to a position, and only then reads the pointers below it. For each, either its append stands
in the stream, or the stream's fence is raised, so that the append can no longer land. What was appended by a writer
that is paused, slow or dead is thereby never behind a reader's checkpoint: it landed before, or it begins again at a
later position.

Rounds of several resolvers may overlap: a mark only ever rises, and raising a fence twice costs a writer an attempt.

Source: docs/explanation/feed.md.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol
from uuid import UUID

from cassorm import faults
from cassorm.events.append import Row, State
from cassorm.events.pointers import Pointer
from cassorm.events.store import Stream

_AT_ONCE = 32
"""Pointers of a round that are looked at together."""
MOST = 4_000
"""About so many pointers are resolved by one round: what has gathered while nobody resolved takes several."""


class Standing(NamedTuple):
    """What a shard's mark says: closed to writers up to `closing`, resolved for readers up to `resolved_upto`.

    Nothing stands at `begun` or before: the shard was closed up to there when it was made.
    Whoever claimed the shard last is its `owner`, under an `epoch` that rises with each claim.
    """

    begun: int
    closing: int
    resolved_upto: int
    owner: UUID | None
    epoch: int


class ResolverTables(NamedTuple):
    """What resolving asks of the store. The writes are conditional, and sent again until their outcome is known.

    Marks only rise: one that stands as high already, under this owner and epoch, is as good as written. Were it set back,
    by a copy of an earlier write that was given up and arrives late, a writer might find room where readers have passed.
    """

    standing: Callable[[int], Awaitable[Standing]]
    claim: Callable[[int, UUID, int], Awaitable[bool]]
    """Own a shard under the epoch after the one given; False when another claimed it meanwhile."""
    close: Callable[[int, int, UUID, int], Awaitable[bool]]
    resolve: Callable[[int, int, UUID, int], Awaitable[bool]]
    pointers: Callable[[int, int, int, int], Awaitable[tuple[list[Pointer], int]]]
    """The pointers of a shard behind one position, up to and with another, about as many as asked for at most; and up
    to where these are all."""
    state: Callable[[Stream], Awaitable[State]]
    row: Callable[[Stream, int], Awaitable[Row | None]]
    raise_fence: Callable[[Stream, State], Awaitable[bool]]
    """Raise the fence of a stream that stands as told; False when it does not."""


class Placed(Protocol):
    """A row of an event: whose append it is, and at which position."""

    @property
    def append_id(self) -> UUID:
        """The append that wrote it."""

    @property
    def pos(self) -> int:
        """Where it stands in the feed."""


class Lost(Exception):  # noqa: N818 - an answer within this package, not an error of its user
    """The shard has another owner by now."""


class Resolver:
    """Closes one shard, round by round, as its owner."""

    def __init__(self, tables: ResolverTables, shard: int, owner: UUID) -> None:
        self._tables = tables
        self.shard = shard
        self.owner = owner
        self.epoch = 0
        self.resolved_upto = 0
        self._closing = 0
        self.turn = asyncio.Lock()
        """For whoever calls `round`: one at a time."""

    async def claim(self, known: Standing) -> bool:
        """Own the shard from now on; False when it changed hands since `known` was read."""
        # A former owner, on its way out, may have moved the marks since `known` was read: they only rise.
        if not await self._tables.claim(self.shard, self.owner, known.epoch):
            return False
        self.epoch = known.epoch + 1
        self._closing, self.resolved_upto = known.closing, known.resolved_upto
        return True

    async def round(self, upto: int, is_settled: Callable[[Pointer], bool] | None = None) -> list[Pointer]:
        """Close the shard up to a position, at least as far as it was closed before; resolve about `MOST` pointers.

        Return the pointers of what was appended since the last round, in the order of their positions; there will
        never be another one up to `resolved_upto`. Those of which `is_settled` tells that their first version stands,
        whosever it is, are not looked at, and are not among them.

        Raises:
            Lost: another owner has claimed it; nothing was told to readers.
        """
        upto = max(upto, self._closing)
        if faults.at is not None:
            faults.at("resolver.before-close")
        if upto > self._closing:
            if not await self._tables.close(self.shard, upto, self.owner, self.epoch):
                raise Lost
            self._closing = upto
        if faults.at is not None:
            faults.at("resolver.after-close")
        # Read after the mark was published: a writer whose pointer is not among them sees the mark.
        pointers, upto = await self._tables.pointers(self.shard, self.resolved_upto, upto, MOST)
        if faults.at is not None:
            faults.at("resolver.after-reading")
        if is_settled is not None:
            pointers = [pointer for pointer in pointers if not is_settled(pointer)]
        appended: list[Pointer] = []
        for start in range(0, len(pointers), _AT_ONCE):
            group = pointers[start : start + _AT_ONCE]
            settled = await asyncio.gather(*map(self.settle, group))
            appended += [pointer for pointer, stands_there in zip(group, settled, strict=True) if stands_there]
        if faults.at is not None:
            faults.at("resolver.after-settling")
        if upto > self.resolved_upto:
            if not await self._tables.resolve(self.shard, upto, self.owner, self.epoch):
                raise Lost
            self.resolved_upto = upto
        if faults.at is not None:
            faults.at("resolver.after-resolve")
        return appended

    async def settle(self, pointer: Pointer) -> bool:
        """Tell, for good, whether the append that `pointer` announced stands in its stream."""
        tables, stream = self._tables, pointer.stream
        while True:
            row = await tables.row(stream, pointer.from_version)
            if row is not None:
                return stands(pointer, row)
            state = await tables.state(stream)
            if state.head >= pointer.from_version:
                if state.first > pointer.from_version:
                    return False  # cut off behind a snapshot
                continue
            # A read cannot stop a paused writer whose batch is still to come; moving what it is conditional on does.
            if await tables.raise_fence(stream, state):
                return False


def stands(pointer: Pointer, row: Placed) -> bool:
    """Tell whether the row at a pointer's first version is the one that it announced.

    The same append under a later pointer counts there.
    """
    return row.append_id == pointer.append_id and row.pos == pointer.pos
