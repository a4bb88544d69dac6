"""Writes what a fold has made of a row, so that whatever is written twice, late or by two at once, the last event wins.

Every write carries the position of the last event folded as its timestamp, and holds each field that the fold has
touched. A cell's value at a position follows from the stream alone. So of all writes of a cell the one with the highest
position is right, in whatever order they land, and the server keeps that one.

Source: docs/how-to/projections.md.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from cassorm.cql.identifiers import quote_table
from cassorm.driver.prepared import UNSET
from cassorm.driver.session import Session
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.sending import joined
from cassorm.projections.fold import NOTHING, Change, Standing
from cassorm.projections.shared import SHARED, read_shared, to_json


class TableWriter:
    """Rows of one model on one table, each write at a position."""

    def __init__(self, session: Session, plan: ModelPlan, keyspace: str) -> None:
        self._session = session
        self.plan = plan
        self._table = quote_table(plan.table.name, plan.table.keyspace or keyspace)
        self._key = " AND ".join(f"{each.quoted} = ?" for each in plan.key)
        self._values = tuple(each for each in plan.fields if not each.is_key)
        marks = ", ".join("?" * len(plan.fields))
        self._insert = f"INSERT INTO {self._table} ({plan.columns_text}) VALUES ({marks}) USING TIMESTAMP ?"
        self._delete = f"DELETE FROM {self._table} USING TIMESTAMP ? WHERE {self._key}"
        self._select = f"SELECT {plan.columns_text} FROM {self._table} WHERE {self._key}"
        self._updates: dict[frozenset[str], tuple[str, tuple[FieldPlan, ...]]] = {}
        self._writing = joined({"idempotent": True}, plan.writing)

    async def insert(self, row: Any, position: int, touched: Iterable[str] = ()) -> None:
        """Write the row whole; what is None and not `touched` stays unset."""
        values, given = row.__dict__, frozenset(touched)
        params = [_param(each, values[each.attribute], each.attribute in given) for each in self.plan.fields]
        await self._send(self._insert, [*params, position], key_of(self.plan, row))

    async def update(self, row: Any, position: int, touched: Iterable[str]) -> None:
        """Write these fields of the row, and the version applied where there is one."""
        names = frozenset(touched)
        found = self._updates.get(names)
        if found is None:
            fields = tuple(
                each for each in self._values if each.attribute in names or each.attribute == "applied_version"
            )
            assigned = ", ".join(f"{each.quoted} = ?" for each in fields)
            text = f"UPDATE {self._table} USING TIMESTAMP ? SET {assigned} WHERE {self._key}"
            found = self._updates[names] = text, fields
        text, fields = found
        values = row.__dict__
        key = key_of(self.plan, row)
        params = [_param(each, values[each.attribute], True) for each in fields]
        await self._send(text, [position, *params, *key], key)

    async def delete(self, key: Sequence[Any], position: int) -> None:
        """Delete the row of a key, given by its values."""
        encoded = [each.encode(value) for each, value in zip(self.plan.key, key, strict=True)]
        await self._send(self._delete, [position, *encoded], encoded)

    async def read(self, key: Sequence[Any]) -> Any:
        """The row of a key, given by its values; None when there is none."""
        encoded = [each.encode(value) for each, value in zip(self.plan.key, key, strict=True)]
        prepared = await self._session.prepare(self._select, check=self.plan.check)
        found = self.plan.hydrate((await self._session.execute(prepared, encoded, **self.plan.reading)).rows)
        return found[0] if found else None

    async def _send(self, text: str, params: Sequence[Any], key: Sequence[Any]) -> None:
        prepared = await self._session.prepare(text, check=self.plan.check)
        try:
            await self._session.execute(prepared, params, **self._writing)
        finally:
            tell = getattr(self._session, "tell_of_write", None)
            if tell is not None:
                # Those who keep rows know them by the table that the class names.
                base: Any = self.plan.model
                tell(base.__dict__["__cassorm_plan__"], tuple(key[: len(self.plan.partition)]))


def key_of(plan: ModelPlan, row: Any) -> list[Any]:
    """The encoded key of a row."""
    values = row.__dict__
    return [each.encode(values[each.attribute]) for each in plan.key]


def _param(field: FieldPlan, value: Any, given: bool) -> Any:
    if value is None:
        return None if given else UNSET
    return field.encode(value)


class RowTable:
    """The rows of a read model and of its views, in one generation."""

    def __init__(self, session: Session, rows: ModelPlan, views: Sequence[ModelPlan], keyspace: str) -> None:
        self._rows = TableWriter(session, rows, keyspace)
        self._views = [TableWriter(session, plan, keyspace) for plan in views]

    async def read(self, stream: Any) -> Standing:
        """The row of a stream as it is written."""
        row = await self._rows.read((stream,))
        return NOTHING if row is None else Standing(row, row.applied_version)

    async def write(self, change: Change) -> None:
        """Write the views, then the row: the version that it has applied vouches for them."""
        await asyncio.gather(*(write() for write in view_writes(change, self._views)))
        if change.deleted_at is not None:
            await self._rows.delete((change.stream,), change.deleted_at)
        if change.row is None:
            return
        if change.begun:
            await self._rows.insert(change.row, change.position, change.touched)
        else:
            await self._rows.update(change.row, change.position, change.touched)


def view_writes(change: Change, views: Sequence[TableWriter]) -> list[Callable[[], Any]]:
    """What is written to views: where the row stands no more it is deleted, where it is new it is written whole."""
    found: list[Callable[[], Any]] = [partial(views[left.view].delete, left.key, left.position) for left in change.left]
    if change.row is None:
        return found
    values = change.row.__dict__
    for number, view in enumerate(views):
        if any(values[each.attribute] is None for each in view.plan.key):
            continue
        write = view.insert if change.begun or number in change.fresh else view.update
        found.append(partial(write, change.row, change.position, change.touched))
    return found


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
