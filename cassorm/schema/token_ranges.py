"""The token ring in pieces: how a whole table is gone through without holding it, and taken up where it was left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cassorm.cql.identifiers import quote
from cassorm.driver.session import Session
from cassorm.errors import SchemaError, UnavailableError
from cassorm.schema.table import Table

_FIRST, _LAST = -(2**63), 2**63 - 1
_FEWEST, _MOST = 64, 16_384
_PARTITIONS_EACH = 5_000
_TRIES = 6
_PAUSE_S = 0.2

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class TokenRange:
    """The tokens after `start` up to and with `end`; `number` counts from 0."""

    number: int
    start: int
    end: int


def token_ranges(count: int) -> list[TokenRange]:
    """The whole ring in `count` pieces of one size."""
    edges = [_FIRST + (2**64 - 1) * at // count for at in range(count)] + [_LAST]
    return [TokenRange(at, edges[at], edges[at + 1]) for at in range(count)]


def within(partition_key: Sequence[str]) -> str:
    """The WHERE of a SELECT over one range, which takes its start and end."""
    token = f"token({', '.join(map(quote, partition_key))})"
    return f"{token} > ? AND {token} <= ?"


async def fitting_count(session: Session, table: Table) -> int:
    """How many ranges fit the table's size: some thousand partitions in each, as far as the cluster knows.

    Raises:
        SchemaError: the cluster orders its tokens in another way.
    """
    partitioner = (await session.execute("SELECT partitioner FROM system.local")).one()
    if partitioner is None or not str(partitioner[0]).endswith("Murmur3Partitioner"):
        raise SchemaError(
            f"the partitioner is {partitioner and partitioner[0]}", where=table.where, remedy="Use Murmur3Partitioner"
        )
    text = "SELECT partitions_count FROM system.size_estimates WHERE keyspace_name = ? AND table_name = ?"
    estimated: int = sum([row[0] for row in await session.execute(text, (table.keyspace, table.name))])
    return min(max(estimated // _PARTITIONS_EACH, _FEWEST), _MOST)


async def each(items: Iterable[T], work: Callable[[T], Awaitable[R]], *, parallel: int) -> AsyncIterator[R]:
    """What `work` gives for each item, as it comes, with `parallel` of them under way; the first error ends all."""
    rest = iter(items)
    running: set[asyncio.Future[R]] = set()
    try:
        while True:
            while len(running) < parallel and (item := next(rest, _END)) is not _END:
                running.add(asyncio.ensure_future(work(item)))  # type: ignore[arg-type]  # not the mark of the end
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                yield one.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def persist(call: Callable[[], Awaitable[R]]) -> R:
    """What `call` gives; it is repeated some times while the cluster does not answer, so it must be safe to repeat.

    Raises:
        UnavailableError: it did not answer the last time either.
    """
    for turn in range(1, _TRIES):
        try:
            return await call()
        except UnavailableError:
            await asyncio.sleep(_PAUSE_S * 2**turn)
    return await call()


async def count_rows(session: Session, table: Table, ranges: Iterable[TokenRange], *, parallel: int) -> int:
    """How many rows the table has now, counted range by range.

    Raises:
        ClusterError: the cluster could not be asked.
    """
    from_table = f"{quote(table.keyspace or '')}.{quote(table.name)}"
    counting = await session.prepare(f"SELECT COUNT(*) FROM {from_table} WHERE {within(table.partition_key)}")  # noqa: S608 - quoted

    async def count(part: TokenRange) -> int:
        row = (await persist(lambda: session.execute(counting, (part.start, part.end)))).one()
        return int(row[0]) if row else 0

    return sum([found async for found in each(ranges, count, parallel=parallel)])


_END = object()
