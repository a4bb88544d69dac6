"""Which generations each projection has: one is read, one may be building beside it, others are retired.

A partition a projection, written by conditions alone: of two processes that begin a rebuild, or switch to it, one does.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from cassorm.cql.identifiers import quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError, ProjectionError
from cassorm.projections.active import REGISTRY, seen_by
from cassorm.projections.levels import Levels
from cassorm.schema.apply import ensure_tables
from cassorm.schema.table import Column, Table

_ATTEMPTS = 6


class State(Enum):
    """What a generation is for."""

    ACTIVE = "active"
    """It is read."""
    BUILDING = "building"
    """It catches up beside the active one, and will be read in its place."""
    RETIRED = "retired"
    """It was read before, or its building was given up: it waits to be dropped."""
    DROPPED = "dropped"
    """Its tables are gone; its number is never given again, as its subscription has checkpoints."""


class Generation(NamedTuple):
    """One generation of a projection; `fingerprint` stands for the mapping that fills it."""

    number: int
    state: State
    fingerprint: str
    created_at: datetime


def registry_table(keyspace: str) -> Table:
    """A partition a projection, a row a generation."""
    return Table(
        keyspace=keyspace,
        name=REGISTRY,
        columns=(
            Column("name", "text"),
            Column("generation", "int"),
            Column("active", "int", static=True),
            Column("state", "text"),
            Column("fingerprint", "text"),
            Column("created_at", "timestamp"),
        ),
        partition_key=("name",),
        clustering=(("generation", "asc"),),
        profile="lwt-only",
        comment="cassorm: generations of projections",
    )


class Registry:
    """The generations of all projections of a keyspace."""

    def __init__(self, session: Session, keyspace: str, levels: Levels | None = None) -> None:
        self._session = session
        self._levels = levels or Levels()
        self.keyspace = keyspace
        table = quote_table(REGISTRY, keyspace)
        row = "WHERE name = ? AND generation = ?"
        columns = "generation, state, fingerprint, created_at"
        self._read = f"SELECT {columns} FROM {table} WHERE name = ?"
        self._read_all = f"SELECT name, {columns} FROM {table} WHERE name IN ?"
        insert = f"INSERT INTO {table} (name, generation, state, fingerprint, created_at) VALUES (?, ?, ?, ?, ?)"
        set_state = f"UPDATE {table} SET state = ? {row}"
        set_active = f"UPDATE {table} SET active = ? WHERE name = ?"
        self._first = f"BEGIN BATCH {set_active} IF active = ?; {insert} IF NOT EXISTS; APPLY BATCH"
        self._insert = f"{insert} IF NOT EXISTS"
        self._retire = f"{set_state} IF state = ?"
        self._switch = f"BEGIN BATCH {set_active} IF active = ?; {set_state}; {set_state}; APPLY BATCH"

    async def create(self) -> None:
        """Create the table where it is missing."""
        await ensure_tables(self._session, [registry_table(self.keyspace)])

    async def generations(self, name: str) -> list[Generation]:
        """The generations of a projection, oldest first; none when it was never begun."""
        prepared = await self._session.prepare(self._read)
        found = await self._session.execute(prepared, (name,), consistency=self._levels.serial)
        return [Generation(number, State(state), *rest) for number, state, *rest in found.rows if number is not None]

    async def all(self, names: Iterable[str]) -> dict[str, list[Generation]]:
        """The generations of these projections, oldest first."""
        made: dict[str, list[Generation]] = {name: [] for name in names}
        prepared = await self._session.prepare(self._read_all)
        found = await self._session.execute(prepared, ([*made],), consistency=Consistency.LOCAL_QUORUM)
        for name, number, state, *rest in found.rows:
            made[name].append(Generation(number, State(state), *rest))
        return made

    async def begin(self, name: str, fingerprint: str) -> list[Generation]:
        """The generations of a projection; the first is made, and is active, where there is none."""
        found = await self.generations(name)
        if not found:
            now = _now()
            await self._conditional(self._first, (1, name, None, name, 1, State.ACTIVE.value, fingerprint, now))
            found = await self.generations(name)
            seen_by(self._session).forget()
        return found

    async def build(self, name: str, fingerprint: str) -> Generation:
        """The generation that is building with this fingerprint: one that was begun before, or a new one.

        Raises:
            ProjectionError: one of another fingerprint is building.
        """
        while True:
            found = await self.generations(name)
            for each in found:
                if each.state is State.BUILDING and each.fingerprint == fingerprint:
                    return each
                if each.state is State.BUILDING:
                    raise ProjectionError(
                        f"generation {each.number} is building with another mapping",
                        where=f"projection {name}",
                        remedy="Give it up with `await projections.give_up(name)`, then rebuild",
                    )
            number = found[-1].number + 1 if found else 1
            params = (name, number, State.BUILDING.value, fingerprint, _now())
            await self._conditional(self._insert, params)

    async def switch(self, name: str, old: int, new: int) -> bool:
        """Let readers see `new` instead of `old`; False when another generation is active by now."""
        params = (new, name, old, State.ACTIVE.value, name, new, State.RETIRED.value, name, old)
        applied = bool((await self._conditional(self._switch, params)).applied)
        if not applied:
            active = next((each for each in await self.generations(name) if each.state is State.ACTIVE), None)
            applied = active is not None and active.number == new
        seen_by(self._session).forget()
        return applied

    async def retire(self, name: str, number: int) -> None:
        """Give a building generation up."""
        await self._conditional(self._retire, (State.RETIRED.value, name, number, State.BUILDING.value))

    async def dropped(self, name: str, number: int) -> None:
        """Note that the tables of a retired generation are gone."""
        await self._conditional(self._retire, (State.DROPPED.value, name, number, State.RETIRED.value))

    async def _conditional(self, text: str, params: Sequence[Any]) -> Result:
        """Send a write whose condition makes sending it twice harmless, until it is answered."""
        prepared = await self._session.prepare(text)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._session.execute(
                    prepared, params, consistency=self._levels.plain, serial_consistency=self._levels.serial
                )
            except OutcomeUnknownError:
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.1 * attempt)
        raise AssertionError


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
