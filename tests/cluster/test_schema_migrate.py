"""Migrations on a live cluster: each once, in order, by one deployer at a time, and resumable."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import ConfigurationError, MigrationError
from cassorm.schema.apply import ensure_tables
from cassorm.schema.deploy_lock import DeployLock
from cassorm.schema.history import TABLE, history_table
from cassorm.schema.introspect import introspect
from cassorm.schema.migrate import migrate, status
from tests.cluster.commands import cassorm

pytestmark = pytest.mark.cluster

QUICK = timedelta(seconds=1)
NOW = timedelta(0)


@pytest.fixture
async def db(cassandra_hosts: list[str], cassorm_keyspace: str) -> AsyncIterator[Session]:
    async with connect(cassandra_hosts, keyspace=cassorm_keyspace) as session:
        yield session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_create.cql").write_text(
        "CREATE TABLE t (id int PRIMARY KEY);\nCREATE TABLE u (id int PRIMARY KEY);\n"
    )
    return tmp_path


async def states(db: Session, folder: Path) -> list[str]:
    return [one.state for one in (await status(db, folder)).standings]


@asynccontextmanager
async def held(db: Session, *, patience: timedelta = QUICK) -> AsyncIterator[DeployLock]:
    await ensure_tables(db, [history_table(db.keyspace)])
    beat = timedelta(seconds=0.2)
    async with DeployLock(db, TABLE, wait=NOW, say=print, beat=beat, patience=patience) as lock:
        yield lock


async def test_files_are_applied_once_and_in_order(db: Session, folder: Path) -> None:
    (folder / "0002_fill.py").write_text(
        "from cassorm.driver.session import Session\n"
        "async def upgrade(db: Session) -> None:\n"
        "    for n in range(3):\n"
        "        await db.execute('INSERT INTO t (id) VALUES (?)', (n,))\n"
    )
    assert await states(db, folder) == ["pending", "pending"]
    assert set(await introspect(db, str(db.keyspace))) == set()  # asking writes nothing
    assert await migrate(db, folder) == ["0001_create.cql", "0002_fill.py"]
    assert len(await db.execute("SELECT * FROM t")) == 3
    assert await migrate(db, folder) == []
    (folder / "0003_more.cql").write_text("INSERT INTO u (id) VALUES (1) IF NOT EXISTS;\nDROP TABLE t;")
    assert await migrate(db, folder) == ["0003_more.cql"]
    assert set(await introspect(db, str(db.keyspace))) == {"u", TABLE}
    found = await status(db, folder)
    assert [one.state for one in found.standings] == ["applied"] * 3
    assert found.holder is None
    assert [one.record.done for one in found.standings if one.record] == [2, 1, 2]


async def test_a_failure_in_the_middle_is_recorded_and_resumed_at_the_statement_that_failed(
    db: Session, folder: Path
) -> None:
    bad = folder / "0002_bad.cql"
    bad.write_text("ALTER TABLE t ADD a int;\n\nALTER TABLE t\n  ADD b nonsense;\nALTER TABLE t ADD c int;")
    (folder / "0003_after.cql").write_text("DROP TABLE u;")
    with pytest.raises(MigrationError, match=r"failed at statement 2 of 3.*line 3.*nonsense") as caught:
        await migrate(db, folder)
    assert (caught.value.file, caught.value.statement) == ("0002_bad.cql", 2)
    assert str(caught.value).startswith(f"{bad}:3: ")
    assert "--resume" in str(caught.value)
    assert await states(db, folder) == ["applied", "failed", "pending"]
    # Whoever calls again without a word is told the same, and nothing runs.
    with pytest.raises(MigrationError, match="failed at statement 2 of 3"):
        await migrate(db, folder)
    bad.write_text("ALTER TABLE t ADD a int;\nALTER TABLE t\n  ADDD b int;")
    # What the server calls line 2 is the third of the file.
    with pytest.raises(MigrationError, match=r"0002_bad\.cql:3: failed at statement 2 of 2"):
        await migrate(db, folder, resume=True)
    bad.write_text("ALTER TABLE t ADD z int;\nALTER TABLE t ADD b int;\nALTER TABLE t ADD c int;")
    with pytest.raises(MigrationError, match="statements 1 to 1, which have been run, have changed"):
        await migrate(db, folder, resume=True)
    bad.write_text("-- mended\nALTER TABLE t ADD a int;\nALTER TABLE t ADD b int;\nALTER TABLE t ADD c int;")
    assert await migrate(db, folder, resume=True) == ["0002_bad.cql", "0003_after.cql"]
    assert [column.name for column in (await introspect(db, str(db.keyspace)))["t"].columns] == ["id", "a", "b", "c"]
    assert await states(db, folder) == ["applied"] * 3


async def test_a_python_migration_that_raises_is_failed_and_runs_again_from_its_beginning(
    db: Session, folder: Path
) -> None:
    file = folder / "0002_fill.py"
    file.write_text("async def upgrade(db):\n    raise ValueError('no rows')\n")
    with pytest.raises(MigrationError, match=r"0002_fill.py: failed: no rows.*upgrade\(\) runs again") as caught:
        await migrate(db, folder)
    assert isinstance(caught.value.__cause__, ValueError)
    file.write_text("async def upgrade(db):\n    await db.execute('INSERT INTO t (id) VALUES (7)')\n")
    assert await migrate(db, folder, resume=True) == ["0002_fill.py"]
    assert await migrate(db, folder) == []


async def test_a_file_that_changed_or_went_after_it_was_applied_is_an_error_that_names_it(
    db: Session, folder: Path
) -> None:
    await migrate(db, folder)
    first = folder / "0001_create.cql"
    before = first.read_text()
    first.write_text(before + "-- later\n")
    with pytest.raises(MigrationError, match=r"has changed since it was applied on 20.*Restore the text") as caught:
        await migrate(db, folder)
    assert caught.value.file == "0001_create.cql"
    assert await states(db, folder) == ["changed"]
    first.unlink()
    with pytest.raises(MigrationError, match=r"was applied.*and its file is gone"):
        await migrate(db, folder)
    first.write_text(before)
    assert await migrate(db, folder) == []


async def test_two_deployers_at_once_apply_every_file_once(
    db: Session, cassandra_hosts: list[str], folder: Path
) -> None:
    (folder / "0002_count.py").write_text(
        "import asyncio\nasync def upgrade(db):\n"
        "    await db.ddl('CREATE TABLE n (id int PRIMARY KEY, times counter)')\n"
        "    await db.execute('UPDATE n SET times = times + 1 WHERE id = 1')\n    await asyncio.sleep(0.3)\n"
    )
    said: list[str] = []
    async with connect(cassandra_hosts, keyspace=db.keyspace) as other:
        applied = await asyncio.gather(*(migrate(session, folder, say=said.append) for session in (db, other)))
    assert sorted(applied, key=len) == [[], ["0001_create.cql", "0002_count.py"]]
    assert (await db.execute("SELECT times FROM n")).one() == (1,)


async def test_who_does_not_want_to_wait_is_told_who_migrates(db: Session, folder: Path) -> None:
    async with held(db) as lock:
        with pytest.raises(MigrationError, match=r"held by .*, who is migrating; waited 0 s") as caught:
            await migrate(db, folder, wait=NOW)
        assert lock.owner in str(caught.value)
        assert (await status(db, folder)).holder == lock.owner
    assert await migrate(db, folder, wait=NOW) == ["0001_create.cql"]


async def test_a_holder_that_lives_is_waited_for_however_long_it_takes(db: Session, folder: Path) -> None:
    async with held(db):
        # Longer than its patience: it beats, so it is not taken for dead.
        with pytest.raises(MigrationError, match="waited 2 s"):
            await migrate(db, folder, wait=2 * QUICK)
    assert await states(db, folder) == ["pending"]


_DEPLOYER = """
import asyncio, sys
from datetime import timedelta
from pathlib import Path
from cassorm.driver.connect import connect
from cassorm.schema.migrate import migrate

async def main(keyspace, folder, *hosts):
    async with connect(hosts, keyspace=keyspace) as db:
        quick = timedelta(seconds=1)
        await migrate(db, Path(folder), say=lambda text: print(text, flush=True), beat=quick / 5, patience=quick)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_lock_of_a_killed_deployer_is_taken_over_and_its_migration_found_interrupted(
    db: Session, cassandra_hosts: list[str], folder: Path
) -> None:
    (folder / "0002_slow.py").write_text(
        "import asyncio\nasync def upgrade(db):\n    print('in the middle', flush=True)\n    await asyncio.sleep(60)\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _DEPLOYER, str(db.keyspace), str(folder), *cassandra_hosts),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    while await process.stdout.readline() != b"in the middle\n":
        assert process.returncode is None
    assert await states(db, folder) == ["applied", "running"]
    process.kill()
    await process.wait()
    said: list[str] = []
    with pytest.raises(MigrationError, match=r"0002_slow.py: interrupted"):
        await migrate(db, folder, say=said.append)
    assert said[0].startswith("waiting for ")
    assert said[1].startswith("took the lock over from ")
    (folder / "0002_slow.py").write_text("async def upgrade(db):\n    await db.ddl('DROP TABLE u')\n")
    assert await migrate(db, folder, resume=True) == ["0002_slow.py"]
    assert await states(db, folder) == ["applied", "applied"]


async def test_one_taken_for_dead_that_lives_can_record_nothing_any_more(db: Session) -> None:
    async with held(db) as lock:
        await lock.record(1, {"state": "running"})
        # Another one takes over behind its back.
        await db.execute(f"UPDATE {TABLE} SET lock_owner = 'other', lock_token = 99 WHERE scope = 'all' IF EXISTS")
        with pytest.raises(MigrationError, match="the lock is lost"):
            await lock.record(1, {"state": "applied"})
    row = (await db.execute(f"SELECT state, lock_owner FROM {TABLE}")).one()
    assert row == ("running", "other")  # nor was the other's lock released


async def test_after_a_statement_that_took_effect_the_next_one_is_run(db: Session, folder: Path) -> None:
    (folder / "0002_again.cql").write_text("CREATE TABLE t (id int PRIMARY KEY);\nDROP TABLE u;")
    with pytest.raises(MigrationError, match=r"failed at statement 1 of 2.*--resume --after 1"):
        await migrate(db, folder)
    with pytest.raises(MigrationError, match="cannot go on after statement 3: 0 of 2"):
        await migrate(db, folder, resume=True, after=3)
    assert await migrate(db, folder, resume=True, after=1) == ["0002_again.cql"]


async def test_without_a_keyspace_nothing_is_migrated(cassorm_session: Session, folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="in no keyspace"):
        await migrate(cassorm_session, folder)


async def test_the_command_writes_rehearses_runs_and_tells(
    db: Session, cassandra_hosts: list[str], tmp_path: Path
) -> None:
    folder, file, k = str(tmp_path / "migrations"), tmp_path / "shop.yaml", str(db.keyspace)
    file.write_text("tables: {orders: {fields: {id: uuid, total: decimal}, key: id, indexes: [total]}}\n")
    arguments = [folder, "--keyspace", k]
    code, out, _ = await cassorm("migrate", *arguments, "--new", "first", "--from", str(file), hosts=cassandra_hosts)
    assert (code, out) == (0, f"{folder}/0001_first.cql\n")
    code, out, err = await cassorm("migrate", *arguments, "--dry-run", hosts=cassandra_hosts)
    assert (code, err) == (0, "1 migration would be run; nothing was changed\n")
    assert "CREATE TABLE IF NOT EXISTS orders (" in out
    assert await introspect(db, k) == {}
    code, out, err = await cassorm("migrate", *arguments, hosts=cassandra_hosts)
    assert (code, out, err) == (0, "0001_first.cql\n", "applying 0001_first.cql\n1 migration applied\n")
    code, out, _ = await cassorm("diff", str(file), "--keyspace", k, "--whole", hosts=cassandra_hosts)
    assert (code, out) == (0, "")
    (tmp_path / "migrations" / "0002_bad.cql").write_text("DROP TABLE none;")
    code, out, err = await cassorm("migrate", *arguments, hosts=cassandra_hosts)
    assert (code, out) == (1, "")
    assert "0002_bad.cql:1: failed at statement 1 of 1" in err
    code, out, err = await cassorm("migrate", *arguments, "--status", "--json", hosts=cassandra_hosts)
    assert code == 1
    assert [(one["file"], one["state"], one["done"]) for one in json.loads(out)["migrations"]] == [
        ("0001_first.cql", "applied", "2/2"),
        ("0002_bad.cql", "failed", "0/1"),
    ]
    assert err == "2 migrations, 1 not applied\n"
    code, _, err = await cassorm("migrate", str(tmp_path / "none"), "--keyspace", k, hosts=["127.0.0.1:1"])
    assert code == 2
    assert "is no folder" in err
