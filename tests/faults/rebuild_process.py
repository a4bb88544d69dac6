"""A process that rebuilds a read model: it comes to a stop while it scans, or dies at the moment before it would switch."""

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from cassorm import PK, CassandraEventStore, Col, Event, Projections, ReadModel, ReadView, connect, map_from_event
from cassorm.projections.fold import Change
from cassorm.projections.registry import Registry
from cassorm.projections.row_writer import RowTable
from tests.faults.feed_process import QUICK

PATIENT = replace(QUICK, lease=timedelta(seconds=4))
"""One that let go of its shard would not come further: its rows are counted."""


class Counted(Event, name="RebuildCounted"):
    number: int


class Count(ReadModel, table="counts", aggregate="Count"):
    count_id: PK[UUID]
    total: Col[int] = map_from_event(Counted, lambda e, row: row.total + e.number, default=0)
    last: Col[int] = map_from_event(Counted, "number")
    __views__ = [ReadView("counts_by_last", key="last", clustering="count_id")]


async def rebuild(hosts: Sequence[str], keyspace: str, written: Path, most: int) -> None:
    """Rebuild; each row that is written is a line of a file, and no more than `most` are."""
    write, line = RowTable.write, os.open(written, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def write_and_tell(self: RowTable, change: Change) -> None:
        nonlocal most
        most -= 1
        if most < 0:
            await asyncio.sleep(1_000)
        await write(self, change)
        os.write(line, f"{change.stream}\n".encode())

    async def die(self: Registry, name: str, old: int, new: int) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return False

    RowTable.write = write_and_tell  # type: ignore[method-assign]
    Registry.switch = die  # type: ignore[method-assign]
    async with connect(hosts, keyspace=keyspace) as db, CassandraEventStore(db, keyspace=keyspace) as store:
        await Projections(store, [Count], pace=PATIENT).rebuild("counts")
