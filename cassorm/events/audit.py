"""The feed beside the events: whether each event has its pointer, and each resolved pointer its event.

It only reads, and runs beside writers and workers. What looks wrong is looked at once more before it is told: an append
may have landed between two reads.

Source: docs/how-to/operate-the-feed.md.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, NamedTuple
from uuid import UUID

from cassorm.driver.session import Session
from cassorm.errors import ConfigurationError
from cassorm.events.append import State
from cassorm.events.audit_tables import AuditTables, EventRow, PointerRow
from cassorm.events.feed_tables import FeedTables
from cassorm.events.intent import index_of
from cassorm.events.position import shard_of
from cassorm.events.resolver import Standing
from cassorm.events.settings import StoreSettings, existing_settings
from cassorm.events.store import Stream
from cassorm.events.tables import TableNames
from cassorm.schema.token_ranges import TokenRange, each

Kind = Literal["gap", "position", "no pointer", "missing", "checkpoint", "mark"]

REMEDIES: Final[dict[Kind, str]] = {
    "gap": "Events are gone, or come from another store: repair the table of events on all nodes (nodetool repair), "
    "then restore it from a backup; projections of these streams are to be rebuilt",
    "position": "Somebody has written events past the event store: rebuild what subscribes to these streams",
    "no pointer": "Subscriptions may have missed these events: repair the table of the feed (nodetool repair), then "
    "reset each subscription, so that it reads the streams: cassorm projections reset NAME",
    "missing": "Subscriptions were told of events that are gone: repair the table of events on all nodes "
    "(nodetool repair), then restore it from a backup",
    "checkpoint": "What came in between was skipped: reset the subscription, so that it reads the streams: "
    "cassorm projections reset NAME",
    "mark": "The table of marks was restored or changed by hand: stop all workers and writers, and run the audit again; "
    "then reset each subscription",
}
_SECOND_US: Final = 1_000_000
_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """One thing that should not be.

    gap: a version of a stream is not there, or its head differs from its last event. position: an event's position does
    not lie behind that of the event before it. no pointer: an event stands within the feed's TTL, and the feed does not
    say so. missing: a pointer that was resolved stands for events that are not there. checkpoint: a subscription is
    further than the feed is resolved. mark: a shard has no mark, or is resolved further than it is closed.
    """

    kind: Kind
    what: str
    stream: Stream | None = None
    version: int | None = None
    position: int | None = None
    shard: int | None = None
    subscription: str | None = None

    @property
    def where(self) -> str:
        """The place, for people."""
        parts = [("subscription", self.subscription), ("shard", self.shard), ("stream", self.stream)]
        parts += [("version", self.version), ("position", self.position)]
        return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


@dataclass(slots=True)
class Audit:
    """How far an audit is: ranges done, what was looked at, how often each kind was found."""

    ranges: int = 0
    ranges_done: int = 0
    streams: int = 0
    events: int = 0
    pointers: int = 0
    checkpoints: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)


async def audit(
    session: Session,
    keyspace: str,
    names: TableNames | None = None,
    *,
    found: Callable[[AuditFinding], None] = lambda _: None,
    progress: Callable[[Audit], None] = lambda _: None,
    parallel: int = 4,
) -> Audit:
    """Compare the events, the feed and the checkpoints of a store; `found` is told of each thing that is wrong.

    A pointer whose append was given up is fine: then the stream's fence says so. Events whose pointers the TTL has taken
    are only compared with one another.

    Raises:
        ConfigurationError: there is no event store of that name.
        ClusterError: the cluster did not answer for long.
    """
    names = names or TableNames()
    settings = await existing_settings(session, keyspace, names)
    if settings is None:
        raise ConfigurationError(
            "is no event store",
            where=f"{keyspace}.{names.events}",
            remedy="Check the keyspace, and the name of the table of events (--events)",
        )
    tables = AuditTables(session, keyspace, names, settings)
    auditor = _Auditor(tables, FeedTables(session, keyspace, names, settings), settings, found)
    works: list[tuple[Callable[[TokenRange], Awaitable[None]], TokenRange]] = []
    works += [(auditor.streams, part) for part in await tables.stream_ranges()]
    if settings.feed:
        await auditor.marks()
        works += [(auditor.pointers, part) for part in await tables.pointer_ranges()]
    seen = auditor.seen
    seen.ranges = len(works)
    progress(seen)
    async for _ in each(works, lambda one: one[0](one[1]), parallel=parallel):
        seen.ranges_done += 1
        progress(seen)
    return seen


class _Announced(NamedTuple):
    """The first event of an append, as the feed should point to it."""

    stream: Stream
    version: int
    pos: int
    append_id: UUID


class _Auditor:
    def __init__(
        self,
        tables: AuditTables,
        feed: FeedTables,
        settings: StoreSettings,
        found: Callable[[AuditFinding], None],
    ) -> None:
        self.seen = Audit()
        self._tables = tables
        self._feed = feed
        self._settings = settings
        self._found = found
        self._standings: dict[int, Standing] = {}
        ttl_us = settings.feed_ttl_s * _SECOND_US
        # A pointer goes by the node's clock, its position may be some seconds ahead of that.
        self._kept_us = ttl_us - min(ttl_us // 2, 20 * _SECOND_US)

    def _tell(self, finding: AuditFinding) -> None:
        self.seen.kinds[finding.kind] += 1
        self._found(finding)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    async def marks(self) -> None:
        """Compare marks with one another and with the checkpoints."""
        # Read first, so that what the marks say is newer.
        checkpoints = await self._tables.checkpoints()
        self._standings = await self._feed.standings(range(self._settings.shards))
        self.seen.checkpoints = len(checkpoints)
        for shard in range(self._settings.shards):
            standing = self._standings.get(shard)
            if standing is None:
                self._tell(AuditFinding("mark", "the shard has no mark", shard=shard))
            elif standing.resolved_upto > standing.closing:
                what = f"resolved up to {standing.resolved_upto}, and closed to writers only up to {standing.closing}"
                self._tell(AuditFinding("mark", what, shard=shard))
        for name, shard, pos, scan_upto in checkpoints:
            standing = self._standings.get(shard)
            furthest = max(pos, scan_upto or 0)
            if standing is not None and furthest > standing.resolved_upto:
                what = f"the checkpoint is {furthest}, the shard is resolved up to {standing.resolved_upto}"
                self._tell(AuditFinding("checkpoint", what, position=furthest, shard=shard, subscription=name))

    # -- events --------------------------------------------------------------------------------------------------

    async def streams(self, part: TokenRange) -> None:
        """Go through the streams of a range: their versions and positions, and their pointers."""
        now = await self._feed.node_clock()
        run = _Run()
        announced: list[_Announced] = []
        suspects: list[Stream] = []
        async for page in self._tables.streams(part):
            for stream, state, row in page:
                if stream != run.stream:
                    if run.ends_wrong:
                        suspects.append(run.stream)
                    run = _Run(stream, state.first)
                    self.seen.streams += state.head > 0
                first = run.take(state, row)
                if run.wrong and stream not in suspects[-1:]:
                    suspects.append(stream)
                if row is not None:
                    self.seen.events += 1
                    if first is not None and first.pos > now - self._kept_us:
                        announced.append(first)
            await self._pointers_of(announced)
            announced = []
        if run.ends_wrong:
            suspects.append(run.stream)
        for stream in dict.fromkeys(suspects):
            await self._examine(stream)

    async def _pointers_of(self, announced: list[_Announced]) -> None:
        if not self._settings.feed:
            return
        shards: dict[int, list[_Announced]] = {}
        for one in announced:
            shards.setdefault(shard_of(one.stream, self._settings.shards), []).append(one)
        for shard, appends in shards.items():
            there = await self._tables.pointers_at(shard, [one.pos for one in appends])
            missing = [one for one in appends if (one.pos, one.stream) not in there]
            if not missing:
                continue
            # Again: it may have come to the end of its days just now, or stand on a node that was slow.
            there = await self._tables.pointers_at(shard, [one.pos for one in missing])
            kept = await self._feed.node_clock() - self._kept_us
            for one in missing:
                if (one.pos, one.stream) not in there and one.pos > kept:
                    what = f"append {one.append_id} has no pointer in the feed"
                    self._tell(AuditFinding("no pointer", what, one.stream, one.version, one.pos, shard))

    async def _examine(self, stream: Stream) -> None:
        """Look at a stream once more, from its head on: then whatever is below that head has to be there."""
        state = await self._tables.state(stream)
        rows = [row for row in await self._tables.rows(stream) if row.version <= state.head]
        version, pos = state.first - 1, 0
        for row in rows:
            if row.version > version + 1:
                gone = f"{version + 1} to {row.version - 1}" if row.version > version + 2 else f"{version + 1}"
                self._tell(AuditFinding("gap", f"version {gone} is not there", stream, version + 1))
            if row.pos <= pos:
                what = f"its position {row.pos} does not lie behind {pos}, that of version {version}"
                self._tell(AuditFinding("position", what, stream, row.version, row.pos))
            version, pos = row.version, row.pos
        if version < state.head:
            what = f"the head is {state.head}, and the last event is version {version}"
            self._tell(AuditFinding("gap", what, stream, version + 1))
        elif rows and state.last_pos != pos:
            what = f"the stream's last position is {state.last_pos}, that of its last event {pos}"
            self._tell(AuditFinding("position", what, stream, version, pos))

    # -- pointers ------------------------------------------------------------------------------------------------

    async def pointers(self, part: TokenRange) -> None:
        """Go through the pointers of a range, and look for their events."""
        slots = asyncio.Semaphore(_AT_ONCE)
        async for page in self._tables.pointers(part):
            self.seen.pointers += len(page)
            streams: dict[Stream, list[PointerRow]] = {}
            for pointer in page:
                standing = self._standings.get(pointer.shard)
                if standing is not None and standing.begun < pointer.pos <= standing.resolved_upto:
                    streams.setdefault(pointer.stream, []).append(pointer)
            await asyncio.gather(*(partial(self._appended, slots)(*one) for one in streams.items()))

    async def _appended(self, slots: asyncio.Semaphore, stream: Stream, pointers: list[PointerRow]) -> None:
        async with slots:
            ends = {version for one in pointers for version in (one.from_version, one.to_version)}
            rows = await self._tables.rows_at(stream, sorted(ends))
            doubtful = [one for one in pointers if not _complete(one, rows)]
            if not doubtful:
                return
            state = await self._tables.state(stream)
            for pointer in doubtful:
                what = _loss(pointer, rows, state)
                if what is not None:
                    version = pointer.from_version if pointer.from_version not in rows else pointer.to_version
                    self._tell(AuditFinding("missing", what, stream, version, pointer.pos, pointer.shard))


def _complete(pointer: PointerRow, rows: dict[int, EventRow]) -> bool:
    """Tell whether an append stands from end to end, or another stands in its place."""
    first, last = rows.get(pointer.from_version), rows.get(pointer.to_version)
    if first is None:
        return False
    if first.append_id != pointer.append_id or first.pos != pointer.pos:
        return True
    return last is not None and last.append_id == pointer.append_id


def _loss(pointer: PointerRow, rows: dict[int, EventRow], state: State) -> str | None:
    """Tell what of a resolved pointer's append is lost; None when it was given up, or cut off behind a snapshot."""
    if pointer.to_version < state.first:
        return None
    if pointer.from_version in rows:
        return f"append {pointer.append_id} stands from version {pointer.from_version}, and not to its end"
    if pointer.from_version < state.first:
        return None
    if pointer.from_version <= state.head:
        return f"the head is {state.head}, and the first event of append {pointer.append_id} is not there"
    if state.fence is None:
        # Whoever resolved it would have raised the fence if it had not stood there.
        return f"append {pointer.append_id} is not there, and nothing says that it was given up"
    return None


class _Run:
    """One stream as its rows pass by, in the order of their versions."""

    def __init__(self, stream: Stream = "", first: int = 1) -> None:
        self.stream = stream
        self.wrong = False
        self._version = first - 1
        self._first = first
        self._pos = 0
        self._append_id: UUID | None = None
        self._state = State()

    def take(self, state: State, row: EventRow | None) -> _Announced | None:
        """Take the next row; return it when it is the first of its append."""
        self._state = state
        if row is None:
            return None
        if row.version != self._version + 1 or row.pos <= self._pos:
            self.wrong = True
        begins = row.append_id != self._append_id
        before = index_of(row.event_id) if begins and row.version == self._first > 1 else 0
        self._version, self._pos, self._append_id = row.version, row.pos, row.append_id
        return _Announced(self.stream, row.version, row.pos - before, row.append_id) if begins else None

    @property
    def ends_wrong(self) -> bool:
        """Whether the stream, if this was its last row, does not end at its head."""
        return self._version < self._state.head or (self._state.head > 0 and self._state.last_pos != self._pos)
