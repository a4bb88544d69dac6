"""The bare driver: prepared statements, the next operation sent from the callback of the last, rows as tuples or dicts."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.compare import table
from benchmarks.compare.side import Operation, Place
from cassorm.bench.baseline import Bare
from cassorm.bench.sample import Sample
from cassorm.driver.settings import Settings
from cassorm.events.ids import new_id


class BareSide:
    """Not a `Side`: it has no functions that could be awaited or called, and is driven by its own loop."""

    def __init__(self, place: Place, partitions: int, *, datacenter: str, dict_rows: bool) -> None:
        settings = Settings(hosts=(f"{place.host}:{place.port}",), keyspace=None)
        self._bare = Bare(settings, datacenter=datacenter, nodes=1, dict_rows=dict_rows)
        self._dict_rows = dict_rows
        keys, rest = table.partitions(partitions), tuple(table.REST.values())
        self._statements = {
            "insert": self._bare.prepare(table.insert(place.keyspace, place.table)),
            "get": self._bare.prepare(table.get(place.keyspace)),
            "page": self._bare.prepare(table.page(place.keyspace)),
        }
        self._params: dict[Operation, Callable[[], Sequence[object]]] = {
            "insert": lambda: (new_id(), 0, *rest),
            "get": lambda: (random.choice(keys), random.randrange(table.PAGE)),
            "page": lambda: (random.choice(keys),),
        }
        self._rows: dict[Operation, int] = {"insert": 0, "get": 1, "page": table.PAGE}
        self._first = keys[0]

    async def run(self, operation: Operation, *, seconds: float, concurrency: int) -> Sample:
        statement, params, rows = self._statements[operation], self._params[operation], self._rows[operation]
        accept = (lambda found: len(found) == rows) if rows else (lambda found: True)
        return await asyncio.to_thread(
            self._bare.run, statement, lambda: params, accept, seconds=seconds, concurrency=concurrency
        )

    async def yardstick(self, operation: Operation, *, seconds: float, concurrency: int) -> Sample:
        statement, params = self._statements[operation], self._params[operation]
        return await asyncio.to_thread(
            self._bare.yardstick, statement, params, seconds=seconds, concurrency=concurrency
        )

    async def look(self) -> tuple[Mapping[str, Any], int]:
        """A row that was got, by column, and how many a page has."""
        execute, statements = self._bare.rows, self._statements
        (row,) = await asyncio.to_thread(execute, statements["get"], (self._first, 0))
        page = await asyncio.to_thread(execute, statements["page"], (self._first,))
        return row if self._dict_rows else dict(zip(table.COLUMNS, row, strict=True)), len(page)
