"""The CQL of the feed: pointers, closing marks, fences."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid4

from cassorm import faults
from cassorm.cql.identifiers import quote_table
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError
from cassorm.events.append import Row, State, state_of
from cassorm.events.intent import index_of
from cassorm.events.pointers import POINTERS_TOGETHER, Mark, Pointer
from cassorm.events.position import tokens_of
from cassorm.events.queries import EVENT_COLUMNS, STATE_COLUMNS
from cassorm.events.resolver import Standing
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import BEFORE_ALL, Asked, Checkpoint, Parked, Scanned
from cassorm.events.tables import TableNames

_POINTER: Final = "pos, aggregate_id, append_id, from_version, to_version, prev_pos, aggregate_type, event_types"
_PAGE: Final = 5_000
_BUCKETS_EACH: Final = 3
"""So few buckets are read one by one; of more it is asked first which of them hold anything."""
_BUCKETS_TOGETHER: Final = 100
_SCAN_PAGE: Final = 2_000
_ATTEMPTS: Final = 6


class FeedTables:
    """What the feed of one store asks of its tables, at the store's own consistency."""

    def __init__(
        self,
        session: Session,
        keyspace: str,
        names: TableNames,
        settings: StoreSettings,
        ring: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._session = session
        self._ring = ring
        self._settings = settings
        self._bucket_us = settings.bucket_s * 1_000_000
        events, feed, marks = (quote_table(name, keyspace) for name in (names.events, names.feed, names.marks))
        self._pointer = f"INSERT INTO {feed} (shard, bucket, {_POINTER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        self._pointers = lru_cache(maxsize=POINTERS_TOGETHER)(self._pointers_text)
        self._held = f"SELECT DISTINCT bucket, shard FROM {feed} WHERE shard = ? AND bucket IN ?"
        self._slice = f"SELECT {_POINTER} FROM {feed} WHERE shard = ? AND bucket = ? AND pos > ? AND pos <= ?"
        self._marks = f"SELECT shard, closing, toUnixTimestamp(now()) FROM {marks} WHERE shard IN ?"
        self._new_mark = (
            f"INSERT INTO {marks} (shard, begun, closing, resolved_upto, epoch) VALUES (?, ?, ?, ?, 0) IF NOT EXISTS"
        )
        self._standings = f"SELECT shard, begun, closing, resolved_upto, owner, epoch FROM {marks} WHERE shard IN ?"
        self._claim = f"UPDATE {marks} SET owner = ?, epoch = ? WHERE shard = ? IF epoch = ?"
        self._close = f"UPDATE {marks} SET closing = ? WHERE shard = ? IF owner = ? AND epoch = ? AND closing < ?"
        self._resolve = (
            f"UPDATE {marks} SET resolved_upto = ? WHERE shard = ? IF owner = ? AND epoch = ? AND resolved_upto < ?"
        )
        one = "WHERE aggregate_id = ?"
        self._state = f"SELECT DISTINCT {', '.join(STATE_COLUMNS)}, aggregate_id FROM {events} {one}"
        self._row = f"SELECT version, append_id, event_id, pos FROM {events} {one} AND version = ?"
        self._raise = f"UPDATE {events} SET fence = ? {one} IF head = ? AND fence = ?"
        self._release = f"UPDATE {marks} SET owner = null WHERE shard = ? IF owner = ? AND epoch = ?"
        self._news = f"SELECT shard, {_POINTER} FROM {feed} WHERE shard IN ? AND bucket IN ? AND pos > ?"
        self._events = f"SELECT {EVENT_COLUMNS} FROM {events} {one} AND version >= ? AND version <= ?"
        self._below = f"SELECT {EVENT_COLUMNS} FROM {events} {one} AND version < ? ORDER BY version DESC"
        checkpoints, parked = (quote_table(name, keyspace) for name in (names.checkpoints, names.parked))
        self._new_checkpoint = (
            f"INSERT INTO {checkpoints} (subscription, shard, pos, scan_upto, scan_token, epoch) "
            "VALUES (?, ?, ?, ?, ?, 0) IF NOT EXISTS"
        )
        self._checkpoints = (
            f"SELECT shard, pos, owner, epoch, scan_upto, scan_token FROM {checkpoints} "
            "WHERE subscription = ? AND shard IN ?"
        )
        mine = "WHERE subscription = ? AND shard = ?"
        self._take = f"UPDATE {checkpoints} SET owner = ?, epoch = ? {mine} IF epoch = ?"
        self._save = (
            f"UPDATE {checkpoints} SET pos = ?, scan_upto = null, scan_token = null {mine} IF owner = ? AND epoch = ?"
        )
        self._save_scan = f"UPDATE {checkpoints} SET scan_token = ? {mine} IF owner = ? AND epoch = ?"
        self._rescan = (
            f"UPDATE {checkpoints} SET pos = ?, scan_upto = ?, scan_token = ?, owner = null, epoch = ? {mine} "
            "IF epoch = ?"
        )
        self._forget = f"DELETE FROM {checkpoints} {mine} IF EXISTS"
        self._give = f"UPDATE {checkpoints} SET owner = null {mine} IF owner = ? AND epoch = ?"
        self._park = (
            f"INSERT INTO {parked} (subscription, shard, aggregate_id, version, event_type, pos, error, attempts) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self._unpark = f"DELETE FROM {parked} {mine} AND aggregate_id = ? AND version = ?"
        self._parked_streams = f"SELECT aggregate_id, version FROM {parked} {mine}"
        subscriptions = quote_table(names.subscriptions, keyspace)
        self._pause = f"INSERT INTO {subscriptions} (scope, subscription, paused) VALUES ('subscription', ?, ?)"
        self._begin_again = (
            f"INSERT INTO {subscriptions} (scope, subscription, begun_again) VALUES ('subscription', ?, ?)"
        )
        self._asked = f"SELECT subscription, paused, begun_again FROM {subscriptions} WHERE scope = 'subscription'"
        self._scan = (
            f"SELECT token(aggregate_id), aggregate_id, aggregate_type, {EVENT_COLUMNS} FROM {events} "
            "WHERE token(aggregate_id) > ? AND token(aggregate_id) <= ?"
        )
        self._parked = f"SELECT version FROM {parked} {mine} AND aggregate_id = ? LIMIT 1"
        self._clock = "SELECT toUnixTimestamp(now()) FROM system.local"

    # -- writers -------------------------------------------------------------------------------------------------

    async def create_marks(self) -> None:
        """Bring the marks of all shards into being, at the node's present time: nothing was appended before."""
        missing = sorted(set(range(self._settings.shards)) - set(await self.read_marks(range(self._settings.shards))))
        if not missing:
            return
        now = await self.node_clock()
        # By LWT: a mark that another process has created since may stand behind an append already.
        await asyncio.gather(*(self._conditional(self._new_mark, (shard, now, now, now)) for shard in missing))

    async def write_pointers(self, pointers: Sequence[Pointer]) -> None:
        """Return when all are acknowledged; they may be written twice."""
        params: list[Any] = []
        for shard, pos, *rest in pointers:
            params += (shard, pos // self._bucket_us, pos, *rest)
        prepared = await self._session.prepare(self._pointers(len(pointers)))
        await self._session.execute(prepared, params, consistency=self._settings.consistency, idempotent=True)

    async def read_marks(self, shards: Sequence[int]) -> dict[int, Mark]:
        """Return the marks of these shards that exist."""
        prepared = await self._session.prepare(self._marks)
        # All in one page: a store has at most 1,024 shards.
        result = await self._session.execute(prepared, ([*shards],), consistency=self._settings.consistency)
        return {shard: Mark(closing, node * 1000) for shard, closing, node in result.rows}

    # -- resolvers -----------------------------------------------------------------------------------------------

    async def node_clock(self) -> int:
        """Return a node's time in microseconds."""
        return int((await self._rows(self._clock))[0][0]) * 1000

    async def standing(self, shard: int) -> Standing:
        """Return what a shard's mark says."""
        return (await self.standings([shard]))[shard]

    async def standings(self, shards: Sequence[int]) -> dict[int, Standing]:
        """Return what the marks of these shards say."""
        return {shard: Standing(*rest) for shard, *rest in await self._rows(self._standings, [*shards])}

    async def claim(self, shard: int, owner: UUID, epoch: int) -> bool:
        """Own the shard under the next epoch if it still stands at this one."""
        if (await self._conditional(self._claim, (owner, epoch + 1, shard, epoch))).applied:
            return True
        # Its own first copy, when that was not answered, looks like another's claim.
        found = await self.standing(shard)
        return (found.owner, found.epoch) == (owner, epoch + 1)

    async def close(self, shard: int, upto: int, owner: UUID, epoch: int) -> bool:
        """Publish up to where the shard is closed to writers, if it is still owned under this epoch.

        A mark never goes back, not even when a copy of an earlier write arrives long after it was given up.
        """
        result = await self._conditional(self._close, (upto, shard, owner, epoch, upto))
        return _risen(result, "closing", (owner, epoch, upto))

    async def resolve(self, shard: int, upto: int, owner: UUID, epoch: int) -> bool:
        """Publish up to where the shard is resolved for readers, if it is still owned under this epoch."""
        result = await self._conditional(self._resolve, (upto, shard, owner, epoch, upto))
        return _risen(result, "resolved_upto", (owner, epoch, upto))

    async def release(self, shard: int, owner: UUID, epoch: int) -> None:
        """Leave a shard to whoever comes next."""
        await self._conditional(self._release, (shard, owner, epoch))

    async def raise_fence(self, stream: Stream, state: State) -> bool:
        """Raise the stream's fence if its head and fence stand as told."""
        params = ((state.fence or 0) + 1, stream, state.head or None, state.fence)
        return bool((await self._conditional(self._raise, params)).applied)

    async def state(self, stream: Stream) -> State:
        """Return what a stream's next append is conditional on."""
        found = await self._rows(self._state, stream)
        return state_of(found[0][: len(STATE_COLUMNS)]) if found else State()

    async def row(self, stream: Stream, version: int) -> Row | None:
        """Return where a version of a stream stands; None when there is none."""
        found = await self._rows(self._row, stream, version)
        return Row(*found[0]) if found else None

    async def pointers(self, shard: int, low: int, high: int) -> list[Pointer]:
        """Return the pointers of a shard behind `low`, up to and with `high`, in the order of their positions."""
        found: list[Pointer] = []
        async for bucket in self._buckets(shard, low, high):
            rows = await self._rows(self._slice, shard, bucket, low, high)
            found += [Pointer(shard, *row) for row in rows]
        return found

    async def next_pointers(self, shard: int, low: int, high: int, most: int) -> tuple[list[Pointer], int]:
        """Return the pointers of a shard behind `low`, in the order of their positions, and up to where they are all.

        That is `high`, unless there are more than about `most`.
        """
        prepared = await self._session.prepare(self._slice)
        found: list[Pointer] = []
        async for bucket in self._buckets(shard, low, high):
            result = await self._session.execute(
                prepared, (shard, bucket, low, high), consistency=self._settings.consistency, page_size=most
            )
            found += [Pointer(shard, *row) for row in result.rows]
            if result.page_state is not None and found:
                # The page may have ended between two pointers of one position.
                last = found[-1].pos
                found = [pointer for pointer in found if pointer.pos < last]
                return (found, last - 1) if found else (await self.pointers(shard, low, last), last)
            if len(found) >= most:
                return found, min(high, (bucket + 1) * self._bucket_us - 1)
        return found, high

    async def _buckets(self, shard: int, low: int, high: int) -> AsyncIterator[int]:
        """Yield the buckets in which pointers behind `low`, up to and with `high`, may be, in their order."""
        # Older ones are gone by their TTL, twice over.
        low = max(low, high - 2 * self._settings.feed_ttl_s * 1_000_000)
        buckets = range((low + 1) // self._bucket_us, high // self._bucket_us + 1)
        if len(buckets) <= _BUCKETS_EACH:
            for bucket in buckets:
                yield bucket
            return
        for start in range(0, len(buckets), _BUCKETS_TOGETHER):
            rows = await self._rows(self._held, shard, [*buckets[start : start + _BUCKETS_TOGETHER]])
            for bucket in sorted(row[0] for row in rows):
                yield bucket

    # -- readers -------------------------------------------------------------------------------------------------

    async def news(self, shards: Sequence[int], low: int, high: int) -> list[Pointer]:
        """Return the pointers of these shards behind `low`, in the buckets up to that of `high`."""
        buckets = [*range((low + 1) // self._bucket_us, high // self._bucket_us + 1)]
        return [Pointer(*row) for row in await self._rows(self._news, [*shards], buckets, low)]

    async def history(self, shard: int, low: int, high: int, *, most: int = 500) -> list[Pointer]:
        """Return the first pointers of a shard behind `low`, up to and with `high`: none when there are none."""
        while low < high:
            found, low = await self.next_pointers(shard, low, high, most)
            if found:
                return found
        return []

    async def events(self, stream: Stream, low: int, high: int) -> list[Stored]:
        """Return the events of a stream from one version to another, both included, oldest first."""
        return [Stored(*row) for row in await self._rows(self._events, stream, low, high)]

    async def behind(self, stream: Stream, pos: int, version: int) -> list[Stored]:
        """Return the events of a stream behind a position and below a version, oldest first."""
        found: list[Stored] = []
        prepared = await self._session.prepare(self._below)
        async for row in self._session.stream(
            prepared, (stream, version), page_size=50, consistency=self._settings.consistency
        ):
            event = Stored(*row)
            if event.pos <= pos:
                break
            found.append(event)
        return found[::-1]

    async def scan(self, shard: int, token: int) -> AsyncIterator[Scanned]:
        """Yield the streams of a shard behind a token, in the order of their tokens, long ones in several parts."""
        _, last_token = tokens_of(shard, self._settings.shards)
        first_token = max(token, tokens_of(shard, self._settings.shards)[0])
        prepared = await self._session.prepare(self._scan)
        pages = self._session.pages(
            prepared, (first_token, last_token), page_size=_SCAN_PAGE, consistency=self._settings.consistency
        )
        parts = _Parts()
        async for page in pages:
            for part in parts.of(page):
                yield part
            if faults.at is not None:
                faults.at("scan.after-page")
        for part in parts.rest():
            yield part

    async def begin(self, subscription: str, shard: int, pos: int, scan_upto: int | None) -> None:
        """Bring a checkpoint into being, if there is none: at a position, or before all with a scan up to one."""
        scan_token = None if scan_upto is None else tokens_of(shard, self._settings.shards)[0]
        await self._conditional(self._new_checkpoint, (subscription, shard, pos, scan_upto, scan_token))

    async def rescan(self, subscription: str, shard: int, pos: int, scan_upto: int, epoch: int) -> bool:
        """Let a checkpoint that still stands at this epoch catch up by a scan from a position; nobody owns it then."""
        scan_token = tokens_of(shard, self._settings.shards)[0]
        params = (pos, scan_upto, scan_token, epoch + 1, subscription, shard, epoch)
        return bool((await self._conditional(self._rescan, params)).applied)

    async def reset(self, subscription: str) -> None:
        """Begin a subscription again: all its checkpoints go back before all events, and it scans what stands there."""
        shards = range(self._settings.shards)
        standings = await self.standings(shards)
        for shard in shards:
            found = await self.checkpoints(subscription, [shard])
            while found and not await self.rescan(
                subscription, shard, BEFORE_ALL, standings[shard].resolved_upto, found[shard].epoch
            ):
                found = await self.checkpoints(subscription, [shard])
        # Owners to whom nothing comes would not notice.
        await self._write(self._begin_again, (subscription, uuid4()))
        await self.stir()

    async def forget(self, subscription: str) -> None:
        """Delete the checkpoints of a subscription that nobody carries any more: under its name a new one begins."""
        for shard in range(self._settings.shards):
            await self._conditional(self._forget, (subscription, shard))

    async def checkpoints(self, subscription: str, shards: Sequence[int]) -> dict[int, Checkpoint]:
        """Return a subscription's checkpoints in these shards."""
        rows = await self._rows(self._checkpoints, subscription, [*shards])
        return {shard: Checkpoint(*rest) for shard, *rest in rows}

    async def take(self, subscription: str, shard: int, owner: UUID, epoch: int) -> bool:
        """Own a checkpoint under the next epoch if it still stands at this one."""
        if (await self._conditional(self._take, (owner, epoch + 1, subscription, shard, epoch))).applied:
            return True
        found = (await self.checkpoints(subscription, [shard]))[shard]
        return (found.owner, found.epoch) == (owner, epoch + 1)

    async def save(self, subscription: str, shard: int, pos: int, owner: UUID, epoch: int) -> bool:
        """Move a checkpoint if it is still owned under this epoch."""
        return bool((await self._conditional(self._save, (pos, subscription, shard, owner, epoch))).applied)

    async def save_scan(self, subscription: str, shard: int, token: int, owner: UUID, epoch: int) -> bool:
        """Note up to which token a scan has come, if the checkpoint is still owned under this epoch."""
        return bool((await self._conditional(self._save_scan, (token, subscription, shard, owner, epoch))).applied)

    async def give(self, subscription: str, shard: int, owner: UUID, epoch: int) -> None:
        """Leave a checkpoint to whoever comes next."""
        await self._conditional(self._give, (subscription, shard, owner, epoch))

    async def park(self, shard: int, parked: Parked) -> None:
        """Keep an event that could not be handled."""
        name, stream, version, event_type, pos, error, attempts = parked
        await self._write(self._park, (name, shard, stream, version, event_type, pos, error, attempts))

    async def unpark(self, subscription: str, shard: int, stream: Stream, version: int) -> None:
        """Forget that an event is parked."""
        await self._write(self._unpark, (subscription, shard, stream, version))

    async def parked_streams(self, subscription: str, shard: int) -> dict[Stream, int]:
        """Return the lowest parked version of each stream of a shard that has one."""
        lowest: dict[Stream, int] = {}
        for stream, version in await self._rows(self._parked_streams, subscription, shard):
            lowest.setdefault(stream, version)
        return lowest

    async def parked(self, subscription: str, shard: int, stream: Stream) -> int | None:
        """Return the lowest version of a stream that is parked; None when none is."""
        found = await self._rows(self._parked, subscription, shard, stream)
        return int(found[0][0]) if found else None

    # -- operators -----------------------------------------------------------------------------------------------

    async def pause(self, subscription: str) -> None:
        """Let all workers stop carrying a subscription at their next sign of life; its checkpoints stay."""
        await self._write(self._pause, (subscription, True))
        await self.stir()

    async def resume(self, subscription: str) -> None:
        """Let workers carry a subscription on."""
        await self._write(self._pause, (subscription, False))
        await self.stir()

    async def paused(self) -> frozenset[str]:
        """Return the names of the subscriptions that are paused."""
        return frozenset(name for name, asked in (await self.asked()).items() if asked.paused)

    async def asked(self) -> dict[str, Asked]:
        """Return what operators ask of subscriptions, by name."""
        return {name: Asked(bool(paused), begun_again) for name, paused, begun_again in await self._rows(self._asked)}

    async def stir(self) -> None:
        """Let workers that look at this store rarely look at once."""
        if self._ring is not None:
            await self._ring()

    # -- sending -------------------------------------------------------------------------------------------------

    def _pointers_text(self, count: int) -> str:
        if count == 1:
            return self._pointer
        return f"BEGIN UNLOGGED BATCH {'; '.join([self._pointer] * count)}; APPLY BATCH"

    async def _conditional(self, text: str, params: Sequence[object]) -> Result:
        """Send a write whose condition makes sending it twice harmless, until it is answered."""
        settings, attempt = self._settings, 1
        prepared = await self._session.prepare(text)
        while True:
            try:
                return await self._session.execute(
                    prepared,
                    params,
                    consistency=settings.consistency,
                    serial_consistency=settings.serial_consistency,
                )
            except OutcomeUnknownError:
                if attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(0.02 * 2**attempt)
            attempt += 1

    async def _write(self, text: str, params: Sequence[object]) -> None:
        prepared = await self._session.prepare(text)
        await self._session.execute(prepared, params, consistency=self._settings.consistency, idempotent=True)

    async def _rows(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        prepared = await self._session.prepare(text)
        return [
            row
            async for page in self._session.pages(
                prepared, params, page_size=_PAGE, consistency=self._settings.consistency
            )
            for row in page
        ]


def _risen(result: Result, mark: str, wanted: tuple[UUID, int, int]) -> bool:
    """Tell whether a mark stands at least as high as wanted, under this owner and epoch: by this copy or an earlier."""
    if result.applied:
        return True
    owner, epoch, upto = wanted
    return any(
        (row.get("owner"), row.get("epoch")) == (owner, epoch) and (row.get(mark) or 0) >= upto
        for row in result.dicts()
    )


class _Parts:
    """The rows of a scan, put together by stream."""

    def __init__(self) -> None:
        self._stream: Stream | None = None
        self._token = 0
        self._aggregate_type: str | None = None
        self._events: list[tuple[int, Stored]] = []
        self._append_id: UUID | None = None
        self._at = 0

    def of(self, page: Iterable[Sequence[Any]]) -> Iterator[Scanned]:
        """Yield what a page brings; the last stream of it may go on in the next."""
        for token, stream, aggregate_type, *row in page:
            if row[0] is None:  # nothing but the fence of a stream that does not exist
                continue
            if stream != self._stream:
                yield from self.rest()
                self._token, self._stream, self._aggregate_type = token, stream, aggregate_type
                self._append_id = None
            event = Stored(*row)
            if event.append_id != self._append_id:
                # The first that stands there need not be the first of its append: a stream may be cut off behind it.
                before = index_of(event.event_id) if self._append_id is None else 0
                self._append_id, self._at = event.append_id, event.pos - before
            self._events.append((self._at, event))
        if self._stream is not None and self._events:
            yield self._part(self._stream, last=False)

    def rest(self) -> Iterator[Scanned]:
        """Yield the end of the stream that was read last."""
        if self._stream is not None:
            yield self._part(self._stream, last=True)
        self._stream = None

    def _part(self, stream: Stream, *, last: bool) -> Scanned:
        events, self._events = self._events, []
        return Scanned(self._token, stream, self._aggregate_type, events, last)
