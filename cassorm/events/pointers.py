"""The write side of the feed: a pointer to an append is written, and the shard's closing mark read, before its events.

Pointer first, mark second, append third, each awaited before the next is sent. Whoever closes a shard up to a position
publishes that mark first and reads the pointers second: so either the writer sees the mark, and takes a later position,
or the closer sees the pointer.

Pointers of concurrent appends go out together, and one read brings the marks of all of them.

Source: docs/explanation/feed.md.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from cassorm import faults
from cassorm.errors import CassormError, ClockError, UnavailableError
from cassorm.events.intent import Intent
from cassorm.events.position import shard_of
from cassorm.events.store import Stream

SHARDS_TOGETHER = 8
"""Shards whose pointers go out in one message: the server warns of a batch over more than ten partitions."""
POINTERS_TOGETHER = 24
"""Pointers of one message: below the size at which the server warns of a batch."""
ENOUGH = POINTERS_TOGETHER
"""So many pointers go out although others of their lane are under way; fewer wait for those, and gather.

A message costs client and server much the same whether it holds one pointer or many.
"""
PATIENCE_S = 0.25
"""No pointer waits longer than this for others under way, which may be for a shard whose replicas do not answer."""


class Pointer(NamedTuple):
    """Where an append's events will stand, if they come to stand: `pos` is that of the first, from `from_version` on.

    `prev_pos` is the position of the stream's event before them, 0 when they are its first. `event_types` are
    names, one a line.
    """

    shard: int
    pos: int
    stream: Stream
    append_id: UUID
    from_version: int
    to_version: int
    prev_pos: int
    aggregate_type: str | None
    event_types: str


class Mark(NamedTuple):
    """Up to where a shard is closed to writers, and the node's clock as it read the mark, in microseconds."""

    closing: int
    node_clock: int | None


NO_MARK = Mark(0, None)


class PointerTables(NamedTuple):
    """What writing pointers asks of the store; both come back when the cluster has acknowledged."""

    write: Callable[[Sequence[Pointer]], Awaitable[None]]
    read_marks: Callable[[Sequence[int]], Awaitable[dict[int, Mark]]]


_Group = list[tuple[Pointer, asyncio.Future[Mark]]]


class _Lane:
    """The pointers of some shards: those who wait for the next message, and how many messages are under way."""

    def __init__(self) -> None:
        self.waiting: _Group = []
        self.under_way = 0


class PointerWriter:
    """Gives appends positions that no subscriber has passed."""

    def __init__(self, tables: PointerTables, *, shards: int, clock: Callable[[], int], most_ahead: int) -> None:
        self._tables = tables
        self._shards = shards
        self._clock = clock
        self._most_ahead = most_ahead
        self._lanes = [_Lane() for _ in range(-(-shards // SHARDS_TOGETHER))]
        self._marks: dict[int, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def announce(
        self, intent: Intent, head: int, last_pos: int, aggregate_type: str | None, deadline: float
    ) -> int:
        """Return the position at which the append may be sent, once and under the fence that was read before.

        Its pointer is acknowledged, and its shard was not closed up to there afterwards.

        Raises:
            UnavailableError: the pointer or the mark was not answered, or no position was free before the deadline
                (a time of the loop); nothing of the append was sent.
            ClockError: the position would lie too far in the future, by the node's clock.
        """
        shard = shard_of(intent.stream, self._shards)
        events = intent.events
        one = len(events) == 1
        types = events[0].event_type if one else "\n".join(sorted({event.event_type for event in events}))
        while True:
            # Positions rise within a stream, wherever the clocks of its writers stand.
            pos = max(self._clock(), last_pos + 1, intent.after + 1, self._marks.get(shard, 0) + 1)
            mark = await self._write(
                Pointer(
                    shard,
                    pos,
                    intent.stream,
                    intent.append_id,
                    head + 1,
                    head + len(events),
                    last_pos,
                    aggregate_type,
                    types,
                )
            )
            if mark.closing > self._marks.get(shard, 0):
                self._marks[shard] = mark.closing
            self._check_clock(intent.stream, pos, mark)
            if pos > mark.closing:
                return pos
            # Given up: whoever closed the shard may have looked before the pointer was there.
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(
                    f"shard {shard} was closed up to {mark.closing} before the pointer at {pos} was there, each time",
                    where=f"stream {intent.stream}",
                    remedy="Set this machine's clock by NTP, or see why the cluster answers slowly; append again",
                )

    def _check_clock(self, stream: Stream, pos: int, mark: Mark) -> None:
        """Refuse a position that lies ahead: what is written there comes to subscribers late, and closes the shard late.

        Clocks decide how soon, never whether: an append that was let through by a wrong clock is delivered all the same.
        """
        if mark.node_clock is None or pos <= mark.node_clock + self._most_ahead:
            return
        raise ClockError(
            f"position {pos} lies {(pos - mark.node_clock) / 1e6:,.1f} s ahead of the node's clock",
            where=f"stream {stream}",
            remedy="Set the clocks of this machine, of the stream's other writers and of the nodes by NTP",
        )

    def _write(self, pointer: Pointer) -> asyncio.Future[Mark]:
        loop = asyncio.get_running_loop()
        lane = self._lanes[pointer.shard // SHARDS_TOGETHER]
        acknowledged: asyncio.Future[Mark] = loop.create_future()
        lane.waiting.append((pointer, acknowledged))
        count = len(lane.waiting)
        if count >= ENOUGH:
            self._send(lane)
        elif count == 1:
            if lane.under_way:
                loop.call_later(PATIENCE_S, self._hasten, lane, acknowledged)
            else:
                # Not yet: what else this turn of the loop brings goes along.
                loop.call_soon(self._start, lane)
        return acknowledged

    def _start(self, lane: _Lane) -> None:
        if lane.waiting and not lane.under_way:
            self._send(lane)

    def _hasten(self, lane: _Lane, acknowledged: asyncio.Future[Mark]) -> None:
        if lane.waiting and lane.waiting[0][1] is acknowledged:
            self._send(lane)

    def _send(self, lane: _Lane) -> None:
        group, lane.waiting = lane.waiting[:POINTERS_TOGETHER], lane.waiting[POINTERS_TOGETHER:]
        lane.under_way += 1
        task = asyncio.get_running_loop().create_task(self._run(lane, group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, lane: _Lane, group: _Group) -> None:
        try:
            if not await self._settle(group):
                await self._settle_by_shard(group)
        finally:
            lane.under_way -= 1
            self._start(lane)

    async def _settle(self, group: _Group, *, last: bool = False) -> bool:
        """Write, then read; tell whether both were answered. The `last` attempt tells those who wait if not."""
        try:
            if faults.at is not None:
                faults.at("writer.before-pointer")
            await self._tables.write([pointer for pointer, _ in group])
            if faults.at is not None:
                faults.at("writer.after-pointer")
            marks = await self._tables.read_marks(sorted({pointer.shard for pointer, _ in group}))
            if faults.at is not None:
                faults.at("writer.after-mark")
        except CassormError as error:
            if last:
                for _, acknowledged in group:
                    if not acknowledged.done():
                        acknowledged.set_exception(error)
            return False
        for pointer, acknowledged in group:
            if not acknowledged.done():
                acknowledged.set_result(marks.get(pointer.shard, NO_MARK))
        return True

    async def _settle_by_shard(self, group: _Group) -> None:
        """Again, each shard alone: replicas that do not answer shall fail the appends of their own shards only."""
        shards: dict[int, _Group] = {}
        for member in group:
            shards.setdefault(member[0].shard, []).append(member)
        await asyncio.gather(*(self._settle(members, last=True) for members in shards.values()))
