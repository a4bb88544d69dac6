"""Values that no two rows share: each is claimed in a lookup table, by LWT, before a row takes it.

A lookup table has one row for each value: its key is the value, `owner` the primary key of the row that the value
belongs to, `claim` an id of the write that claimed it, `state` whether that write has come to its end. One row, changed
by LWT alone: a value has one owner at any time, whatever crashes.

- Insert: claim (pending), write the row by LWT, settle the claim (held).
- Change: claim the new value, write the row by LWT on the condition that it is as it was read, settle, drop the old claim.
- Delete: delete the row by LWT on that condition, drop the claim.

The row is always written between the two, so a crash leaves a claim too many, never one too few. Whoever wants a claimed
value looks at the claim, then at its owner's row, both at serial consistency, and takes the claim over when the row does
not hold the value, unless the claim is young: pending for less than the grace, in which a write ends. A held claim has no
age: its write has ended, and one that wants to write the value again claims it anew, under another id. Taking over,
settling and dropping are LWTs on the id and the state that were looked at: of two who decide, one wins.

Nobody drops a young claim but the write that made it. A second write of the same row shares the claim of the first, so
that a call whose answer was lost can be repeated at once; a shared claim is neither settled nor dropped, as the other
write may still be under way, and is judged by the row when its grace is over.

Ages are told by the clocks of the cluster, not by those of clients. A writer that was stopped for half the grace claims
again before it writes. One that is stopped for longer than the grace in the very moment of sending finds, when it settles,
that its claim is gone: an insert is taken back then, a change is reported.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

from cassorm.cql.identifiers import quote_table
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.errors import (
    ClaimPendingError,
    ClusterError,
    OutcomeUnknownError,
    QueryError,
    UnavailableError,
    UniqueError,
)
from cassorm.orm.context import current_keyspace
from cassorm.orm.model_plan import ModelPlan, Unique
from cassorm.orm.sending import joined_for_write
from cassorm.orm.writes import Outcome

GRACE = timedelta(minutes=1)
"""How long a write may take from its claim to its end, unless `Database.claim_grace` says otherwise."""

PENDING, HELD = "pending", "held"

_log = logging.getLogger(__name__)

_TURNS = 4
# One that goes on while the machine sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Between the first of a timeuuid's days and 1970, in its unit of 100 ns.
_UUID_EPOCH = 0x01B21DD213814000

Values = tuple[Any, ...]
Wanted = tuple[Unique, Values]


@dataclass(frozen=True, slots=True)
class Standing:
    """A claim as it stands in a lookup table; `owner` is the key of a row, encoded.

    `shared`: another write of the same row, which may still be under way, claimed it before.
    """

    unique: Unique
    values: Values
    owner: list[Any]
    claim: UUID
    state: str
    age_s: float = 0
    shared: bool = False


class Claims:
    """The claims of one row; `key` is its primary key, encoded, `options` those of the statement that writes it."""

    def __init__(
        self, session: Session, plan: ModelPlan, key: Sequence[Any], options: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._session = session
        self._plan = plan
        self._key = list(key)
        self._keyspace = current_keyspace.get()
        self._grace_s = getattr(session, "claim_grace", GRACE).total_seconds()
        self._writing = joined_for_write(plan.where, plan.writing, options, once=True)
        self._reading: dict[str, Any] = {
            "consistency": self._writing.get("serial_consistency", session.settings.serial_consistency),
            "timeout": self._writing.get("timeout"),
        }

    # -- around the write of the row -----------------------------------------------------------------------------

    async def around(
        self,
        wanted: Sequence[Wanted],
        write: Callable[[], Awaitable[Outcome]],
        undo: Callable[[], Awaitable[object]] | None = None,
    ) -> Outcome:
        """Claim the values, write the row, settle the claims; what `write` gives.

        `undo` takes the row back: it is called when a claim was lost while the row was being written.

        Raises:
            UniqueError: another row holds one of the values.
            UnavailableError: a claim was not answered; the row was not written.
        """
        claims = await self._all(wanted)
        try:
            found = await write()
        except OutcomeUnknownError:
            # Not given up: the row may hold the values, or will. Who wants one of them looks.
            raise
        except ClusterError:
            await self._give_up(claims)
            raise
        if not found:
            await self._give_up(claims)
            return found
        try:
            for claim in claims:
                await self.settle(claim)
        except UniqueError as error:
            if undo is None:
                raise UniqueError(
                    error.where or "",
                    columns=error.columns,
                    owner=error.owner,
                    problem="was written, while another row took the value over: both hold it now",
                    remedy="Give one of the two rows another value; `cassorm schema repair-unique` lists them",
                ) from error
            await undo()
            await self._give_up(claims)
            raise
        return found

    async def standing(self, held: Iterable[Wanted]) -> list[Standing]:
        """The claims on these values that are this row's, for `release` when it holds them no more."""
        found = [await self.look(unique, values) for unique, values in held]
        return [each for each in found if each is not None and await self.is_mine(each)]

    async def release(self, standing: Iterable[Standing]) -> None:
        """Drop claims on values that the row holds no more; one that is young, or has changed since, stays."""
        for each in standing:
            if self.is_young(each):
                continue  # a write under way may be about to write the value again
            try:
                await self.drop(each)
            except ClusterError as error:
                _log.warning("a claim in %s was left behind: %s", each.unique.lookup, error)

    # -- one claim -----------------------------------------------------------------------------------------------

    async def claim(self, unique: Unique, values: Values) -> Standing:
        """Claim the values for this row, pending; a claim that a crash left behind is taken over.

        Raises:
            UniqueError: another row holds them.
            ClaimPendingError: another row is being written with them, or was until a crash some moments ago.
        """
        encoded = await self._encoded(unique, values)
        mine = Standing(unique, values, self._key, uuid4(), PENDING)
        owner = tuple(self._key)
        found = None
        for _ in range(_TURNS):
            if await self._applied("take", unique, [*encoded, owner, mine.claim]):
                return mine
            found = await self.look(unique, values)
            if found is None:
                continue
            own = await self.is_mine(found)
            if not own:
                await self._check_abandoned(found)
                _log.info("a claim in %s is taken over: its row does not hold the value", unique.lookup)
            if await self._applied("retake", unique, [owner, mine.claim, *encoded, found.claim, found.state]):
                return replace(mine, shared=own and self.is_young(found))
        raise self._pending(unique, found)

    async def settle(self, claim: Standing) -> None:
        """Mark the claim as that of a row that was written.

        Raises:
            UniqueError: another row has taken it over, and this one still holds the value.
        """
        if claim.shared:
            return
        try:
            encoded = await self._encoded(claim.unique, claim.values)
            if await self._applied("settle", claim.unique, [*encoded, claim.claim]):
                return
            found = await self.look(claim.unique, claim.values)
            if found is not None and await self.is_mine(found):
                return  # a later write of the same row claimed it again, and settles it
            if not await self.holds(claim.unique, claim.values, self._key):
                return  # a later write of the same row has changed the value, and dropped the claim
            again = await self.claim(claim.unique, claim.values)
            if not again.shared:
                await self._applied("settle", again.unique, [*encoded, again.claim])
        except ClusterError as error:
            # The row stands, and who looks at it finds the value: the claim is as good pending.
            _log.warning("a claim in %s was left pending: %s", claim.unique.lookup, error)

    async def drop(self, found: Standing) -> bool:
        """Whether the claim was dropped; one that has changed since it was looked at stays."""
        encoded = await self._encoded(found.unique, found.values)
        return await self._applied("drop", found.unique, [*encoded, found.claim, found.state])

    async def look(self, unique: Unique, values: Values) -> Standing | None:
        """The claim on these values, at serial consistency; None when there is none."""
        prepared = await self._prepared("look", unique)
        encoded = await self._encoded(unique, values)
        row = (await self._session.execute(prepared, encoded, **self._reading)).one()
        if row is None:
            return None
        owner, claim, state, written, now = row
        parts = [each.encode(each.codec.decoded(part)) for each, part in zip(self._plan.key, owner, strict=True)]
        return Standing(unique, values, parts, claim, state, ((now.time - _UUID_EPOCH) / 10 - written) / 1_000_000)

    async def holds(self, unique: Unique, values: Values, key: Sequence[Any]) -> bool:
        """Whether the row of `key` is there and holds these values, at serial consistency."""
        prepared = await self._prepared("row", unique)
        row = (await self._session.execute(prepared, key, **self._reading)).one()
        if row is None:
            return False
        stored = tuple(each.codec.decoded(value) for each, value in zip(unique.fields, row, strict=True))
        if stored == values:
            return True
        if None in stored:
            return False
        # Equal to the server is not always equal to Python, as NaN shows.
        keys = await self._prepared("look", unique)
        return keys.encode(self._plain(unique, stored)) == keys.encode(self._plain(unique, values))

    async def is_mine(self, found: Standing) -> bool:
        """Whether the claim is that of this row."""
        row = await self._prepared("row", found.unique)
        return row.encode(found.owner) == row.encode(self._key)

    def is_young(self, found: Standing) -> bool:
        """Whether the write that made the claim may still be under way."""
        return found.state == PENDING and found.age_s < self._grace_s

    # -- what it takes -------------------------------------------------------------------------------------------

    async def _all(self, wanted: Sequence[Wanted]) -> list[Standing]:
        for _ in range(_TURNS):
            began = time.clock_gettime(_CLOCK)
            claims: list[Standing] = []
            try:
                for unique, values in wanted:
                    claims.append(await self.claim(unique, values))
            except OutcomeUnknownError as error:
                await self._give_up(claims)
                raise UnavailableError(
                    f"the claim of a unique value was not answered; the row was not written ({error.problem})",
                    where=self._plan.where,
                    remedy="Call again, with the same key",
                ) from error
            except (ClusterError, UniqueError, QueryError):
                await self._give_up(claims)
                raise
            # One who was stopped meanwhile shall not write under claims that others may take for abandoned by now.
            if time.clock_gettime(_CLOCK) - began < self._grace_s / 2:
                return claims
            await self._give_up(claims)
        raise UnavailableError(
            f"claiming takes longer than half of the {self._grace_s:g} s that a claim lasts",
            where=self._plan.where,
            remedy="Set `db.claim_grace` to more, in every process, or look why the cluster is slow",
        )

    async def _give_up(self, claims: Iterable[Standing]) -> None:
        """Drop claims whose row was not written; what the row holds all the same stays claimed."""
        for claim in claims:
            if claim.shared:
                continue
            try:
                if await self.holds(claim.unique, claim.values, self._key):
                    await self.settle(claim)
                else:
                    await self.drop(claim)
            except (ClusterError, UniqueError) as error:
                _log.warning("a claim in %s was left behind: %s", claim.unique.lookup, error)

    async def _check_abandoned(self, found: Standing) -> None:
        if await self.holds(found.unique, found.values, found.owner):
            owner = self._named(found.owner)
            raise UniqueError(
                self._where(found.unique),
                columns=tuple(each.attribute for each in found.unique.fields),
                owner=owner,
                problem=f"the row {_shown(owner)} holds this value",
                remedy="Give another value, or change that row first",
            )
        if self.is_young(found):
            raise self._pending(found.unique, found)

    def _pending(self, unique: Unique, found: Standing | None) -> ClaimPendingError:
        owner = self._named(found.owner) if found else {}
        left_s = self._grace_s - (found.age_s if found else 0)
        return ClaimPendingError(
            self._where(unique),
            columns=tuple(each.attribute for each in unique.fields),
            owner=owner,
            problem=f"the row {_shown(owner)} is being written with this value",
            remedy=f"Call again: if that write has died, the value is free in {max(left_s, 0):.0f} s",
        )

    def _named(self, key: Sequence[Any]) -> dict[str, Any]:
        return {each.attribute: value for each, value in zip(self._plan.key, key, strict=True)}

    def _where(self, unique: Unique) -> str:
        return f"{self._plan.where}.{', '.join(each.attribute for each in unique.fields)}"

    def _plain(self, unique: Unique, values: Values) -> list[Any]:
        return [each.encode(value) for each, value in zip(unique.fields, values, strict=True)]

    async def _encoded(self, unique: Unique, values: Values) -> list[Any]:
        encoded = self._plain(unique, values)
        keys = (await self._prepared("look", unique)).encode(encoded)
        if len(keys) == 1 and not keys[0]:
            raise QueryError(
                "an empty value, which no key of a table can be",
                where=self._where(unique),
                remedy="Give None for no value: any number of rows may have none",
            )
        return encoded

    async def _applied(self, kind: str, unique: Unique, params: list[Any]) -> bool:
        prepared = await self._prepared(kind, unique)
        return bool((await self._session.execute(prepared, params, **self._writing)).applied)

    async def _prepared(self, kind: str, unique: Unique) -> Prepared:
        plan, keyspace = self._plan, self._keyspace
        text = plan.text(f"{unique.lookup} {kind}", keyspace, lambda: _text(kind, unique, plan, keyspace))
        return await self._session.prepare(text)


def _text(kind: str, unique: Unique, plan: ModelPlan, keyspace: str | None) -> str:
    lookup = quote_table(unique.lookup, keyspace or plan.table.keyspace)
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
        case "settle":
            return f"UPDATE {lookup} SET state = '{HELD}' WHERE {where} IF claim = ?"  # noqa: S608 - quoted
        case "drop":
            return f"DELETE FROM {lookup} WHERE {where} IF claim = ? AND state = ?"  # noqa: S608 - quoted
        case "look":
            return f"SELECT owner, claim, state, WRITETIME(claim), now() FROM {lookup} WHERE {where}"  # noqa: S608 - quoted
    row = " AND ".join(f"{each.quoted} = ?" for each in plan.key)
    return f"SELECT {names} FROM {plan.target(keyspace)} WHERE {row}"  # noqa: S608 - quoted


def _shown(owner: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in owner.items())
    return text if len(text) <= 120 else f"{text[:117]}..."
