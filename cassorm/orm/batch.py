"""Several writes sent as one: `async with db.batch() as batch:`."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from cassorm.driver.prepared import Prepared
from cassorm.driver.result import Result
from cassorm.driver.session import BatchKind, Session
from cassorm.errors import QueryError
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.sending import joined_for_write, write_options
from cassorm.orm.unique_rules import check_batch
from cassorm.orm.writes import Compiled, Delete, Outcome, Update, insert_compiled, outcome, partition_of, told_of_write

_log = logging.getLogger(__name__)

# The server warns of batches over several partitions above this size, and refuses them above ten times of it.
_WARN_BYTES = 5 * 1024


class Batch:
    """Writes that are sent together when the block ends, or not at all when it fails.

    A logged batch is carried out as a whole, in time, whatever fails; an unlogged one over several partitions may be
    carried out in part. Neither hides half of it from readers. `outcome` is there after the block; a batch with a
    condition is applied as a whole or not at all.
    """

    def __init__(self, session: Session, *, kind: BatchKind, max_partitions: int, options: dict[str, Any]) -> None:
        self.outcome: Outcome | None = None
        self._session = session
        self._kind = kind
        self._max_partitions = max_partitions
        self._options = options
        self._writes: list[Compiled] = []

    def insert(
        self,
        instance: Model,
        *,
        if_not_exists: bool = False,
        ttl: timedelta | int | None = None,
        timestamp: datetime | int | None = None,
    ) -> None:
        """Insert the row of `instance`.

        Raises:
            QueryError: the model takes no such inserts, or a value does not fit.
        """
        plan = plan_of(type(instance))
        check_batch(plan)
        made = insert_compiled(plan, instance, if_not_exists=if_not_exists, ttl=ttl, timestamp=timestamp)
        partition = partition_of(plan, instance)
        self._writes.append(replace(made, partition=partition))

    def add(self, *writes: Update[Any] | Delete[Any]) -> None:
        """Carry out these updates and deletions.

        Raises:
            QueryError: one of them is not complete, or is no write.
        """
        for write in writes:
            if not isinstance(write, Update | Delete):
                raise QueryError(
                    f"{write!r} is no write", where="batch", remedy="Give Model.update(...) or Model.delete(...)"
                )
            self._writes.append(write.compiled())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._writes:
            self.outcome = await self._send()

    async def _send(self) -> Outcome:
        partitions = _check(self._writes, self._kind, self._max_partitions)
        options = _options(self._writes, self._kind, self._options)
        items = [
            (await self._session.prepare(write.text, check=write.plan.check), write.params) for write in self._writes
        ]
        if partitions > 1:
            _warn_of_size(items, partitions)
        try:
            result: Result = await self._session.execute_batch(items, kind=self._kind, **options)
        finally:
            for write in self._writes:
                told_of_write(self._session, write)
        return outcome(self._writes[0].plan, result)


def _warn_of_size(items: Sequence[tuple[Prepared, Sequence[Any]]], partitions: int) -> None:
    size = sum(
        len(value) for prepared, params in items for value in prepared.encode(params) if isinstance(value, bytes)
    )
    if size > _WARN_BYTES:
        _log.warning(
            "a batch of %d writes to %d partitions has %d bytes: servers warn above %d, and refuse above ten times that",
            len(items),
            partitions,
            size,
            _WARN_BYTES,
        )


def _check(writes: Sequence[Compiled], kind: BatchKind, max_partitions: int) -> int:
    """How many partitions the batch changes."""
    single = {
        (write.plan.table.name, write.plan.table.keyspace or write.keyspace, repr(write.partition))
        for write in writes
        if write.partition is not None
    }
    count = len(single) + sum(write.partitions for write in writes if write.partition is None)
    tables = ", ".join(sorted({write.plan.where for write in writes}))
    if any(write.conditional for write in writes):
        if count > 1:
            raise QueryError(
                f"conditions over {count} partitions of {tables}",
                where="batch",
                remedy="A batch with a condition stays in one partition of one table",
            )
        if any(write.listed for write in writes):
            raise QueryError("in_() beside a condition", where="batch", remedy="Name each row by ==")
        if kind == "counter":
            raise QueryError("conditions with counters", where="batch", remedy="Counters take no conditions")
    counting = {write.plan.table.has_counters for write in writes}
    if counting != {kind == "counter"}:
        raise QueryError(
            "counters and other columns" if len(counting) > 1 else f"a {kind} batch of {tables}",
            where="batch",
            remedy="Give db.batch(counter=True) for counters, and counters alone",
        )
    if count > max_partitions:
        raise QueryError(
            f"{len(writes)} writes over {count} partitions",
            where="batch",
            remedy=f"One node would carry them all: use db.insert_many(), or give max_partitions={count}",
        )
    return count


def _options(writes: Sequence[Compiled], kind: BatchKind, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, else what the models say who agree on it."""
    said: dict[str, Any] = {}
    for name in ("consistency", "serial_consistency", "timeout", "idempotent"):
        found = {write.plan.writing.get(name) for write in writes}
        if len(found) == 1 and None not in found:
            said |= {name: found.pop()}
        elif name == "consistency" and len(found) > 1 and given.get(name) is None:
            shown = ", ".join(sorted({write.plan.where for write in writes}))
            raise QueryError(
                f"{shown} differ in consistency", where="batch", remedy="Say which is meant: db.batch(consistency=...)"
            )
    once = kind == "counter" or any(write.once for write in writes)
    return joined_for_write("batch", said, write_options("batch", **given), once=once)
