"""The CQL of what workers share that serve stores together: their signs of life, and the bells that writers ring."""

import time
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.events.settings import StoreSettings
from cassorm.events.tables import BELL_S, TableNames

_PAGE: Final = 5_000


def carried_as(store: str, subscription: str) -> str:
    """Return what a subscription to a store is called among those of all stores."""
    return f"{store}/{subscription}"


class Sign(NamedTuple):
    """A worker's sign of life: `beat` rises with each, `revision` when what it carries has changed."""

    beat: int
    revision: int | None


class CrewTables:
    """What the workers of a store ask of the keyspace that they live in, at the store's own consistency."""

    def __init__(self, session: Session, keyspace: str, names: TableNames, settings: StoreSettings) -> None:
        self._session = session
        self._consistency = settings.consistency
        self.rung = settings.workers_in is not None
        """Whether writers ring here: where workers look at most stores rarely."""
        home, at = (keyspace, names) if settings.workers_in is None else (settings.workers_in, TableNames())
        workers, bells = quote_table(at.workers, home), quote_table(at.bells, home)
        self.home = workers
        self._here = (
            f"INSERT INTO {workers} (scope, worker, beat, revision, subscriptions) VALUES ('worker', ?, ?, ?, ?)"
        )
        self._beat = f"UPDATE {workers} SET beat = ? WHERE scope = 'worker' AND worker = ?"
        self._signs = f"SELECT worker, beat, revision, toUnixTimestamp(now()) FROM {workers} WHERE scope = 'worker'"
        self._carried = f"SELECT revision, subscriptions FROM {workers} WHERE scope = 'worker' AND worker = ?"
        self._all_carried = f"SELECT subscriptions FROM {workers} WHERE scope = 'worker'"
        self._leave = f"DELETE FROM {workers} WHERE scope = 'worker' AND worker = ?"
        self._ring = f"INSERT INTO {bells} (bucket, store, rung) VALUES (?, ?, ?)"
        self._bells = f"SELECT store, rung FROM {bells} WHERE bucket IN ?"

    async def here(self, worker: UUID, sign: Sign, carried: Iterable[str]) -> None:
        """Give a sign of life, and say what is carried."""
        await self._write(self._here, worker, *sign, {*carried})

    async def beat(self, worker: UUID, beat: int) -> None:
        """Give a sign of life."""
        await self._write(self._beat, beat, worker)

    async def signs(self) -> tuple[dict[UUID, Sign], int]:
        """Return every worker's sign of life, and the node's clock in microseconds: 0 when there is no worker."""
        rows = await self._rows(self._signs)
        signs = {worker: Sign(beat, revision) for worker, beat, revision, _ in rows}
        return signs, rows[0][3] * 1000 if rows else 0

    async def all_carried(self) -> frozenset[str]:
        """Return what all workers carry that have not been forgotten."""
        return frozenset(name for (names,) in await self._rows(self._all_carried) for name in names or ())

    async def carried(self, worker: UUID) -> tuple[int | None, frozenset[str]]:
        """Return what a worker carries, and the revision of that."""
        found = await self._rows(self._carried, worker)
        return (found[0][0], frozenset(found[0][1] or ())) if found else (None, frozenset())

    async def leave(self, worker: UUID) -> None:
        """Give no signs of life any more."""
        await self._write(self._leave, worker)

    async def ring(self, store: str) -> None:
        """Say that something comes to a store at which nobody may be looking."""
        await self._write(self._ring, time.time_ns() // 1_000_000_000 // BELL_S, store, uuid4())

    async def bells(self, now_s: float) -> dict[str, UUID]:
        """Return the stores at which was rung lately, each with what differs from one ring to the next."""
        bucket = int(now_s) // BELL_S
        # A writer's clock may be a little off.
        rows = await self._rows(self._bells, [bucket - 1, bucket, bucket + 1])
        return dict(rows)

    async def _write(self, text: str, *params: object) -> None:
        prepared = await self._session.prepare(text)
        await self._session.execute(prepared, params, consistency=self._consistency, idempotent=True)

    async def _rows(self, text: str, *params: object) -> list[tuple[Any, ...]]:
        prepared = await self._session.prepare(text)
        return [
            row
            async for page in self._session.pages(prepared, params, page_size=_PAGE, consistency=self._consistency)
            for row in page
        ]
