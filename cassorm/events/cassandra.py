"""The event store on Cassandra and ScyllaDB: appends by lightweight transactions, reads by ranges of versions."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from cassorm.driver.prepared import UNSET, Prepared
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import ConfigurationError, EventStoreError
from cassorm.events.append import Appender, Landed, Row, State, States, Tables, state_of
from cassorm.events.bell import Bell
from cassorm.events.crew_tables import CrewTables
from cassorm.events.event import Event, Recorded
from cassorm.events.event_index import EventIndex
from cassorm.events.event_rows import next_size, recorded_of, rows_of
from cassorm.events.examination import log_findings
from cassorm.events.feed_tables import FeedTables
from cassorm.events.followed import follow
from cassorm.events.index_tables import IndexTables
from cassorm.events.inquiry import Inquiry
from cassorm.events.intent import (
    MAX_APPEND_BYTES,
    MAX_EVENT_BYTES,
    MAX_VERSION,
    Expect,
    Expected,
    Intent,
    Limits,
    check_stream,
    plan,
)
from cassorm.events.pointers import PointerTables, PointerWriter
from cassorm.events.position import Position, shard_of
from cassorm.events.queries import PREPARED_BATCH, STATE_COLUMNS, Queries
from cassorm.events.queues import Queues
from cassorm.events.saved import Listeners, saved
from cassorm.events.settings import (
    StoreSettings,
    check_settings,
    existing_settings,
    settle_settings,
    wanted_settings,
)
from cassorm.events.store import READY, Appended, EventStore, Snapshot, Stream, StreamHead
from cassorm.events.subscription import Start, Subscription
from cassorm.events.tables import TableNames, crew_tables, store_tables
from cassorm.events.worker import Pace, Worker
from cassorm.schema.apply import ensure_keyspace, ensure_tables
from cassorm.schema.keyspace import Replication

_FIRST_PAGE = 128
"""Events in the first page of a stream: one round trip for most; later pages grow or shrink by their bytes."""
_ROWS = 100_000
"""More rows than any query here asks for."""
_STATE_COLUMNS = len(STATE_COLUMNS)


class CassandraEventStore(EventStore):
    """Keeps streams in Cassandra or ScyllaDB; see `EventStore` for the promises.

    ```python
    async with connect(["127.0.0.1"]) as db, CassandraEventStore(db, keyspace="shop") as store:
        await store.append(order_id, [OrderPlaced(customer="c1")], expected=NO_STREAM, aggregate_type="Order")
    ```

    `keyspace` is the session's own unless given; `replication` is used when the keyspace has to be created: copies
    in the session's data centre (as many as it has nodes, three at most, unless given), or a dict by data centre.
    `id_type`, `shards`, `feed`, `feed_ttl`, `serial`, `home_dc` and `workers_in` are fixed when the store is made: leave
    them out to use what stands there. Stores that one worker process serves together, of tenants for example, name one
    keyspace as `workers_in`. `append_timeout` bounds how long the outcome of an append is sought. `clock` returns microseconds since
    1970 and gives positions; it decides no outcome.
    """

    def __init__(
        self,
        session: Session,
        *,
        keyspace: str | None = None,
        replication: Replication | None = None,
        tables: TableNames | None = None,
        id_type: str | None = None,
        shards: int | None = None,
        feed: bool | None = None,
        feed_ttl: timedelta | None = None,
        serial: str | None = None,
        home_dc: str | None = None,
        workers_in: str | None = None,
        append_timeout: timedelta = timedelta(seconds=30),
        max_event_bytes: int = MAX_EVENT_BYTES,
        max_append_bytes: int = MAX_APPEND_BYTES,
        most_ahead: timedelta = timedelta(seconds=10),
        known_streams: int = 10_000,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._session = session
        self.keyspace = _named(keyspace or session.keyspace)
        self._replication = replication
        self.tables = tables or TableNames()
        self._local = {
            "id_type": id_type,
            "shards": shards,
            "feed": feed,
            "feed_ttl_s": None if feed_ttl is None else int(feed_ttl.total_seconds()),
            "serial": serial,
            "home_dc": home_dc,
            "workers_in": workers_in,
        }
        wanted_settings(self._local)
        self._limits = Limits(max_event_bytes, max_append_bytes)
        self._settings: StoreSettings | None = None
        self._queries = Queries(self.keyspace, self.tables)
        self._prepared: dict[str, Prepared] = {}
        self._states = States(known_streams)
        self._queues = Queues()
        self._under_way: set[asyncio.Task[Landed]] = set()
        self._closed = False
        self._clock = clock
        self._most_ahead = int(most_ahead.total_seconds() * 1e6)
        self._pointers: PointerWriter | None = None
        self._feed: FeedTables | None = None
        self._bell: Bell | None = None
        self._index: EventIndex | None = None
        self._listeners = Listeners()
        self._appender = Appender(
            Tables(self._read_state, self._read_rows, self._announce, self._send),
            self._states,
            request_timeout=session.settings.request_timeout,
            timeout=append_timeout,
        )

    @property
    def session(self) -> Session:
        """The session on which it was made."""
        return self._session

    @property
    def settings(self) -> StoreSettings:
        """The settings that all clients of this store share.

        Raises:
            EventStoreError: the store was not initialised.
        """
        if self._settings is None:
            raise EventStoreError(
                "is not initialised", where=self._where, remedy="Call `await store.initialize()`, or use `async with`"
            )
        return self._settings

    @property
    def feed(self) -> FeedTables:
        """The tables of the store's feed.

        Raises:
            EventStoreError: the store was not initialised, or was made without a feed.
        """
        if self._feed is None or not self.settings.feed:
            raise EventStoreError(
                "has no feed",
                where=self._where,
                remedy="Make a store with feed=True: whether there is one is fixed when the store is made",
            )
        return self._feed

    @property
    def crew(self) -> CrewTables:
        """The tables in which the store's workers look for each other."""
        return CrewTables(self._session, self.keyspace, self.tables, self.settings)

    @property
    def name(self) -> str:
        """What it is called among the stores of its cluster."""
        return f"{self.keyspace}.{self.tables.events}"

    @property
    def index(self) -> EventIndex:
        """The index that answers `get_events_by_type` and its like.

        Raises:
            EventStoreError: the store was not initialised, or was made without a feed.
        """
        if self._index is None:
            tables = IndexTables(self._session, self.keyspace, self.tables, self.settings)
            self._index = EventIndex(tables, self.feed, self.settings, decode=self.decode, where=self._where)
        return self._index

    async def initialize(self) -> None:
        """Create keyspace, tables and settings where they are missing; check them where they are there.

        What the cluster's live settings mean for the data is logged as warnings; `cassorm doctor` tells more.
        """
        store = await existing_settings(self._session, self.keyspace, self.tables)
        if store is None:
            store = wanted_settings(self._local)
            await ensure_keyspace(self._session, self.keyspace, self._replication or await _copies(self._session))
        else:
            check_settings(store, self._local, self._session.datacenter, self._where)
        # All tables at once: when one has another shape, none is created and no settings are written.
        await ensure_tables(self._session, store_tables(self.tables, self.keyspace, store.id_type, store.feed_ttl_s))
        self._settings = await settle_settings(self._session, self.keyspace, self.tables, self._local)
        if self._settings.feed:
            ring = await self._join_crew(self._settings)
            self._feed = feed = FeedTables(self._session, self.keyspace, self.tables, self._settings, ring)
            await feed.create_marks()
            self._pointers = PointerWriter(
                PointerTables(feed.write_pointers, feed.read_marks),
                shards=self._settings.shards,
                clock=self._clock,
                most_ahead=self._most_ahead,
            )
        await log_findings(self._session, self.keyspace)

    async def _join_crew(self, settings: StoreSettings) -> Callable[[], Awaitable[None]] | None:
        """Create what the workers of several stores share; return what calls them, None where none need be called."""
        if settings.workers_in is None:
            return None
        if settings.workers_in != self.keyspace:
            await ensure_keyspace(self._session, settings.workers_in, self._replication or await _copies(self._session))
        await ensure_tables(self._session, crew_tables(settings.workers_in))
        ring = partial(CrewTables(self._session, self.keyspace, self.tables, settings).ring, self.name)
        self._bell = Bell(ring)
        return ring

    async def close(self) -> None:
        """Wait until every append that was sent has come to its end; later appends are refused."""
        self._closed = True
        while len(self._queues):
            # Between two appends of one queue there is a moment in which none is under way.
            await (asyncio.wait(self._under_way) if self._under_way else asyncio.sleep(0))

    async def append(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        """Append `events`, all or nothing; see `EventStore.append`."""
        intent = plan(
            stream,
            events,
            expected=expected,
            aggregate_type=aggregate_type,
            append_id=append_id,
            id_type=self.settings.id_type,
            limits=self._limits,
        )
        if self._closed:
            raise EventStoreError("is closed", where=self._where, remedy="Append before `close`, or make a new store")
        if not self._queues.enter(stream):
            await self._queues.wait(stream)
        loop = asyncio.get_running_loop()
        # A task of its own: a caller that is cancelled leaves, and the append goes on to its end before the queue does.
        task = loop.create_task(self._appender.run(intent))
        self._under_way.add(task)
        outcome: asyncio.Future[Landed] = loop.create_future()
        task.add_done_callback(partial(self._ended, stream, outcome))
        landed = await outcome
        shard = shard_of(stream, self.settings.shards)
        position = Position(self.settings.store_id, shard, landed.pos, stream, landed.version)
        if self._listeners:
            state = self._states.get(stream)
            of = aggregate_type if state is None else state.aggregate_type
            await self._listeners.tell(saved(intent, events, of, version=landed.version, pos=landed.pos))
        return Appended(stream, landed.version, position, intent.append_id)

    def _ended(self, stream: Stream, outcome: asyncio.Future[Landed], task: asyncio.Task[Landed]) -> None:
        self._queues.leave(stream)
        self._under_way.discard(task)
        if task.cancelled():
            outcome.cancel()
            return
        error = task.exception()
        if outcome.done():  # the caller was cancelled: nobody is left to tell
            return
        if error is None:
            outcome.set_result(task.result())
        else:
            outcome.set_exception(error)
            outcome.exception()  # seen, even when the caller is cancelled in this very moment

    async def _announce(self, intent: Intent, state: State, deadline: float) -> int:
        if self._pointers is None:
            return max(self._clock(), state.last_pos + 1, intent.after + 1)
        if self._bell is not None:
            self._bell.ring()
        aggregate_type = state.aggregate_type if state.head else intent.aggregate_type
        return await self._pointers.announce(intent, state.head, state.last_pos, aggregate_type, deadline)

    async def _send(self, intent: Intent, base: int, state: State, pos: int, timeout: timedelta) -> Result:
        head, fence, closed = (state.head or None), state.fence, state.closed
        last = pos + len(intent.events) - 1
        aggregate_type = state.aggregate_type if state.head else intent.aggregate_type
        written_type = UNSET if aggregate_type is None else aggregate_type
        update = (base + len(intent.events), last, written_type, intent.stream, head, fence, closed)
        rows = rows_of(intent, base, pos)
        serial, consistency = self.settings.serial_consistency, self.settings.consistency
        if len(rows) <= PREPARED_BATCH:
            prepared = await self._prepare(self._queries.append(len(rows)))
            params: list[object] = [*update]
            for row in rows:
                params += row
            return await self._session.execute(
                prepared, params, consistency=consistency, serial_consistency=serial, timeout=timeout
            )
        first = await self._prepare(self._queries.insert_first)
        rest = await self._prepare(self._queries.insert)
        items: list[tuple[Prepared, Sequence[object]]] = [(await self._prepare(self._queries.advance), update)]
        items += [(rest if index else first, row) for index, row in enumerate(rows)]
        return await self._session.execute_batch(
            items, conditional=True, consistency=consistency, serial_consistency=serial, timeout=timeout
        )

    async def _prepare(self, text: str) -> Prepared:
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = self._prepared[text] = await self._session.prepare(text)
        return prepared

    async def _rows(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        """Return all rows of a query that asks for a bounded number of them."""
        prepared = await self._prepare(text)
        consistency = self.settings.consistency
        result = await self._session.execute(prepared, params, consistency=consistency, page_size=_ROWS)
        rows = result.rows
        while result.page_state is not None:  # the server ends a page early when its bytes are many
            result = await self._session.execute(
                prepared, params, consistency=consistency, page_size=_ROWS, page_state=result.page_state
            )
            rows += result.rows
        return rows

    async def _read_state(self, stream: Stream) -> State:
        found = await self._rows(self._queries.state, stream)
        state = state_of(found[0][:_STATE_COLUMNS]) if found else State()
        self._states.put(stream, state)
        return state

    async def _read_rows(self, stream: Stream, begin: int, end: int) -> list[Row]:
        return [Row(*row) for row in await self._rows(self._queries.rows, stream, begin, end)]

    async def head(self, stream: Stream) -> StreamHead | None:
        """Return where a stream stands; None when it does not exist."""
        check_stream(stream, self.settings.id_type)
        state = await self._read_state(stream)
        if not state.head:
            return None
        return StreamHead(state.head, state.last_pos, state.aggregate_type, bool(state.closed))

    async def pages(
        self,
        stream: Stream,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        backwards: bool = False,
        page_size: int = 1_000,
    ) -> AsyncGenerator[list[Recorded]]:
        """Yield the events of a stream in lists; see `EventStore.read`."""
        check_stream(stream, self.settings.id_type)
        begin = max(1, from_version)
        end = MAX_VERSION if to_version is None else min(to_version, MAX_VERSION)
        size = min(page_size, _FIRST_PAGE)
        if backwards:
            state = await self._read_state(stream)
            end = min(end, state.head)
            if begin > end:
                return
            first: list[tuple[Any, ...]] = []
        else:
            if begin > end:
                return
            # One round trip: the first page brings the stream's head, which bounds the rest.
            found = await self._rows(self._queries.first_page, stream, begin, min(end, begin + size - 1))
            if not found:
                return
            state = state_of(found[0][-_STATE_COLUMNS:])
            self._states.put(stream, state)
            first = [row[:-_STATE_COLUMNS] for row in found if row[0] <= state.head]
            end = min(end, state.head)
        make = partial(recorded_of, stream, state.aggregate_type)
        if first:
            for start in range(0, len(first), READY):
                yield [make(row) for row in first[start : start + READY]]
            begin = first[-1][0] + 1
            size = next_size(first, page_size)
        async with aclosing(self._slices(stream, begin, end, size, page_size, backwards=backwards)) as slices:
            async for rows in slices:
                for start in range(0, len(rows), READY):
                    yield [make(row) for row in rows[start : start + READY]]

    async def _slices(
        self, stream: Stream, begin: int, end: int, size: int, page_size: int, *, backwards: bool
    ) -> AsyncGenerator[list[tuple[Any, ...]]]:
        """Yield rows by ranges of versions, the next range on its way while this one is used."""
        query = self._queries.backwards if backwards else self._queries.forwards
        coming: asyncio.Task[list[tuple[Any, ...]]] | None = None
        try:
            while begin <= end or coming is not None:
                if coming is None:
                    coming, begin, end = self._slice(query, stream, begin, end, size, backwards=backwards)
                rows = await coming
                coming = None
                if begin <= end:
                    size = next_size(rows, page_size) if rows else size
                    coming, begin, end = self._slice(query, stream, begin, end, size, backwards=backwards)
                if rows:
                    yield rows
        finally:
            if coming is not None:
                coming.cancel()

    def _slice(
        self, query: str, stream: Stream, begin: int, end: int, size: int, *, backwards: bool
    ) -> tuple[asyncio.Task[list[tuple[Any, ...]]], int, int]:
        """Ask for one range; return it with the bounds of what is left."""
        low, high = (max(begin, end - size + 1), end) if backwards else (begin, min(end, begin + size - 1))
        task = asyncio.get_running_loop().create_task(self._rows(query, stream, low, high))
        return (task, begin, low - 1) if backwards else (task, high + 1, end)

    def _answer(self, asked: Inquiry) -> AsyncGenerator[Recorded]:
        return self.index.find(asked)

    def subscribe(
        self,
        name: str,
        *,
        from_: Start = Start.BEGINNING,
        event_types: Iterable[type[Event] | str] | None = None,
        aggregate_types: Iterable[str] | None = None,
        pace: Pace | None = None,
    ) -> AsyncGenerator[Recorded]:
        """Yield the events of all streams to the subscription `name`: each stream in order, from its checkpoint on.

        An event counts as handled when the next one is asked for; whoever leaves before that is given it again by the
        next who subscribes under this name. Several processes share the streams. `from_` says where a new name begins.

        Source: docs/explanation/feed.md.
        """
        names = (
            None
            if event_types is None
            else frozenset(one if isinstance(one, str) else one.__event_type__ for one in event_types)
        )
        subscribed = partial(
            Subscription,
            name,
            event_types=names,
            aggregate_types=None if aggregate_types is None else frozenset(aggregate_types),
            begin=from_,
            concurrency=1,
            handler_timeout=timedelta(days=365),
        )
        return follow(lambda handler: Worker(self, [subscribed(handler=handler)], pace=pace))

    @staticmethod
    def decode(stream: Stream, aggregate_type: str | None, row: Sequence[Any]) -> Recorded:
        """Return a row of an event with its payload decoded."""
        return recorded_of(stream, aggregate_type, tuple(row))

    async def save_snapshot(self, stream: Stream, snapshot: Snapshot) -> None:
        """Keep a snapshot beside the stream; one of the same version is replaced."""
        check_stream(stream, self.settings.id_type)
        prepared = await self._prepare(self._queries.save_snapshot)
        await self._session.execute(
            prepared, (stream, *snapshot), consistency=self.settings.consistency, idempotent=True
        )

    async def snapshots(self, stream: Stream, *, limit: int = 20) -> list[Snapshot]:
        """Return the newest snapshots of a stream, newest first."""
        check_stream(stream, self.settings.id_type)
        return [Snapshot(*row) for row in await self._rows(self._queries.snapshots, stream, limit)]

    async def delete_snapshots(self, stream: Stream, versions: Sequence[int]) -> None:
        """Delete the snapshots at these versions."""
        check_stream(stream, self.settings.id_type)
        prepared = await self._prepare(self._queries.delete_snapshot)
        for version in versions:
            await self._session.execute(
                prepared, (stream, version), consistency=self.settings.consistency, idempotent=True
            )

    @property
    def _where(self) -> str:
        return f"event store {self.name}"


def _named(keyspace: str | None) -> str:
    if not keyspace:
        raise ConfigurationError(
            "no keyspace", where="event store", remedy="Pass keyspace='...' to the store or to connect()"
        )
    return keyspace


async def _copies(session: Session) -> int:
    """Return how many copies a new keyspace gets: one on each node of the data centre, three at most."""
    peers = await session.execute("SELECT data_center FROM system.peers")
    return min(3, 1 + [datacenter for (datacenter,) in peers].count(session.datacenter))
