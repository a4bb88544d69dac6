"""Writes what a fold has made of a row, so that whatever is written twice, late or by two at once, the last event wins.

Every write carries the position of the last event folded as its timestamp, and holds each field that the fold has
touched. A cell's value at a position follows from the stream alone. So of all writes of a cell the one with the highest
position is right, in whatever order they land, and the server keeps that one.

Source: docs/how-to/projections.md.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.claims import Claims
from cassorm.projections.fold import NOTHING, Change, Standing
from cassorm.projections.levels import Levels
from cassorm.projections.row_table import TableWriter
from cassorm.projections.shared import SHARED, read_shared, to_json


class RowTable:
    """The rows of a read model and of its views, in one generation; `unique` are the numbers of views that are."""

    def __init__(
        self,
        session: Session,
        rows: ModelPlan,
        views: Sequence[ModelPlan],
        keyspace: str,
        *,
        unique: Collection[int] = (),
        levels: Levels | None = None,
    ) -> None:
        self._rows = TableWriter(session, rows, keyspace)
        numbered = list(enumerate(views))
        self._views = {at: TableWriter(session, plan, keyspace) for at, plan in numbered if at not in unique}
        self._claims = {
            at: Claims(session, plan, self._rows, keyspace, levels) for at, plan in numbered if at in unique
        }

    async def read(self, stream: Any) -> Standing:
        """The row of a stream as it is written."""
        row = await self._rows.read((stream,))
        return NOTHING if row is None else Standing(row, row.applied_version)

    async def write(self, change: Change) -> None:
        """Write the views, then the row: the version that it has applied vouches for them.

        Raises:
            ProjectionError: another stream has a key that is unique; nothing was written.
        """
        held = await self._claimed(change)
        await asyncio.gather(*(write() for write in self._view_writes(change)))
        if change.deleted_at is not None:
            await self._rows.delete((change.stream,), change.deleted_at)
        if change.row is not None:
            if change.begun:
                await self._rows.insert(change.row, change.position, change.touched)
            else:
                await self._rows.update(change.row, change.position, change.touched)
        for left in change.left:
            if left.view in self._claims and left.key != held.get(left.view):
                await self._claims[left.view].release(left.key, change.stream)

    async def _claimed(self, change: Change) -> dict[int, Sequence[Any]]:
        """Claim the unique keys that the row has now; return them by the number of the view."""
        held: dict[int, Sequence[Any]] = {}
        for number, claims in self._claims.items():
            key = _key(claims.plan, change.row)
            if key is None:
                continue
            held[number] = key
            if change.begun or number in change.fresh:
                await claims.claim(key, change.stream)
        return held

    def _view_writes(self, change: Change) -> list[Callable[[], Any]]:
        """Where the row stands no more it is deleted, where it is new it is written whole."""
        found: list[Callable[[], Any]] = [
            partial(self._views[left.view].delete, left.key, left.position)
            for left in change.left
            if left.view in self._views
        ]
        for number, view in self._views.items():
            if _key(view.plan, change.row) is not None:
                write = view.insert if change.begun or number in change.fresh else view.update
                found.append(partial(write, change.row, change.position, change.touched))
        return found


def _key(plan: ModelPlan, row: Any) -> tuple[Any, ...] | None:
    """The key of a row in a view; None when it is not in there."""
    if row is None:
        return None
    key = tuple(row.__dict__[each.attribute] for each in plan.key)
    return None if None in key else key


class SharedRows:
    """The rows of a read model as JSON in the shared table, in one generation."""

    def __init__(self, session: Session, model: type[Any], name: str, keyspace: str, load: Callable[..., Any]) -> None:
        self._session = session
        self._model = model
        self._name = name
        self._keyspace = keyspace
        self._load = load
        table = quote_table(SHARED, keyspace)
        self._insert = (
            f"INSERT INTO {table} (projection_name, key, data, applied_version) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
        )
        self._delete = f"DELETE FROM {table} USING TIMESTAMP ? WHERE projection_name = ? AND key = ?"

    async def read(self, stream: Any) -> Standing:
        """The row of a stream as it is written."""
        found = await read_shared(self._session, self._keyspace, self._name, stream)
        return NOTHING if found is None else Standing(self._load(*found), found[1])

    async def write(self, change: Change) -> None:
        """Write the row whole."""
        key = str(change.stream)
        if change.deleted_at is not None:
            await self._send(self._delete, (change.deleted_at, self._name, key))
        if change.row is not None:
            await self._send(self._insert, (self._name, key, to_json(change.row), change.version, change.position))

    async def _send(self, text: str, params: Sequence[Any]) -> None:
        await self._session.execute(await self._session.prepare(text), params, idempotent=True)
