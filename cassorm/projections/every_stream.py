"""The events of all streams, of some types alone, stream by stream: what is folded when nobody keeps a table of it."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import aclosing
from typing import TypeVar

from cassorm.errors import QueryError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded
from cassorm.events.feed_tables import FeedTables
from cassorm.events.store import EventStore
from cassorm.projections.past import past_events

T = TypeVar("T")

_MOST_PARALLEL = 256
_TURN = 200
"""After so many events in a row whatever else runs in the process has a turn."""


def every_stream(
    store: EventStore, names: Collection[str], aggregates: Collection[str] | None
) -> list[AsyncGenerator[list[Recorded]]]:
    """The events that have these names, in as many parts as can be read side by side.

    Each part yields the streams of its own, one after the other: the events of each oldest first, in lists of one
    stream that are not empty. `aggregates` are the types of the streams that count, None all.

    Raises:
        QueryError: it is no event store.
        EventStoreError: the store was not initialised.
    """
    if isinstance(store, CassandraEventStore):
        # Of the tables of the feed a scan needs none: a store without a feed has its streams as well.
        tables = FeedTables(store.session, store.keyspace, store.tables, store.settings)
        return [_of_shard(store, tables, shard, names, aggregates) for shard in range(store.settings.shards)]
    if not isinstance(store, EventStore):
        raise QueryError(
            f"{store!r} is no event store", where="folding all streams", remedy="Give the store that holds the streams"
        )
    return [_of_memory(store, names, aggregates)]


async def _of_shard(
    store: CassandraEventStore,
    tables: FeedTables,
    shard: int,
    names: Collection[str],
    aggregates: Collection[str] | None,
) -> AsyncGenerator[list[Recorded]]:
    turn = 0
    async for part in tables.scan(shard, -(2**63)):
        if aggregates is not None and part.aggregate_type not in aggregates:
            continue
        found = [
            store.decode(part.stream, part.aggregate_type, event)
            for _, event in part.events
            if event.event_type in names
        ]
        if found:
            yield found
        turn += len(found)
        if turn >= _TURN:
            turn = 0
            await asyncio.sleep(0)


async def _of_memory(
    store: EventStore, names: Collection[str], aggregates: Collection[str] | None
) -> AsyncGenerator[list[Recorded]]:
    # Whatever is not Cassandra has all of its events at hand.
    streams = {recorded.stream: recorded.aggregate_type async for recorded in store.get_events_by_date_range()}
    for stream, aggregate_type in streams.items():
        if aggregates is None or aggregate_type in aggregates:
            async for events in past_events(store, stream, names):
                yield events


def check_parallel(parallel: int, where: str) -> None:
    """Return when so many parts can be read at once.

    Raises:
        QueryError: they cannot.
    """
    if isinstance(parallel, bool) or not isinstance(parallel, int) or not 0 < parallel <= _MOST_PARALLEL:
        raise QueryError(f"parallel={parallel!r}", where=where, remedy=f"Give 1 to {_MOST_PARALLEL}")


async def side_by_side(parts: Iterable[AsyncGenerator[T]], *, parallel: int) -> AsyncGenerator[T]:
    """Yield what all parts yield, as it comes; `parallel` of them are read at once, and little ahead of the reader.

    Raises:
        Exception: what one of the parts raised, behind what had come before.
    """
    found: asyncio.Queue[T | None] = asyncio.Queue()
    room = asyncio.Semaphore(parallel)
    todo = iter(parts)

    async def work() -> None:
        for part in todo:
            async with aclosing(part):
                async for each in part:
                    await room.acquire()
                    found.put_nowait(each)

    async def work_together() -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(parallel):
                    tasks.create_task(work())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            found.put_nowait(None)

    # In a task of its own: the reader's time is not the group's, which would cancel it.
    working = asyncio.ensure_future(work_together())
    try:
        while (each := await found.get()) is not None:
            room.release()
            yield each
        await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
