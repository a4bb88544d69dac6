"""Claims on unique values beside the rows that hold them, put right where a crash, a TTL or a plain write left them.

Safe beside an application that writes: what it finds is looked at again at serial consistency, and changed by LWTs on
what was seen there, as `cassorm.orm.unique` does.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.errors import ClaimPendingError, OutcomeUnknownError, SchemaError, UniqueError
from cassorm.orm.context import current_keyspace
from cassorm.orm.field_plan import FieldPlan
from cassorm.orm.model_plan import ModelPlan, Unique, plan_of
from cassorm.orm.unique import Claims
from cassorm.orm.unique_lookup import HELD, Standing, Values, decoded
from cassorm.schema.token_ranges import TokenRange, each, fitting_count, persist, token_ranges, within
from cassorm.schema.unique import lookup_table

Kind = Literal["orphan", "unclaimed", "unsettled", "duplicate", "under way"]

_PAGE = 500
_AT_ONCE = 50
_TRIES = 3
_REMEMBERED = 1_000_000


@dataclass(frozen=True, slots=True)
class ClaimFinding:
    """One value whose claim is not that of the row that holds it; `values`, `row` and `owner` are by field.

    orphan: a claim on a value that the row of its `owner` does not hold; dropped. unclaimed: the value of `row` is not
    claimed; claimed for it. unsettled: the claim of a row that was written stayed pending; settled. duplicate: `row` and
    the row of the `owner` hold the same value; only reported. under way: a write of the `owner` claimed the value a
    moment ago; left alone.
    """

    kind: Kind
    values: dict[str, Any]
    row: dict[str, Any] | None = None
    owner: dict[str, Any] | None = None


@dataclass(slots=True)
class ClaimCheck:
    """How far a repair is: ranges of the ring done, rows and claims looked at, and how often each kind was found."""

    ranges: int = 0
    ranges_done: int = 0
    rows: int = 0
    claims: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)


async def repair_unique(
    session: Session,
    model: type[Any],
    *,
    dry_run: bool = False,
    grace: timedelta | None = None,
    found: Callable[[ClaimFinding], None] = lambda _: None,
    progress: Callable[[ClaimCheck], None] = lambda _: None,
    parallel: int = 4,
) -> ClaimCheck:
    """Compare the unique columns of a model with their claims, both ways, and put right what can be; `found` is told each.

    Run it when columns become unique in a table that has rows, or after a crash: until then a claim that was left behind
    is taken over when its value is wanted. Duplicates are reported, never deleted. `grace` is the writers' where that is
    not the session's `claim_grace`. With `dry_run` nothing is changed.

    Raises:
        SchemaError: no column of the model is unique.
        ClusterError: the cluster did not answer for long.
    """
    plan = plan_of(model)
    if not plan.unique:
        raise SchemaError(
            "has no unique columns", where=plan.table.where, remedy="Declare them, and create their lookup tables"
        )
    repair = _Repair(session, plan, grace=grace, dry_run=dry_run, found=found)
    works: list[tuple[TokenRange, Callable[[TokenRange], Awaitable[None]]]] = []
    base = replace(plan.table, keyspace=current_keyspace.get() or plan.table.keyspace or session.keyspace)
    for unique in plan.unique:
        lookup = lookup_table(base, [one.column for one in unique.fields])
        for table, work in ((lookup, repair.claims), (base, repair.rows)):
            ranges = token_ranges(await fitting_count(session, table))
            works += [(part, partial(work, unique)) for part in ranges]
    seen = repair.seen
    seen.ranges = len(works)
    progress(seen)
    async for _ in each(works, lambda one: one[1](one[0]), parallel=parallel):
        seen.ranges_done += 1
        progress(seen)
    return seen


class _Repair:
    def __init__(
        self,
        session: Session,
        plan: ModelPlan,
        *,
        grace: timedelta | None,
        dry_run: bool,
        found: Callable[[ClaimFinding], None],
    ) -> None:
        self.seen = ClaimCheck()
        self._session = session
        self._plan = plan
        self._keyspace = current_keyspace.get()
        self._grace = grace
        self._dry_run = dry_run
        self._found = found
        # A dry run claims nothing: what it would have claimed tells a second row with the same value.
        self._unclaimed: dict[tuple[str, tuple[bytes, ...]], Values] = {}

    async def claims(self, unique: Unique, part: TokenRange) -> None:
        """Look at the rows of claims."""
        plan = self._plan
        table = quote_table(unique.lookup, self._keyspace or plan.table.keyspace)
        columns = [one.column for one in unique.fields]
        names = ", ".join([*(one.quoted for one in unique.fields), "state", "owner"])
        async for rows in self._pages(f"SELECT {names} FROM {table} WHERE {within(columns)}", part):  # noqa: S608 - quoted
            self.seen.claims += len(rows)
            await asyncio.gather(*(self._claim(unique, row) for row in rows))

    async def rows(self, unique: Unique, part: TokenRange) -> None:
        """Look at the claims of rows."""
        plan = self._plan
        names = ", ".join(one.quoted for one in (*plan.key, *unique.fields))
        where = within(plan.table.partition_key)
        async for rows in self._pages(f"SELECT {names} FROM {plan.target(self._keyspace)} WHERE {where}", part):  # noqa: S608 - quoted
            if unique is plan.unique[0]:  # each constraint goes through the rows anew
                self.seen.rows += len(rows)
            await asyncio.gather(*(self._row(unique, row) for row in rows))

    async def _pages(self, text: str, part: TokenRange) -> AsyncIterator[list[Any]]:
        prepared = await self._session.prepare(text)
        pages = self._session.pages(prepared, (part.start, part.end), page_size=_PAGE)
        try:
            async for page in pages:
                for at in range(0, len(page), _AT_ONCE):
                    yield page[at : at + _AT_ONCE]
        finally:
            pages.close()

    def _claims(self, key: Values) -> Claims:
        return Claims(self._session, self._plan, key, grace=self._grace)

    async def _claim(self, unique: Unique, row: Sequence[Any]) -> None:
        *given, state, key = row
        values, owner = decoded(unique.fields, given), decoded(self._plan.key, key)
        claims = self._claims(owner)
        lookups = claims.lookups

        async def judge() -> None:
            if state == HELD and await lookups.holds(unique, values, owner, quick=True):
                return
            found = await lookups.look(unique, values)
            if found is None:
                return
            holds = await lookups.holds(unique, values, found.owner)
            if holds and found.state == HELD:
                return
            if claims.is_young(found):
                self._tell("under way", unique, values, owner=found.owner)
            elif holds:
                if self._dry_run or await lookups.mark_held(found):
                    self._tell("unsettled", unique, values, owner=found.owner)
            elif self._dry_run or await lookups.drop(found):
                self._tell("orphan", unique, values, owner=found.owner)

        await _surely(judge)

    async def _row(self, unique: Unique, row: Sequence[Any]) -> None:
        plan = self._plan
        key, values = decoded(plan.key, row[: len(plan.key)]), decoded(unique.fields, row[len(plan.key) :])
        if None in values or None in key:  # a partition may have nothing but static columns
            return
        claims = self._claims(key)
        lookups = claims.lookups

        async def judge() -> None:
            found = await lookups.look(unique, values, quick=True)
            if found is not None and await lookups.is_of(found, key):
                return
            if not await lookups.holds(unique, values, key):
                return  # changed since it was read
            try:
                if self._dry_run:
                    await self._would_claim(claims, unique, values, key)
                else:
                    claim = await claims.claim(unique, values)
                    await claims.confirm(claim)
            except ClaimPendingError as error:
                self._tell("under way", unique, values, row=key, owner=tuple(error.owner.values()))
            except UniqueError as error:
                self._tell("duplicate", unique, values, row=key, owner=tuple(error.owner.values()))
            else:
                self._tell("unclaimed", unique, values, row=key)

        await _surely(judge)

    async def _would_claim(self, claims: Claims, unique: Unique, values: Values, key: Values) -> None:
        found = await claims.lookups.look(unique, values)
        if found is not None:
            await claims.check_abandoned(found)
        if len(self._unclaimed) < _REMEMBERED:
            value = await claims.lookups.key_bytes(unique, values)
            first = self._unclaimed.setdefault((unique.lookup, value), key)
            if first != key:
                await claims.check_abandoned(Standing(unique, values, first, UUID(int=0), HELD))

    def _tell(
        self, kind: Kind, unique: Unique, values: Values, *, row: Values | None = None, owner: Values | None = None
    ) -> None:
        self.seen.kinds[kind] += 1
        keys = self._plan.key
        self._found(ClaimFinding(kind, _named(unique.fields, values) or {}, _named(keys, row), _named(keys, owner)))


def _named(fields: Sequence[FieldPlan], values: Values | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {one.attribute: value for one, value in zip(fields, values, strict=True)}


async def _surely(judge: Callable[[], Awaitable[None]]) -> None:
    """Judge again when it is not known what became of it: the second time tells."""
    for _ in range(_TRIES):
        try:
            return await persist(judge)
        except OutcomeUnknownError:
            continue
    return await persist(judge)
