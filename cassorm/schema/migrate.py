"""Run numbered migration files, each once, one deployer at a time."""

import contextlib
import importlib.util
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cassorm.driver.session import Session
from cassorm.errors import CassormError, ClusterError, ConfigurationError, MigrationError
from cassorm.schema.apply import ensure_tables
from cassorm.schema.deploy_lock import BEAT, PATIENCE, DeployLock
from cassorm.schema.history import TABLE, Record, Standing, Status, history_table, read_status, stopped
from cassorm.schema.migration_file import CqlStatement, Migration, read_migrations

WAIT = timedelta(seconds=60)
_LONG = timedelta(seconds=60)
_MOST_ERROR = 2000
# What the server says of a statement counts lines within it.
_SERVER_LINE = re.compile(r"\bline ([0-9]+):[0-9]+")


def _silent(_: str) -> None:
    pass


async def status(session: Session, folder: Path) -> Status:
    """How every migration of the folder stands in the session's keyspace; nothing is written.

    Raises:
        SchemaFileError: a file of the folder is wrong.
        ConfigurationError: the session is in no keyspace.
        ClusterError: the cluster could not be asked.
    """
    _check_keyspace(session)
    return await read_status(session, read_migrations(folder))


async def migrate(
    session: Session,
    folder: Path,
    *,
    resume: bool = False,
    after: int | None = None,
    wait: timedelta = WAIT,
    say: Callable[[str], None] = _silent,
    beat: timedelta = BEAT,
    patience: timedelta = PATIENCE,
) -> list[str]:
    """The names of the files that were applied, in their order; none when nothing was pending.

    They run in the session's keyspace. While another process migrates, it waits, up to `wait`. One that was stopped in
    the middle is taken up again with `resume`, at the statement that it reached, or after statement `after`. `say`
    gets what a person who waits wants to know.

    Raises:
        SchemaFileError: a file of the folder is wrong; nothing was run.
        MigrationError: a statement failed, or a file that was applied has changed, or another process holds the lock.
        ConfigurationError: the session is in no keyspace.
        ClusterError: the cluster could not be asked.
    """
    _check_keyspace(session)
    migrations = read_migrations(folder)
    found = await read_status(session, migrations)
    if not found.of("running"):
        found.check(resume=resume)
        if not found.of("pending", "failed", "interrupted"):
            return []
    await ensure_tables(session, [history_table(session.keyspace)])
    async with DeployLock(session, TABLE, wait=wait, say=say, beat=beat, patience=patience) as lock:
        # Another deployer may have been at work while this one waited: what counts is what stands now.
        found = await read_status(session, migrations, ours=lock.owner)
        found.check(resume=resume)
        applied = []
        for one in found.of("pending", "failed", "interrupted"):
            if one.migration is not None:
                say(f"applying {one.file}")
                await _Run(session, lock, one.migration, one).run(after)
                applied.append(one.file)
                after = None
        return applied


class _Run:
    """One migration on its way: every statement is recorded before it is sent, on the condition of the lock."""

    def __init__(self, session: Session, lock: DeployLock, migration: Migration, standing: Standing) -> None:
        self._session = session
        self._lock = lock
        self._migration = migration
        self._done = standing.record.done if standing.record else 0

    async def run(self, after: int | None) -> None:
        if after is not None:
            self._skip_to(after)
        now = datetime.now(UTC)
        values = {"file": self._migration.file, "checksum": self._migration.checksum, "steps": self._migration.steps}
        await self._record("running", **values, owner=self._lock.owner, started_at=now, ended_at=None, error=None)
        try:
            if self._migration.statements:
                await self._statements()
            elif self._done == 0:
                await _upgrade(self._migration, self._session)
        except BaseException as error:
            await self._failed(error)
            raise
        self._done = self._migration.steps
        await self._record("applied", ended_at=datetime.now(UTC))

    def _skip_to(self, after: int) -> None:
        if not self._done <= after <= self._migration.steps:
            raise MigrationError(
                f"cannot go on after statement {after}: {self._done} of {self._migration.steps} have been run",
                where=str(self._migration.path),
                file=self._migration.file,
                remedy=f"Give a number from {self._done} to {self._migration.steps}",
            )
        self._done = after

    async def _statements(self) -> None:
        for number, statement in enumerate(self._migration.statements[self._done :], self._done + 1):
            if number > self._done + 1:
                self._done = number - 1
                await self._record("running")
            await self._execute(statement)

    async def _execute(self, statement: CqlStatement) -> None:
        if statement.is_ddl:
            await self._session.ddl(statement.text)
        else:
            await self._session.execute(statement.text, timeout=_LONG)

    async def _failed(self, error: BaseException) -> None:
        if isinstance(error, MigrationError):  # the lock is lost: nothing may be recorded any more
            return
        said = str(error) or type(error).__name__
        if isinstance(error, CassormError):
            said = error.problem
        # Unrecorded it stays as running, and the next deployer finds it interrupted.
        with contextlib.suppress(ClusterError):
            await self._record("failed", error=said[:_MOST_ERROR], ended_at=datetime.now(UTC))
        if not isinstance(error, Exception):
            return
        record = Record(
            number=self._migration.number,
            file=self._migration.file,
            checksum=self._migration.checksum,
            state="failed",
            done=self._done,
            done_checksum=None,
            steps=self._migration.steps,
            error=said,
            owner=self._lock.owner,
            started_at=None,
            ended_at=None,
        )
        raise self._at_line(stopped("failed", record, self._migration), said) from error

    def _at_line(self, error: MigrationError, said: str) -> MigrationError:
        if not self._migration.statements:
            return error
        match = _SERVER_LINE.search(said)
        line = self._migration.line(self._done + 1) + (int(match[1]) - 1 if match else 0)
        return MigrationError(
            error.problem,
            where=f"{self._migration.path}:{line}",
            file=error.file,
            statement=error.statement,
            remedy=error.remedy or "",
        )

    async def _record(self, state: str, **values: object) -> None:
        known = {"state": state, "done": self._done, "done_checksum": self._migration.checksum_of_first(self._done)}
        await self._lock.record(self._migration.number, {**known, **values})


async def _upgrade(migration: Migration, session: Session) -> None:
    spec = importlib.util.spec_from_file_location(f"cassorm_migration_{migration.number}", migration.path)
    if spec is None or spec.loader is None:
        raise MigrationError("cannot be imported", where=str(migration.path), file=migration.file, remedy="Name it .py")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    await module.upgrade(session)


def _check_keyspace(session: Session) -> None:
    if session.keyspace is None:
        raise ConfigurationError(
            "the session is in no keyspace",
            where="migrations",
            remedy="Connect with keyspace=..., on the command line with --keyspace or CASSORM_KEYSPACE",
        )
