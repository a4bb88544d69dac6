"""One deployer at a time: a lock in a table, taken by LWT, that trusts no clock but the own process's.

The holder counts up a beat. Who waits takes over when the beat has stood still for the holder's whole patience, as
the waiting process itself measures it: what time it is on other machines does not matter. Each holder has a higher
token than the one before; every record of a migration is written on the condition that the token still stands, so
that one who was taken for dead, and is not, is stopped at its next record.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Self

from cassorm.cql.identifiers import quote, quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.result import Result
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, MigrationError, OutcomeUnknownError

_log = logging.getLogger(__name__)

BEAT = timedelta(seconds=2)
PATIENCE = timedelta(seconds=20)
SCOPE = "all"
_LOOK_S = 0.5
_TRIES = 5
_PAUSE_S = 0.5

Said = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock: a text that names machine and process, its token, its beat and its patience."""

    owner: str | None
    token: int | None
    beat: int | None
    patience: timedelta

    @property
    def life(self) -> tuple[int | None, int | None]:
        """What stands still when the holder has died."""
        return self.token, self.beat


class DeployLock:
    """The lock of one table of migrations, an async context manager; `say` gets what a waiting person wants to know."""

    def __init__(
        self,
        session: Session,
        table: str,
        *,
        wait: timedelta,
        say: Said,
        beat: timedelta = BEAT,
        patience: timedelta = PATIENCE,
    ) -> None:
        self.owner = f"{socket.gethostname()} pid {os.getpid()} {uuid.uuid4().hex[:8]}"
        self._session = session
        self._table = quote_table(table, session.keyspace)
        self._wait_s = wait.total_seconds()
        self._say = say
        self._beat_s = beat.total_seconds()
        self._patience = patience
        self._token = 0
        self._lost = ""
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._take()
        self._beating = asyncio.create_task(self._keep_beating())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beating is not None:
            self._beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beating
        try:
            await self._conditional("lock_owner = ?", (None,))
        except (ClusterError, MigrationError) as failed:
            # Nothing is wrong but that the next deployer waits for the patience to run out.
            _log.info("the lock could not be released: %s", failed)

    async def record(self, number: int, values: Mapping[str, object]) -> None:
        """Write columns of one migration's row while the lock is held.

        Raises:
            MigrationError: another deployer has taken the lock over; nothing was written.
            ClusterError: the cluster does not answer.
        """
        setting = ", ".join(f"{quote(name)} = ?" for name in values)
        await self._conditional(setting, tuple(values.values()), number=number)

    # -- taking

    async def _take(self) -> None:
        end = time.monotonic() + self._wait_s
        seen, since, told = None, time.monotonic(), False
        while True:
            holder = await self.holder(self._session, self._table)
            now = time.monotonic()
            if holder.owner == self.owner:  # an LWT of ours whose answer was lost
                self._token = holder.token or 0
                return
            if holder.life != seen:
                seen, since = holder.life, now
            silent_s = now - since
            if (holder.owner is None or silent_s >= holder.patience.total_seconds()) and await self._try(holder):
                if holder.owner is not None:
                    self._say(f"took the lock over from {holder.owner}, silent for {silent_s:.0f} s")
                return
            if now >= end:
                raise _held(holder, self._wait_s)
            if holder.owner is not None and not told:
                self._say(f"waiting for {holder.owner}, who is migrating")
                told = True
            await asyncio.sleep(min(_LOOK_S, max(end - now, 0.01)))

    async def _try(self, holder: Holder) -> bool:
        token = (holder.token or 0) + 1
        text = (
            f"UPDATE {self._table} SET lock_owner = ?, lock_token = ?, lock_beat = ?, lock_patience_ms = ? "  # noqa: S608 - quoted
            "WHERE scope = ? IF lock_token = ? AND lock_beat = ? AND lock_owner = ?"
        )
        patience_ms = int(self._patience.total_seconds() * 1000)
        values = (self.owner, token, 0, patience_ms, SCOPE, holder.token, holder.beat, holder.owner)
        try:
            taken = await self._lwt(text, values)
        except OutcomeUnknownError:
            return False  # the next look tells
        if taken.applied:
            self._token = token
        return bool(taken.applied)

    @staticmethod
    async def holder(session: Session, table: str) -> Holder:
        """Who holds the lock of `table` (quoted) now; an owner of None is nobody.

        Raises:
            ClusterError: the cluster could not be asked.
        """
        text = f"SELECT lock_owner, lock_token, lock_beat, lock_patience_ms FROM {table} WHERE scope = ? LIMIT 1"  # noqa: S608 - quoted
        found = await session.execute(text, (SCOPE,), consistency=Consistency.SERIAL)
        owner, token, beat, patience_ms = found.one() or (None, None, None, None)
        return Holder(owner, token, beat, timedelta(milliseconds=patience_ms or 0))

    # -- holding

    async def _keep_beating(self) -> None:
        beat, answered = 0, time.monotonic()
        while not self._lost:
            await asyncio.sleep(self._beat_s)
            beat += 1
            try:
                await self._conditional("lock_beat = ?", (beat,))
                answered = time.monotonic()
            except MigrationError:
                return
            except ClusterError as error:
                _log.info("the lock could not be renewed: %s", error)
                if time.monotonic() - answered >= self._patience.total_seconds():
                    self._lost = "the cluster has not answered for longer than others wait"

    async def _conditional(self, setting: str, values: tuple[object, ...], *, number: int | None = None) -> None:
        row, key = ("", (SCOPE,)) if number is None else (" AND number = ?", (SCOPE, number))
        text = f"UPDATE {self._table} SET {setting} WHERE scope = ?{row} IF lock_token = ?"  # noqa: S608 - quoted
        for turn in range(1, _TRIES + 1):
            if self._lost:
                break
            try:
                if (await self._lwt(text, (*values, *key, self._token))).applied:
                    return
            except OutcomeUnknownError:
                # The same values on the same condition: once more changes nothing, and tells.
                if turn == _TRIES:
                    raise
                await asyncio.sleep(_PAUSE_S * turn)
                continue
            self._lost = "another deployer took it over"
        raise MigrationError(
            f"the lock is lost: {self._lost}",
            where=f"migrations in {self._session.keyspace}",
            remedy="Look at `cassorm schema migrate --status`; the other deployer goes on, or says how",
        )

    async def _lwt(self, text: str, values: tuple[object, ...]) -> Result:
        return await self._session.execute(
            text, values, consistency=Consistency.QUORUM, serial_consistency=Consistency.SERIAL
        )


def _held(holder: Holder, waited_s: float) -> MigrationError:
    return MigrationError(
        f"held by {holder.owner}, who is migrating; waited {waited_s:g} s",
        where="the lock of migrations",
        remedy="Wait longer (--wait); when that process has died, its lock is taken over "
        f"{holder.patience.total_seconds():g} s after it was last seen alive",
    )
