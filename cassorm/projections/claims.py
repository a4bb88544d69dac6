"""Keys that no two rows of a read model share: which stream has each, decided by conditional writes.

A claim comes before the row that has the key, and goes after the row has another. A claim whose owner's row has not the
key is left over from a crash, or from a process that woke up late: the next who wants it takes it, once it is old.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError, ProjectionError
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.levels import Levels
from cassorm.projections.row_table import TableWriter

GRACE = timedelta(seconds=10)
"""So long the row of a claim may be on its way."""


class Claims:
    """The claims of one unique view, in one generation."""

    def __init__(
        self, session: Session, plan: ModelPlan, rows: TableWriter, keyspace: str, levels: Levels | None = None
    ) -> None:
        self._session = session
        self._levels = levels or Levels()
        self._rows = rows
        self.plan = plan
        self._fields: tuple[FieldPlan, ...] = plan.partition
        table = quote_table(plan.table.name, plan.table.keyspace or keyspace)
        names = ", ".join(each.quoted for each in plan.partition)
        key = " AND ".join(f"{each.quoted} = ?" for each in plan.partition)
        marks = ", ".join("?" * (len(plan.partition) + 2))
        self._insert = f"INSERT INTO {table} ({names}, owner, claimed_at) VALUES ({marks}) IF NOT EXISTS"
        self._take = f"UPDATE {table} SET owner = ?, claimed_at = ? WHERE {key} IF owner = ? AND claimed_at = ?"
        self._delete = f"DELETE FROM {table} WHERE {key} IF owner = ?"
        self._read = f"SELECT owner, claimed_at FROM {table} WHERE {key}"

    async def claim(self, key: Sequence[Any], stream: Any) -> None:
        """Return when the stream has the key.

        Raises:
            ProjectionError: another stream has it; both ids are in the message.
        """
        encoded = [each.encode(value) for each, value in zip(self._fields, key, strict=True)]
        while True:
            now = datetime.now(UTC)
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            if await self._applied(self._insert, [*encoded, stream, now]):
                return
            prepared = await self._session.prepare(self._read, check=self.plan.check)
            found = await self._session.execute(prepared, encoded, consistency=self._levels.serial)
            if not found.rows:
                continue
            owner, claimed_at = found.rows[0]
            if owner == stream:
                return
            if await self._has(owner, key) or now - claimed_at < GRACE:
                raise self._clash(key, stream, owner)
            if await self._applied(self._take, [stream, now, *encoded, owner, claimed_at]):
                return

    async def release(self, key: Sequence[Any], stream: Any) -> None:
        """Let another stream have the key."""
        encoded = [each.encode(value) for each, value in zip(self._fields, key, strict=True)]
        await self._applied(self._delete, [*encoded, stream])

    async def _has(self, stream: Any, key: Sequence[Any]) -> bool:
        """Whether the row of a stream has the key."""
        row = await self._rows.read((stream,))
        return row is not None and tuple(getattr(row, each.attribute) for each in self._fields) == tuple(key)

    async def _applied(self, text: str, params: Sequence[Any]) -> bool:
        prepared = await self._session.prepare(text, check=self.plan.check)
        try:
            written = await self._session.execute(
                prepared, params, consistency=self._levels.plain, serial_consistency=self._levels.serial
            )
            return bool(written.applied)
        except OutcomeUnknownError:
            return False  # looked at again: by the reading that follows, or when the next wants the key

    def _clash(self, key: Sequence[Any], stream: Any, owner: Any) -> ProjectionError:
        names = ", ".join(each.attribute for each in self._fields)
        return ProjectionError(
            f"streams {stream} and {owner} have the same {names}",
            where=f"{self._rows.plan.where}, view {self.plan.table.name}",
            remedy="Append an event that changes one of them, then replay what is parked; reserve the value in the "
            "command, so that it does not happen again",
        )
