"""The tables that find events across streams, by type and by time: which there are, and their CQL.

A row refers to an event; nothing is kept twice. A partition holds an hour of one shard, so that its size is bounded by
what a shard takes in an hour, and the shards' owners write beside one another. Which days there are, and which
partitions a day has, is listed: a question reads those alone.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from cassorm.cql.identifiers import quote_table
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.events.append import State, state_of
from cassorm.events.inquiry import Inquiry, Kind
from cassorm.events.queries import EVENT_COLUMNS, STATE_COLUMNS
from cassorm.events.settings import StoreSettings
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream
from cassorm.events.tables import TableNames
from cassorm.schema.apply import ensure_tables
from cassorm.schema.table import Column, Table

_HOUR_US: Final = 3_600_000_000
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_TOGETHER: Final = 100
_ROWS: Final = 100_000


class Partition(NamedTuple):
    """Where references to events stand: all of one kind and name, one hour of one day in UTC, and one shard."""

    kind: Kind
    name: str
    day: date
    hour: int
    shard: int


class Reference(NamedTuple):
    """Where an event is found."""

    pos: int
    stream: Stream
    version: int


def day_of(pos: int) -> date:
    """Return the day of a position, in UTC."""
    return date.fromordinal(_EPOCH_DAY + pos // (24 * _HOUR_US))


def hour_of(pos: int) -> int:
    """Return the hour of a position within its day, 0 to 23."""
    return pos // _HOUR_US % 24


def index_tables(names: TableNames, keyspace: str | None, id_type: str) -> tuple[Table, ...]:
    """The tables of the index, in the order in which they are created: the one that is read first is the last."""
    of = (Column("kind", "text"), Column("name", "text"))
    day, hour, shard = Column("day", "date"), Column("hour", "tinyint"), Column("shard", "int")
    return (
        Table(
            keyspace=keyspace,
            name=f"{names.events}_index",
            columns=(*of, day, hour, shard, Column("pos", "bigint"), Column("aggregate_id", id_type), _VERSION),
            partition_key=("kind", "name", "day", "hour", "shard"),
            clustering=(("pos", "asc"), ("aggregate_id", "asc"), ("version", "asc")),
            profile="append-only",
            comment="cassorm: references to events, by type and by time",
        ),
        Table(
            keyspace=keyspace,
            name=f"{names.events}_index_parts",
            columns=(*of, day, hour, shard),
            partition_key=("kind", "name", "day"),
            clustering=(("hour", "asc"), ("shard", "asc")),
            profile="append-only",
            comment="cassorm: which partitions of references a day has",
        ),
        Table(
            keyspace=keyspace,
            name=f"{names.events}_index_days",
            columns=(*of, day),
            partition_key=("kind", "name"),
            clustering=(("day", "asc"),),
            profile="append-only",
            comment="cassorm: which days have references to events",
        ),
    )


_VERSION = Column("version", "int")


class IndexTables:
    """What the index asks of its tables and of the events, at the store's own consistency."""

    def __init__(self, session: Session, keyspace: str, names: TableNames, settings: StoreSettings) -> None:
        self._session = session
        self._settings = settings
        self._keyspace = keyspace
        self.tables = index_tables(names, keyspace, settings.id_type)
        events = quote_table(names.events, keyspace)
        references, parts, days = (quote_table(table.name, keyspace) for table in self.tables)
        part = "kind = ? AND name = ? AND day = ? AND hour = ? AND shard = ?"
        self._refer = (
            f"INSERT INTO {references} (kind, name, day, hour, shard, pos, aggregate_id, version) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self._list_part = f"INSERT INTO {parts} (kind, name, day, hour, shard) VALUES (?, ?, ?, ?, ?)"
        self._list_day = f"INSERT INTO {days} (kind, name, day) VALUES (?, ?, ?)"
        self._days = f"SELECT day FROM {days} WHERE kind = ? AND name = ? AND day >= ? AND day <= ?"
        self._parts = f"SELECT hour, shard FROM {parts} WHERE kind = ? AND name = ? AND day = ?"
        self._forwards = f"SELECT pos, aggregate_id, version FROM {references} WHERE {part} AND pos >= ? AND pos <= ?"
        self._backwards = f"{self._forwards} ORDER BY pos DESC, aggregate_id DESC, version DESC"
        self._events = f"SELECT aggregate_type, {EVENT_COLUMNS} FROM {events} WHERE aggregate_id = ? AND version IN ?"
        self._state = f"SELECT DISTINCT {', '.join(STATE_COLUMNS)}, aggregate_id FROM {events} WHERE aggregate_id = ?"
        self._there = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"

    async def create(self) -> None:
        """Create the tables that are missing."""
        await ensure_tables(self._session, self.tables)

    async def exist(self) -> bool:
        """Tell whether the tables were created."""
        found = await self._session.execute(self._there, (self._keyspace, self.tables[-1].name))
        return bool(found)

    # -- writing -------------------------------------------------------------------------------------------------

    async def list_partitions(self, partitions: Iterable[Partition]) -> None:
        """Make partitions known to readers: before anything is written there."""
        known = list(partitions)
        await asyncio.gather(
            *(self._write(self._list_part, one) for one in known),
            *(self._write(self._list_day, one) for one in {one[:3] for one in known}),
        )

    async def refer(self, partition: Partition, references: Sequence[Reference]) -> None:
        """Write references to one partition; writing them twice changes nothing."""
        prepared = await self._session.prepare(self._refer)
        for start in range(0, len(references), _TOGETHER):
            items: list[tuple[Prepared, Sequence[object]]] = [
                (prepared, (*partition, *reference)) for reference in references[start : start + _TOGETHER]
            ]
            await self._session.execute_batch(
                items, kind="unlogged", consistency=self._settings.consistency, idempotent=True
            )

    # -- reading -------------------------------------------------------------------------------------------------

    async def days(self, inquiry: Inquiry) -> list[date]:
        """Return the days that have something to answer with, in the order of the answer."""
        found = await self._rows(
            self._days, inquiry.kind, inquiry.name, day_of(inquiry.low), day_of(max(inquiry.low, inquiry.high))
        )
        days = [day for (day,) in found]
        return days[::-1] if inquiry.backwards else days

    async def hours(self, inquiry: Inquiry, day: date) -> list[list[Partition]]:
        """Return the partitions of a day that the inquiry is about, those of one hour together."""
        hours: dict[int, list[Partition]] = {}
        for hour, shard in await self._rows(self._parts, inquiry.kind, inquiry.name, day):
            begins = ((day.toordinal() - _EPOCH_DAY) * 24 + hour) * _HOUR_US
            if begins <= inquiry.high and begins + _HOUR_US > inquiry.low:
                hours.setdefault(hour, []).append(Partition(inquiry.kind, inquiry.name, day, hour, shard))
        return [hours[hour] for hour in sorted(hours, reverse=inquiry.backwards)]

    async def page(
        self, partition: Partition, inquiry: Inquiry, size: int, state: bytes | None
    ) -> tuple[list[Reference], bytes | None]:
        """Return some references of a partition, in the order of the answer, and where the next are found."""
        prepared = await self._session.prepare(self._backwards if inquiry.backwards else self._forwards)
        result = await self._session.execute(
            prepared,
            (*partition, inquiry.low, inquiry.high),
            consistency=self._settings.consistency,
            page_size=size,
            page_state=state,
        )
        return [Reference(*row) for row in result.rows], result.page_state

    async def events(self, stream: Stream, versions: Sequence[int]) -> dict[int, tuple[str | None, Stored]]:
        """Return the events of a stream at these versions, as far as they stand there, with its aggregate type."""
        rows = await self._rows(self._events, stream, [*versions])
        return {row[1]: (row[0], Stored(*row[1:])) for row in rows}

    async def state(self, stream: Stream) -> State:
        """Return where a stream stands."""
        found = await self._rows(self._state, stream)
        return state_of(found[0][: len(STATE_COLUMNS)]) if found else State()

    async def _write(self, text: str, params: Sequence[object]) -> None:
        prepared = await self._session.prepare(text)
        await self._session.execute(prepared, params, consistency=self._settings.consistency, idempotent=True)

    async def _rows(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        prepared = await self._session.prepare(text)
        return [
            row
            async for page in self._session.pages(prepared, params, consistency=self._settings.consistency)
            for row in page
        ]
