"""Which generation of a projection readers see: asked of the registry about once a second, in each process.

Source: docs/how-to/projections.md.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from cassorm.cql.identifiers import quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, ProjectionError, QueryError
from cassorm.orm.context import current_keyspace
from cassorm.orm.model_plan import ModelPlan
from cassorm.schema.table import Table

REGISTRY = "projection_generations"
"""The table that says which generations a projection has; docs/how-to/projections.md tells what it holds."""
_FRESH_S = 1.0

_seen: WeakKeyDictionary[Session, "Seen"] = WeakKeyDictionary()


class Seen:
    """The active generations that one session has been told of, each for a second."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, str], tuple[int, float]] = {}
        self._asking: dict[tuple[str, str], asyncio.Task[int]] = {}

    async def generation(self, keyspace: str, name: str) -> int:
        """The generation of a projection that is read now.

        Raises:
            ProjectionError: the projection was not created here.
        """
        found = self._known.get((keyspace, name))
        if found is not None and found[1] > time.monotonic():
            return found[0]
        return await self.asked(keyspace, name)

    async def asked(self, keyspace: str, name: str) -> int:
        """The same, asked of the registry now; who asks meanwhile is given the same answer."""
        slot = keyspace, name
        task = self._asking.get(slot)
        if task is None:
            task = self._asking[slot] = asyncio.ensure_future(self._ask(keyspace, name))
            task.add_done_callback(lambda _: self._asking.pop(slot, None))
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Ask again for all of them."""
        self._known.clear()

    async def _ask(self, keyspace: str, name: str) -> int:
        text = f"SELECT active FROM {quote_table(REGISTRY, keyspace)} WHERE name = ? LIMIT 1"
        try:
            prepared = await self._session.prepare(text)
        except ClusterError as error:
            there = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
            if await self._session.execute(there, (keyspace, REGISTRY)):
                raise
            raise _missing(keyspace, name) from error
        found = await self._session.execute(prepared, (name,), consistency=Consistency.LOCAL_QUORUM)
        if not found.rows or found.rows[0][0] is None:
            raise _missing(keyspace, name)
        generation: int = found.rows[0][0]
        self._known[keyspace, name] = generation, time.monotonic() + _FRESH_S
        return generation


def _missing(keyspace: str, name: str) -> ProjectionError:
    return ProjectionError(
        "was not created here",
        where=f"projection {name} in keyspace {keyspace}",
        remedy="Run `await Projections(store, [...]).create()` once, or name the right keyspace",
    )


def seen_by(session: Session) -> Seen:
    """What a session has been told of active generations."""
    found = _seen.get(session)
    if found is None:
        found = _seen[session] = Seen(session)
    return found


def table_name(name: str, generation: int) -> str:
    """What the table of a generation is called; the first has the name that was declared."""
    return name if generation == 1 else f"{name}_g{generation}"


def table_of_generation(table: Table, generation: int) -> Table:
    """The table as it is in a generation, with its indexes and views."""
    if generation == 1:
        return table
    # Without its name an index is named after the table.
    indexes = tuple(replace(each, name="") for each in table.indexes)
    views = tuple(replace(each, name=table_name(each.name, generation)) for each in table.views)
    return replace(table, name=table_name(table.name, generation), indexes=indexes, views=views)


def keyspace_of(plan: ModelPlan, session: Session) -> str:
    """The keyspace of a model's table.

    Raises:
        QueryError: nothing names one.
    """
    found = plan.table.keyspace or current_keyspace.get() or session.keyspace
    if not found:
        raise QueryError("no keyspace", where=plan.where, remedy="Give keyspace= to the class, or to connect()")
    return found


def plan_of_generation(plan: ModelPlan, generation: int) -> ModelPlan:
    """The plan of a model on the table of a generation, made once."""
    made: dict[int, ModelPlan] = plan.shapes.setdefault("generations", {})
    found = made.get(generation)
    if found is None:
        found = made[generation] = plan.on_table(table_of_generation(plan.table, generation))
    return found


def follow_generations(plan: ModelPlan, name: str, *, shared: bool = False) -> None:
    """Let queries of a model read the table of the active generation of the projection `name`."""

    async def current(session: Session) -> ModelPlan:
        generation = await seen_by(session).generation(keyspace_of(plan, session), name)
        return plan_of_generation(plan, generation)

    async def refuse(session: Session) -> ModelPlan:
        raise QueryError(
            "is kept as JSON in a shared table",
            where=plan.where,
            remedy="Use find_by_id(), or give it a table of its own: leave out storage='shared'",
        )

    chosen: Callable[[Any], Awaitable[ModelPlan]] = refuse if shared else current
    plan.current = chosen
