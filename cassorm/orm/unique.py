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
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from cassorm.driver.session import Session
from cassorm.errors import (
    ClaimPendingError,
    ClusterError,
    OutcomeUnknownError,
    QueryError,
    UnavailableError,
    UniqueError,
)
from cassorm.orm.model_plan import ModelPlan, Unique
from cassorm.orm.unique_lookup import PENDING, Lookups, Standing, Values
from cassorm.orm.writes import Outcome

GRACE = timedelta(minutes=1)
"""How long a write may take from its claim to its end, unless `Database.claim_grace` says otherwise."""

_log = logging.getLogger(__name__)

_TURNS = 4
# Where there is one, a clock that goes on while the machine sleeps.
_now_s = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic

Wanted = tuple[Unique, Values]


class Claims:
    """The claims of one row; `key` is its primary key, `options` those of the statement that writes it."""

    def __init__(
        self,
        session: Session,
        plan: ModelPlan,
        key: Iterable[Any],
        options: Mapping[str, Any] = MappingProxyType({}),
        *,
        grace: timedelta | None = None,
    ) -> None:
        self.lookups = Lookups(session, plan, options)
        self._plan = plan
        self._key: Values = tuple(key)
        usual: timedelta = getattr(session, "claim_grace", GRACE)
        self._grace_s = (usual if grace is None else grace).total_seconds()

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
        except (ClusterError, QueryError):
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
        found = [await self.lookups.look(unique, values) for unique, values in held]
        return [each for each in found if each is not None and await self.lookups.is_of(each, self._key)]

    async def release(self, standing: Iterable[Standing]) -> None:
        """Drop claims on values that the row holds no more; one that is young, or has changed since, stays."""
        for each in standing:
            if self.is_young(each):
                continue  # a write under way may be about to write the value again
            try:
                await self.lookups.drop(each)
            except ClusterError as error:
                _log.warning("a claim in %s was left behind: %s", each.unique.lookup, error)

    # -- one claim -----------------------------------------------------------------------------------------------

    async def claim(self, unique: Unique, values: Values) -> Standing:
        """Claim the values for this row, pending; a claim that a crash left behind is taken over.

        Raises:
            UniqueError: another row holds them.
            ClaimPendingError: another row is being written with them, or was until a crash some moments ago.
        """
        await self.lookups.check(unique, values)
        mine = Standing(unique, values, self._key, uuid4())
        found = None
        for _ in range(_TURNS):
            if await self.lookups.take(mine):
                return mine
            found = await self.lookups.look(unique, values)
            if found is None:
                continue
            own = await self.lookups.is_of(found, self._key)
            if not own:
                await self.check_abandoned(found)
                _log.info("a claim in %s is taken over: its row does not hold the value", unique.lookup)
            if await self.lookups.retake(found, mine):
                return replace(mine, shared=own and self.is_young(found))
        raise self._pending(unique, found)

    async def settle(self, claim: Standing) -> None:
        """Mark the claim as that of a row that was written.

        Raises:
            UniqueError: another row has taken it over, and this one still holds the value.
        """
        if claim.shared:
            return
        unique, values = claim.unique, claim.values
        try:
            if await self.lookups.mark_held(claim):
                return
            found = await self.lookups.look(unique, values)
            if found is not None and await self.lookups.is_of(found, self._key):
                return  # a later write of the same row claimed it again, and settles it
            if not await self.lookups.holds(unique, values, self._key):
                return  # a later write of the same row has changed the value, and dropped the claim
            again = await self.claim(unique, values)
            if not again.shared:
                await self.lookups.mark_held(again)
        except ClusterError as error:
            # The row stands, and who looks at it finds the value: the claim is as good pending.
            _log.warning("a claim in %s was left pending: %s", unique.lookup, error)

    async def confirm(self, claim: Standing) -> None:
        """Settle the claim if the row holds the value, drop it if it does not."""
        if claim.shared:
            return
        if await self.lookups.holds(claim.unique, claim.values, self._key):
            await self.settle(claim)
        else:
            await self.lookups.drop(claim)

    def is_young(self, found: Standing) -> bool:
        """Whether the write that made the claim may still be under way."""
        return found.state == PENDING and found.age_s < self._grace_s

    async def check_abandoned(self, found: Standing) -> None:
        """Return when the claim may be taken over: its row does not hold the value, and no write that will is under way.

        Raises:
            UniqueError: the row holds it.
            ClaimPendingError: the row may be about to.
        """
        if await self.lookups.holds(found.unique, found.values, found.owner):
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

    # -- what it takes -------------------------------------------------------------------------------------------

    async def _all(self, wanted: Sequence[Wanted]) -> list[Standing]:
        for _ in range(_TURNS):
            began = _now_s()
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
            if _now_s() - began < self._grace_s / 2:
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
            try:
                await self.confirm(claim)
            except (ClusterError, UniqueError) as error:
                _log.warning("a claim in %s was left behind: %s", claim.unique.lookup, error)

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


def _shown(owner: dict[str, Any]) -> str:
    text = ", ".join(f"{name}={value}" for name, value in owner.items())
    return text if len(text) <= 120 else f"{text[:117]}..."
