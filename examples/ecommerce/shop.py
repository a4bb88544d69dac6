"""The shop: a repository for each kind of stream, over one event store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Self, TypeVar

from cassorm import AggregateRepository, EventStore
from examples.ecommerce.customers import Customer
from examples.ecommerce.imports import Catalogue, Import
from examples.ecommerce.orders import Order, Return
from examples.ecommerce.stock import Stock

T = TypeVar("T")


class Shop:
    """A repository for each kind of stream, in an initialised store; leaving it waits for every snapshot.

    `hot` is how many products and how many customers are kept in memory between two commands.
    """

    def __init__(self, store: EventStore, *, hot: int = 0) -> None:
        # An invoice is read whole and written once or twice, so a snapshot would only repeat its lines.
        self.orders = AggregateRepository(store, Order, snapshot_frequency=None, max_events_before_snapshot=None)
        self.returns = AggregateRepository(store, Return, snapshot_frequency=None, max_events_before_snapshot=None)
        # Stock and customers are small when folded, however long their streams.
        self.stock = AggregateRepository(store, Stock, snapshot_frequency=50, cache=hot)
        self.customers = AggregateRepository(store, Customer, snapshot_frequency=50, cache=hot)
        # One file is replayed at a time: its import stays in memory between two commands.
        self.imports = AggregateRepository(
            store, Import, snapshot_frequency=None, max_events_before_snapshot=None, cache=1
        )
        self.catalogue = AggregateRepository(store, Catalogue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for repository in (self.orders, self.returns, self.stock, self.customers, self.imports, self.catalogue):
            await repository.close()


async def for_each(items: Iterable[T], action: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Run an action on every item, a bounded number of them at once; the first failure ends all.

    Raises:
        Exception: whatever the first action that failed raised.
    """
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await action(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
