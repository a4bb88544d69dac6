"""Native materialized views: compared with their base row by row, and built anew.

The server keeps a view without any repair between the two. Memory is bounded by a page for each range under way.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from cassorm.cql.identifiers import quote, quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.errors import SchemaError
from cassorm.schema import ddl
from cassorm.schema.introspect import introspect
from cassorm.schema.table import ALL_COLUMNS, Table, View
from cassorm.schema.token_ranges import TokenRange, each, fitting_count, persist, token_ranges, within

SETTLE = timedelta(seconds=1)
BUILD = timedelta(hours=1)
_PAGE = 500
_AT_ONCE = 50
_LOOKS = 4
_LOOK_S = 0.3

Row = tuple[Any, ...]
Both = tuple[Row | None, Row | None]


@dataclass(frozen=True, slots=True)
class ViewDifference:
    """One row of the view that is not as its base says; `key` is the view's key by column.

    missing: the base has the row and the view has not; extra: the view has a row that no row of the base gives;
    differs: `columns` have other values in the two.
    """

    kind: Literal["missing", "extra", "differs"]
    key: dict[str, Any]
    columns: tuple[str, ...] = ()


@dataclass(slots=True)
class ViewCheck:
    """How many rows were looked at, and how many differences there are; 0 of them when all is well."""

    base_rows: int = 0
    view_rows: int = 0
    differences: int = 0


async def find_view(session: Session, keyspace: str, name: str) -> tuple[Table, View]:
    """The live view of that name, and its base.

    Raises:
        SchemaError: there is none.
        ClusterError: the cluster could not be asked.
    """
    text = "SELECT base_table_name FROM system_schema.views WHERE keyspace_name = ? AND view_name = ?"
    base = (await session.execute(text, (keyspace, name))).one()
    if base is not None:
        table = (await introspect(session, keyspace, {base[0]})).get(base[0])
        for view in table.views if table else ():
            if table and view.name == name:
                return table, view
    raise SchemaError(
        "does not exist", where=f"view {keyspace}.{name}", remedy="Check its name: `cassorm schema inspect`"
    )


async def verify_view(
    session: Session,
    table: Table,
    view: View,
    *,
    found: Callable[[ViewDifference], None],
    parallel: int = 4,
    settle: timedelta = SETTLE,
) -> ViewCheck:
    """Compare a live view with its base, both ways; `found` gets every difference.

    What differs is read once more after `settle`: the server brings views up to date some time after their base. A row
    that changes each time that it is looked at is not judged.

    Raises:
        SchemaError: the view filters, so that its base does not tell what belongs in it.
        ClusterError: the cluster did not answer for long.
    """
    _refuse_filter(table, view)
    ranges = token_ranges(await fitting_count(session, table))
    check = await _Check.prepared(session, table, view, found, settle)
    for look in (check.base_range, check.view_range):
        async for _ in each(ranges, look, parallel=parallel):
            pass
    return check.seen


class _Check:
    """One comparison: rows of the base are looked up in the view, and those of the view in the base."""

    def __init__(
        self, session: Session, table: Table, view: View, found: Callable[[ViewDifference], None], settle: timedelta
    ) -> None:
        self.seen = ViewCheck()
        self._session = session
        self._view = view
        self._found = found
        self._settle_s = settle.total_seconds()
        selected = [column.name for column in table.columns] if view.columns == ALL_COLUMNS else list(view.columns)
        self._values = [name for name in selected if name not in view.key]
        # Every key column of the base is one of the view's.
        self._base_key = [view.key.index(name) for name in table.key]
        self._scan: dict[str, Prepared] = {}
        self._one: dict[str, Prepared] = {}

    @classmethod
    async def prepared(cls, session: Session, table: Table, view: View, found: Any, settle: timedelta) -> "_Check":
        self = cls(session, table, view, found, settle)
        names = ", ".join(map(quote, (*view.key, *self._values)))
        for side, of, partition_key, key in (
            ("base", table.name, table.partition_key, table.key),
            ("view", view.name, view.partition_key, view.key),
        ):
            name, where = quote_table(of, table.keyspace), within(partition_key)
            one = " AND ".join(f"{quote(column)} = ?" for column in key)
            # Values are compared as the bytes that came: equal to Python is not equal (NaN, 1.0 and 1.00).
            self._scan[side] = await session.prepare(f"SELECT {names} FROM {name} WHERE {where}", raw=self._values)  # noqa: S608 - quoted
            self._one[side] = await session.prepare(f"SELECT {names} FROM {name} WHERE {one}", raw=self._values)  # noqa: S608 - quoted
        return self

    async def base_range(self, part: TokenRange) -> None:
        """Look up every row of the base in the view."""
        async for page in self._pages("base", part):
            self.seen.base_rows += len(page)
            await self._compare([row for row in page if self._belongs(row)], "view")

    async def view_range(self, part: TokenRange) -> None:
        """Look up every row of the view in the base; what values it has was seen from there."""
        async for page in self._pages("view", part):
            self.seen.view_rows += len(page)
            await self._compare(page, "base")

    async def _pages(self, side: str, part: TokenRange) -> AsyncIterator[list[Row]]:
        pages = self._session.pages(self._scan[side], (part.start, part.end), page_size=_PAGE)
        try:
            async for page in pages:
                yield page
        finally:
            pages.close()

    async def _compare(self, rows: Sequence[Row], other: str) -> None:
        suspects: dict[Row, Both] = {}
        for some in _chunks(rows):
            found = await asyncio.gather(*(self._read(other, self._key(row)) for row in some))
            for row, there in zip(some, found, strict=True):
                if self._differs(row, there, other):
                    suspects[self._key(row)] = (row, there) if other == "view" else (there, row)
        for _ in range(_LOOKS):
            if not suspects:
                return
            # The view may only be late, or the row be changing: what counts is how both stand when they stand still.
            await asyncio.sleep(self._settle_s)
            suspects = await self._judged(suspects, other)

    async def _judged(self, suspects: dict[Row, Both], other: str) -> dict[Row, Both]:
        """Report what stands as it stood before; what has changed meanwhile remains to be looked at."""
        moving: dict[Row, Both] = {}
        for some in _chunks(list(suspects)):
            now = await asyncio.gather(*(self._both(key) for key in some))
            for key, both in zip(some, now, strict=True):
                difference = self._difference(key, both, other)
                if difference is not None and both == suspects[key]:
                    self.seen.differences += 1
                    self._found(difference)
                elif difference is not None:
                    moving[key] = both
        return moving

    async def _both(self, key: Row) -> Both:
        base, view = await asyncio.gather(self._read("base", key), self._read("view", key))
        return base, view

    def _key(self, row: Row) -> Row:
        return row[: len(self._view.key)]

    def _differs(self, row: Row, there: Row | None, other: str) -> bool:
        # Values of a row that both have are compared from the base's side alone.
        key = len(self._view.key)
        return there is None or (there != row if other == "view" else there[:key] != row[:key])

    def _difference(self, key: Row, both: Both, other: str) -> ViewDifference | None:
        base, view = both
        shown = dict(zip(self._view.key, key, strict=True))
        given = base is not None and self._key(base) == key
        if other == "base":
            return ViewDifference("extra", shown) if view is not None and not given else None
        if not given or base is None:
            return None  # changed meanwhile: seen again from the view's side
        if view is None:
            return ViewDifference("missing", shown)
        values = zip(self._values, base[len(key) :], view[len(key) :], strict=True)
        columns = tuple(name for name, mine, theirs in values if mine != theirs)
        return ViewDifference("differs", shown, columns) if columns else None

    async def _read(self, side: str, key: Row) -> Row | None:
        values = [key[at] for at in self._base_key] if side == "base" else list(key)
        return (await persist(lambda: self._session.execute(self._one[side], values))).one()

    def _belongs(self, row: Row) -> bool:
        key = row[: len(self._view.key)]
        empty = len(self._view.partition_key) == 1 and key[0] in ("", b"")
        return not empty and all(value is not None for value in key)


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for at in range(0, len(rows), _AT_ONCE):
        yield rows[at : at + _AT_ONCE]


def rebuild_statements(session: Session, table: Table, view: View) -> tuple[str, str]:
    """The statements that drop the view and create it again.

    Raises:
        SchemaError: the view filters, and no view is created with a filter.
    """
    _refuse_filter(table, view)
    return ddl.drop("MATERIALIZED VIEW", view.name, table.keyspace), ddl.create_view(table, view, session.dialect)


async def rebuild_view(session: Session, table: Table, view: View, *, timeout: timedelta = BUILD) -> None:
    """Drop the view and create it again; every node has built it when this returns.

    Queries on the view fail from now until then, or answer with a part of its rows.

    Raises:
        SchemaError: the view filters, or it is not built after `timeout`; the server goes on building it.
        ClusterError: the cluster refused.
    """
    for text in rebuild_statements(session, table, view):
        await session.ddl(text)
    end = time.monotonic() + timeout.total_seconds()
    while not await _built(session, table.keyspace or "", view.name):
        if time.monotonic() >= end:
            raise SchemaError(
                f"is not built after {timeout.total_seconds():g} s",
                where=f"view {table.keyspace}.{view.name}",
                remedy="The server goes on: look at `nodetool viewbuildstatus`, then verify it",
            )
        await asyncio.sleep(_LOOK_S)


async def _built(session: Session, keyspace: str, view: str) -> bool:
    text = "SELECT view_name FROM system.built_views WHERE keyspace_name = ? AND view_name = ?"
    if session.dialect.name == "cassandra" and not await session.execute(text, (keyspace, view)):
        return False
    text = "SELECT status FROM system_distributed.view_build_status WHERE keyspace_name = ? AND view_name = ?"
    # The keyspace has more copies than a small cluster has nodes.
    states = await session.execute(text, (keyspace, view), consistency=Consistency.ONE)
    peers = await session.execute("SELECT peer FROM system.peers")
    return len(states) > len(peers) and all(state == "SUCCESS" for (state,) in states)


def _refuse_filter(table: Table, view: View) -> None:
    if view.filter:
        raise SchemaError(
            f"filters: {view.filter}",
            where=f"view {table.keyspace}.{view.name}",
            remedy="cassorm knows views of all rows alone: drop it, and create one without a filter",
        )
