"""Rows by primary key, kept in the process for a while.

Writes through the same database drop what they may have changed, the whole partition, before the writer goes on. A
read that was under way meanwhile is given to those who waited for it, and not kept. Writes of other processes and of
`db.cql` are not seen, nor is a write that was given up before it was answered, and lands later: `ttl` bounds how old a
row may be, and `drop` takes word from whoever knows.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Hashable
from datetime import timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from cassorm.driver.consistency import Consistency
from cassorm.errors import QueryError
from cassorm.orm.context import current_keyspace
from cassorm.orm.database import Database
from cassorm.orm.model import Model
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.orm.query import get_text
from cassorm.orm.sending import joined

M = TypeVar("M", bound=Model)

_PLAIN = (str, int, bytes, UUID)

_Slot = tuple[Hashable, ...]
_Rows = list[tuple[Any, ...]]


class RowCache(Generic[M]):
    """At most `most` rows of a model, each for `ttl`; the one used longest ago goes first.

    Each `get` gives an instance of its own. A key that many ask for at once is read once. That there is no row is
    kept as well. `loads` counts what was read from the database.
    """

    def __init__(
        self,
        db: Database,
        model: type[M],
        *,
        ttl: timedelta,
        most: int = 10_000,
        consistency: Consistency | None = None,
    ) -> None:
        if ttl <= timedelta(0) or most < 1:
            raise QueryError(
                f"a cache of {most} rows for {ttl}", where=model.__name__, remedy="Give a time and a number above zero"
            )
        self.loads = 0
        self._db = db
        self._plan = plan_of(model)
        self._ttl_s = ttl.total_seconds()
        self._most = most
        self._options = joined(self._plan.reading, {"consistency": consistency})
        self._kept: OrderedDict[_Slot, tuple[float, _Rows]] = OrderedDict()
        self._slots: dict[Hashable, set[_Slot]] = {}
        self._coming: dict[_Slot, asyncio.Task[_Rows]] = {}
        db.on_write(self._wrote)

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, *key: object, **named: object) -> M | None:
        """The row of a primary key, or None; see `Model.get`.

        Raises:
            QueryError: a part of the key is missing or does not fit.
        """
        plan = self._plan
        encoded = plan.key_of(key, named)
        keyspace = current_keyspace.get()
        slot = (keyspace, *(_hashable(part) for part in encoded))
        found = self._kept.get(slot)
        if found is not None and found[0] > time.monotonic():
            self._kept.move_to_end(slot)
            rows = found[1]
        else:
            coming = self._coming.get(slot)
            if coming is None:
                coming = self._coming[slot] = asyncio.ensure_future(self._load(slot, keyspace, encoded))
                coming.add_done_callback(_seen)
            # Shielded: one who gives up must not take the others' row away.
            rows = await asyncio.shield(coming)
        # Made anew from the row: what one reader does to its instance, no other sees.
        made: list[M] = plan.hydrate(rows)
        return made[0] if made else None

    def drop(self, *partition: object) -> None:
        """Forget the rows of a partition, given by the values of its key.

        Raises:
            QueryError: they are not those of the partition key.
        """
        fields = self._plan.partition
        if len(partition) != len(fields):
            names = ", ".join(each.attribute for each in fields)
            raise QueryError(f"{len(partition)} values", where=self._plan.where, remedy=f"Give {names}")
        self._forget(tuple(each.encode(value) for each, value in zip(fields, partition, strict=True)))

    def clear(self) -> None:
        """Forget every row."""
        self._kept.clear()
        self._slots.clear()
        self._coming.clear()

    async def _load(self, slot: _Slot, keyspace: str | None, key: list[Any]) -> _Rows:
        self.loads += 1
        plan = self._plan
        try:
            if plan.current is not None:
                plan = await plan.current(self._db)
            prepared = await self._db.prepare(get_text(plan, keyspace), check=plan.check)
            rows = (await self._db.execute(prepared, key, **self._options)).rows
        finally:
            # Dropped meanwhile: a newer read may stand there by now.
            current = self._coming.get(slot) is asyncio.current_task()
            if current:
                del self._coming[slot]
        if current:
            self._keep(slot, rows)
        return rows

    def _keep(self, slot: _Slot, rows: _Rows) -> None:
        self._kept[slot] = (time.monotonic() + self._ttl_s, rows)
        self._kept.move_to_end(slot)
        self._slots.setdefault(self._partition(slot), set()).add(slot)
        while len(self._kept) > self._most:
            oldest, _ = self._kept.popitem(last=False)
            self._unlist(oldest)

    def _unlist(self, slot: _Slot) -> None:
        partition = self._partition(slot)
        listed = self._slots[partition]
        listed.discard(slot)
        if not listed:
            del self._slots[partition]

    def _partition(self, slot: _Slot) -> Hashable:
        # Without the keyspace: a write names the row, and may have been sent to either.
        return slot[1 : 1 + len(self._plan.partition)]

    def _wrote(self, plan: ModelPlan, partition: tuple[Any, ...] | None) -> None:
        if plan.table.name != self._plan.table.name:
            return
        if partition is None:
            self.clear()
        else:
            self._forget(partition)

    def _forget(self, partition: tuple[Any, ...]) -> None:
        wanted = tuple(_hashable(part) for part in partition)
        for slot in self._slots.pop(wanted, ()):
            del self._kept[slot]
        for slot in [slot for slot in self._coming if self._partition(slot) == wanted]:
            del self._coming[slot]


def _hashable(part: Any) -> Hashable:
    # Other keys than Python's: Decimal("1.0") is not Decimal("1.00"), nor 0.0 -0.0.
    return part if type(part) in _PLAIN else repr(part)


def _seen(task: "asyncio.Task[_Rows]") -> None:
    if not task.cancelled():
        task.exception()
