"""Copy every row of a table into one of another key: by token range, resumable, beside an application that writes.

Each value keeps the time at which it was written, and what is left of its TTL. So the copy of a row is the same however
often it is made, and never wins over what the application has written into the new table meanwhile.
"""

import asyncio
import hashlib
import json
import struct
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cassorm.cql.identifiers import quote, quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.prepared import UNSET, Prepared
from cassorm.driver.session import Session
from cassorm.errors import SchemaError
from cassorm.schema.apply import ensure_tables
from cassorm.schema.copy_plan import CopyPlan, plan_copy
from cassorm.schema.dump import dump
from cassorm.schema.table import Column, Table
from cassorm.schema.token_ranges import TokenRange, count_rows, each, fitting_count, persist, token_ranges, within

TABLE = "cassorm_copies"
_PAGE = 500
_AT_ONCE = 50
_SHOWN = 20
_INT = struct.Struct(">i")

Row = tuple[Any, ...]
Cells = dict[str, Any]


@dataclass(slots=True)
class Progress:
    """How far a copy is: ranges and rows that are done, those of earlier runs among them."""

    ranges: int
    ranges_done: int = 0
    rows: int = 0
    skipped: int = 0
    skipped_keys: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that is complete, and both tables counted afterwards.

    `skipped` rows have no value in a column of the new key, so that there is no place for them; `skipped_keys` are the
    keys of the first of them, as far as this run met them.
    """

    rows: int
    skipped: int
    skipped_keys: tuple[Row, ...]
    source_rows: int
    target_rows: int

    @property
    def complete(self) -> bool:
        """Whether every row of the source has one in the target, and none was skipped."""
        return not self.skipped and self.source_rows == self.target_rows


def _unseen(_: Progress) -> None:
    pass


def copies_table(keyspace: str | None) -> Table:
    """What is remembered of copies: a row for each range that is done."""
    return Table(
        keyspace=keyspace,
        name=TABLE,
        columns=(
            Column("copy", "text"),
            Column("range", "int"),
            Column("shape", "text", static=True),
            Column("ranges", "int", static=True),
            Column("started_us", "bigint", static=True),
            Column("rows", "bigint"),
            Column("skipped", "bigint"),
            Column("done_at", "timestamp"),
        ),
        partition_key=("copy",),
        clustering=(("range", "asc"),),
        comment="How far copies of tables are; written by cassorm schema copy",
    )


async def copy_table(
    session: Session,
    source: Table,
    target: Table,
    *,
    lose: Collection[str] = (),
    parallel: int = 4,
    rate: float | None = None,
    restart: bool = False,
    progress: Callable[[Progress], None] = _unseen,
) -> Copied:
    """Every row of the live table `source`, copied into `target`; both counted afterwards.

    A copy that was stopped goes on where it was, unless `restart` says otherwise. `lose` names columns that need not be
    copied, `parallel` the ranges under way at once, `rate` the most rows a second. Columns that only the target has stay
    empty.

    Raises:
        SchemaError: a row could not be placed, would be merged with another, or would lose a value; or a table has
            changed since the copy began.
        ClusterError: the cluster refused, or did not answer for long; run it again, and it goes on.
    """
    plan = plan_copy(source, target, lose=lose)
    keeper = _Keeper(session, plan)
    await keeper.begin(restart=restart)
    seen = await keeper.progress()
    writer = await _Writer.prepared(session, plan, keeper.started_us)
    limit = _Limit(rate)
    ranges = token_ranges(keeper.ranges)

    async def copy(part: TokenRange) -> None:
        rows, skipped = await writer.copy(part, limit, seen.skipped_keys)
        await keeper.done(part, rows, skipped)
        seen.ranges_done += 1
        seen.rows += rows
        seen.skipped += skipped
        progress(seen)

    progress(seen)
    async for _ in each([part for part in ranges if part.number not in keeper.done_ranges], copy, parallel=parallel):
        pass
    return Copied(
        seen.rows,
        seen.skipped,
        tuple(seen.skipped_keys),
        await count_rows(session, source, ranges, parallel=parallel),
        await count_rows(session, target, ranges, parallel=parallel),
    )


class _Limit:
    """Keeps all ranges together to so many rows a second."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next = time.monotonic()

    async def take(self, rows: int) -> None:
        if self._rate is not None:
            now = time.monotonic()
            self._next = max(self._next, now) + rows / self._rate
            await asyncio.sleep(self._next - now)


class _Keeper:
    """What is remembered of one copy."""

    def __init__(self, session: Session, plan: CopyPlan) -> None:
        self._session = session
        self._plan = plan
        self._table = quote_table(TABLE, plan.target.keyspace)
        shape = json.dumps([dump(plan.source), dump(plan.target), plan.cells, plan.statics], default=str)
        self._shape = hashlib.sha256(shape.encode()).hexdigest()
        self.ranges = 0
        self.started_us = 0
        self.done_ranges: set[int] = set()

    async def begin(self, *, restart: bool) -> None:
        await ensure_tables(self._session, [copies_table(self._plan.target.keyspace)])
        if restart:
            await self._lwt(f"DELETE FROM {self._table} WHERE copy = ? AND range >= 0", (), conditional=False)  # noqa: S608 - quoted
            await self._lwt(f"UPDATE {self._table} SET shape = null WHERE copy = ? IF shape != null", ())  # noqa: S608 - quoted
        count = await fitting_count(self._session, self._plan.source)
        text = f"UPDATE {self._table} SET shape = ?, ranges = ?, started_us = ? WHERE copy = ? IF shape = null"  # noqa: S608 - quoted
        await self._lwt(text, (self._shape, count, time.time_ns() // 1000))
        header = f"SELECT shape, ranges, started_us FROM {self._table} WHERE copy = ? LIMIT 1"  # noqa: S608 - quoted
        found = await self._session.execute(header, (self._plan.name,), consistency=Consistency.SERIAL)
        shape, self.ranges, self.started_us = found.one() or (None, 0, 0)
        if shape != self._shape:
            raise SchemaError(
                "one of the tables has changed since the copy began",
                where=f"copy of {self._plan.name}",
                remedy="Begin it again with --restart: what has been copied is copied once more",
            )

    async def progress(self) -> Progress:
        text = f"SELECT range, rows, skipped FROM {self._table} WHERE copy = ?"  # noqa: S608 - quoted
        seen = Progress(self.ranges)
        async for number, rows, skipped in self._session.stream(text, (self._plan.name,)):
            if number is not None:
                self.done_ranges.add(number)
                seen.ranges_done += 1
                seen.rows += rows
                seen.skipped += skipped
        return seen

    async def done(self, part: TokenRange, rows: int, skipped: int) -> None:
        text = f"INSERT INTO {self._table} (copy, range, rows, skipped, done_at) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - quoted
        values = (self._plan.name, part.number, rows, skipped, datetime.now(UTC))
        await persist(lambda: self._session.execute(text, values, idempotent=True))

    async def _lwt(self, text: str, values: tuple[object, ...], *, conditional: bool = True) -> None:
        serial = Consistency.SERIAL if conditional else None
        await self._session.execute(text, (*values, self._plan.name), serial_consistency=serial)


class _Writer:
    """Reads a range of the source and writes it to the target."""

    def __init__(self, session: Session, plan: CopyPlan, started_us: int) -> None:
        self._session = session
        self._plan = plan
        self._started_us = started_us
        self._timed = [name for name in (*plan.cells, *plan.statics) if self._tells_times(name)]
        self._read: Prepared
        self._insert: Prepared
        self._update: Prepared | None = None
        self._static: Prepared | None = None

    @classmethod
    async def prepared(cls, session: Session, plan: CopyPlan, started_us: int) -> "_Writer":
        self = cls(session, plan, started_us)
        source, target = (quote_table(table.name, table.keyspace) for table in (plan.source, plan.target))
        names = [*self._names, *(part for name in self._timed for part in self._times(name))]
        text = f"SELECT {', '.join(names)} FROM {source} WHERE {within(plan.source.partition_key)}"  # noqa: S608 - quoted
        # The driver decodes no lists that hold NULL, which is what the server tells of parts without a TTL.
        self._read = await session.prepare(text, raw=[_ttl(name) for name in self._timed if self._has_many(name)])
        using = "USING TIMESTAMP ? AND TTL ?"
        columns = [*plan.target.key, *plan.cells]
        self._insert = await session.prepare(_insert(target, columns, using))
        if plan.cells:
            setting = ", ".join(f"{quote(name)} = ?" for name in plan.cells)
            key = " AND ".join(f"{quote(name)} = ?" for name in plan.target.key)
            self._update = await session.prepare(f"UPDATE {target} {using} SET {setting} WHERE {key}")  # noqa: S608 - quoted
        if plan.statics:
            self._static = await session.prepare(_insert(target, [*plan.target.partition_key, *plan.statics], using))
        return self

    @property
    def _names(self) -> list[str]:
        wanted = [*self._plan.target.key, *self._plan.cells, *self._plan.statics]
        return [quote(name) for name in wanted]

    def _tells_times(self, name: str) -> bool:
        # Where a server tells no times of what has many, that counts as written when the copy began, and stays.
        dialect = self._session.dialect
        return not self._has_many(name) or (dialect.name == "cassandra" and dialect.version >= (5, 0))

    def _has_many(self, name: str) -> bool:
        column = self._plan.source.column(name)
        return column is not None and column.cql_type.is_multicell

    def _times(self, name: str) -> tuple[str, str]:
        written = "MAXWRITETIME" if self._has_many(name) else "WRITETIME"
        return f"{written}({quote(name)})", f'TTL({quote(name)}) AS "{_ttl(name)}"'

    async def copy(self, part: TokenRange, limit: _Limit, skipped_keys: list[Row]) -> tuple[int, int]:
        rows = skipped = 0
        partition: object = None
        pages = self._session.pages(self._read, (part.start, part.end), page_size=_PAGE)
        try:
            async for page in pages:
                for at in range(0, len(page), _AT_ONCE):
                    some = page[at : at + _AT_ONCE]
                    await limit.take(len(some))
                    sent = []
                    for row in some:
                        writes, partition = self._writes(row, partition)
                        if not writes:
                            skipped += 1
                            if len(skipped_keys) < _SHOWN:
                                skipped_keys.append(row[: len(self._plan.target.key)])
                        sent += writes
                    await asyncio.gather(*(self._send(statement, values) for statement, values in sent))
                    rows += len(some)
        finally:
            pages.close()
        return rows - skipped, skipped

    async def _send(self, statement: Prepared, values: Sequence[object]) -> None:
        await persist(lambda: self._session.execute(statement, values, idempotent=True))

    def _writes(self, row: Row, partition: object) -> tuple[list[tuple[Prepared, Row]], object]:
        plan = self._plan
        cells = dict(zip((*plan.target.key, *plan.cells, *plan.statics), row, strict=False))
        first_time = len(cells)
        times = dict.fromkeys(cells, (self._started_us, 0)) | {
            name: self._time(cells[name], row[first_time + 2 * at], row[first_time + 2 * at + 1])
            for at, name in enumerate(self._timed)
        }
        writes: list[tuple[Prepared, Row]] = []
        key = tuple(cells[name] for name in plan.target.key)
        here = tuple(cells[name] for name in plan.target.partition_key)
        if self._static is not None and here != partition:
            for when, names in _groups(plan.statics, cells, times).items():
                writes.append((self._static, (*here, *_given(plan.statics, names, cells), *when)))
        if any(value is None for value in key) or (len(here) == 1 and here[0] in ("", b"")):
            # A row without a value for the key: all that it may hold are the static values of its partition.
            static_only = bool(plan.statics) and any(cells[name] is None for name in plan.source.key)
            return (writes if static_only else []), here
        groups = _groups(plan.cells, cells, times) or {(self._started_us, 0): []}
        # One INSERT makes the row; the rest are updates, so that the row expires no sooner than its values.
        lasting = max(groups, key=lambda when: (when[1] == 0, when[1]))
        names = groups.pop(lasting)
        writes.append((self._insert, (*key, *_given(plan.cells, names, cells), *lasting)))
        for when, names in groups.items():
            if self._update is not None:
                writes.append((self._update, (*when, *_given(plan.cells, names, cells), *key)))
        return writes, here

    def _time(self, value: Any, written: int | None, ttl: int | bytes | None) -> tuple[int, int]:
        if isinstance(ttl, bytes):
            ttl = _longest(value, ttl)
        return (self._started_us if written is None else written), ttl or 0


def _ttl(name: str) -> str:
    # No column can be called so.
    return f"ttl of {name}"


def _longest(value: Any, ttls: bytes) -> int | None:
    """The TTL of the part that lasts longest, None where one has none, from a `list<int>` as it came."""
    found: list[int | None] = []
    at = _INT.size
    while at < len(ttls):
        (length,) = _INT.unpack_from(ttls, at)
        found.append(None if length < 0 else _INT.unpack_from(ttls, at + _INT.size)[0])
        at += _INT.size + max(length, 0)
    if isinstance(value, tuple):
        # Fields of a user type that have no value have no TTL either.
        found = [one for one, part in zip(found, value, strict=False) if part is not None]
    lasting = [one for one in found if one is not None]
    return max(lasting, default=None) if len(lasting) == len(found) else None


def _insert(target: str, columns: Sequence[str], using: str) -> str:
    names, marks = ", ".join(map(quote, columns)), ", ".join("?" * len(columns))
    return f"INSERT INTO {target} ({names}) VALUES ({marks}) {using}"  # noqa: S608 - quoted


def _groups(names: Sequence[str], cells: Cells, times: dict[str, tuple[int, int]]) -> dict[tuple[int, int], list[str]]:
    """The columns that have a value, by when they were written and how long they last."""
    groups: dict[tuple[int, int], list[str]] = {}
    for name in names:
        if cells[name] is not None:
            groups.setdefault(times[name], []).append(name)
    return groups


def _given(names: Sequence[str], given: Collection[str], cells: Cells) -> list[object]:
    return [cells[name] if name in given else UNSET for name in names]
