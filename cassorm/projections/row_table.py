"""Writes rows of a model at positions: the timestamp of each write is the position of the event that it stands for."""

from collections.abc import Iterable, Sequence
from typing import Any

from cassorm.cql.identifiers import quote_table
from cassorm.driver.prepared import UNSET
from cassorm.driver.session import Session
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.sending import joined


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
