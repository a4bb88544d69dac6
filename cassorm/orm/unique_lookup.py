"""The statements on lookup tables of unique columns, and on the rows that they point to; `unique` decides which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from cassorm.cql.identifiers import quote_table
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.errors import QueryError
from cassorm.orm.context import current_keyspace
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan, Unique
from cassorm.orm.sending import joined_for_write

PENDING, HELD = "pending", "held"

# Between the first of a timeuuid's days and 1970, in its unit of 100 ns.
_UUID_EPOCH = 0x01B21DD213814000

Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """A claim as it stands in a lookup table; `owner` is the key of a row.

    `shared`: another write of the same row, which may still be under way, claimed it before.
    """

    unique: Unique
    values: Values
    owner: Values
    claim: UUID
    state: str = PENDING
    age_s: float = 0
    shared: bool = False


class Lookups:
    """The lookup tables of one model; `options` are those of the statement that writes its row.

    What changes a claim is an LWT that names the claim as it was looked at, and tells whether it took effect. What is
    read is read at serial consistency, unless `quick` says that a wrong answer does no harm.
    """

    def __init__(self, session: Session, plan: ModelPlan, options: Mapping[str, Any]) -> None:
        self._session = session
        self._plan = plan
        self._keyspace = current_keyspace.get()
        self._writing = joined_for_write(plan.where, plan.writing, options, once=True)
        self._reading: dict[str, Any] = {
            "consistency": self._writing.get("serial_consistency") or session.settings.serial_consistency,
            "timeout": self._writing.get("timeout"),
        }

    async def take(self, claim: Standing) -> bool:
        """Write the claim if there is none on its values."""
        values = _encoded(claim.unique.fields, claim.values)
        return await self._applied("take", claim.unique, [*values, self._owner(claim), claim.claim])

    async def retake(self, found: Standing, claim: Standing) -> bool:
        """Write the claim in the place of the one that was found."""
        values = _encoded(claim.unique.fields, claim.values)
        params = [self._owner(claim), claim.claim, *values, found.claim, found.state]
        return await self._applied("retake", claim.unique, params)

    async def mark_held(self, claim: Standing) -> bool:
        """Mark the claim as that of a row that was written."""
        values = _encoded(claim.unique.fields, claim.values)
        return await self._applied("held", claim.unique, [*values, claim.claim])

    async def drop(self, found: Standing) -> bool:
        """Delete the claim."""
        values = _encoded(found.unique.fields, found.values)
        return await self._applied("drop", found.unique, [*values, found.claim, found.state])

    async def look(self, unique: Unique, values: Values, *, quick: bool = False) -> Standing | None:
        """The claim on these values; None when there is none."""
        row = await self._one("look", unique, _encoded(unique.fields, values), quick=quick)
        if row is None:
            return None
        owner, claim, state, written, now = row
        age_us = (now.time - _UUID_EPOCH) / 10 - written
        return Standing(unique, values, decoded(self._plan.key, owner), claim, state, age_us / 1_000_000)

    async def holds(self, unique: Unique, values: Values, key: Values, *, quick: bool = False) -> bool:
        """Whether the row of `key` is there and holds these values."""
        row = await self._one("row", unique, _encoded(self._plan.key, key), quick=quick)
        if row is None:
            return False
        stored = decoded(unique.fields, row)
        if stored == values or None in stored:
            return stored == values
        # Equal to the server is not always equal to Python, as NaN shows.
        return await self.key_bytes(unique, stored) == await self.key_bytes(unique, values)

    async def is_of(self, found: Standing, key: Values) -> bool:
        """Whether the claim is that of the row of `key`."""
        row = await self._prepared("row", found.unique)
        return row.encode(_encoded(self._plan.key, found.owner)) == row.encode(_encoded(self._plan.key, key))

    async def key_bytes(self, unique: Unique, values: Values) -> tuple[bytes, ...]:
        """The values as the server has them, which tells those apart that it tells apart."""
        return tuple((await self._prepared("look", unique)).encode(_encoded(unique.fields, values)))

    async def check(self, unique: Unique, values: Values) -> None:
        """Return when the values can be a key.

        Raises:
            QueryError: they are empty.
        """
        found = await self.key_bytes(unique, values)
        if len(found) == 1 and not found[0]:
            raise QueryError(
                "an empty value, which no key of a table can be",
                where=f"{self._plan.where}.{unique.fields[0].attribute}",
                remedy="Give None for no value: any number of rows may have none",
            )

    def _owner(self, claim: Standing) -> tuple[Any, ...]:
        return tuple(_encoded(self._plan.key, claim.owner))

    async def _applied(self, kind: str, unique: Unique, params: list[Any]) -> bool:
        prepared = await self._prepared(kind, unique)
        return bool((await self._session.execute(prepared, params, **self._writing)).applied)

    async def _one(self, kind: str, unique: Unique, params: list[Any], *, quick: bool) -> tuple[Any, ...] | None:
        prepared = await self._prepared(kind, unique)
        options = {**self._reading, "consistency": None} if quick else self._reading
        return (await self._session.execute(prepared, params, **options)).one()

    async def _prepared(self, kind: str, unique: Unique) -> Prepared:
        plan, keyspace = self._plan, self._keyspace
        text = plan.text(f"{unique.lookup} {kind}", keyspace, lambda: _text(kind, unique, plan, keyspace))
        return await self._session.prepare(text)


def decoded(fields: Sequence[FieldPlan], row: Sequence[Any]) -> Values:
    """The values that the driver gave for these fields, None for NULL.

    Raises:
        RowError: one does not fit its field.
    """
    return tuple(None if value is None else each.decoded(value) for each, value in zip(fields, row, strict=True))


def _encoded(fields: Sequence[FieldPlan], values: Values) -> list[Any]:
    return [each.encode(value) for each, value in zip(fields, values, strict=True)]


def _text(kind: str, unique: Unique, plan: ModelPlan, keyspace: str | None) -> str:
    lookup = quote_table(unique.lookup, plan.table.keyspace or keyspace)
    columns = [each.quoted for each in unique.fields]
    where = " AND ".join(f"{column} = ?" for column in columns)
    names, markers = ", ".join(columns), ", ".join("?" * len(columns))
    match kind:
        case "take":
            given = f"({names}, owner, claim, state) VALUES ({markers}, ?, ?, '{PENDING}')"
            return f"INSERT INTO {lookup} {given} IF NOT EXISTS"
        case "retake":
            changes = f"owner = ?, claim = ?, state = '{PENDING}'"
            return f"UPDATE {lookup} SET {changes} WHERE {where} IF claim = ? AND state = ?"  # noqa: S608 - quoted
        case "held":
            return f"UPDATE {lookup} SET state = '{HELD}' WHERE {where} IF claim = ?"  # noqa: S608 - quoted
        case "drop":
            return f"DELETE FROM {lookup} WHERE {where} IF claim = ? AND state = ?"  # noqa: S608 - quoted
        case "look":
            return f"SELECT owner, claim, state, WRITETIME(claim), now() FROM {lookup} WHERE {where}"  # noqa: S608 - quoted
    row = " AND ".join(f"{each.quoted} = ?" for each in plan.key)
    return f"SELECT {names} FROM {plan.target(keyspace)} WHERE {row}"  # noqa: S608 - quoted
