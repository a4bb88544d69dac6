"""What the feed's fault tests share: a resolver of one shard, and writers that are held at a step of theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

from cassorm import CassandraEventStore, Event
from cassorm.events.feed_tables import FeedTables
from cassorm.events.pointers import Pointer
from cassorm.events.position import shard_of
from cassorm.events.resolver import Resolver, ResolverTables


class Entered(Event, name="tests.feed.Entered"):
    number: int


def stream_in(shard: int, shards: int) -> UUID:
    """A new stream of a shard."""
    while True:
        stream = uuid4()
        if shard_of(stream, shards) == shard:
            return stream


def tables_of(feed: FeedTables) -> ResolverTables:
    return ResolverTables(
        feed.standing, feed.claim, feed.close, feed.resolve, feed.next_pointers, feed.state, feed.row, feed.raise_fence
    )


async def owner_of(feed: FeedTables, shard: int, tables: ResolverTables | None = None) -> Resolver:
    """A resolver that has just claimed a shard."""
    resolver = Resolver(tables or tables_of(feed), shard, uuid4())
    assert await resolver.claim(await feed.standing(shard))
    return resolver


async def until(condition: Callable[[], bool], timeout_s: float = 20, every_s: float = 0.1) -> None:
    """Return when something is so; raise TimeoutError when it is not so in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(every_s)


class Held:
    """Stands before one step of a writer or resolver: its first call waits until it is let go."""

    def __init__(self, step: Callable[..., Awaitable[Any]]) -> None:
        self._step = step
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, *args: Any) -> Any:
        if not self.reached.is_set():
            self.reached.set()
            await self.go_on.wait()
        return await self._step(*args)


async def ahead(feed: FeedTables) -> int:
    """A position that every writer's clock has yet to reach."""
    return await feed.node_clock() + 1_000_000


def found_of(stream: UUID, *rounds: list[Pointer]) -> list[tuple[int, int]]:
    """The versions and positions of a stream's appends that resolving has found."""
    return [(pointer.from_version, pointer.pos) for found in rounds for pointer in found if pointer.stream == stream]


async def written(store: CassandraEventStore, stream: UUID) -> list[tuple[int, int]]:
    """The versions and positions of the events that stand in a stream."""
    return [(recorded.version, recorded.position) for recorded in await store.get_events(stream)]
