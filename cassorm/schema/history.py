"""The table that remembers which migrations were applied, and how far one that failed has come."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal

from cassorm.cql.identifiers import quote, quote_table
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.errors import MigrationError
from cassorm.schema.deploy_lock import SCOPE, DeployLock, Holder
from cassorm.schema.migration_file import Migration
from cassorm.schema.table import Column, Table

TABLE = "cassorm_migrations"
State = Literal["applied", "pending", "running", "interrupted", "failed", "changed", "missing"]
"""interrupted: begun by a deployer that is gone; changed: not the text that was applied; missing: its file is gone."""

_RESUME = "cassorm schema migrate --resume"


def history_table(keyspace: str | None) -> Table:
    """One partition: a row for each migration, and the lock beside them, so that one LWT checks it and writes."""
    return Table(
        keyspace=keyspace,
        name=TABLE,
        columns=(
            Column("scope", "text"),
            Column("number", "int"),
            Column("lock_owner", "text", static=True),
            Column("lock_token", "bigint", static=True),
            Column("lock_beat", "bigint", static=True),
            Column("lock_patience_ms", "bigint", static=True),
            Column("file", "text"),
            Column("checksum", "text"),
            Column("state", "text"),
            Column("done", "int"),
            Column("done_checksum", "text"),
            Column("steps", "int"),
            Column("error", "text"),
            Column("owner", "text"),
            Column("started_at", "timestamp"),
            Column("ended_at", "timestamp"),
        ),
        partition_key=("scope",),
        clustering=(("number", "asc"),),
        profile="lwt-only",
        comment="Which migrations were applied; written by cassorm schema migrate",
    )


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of one migration; `done` statements of `steps` are known to have been run."""

    number: int
    file: str
    checksum: str
    state: str
    done: int
    done_checksum: str | None
    steps: int
    error: str | None
    owner: str
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one migration stands: its file, what is remembered of it, or both."""

    number: int
    state: State
    migration: Migration | None
    record: Record | None

    @property
    def file(self) -> str:
        """The name of the file, also when it is gone."""
        return self.migration.file if self.migration else self.record.file if self.record else str(self.number)


@dataclass(frozen=True, slots=True)
class Status:
    """Every migration by number, and who is migrating now, if anybody is."""

    standings: tuple[Standing, ...]
    holder: str | None = None

    def of(self, *states: State) -> list[Standing]:
        """Those in one of the states."""
        return [one for one in self.standings if one.state in states]

    def check(self, *, resume: bool) -> None:
        """Return when what is pending can be applied.

        Raises:
            MigrationError: a file has changed or is gone since it was applied, or one stopped in the middle and
                `resume` does not say what to do.
        """
        for one in self.of("changed"):
            raise MigrationError(
                f"has changed since it was applied{_when(one.record)}",
                where=_where(one),
                file=one.file,
                remedy="Restore the text that was applied, and put what is new into a migration of its own",
            )
        for one in self.of("missing"):
            raise MigrationError(
                f"was applied{_when(one.record)}, and its file is gone",
                where=f"migration {one.file}",
                file=one.file,
                remedy="Restore the file, or name the folder that holds it",
            )
        for one in self.of("failed", "interrupted"):
            self._check_stopped(one, resume=resume)

    def _check_stopped(self, one: Standing, *, resume: bool) -> None:
        record, migration = one.record, one.migration
        if record is None:
            return
        reached = record.done + 1
        if not resume:
            raise stopped(one.state, record, migration)
        if migration is not None and migration.checksum_of_first(record.done) != (record.done_checksum or ""):
            raise MigrationError(
                f"statements 1 to {record.done}, which have been run, have changed",
                where=_where(one),
                file=one.file,
                statement=reached,
                remedy="Restore them as they were; those after them may change",
            )


def stopped(state: str, record: Record, migration: Migration | None) -> MigrationError:
    """The error that says where a migration stopped, and how to go on."""
    reached = record.done + 1
    line = f" (line {migration.line(reached)})" if migration and migration.statements else ""
    said = f": {record.error}" if record.error else ""
    if migration is not None and not migration.statements:
        problem = f"{state}{said}"
        remedy = f"upgrade() runs again from its beginning: see that it can, then: {_RESUME}"
    else:
        problem = f"{state} at statement {reached} of {record.steps}{line}{said}"
        remedy = (
            f"Correct the cause; the file may change from statement {reached} on. Then: {_RESUME}. "
            f"When that statement has taken effect after all: {_RESUME} --after {reached}"
        )
    where = str(migration.path) if migration else f"migration {record.file}"
    return MigrationError(problem, where=where, file=record.file, statement=reached, remedy=remedy)


async def read_status(session: Session, migrations: Sequence[Migration], *, ours: str | None = None) -> Status:
    """How every migration stands in the session's keyspace; nothing is written. `ours` is a lock's own owner.

    Raises:
        ClusterError: the cluster could not be asked.
    """
    if not await _exists(session):
        return Status(tuple(Standing(one.number, "pending", one, None) for one in migrations))
    table = quote_table(TABLE, session.keyspace)
    holder = await DeployLock.holder(session, table)
    records = await _records(session, table)
    files = {one.number: one for one in migrations}
    standings = []
    for number in sorted(files.keys() | records.keys()):
        migration, record = files.get(number), records.get(number)
        state = _state(migration, record, holder, ours)
        standings.append(Standing(number, state, migration, record))
    return Status(tuple(standings), holder.owner)


def _state(migration: Migration | None, record: Record | None, holder: Holder, ours: str | None) -> State:
    if record is None:
        return "pending"
    if migration is None:
        return "missing"
    if record.state == "running":
        alive = holder.owner is not None and holder.owner != ours and holder.owner == record.owner
        return "running" if alive else "interrupted"
    if record.state == "failed":
        return "failed"
    return "applied" if record.checksum == migration.checksum else "changed"


async def _exists(session: Session) -> bool:
    text = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    return bool(await session.execute(text, (session.keyspace, TABLE)))


async def _records(session: Session, table: str) -> dict[int, Record]:
    names = [field.name for field in fields(Record)]
    text = f"SELECT {', '.join(map(quote, names))} FROM {table} WHERE scope = ?"  # noqa: S608 - quoted
    rows: list[tuple[object, ...]] = []
    page_state = None
    while True:
        page = await session.execute(text, (SCOPE,), consistency=Consistency.SERIAL, page_state=page_state)
        rows += page.rows
        page_state = page.page_state
        if page_state is None:
            break
    # A partition that holds nothing but the lock is one row without a number.
    found = (Record(*row) for row in rows if row[0] is not None)  # type: ignore[arg-type]  # in the columns' order
    return {record.number: record for record in found}


def _where(one: Standing) -> str:
    return str(one.migration.path) if one.migration else f"migration {one.file}"


def _when(record: Record | None) -> str:
    return f" on {record.ended_at:%Y-%m-%d %H:%M} UTC" if record and record.ended_at else ""
