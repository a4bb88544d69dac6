"""Copies of tables on a live cluster: whole, resumable, and never older than what stands."""

import asyncio
import json
import re
from uuid import uuid4

import pytest

from cassorm.driver.session import Session
from cassorm.errors import SchemaError
from cassorm.schema.copy import TABLE, Progress, copy_table
from cassorm.schema.introspect import introspect
from cassorm.schema.table import Table
from tests.cluster.commands import cassorm, start

pytestmark = pytest.mark.cluster


async def tables(db: Session, keyspace: str) -> tuple[Table, Table]:
    live = await introspect(db, keyspace)
    return live["old"], live["new"]


async def fill(db: Session, keyspace: str, rows: int) -> None:
    insert = await db.prepare(f"INSERT INTO {keyspace}.old (id, n, city) VALUES (?, ?, ?)")
    await asyncio.gather(*(db.execute(insert, (uuid4(), n, f"city {n % 50}")) for n in range(rows)))


OLD = "CREATE TABLE {}.old (id uuid PRIMARY KEY, n int, city text)"
NEW = "CREATE TABLE {}.new (city text, id uuid, n int, PRIMARY KEY (city, id))"


async def test_a_killed_copy_goes_on_where_it_was(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(OLD.format(k))
    await db.ddl(NEW.format(k))
    await fill(db, k, 2000)
    arguments = ("copy", f"{k}.old", f"{k}.new")
    process = await start(*arguments, "--rate", "500", hosts=cassandra_hosts)
    assert process.stderr is not None
    while (line := await process.stderr.readline()) and not re.match(rb"[1-9]\d*/", line):
        pass
    process.kill()
    assert await process.wait() == -9
    await asyncio.sleep(0.2)  # what it had sent may still land
    done = dict((await db.execute(f"SELECT range, done_at FROM {k}.{TABLE}")).rows)
    assert 0 < len(done) < 64

    code, out, err = await cassorm(*arguments, "--json", hosts=cassandra_hosts)
    assert code == 0, err
    assert json.loads(out) == {
        "rows": 2000,
        "skipped": 0,
        "skipped_keys": [],
        "source_rows": 2000,
        "target_rows": 2000,
        "complete": True,
    }
    assert err.startswith(f"{len(done)}/64 ranges")
    assert "Cassandra cannot rename tables" in err
    after = dict((await db.execute(f"SELECT range, done_at FROM {k}.{TABLE}")).rows)
    assert {number: after[number] for number in done} == done  # what was done was not done again
    old = {(row[0], row[1], row[2]) for row in await db.execute(f"SELECT id, n, city FROM {k}.old")}
    assert {(row[0], row[1], row[2]) for row in await db.execute(f"SELECT id, n, city FROM {k}.new")} == old


async def test_what_the_application_wrote_meanwhile_is_not_overwritten_however_often_it_is_copied(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(OLD.format(k))
    await db.ddl(NEW.format(k))
    await fill(db, k, 20)
    changed, gone, *_ = (await db.execute(f"SELECT id, city FROM {k}.old")).rows
    # To both tables, as an application does that is ready for the switch; the old row is read before it is deleted.
    await db.execute(f"INSERT INTO {k}.new (city, id, n) VALUES (?, ?, ?)", (changed[1], changed[0], 777))
    await db.execute(f"DELETE FROM {k}.new WHERE city = ? AND id = ?", (gone[1], gone[0]))
    old, new = await tables(db, k)
    for restart in (False, True):
        copied = await copy_table(db, old, new, restart=restart)
        assert (copied.rows, copied.source_rows, copied.target_rows, copied.complete) == (20, 20, 19, False)
    row = await db.execute(f"SELECT n FROM {k}.new WHERE city = ? AND id = ?", (changed[1], changed[0]))
    assert row.one() == (777,)


async def test_every_type_static_values_times_and_ttls_come_along(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(f"CREATE TYPE {k}.address (street text, numbers frozen<list<int>>)")
    rest = (
        "s text static, a int, b text, tags set<text>, m map<text, int>, f frozen<map<text, int>>, u frozen<address>, "
        "l address, t tuple<int, text>, d duration, big varint, dec decimal, ip inet, ti time, v vector<float, 2>"
    )
    await db.ddl(f"CREATE TABLE {k}.old (p int, c timestamp, {rest}, PRIMARY KEY (p, c))")
    await db.ddl(
        f"CREATE TABLE {k}.new (p int, c timestamp, {rest}, PRIMARY KEY (p, c)) WITH CLUSTERING ORDER BY (c DESC)"
    )
    await db.execute(
        f"INSERT INTO {k}.old (p, c, s, a, tags, m, f, u, l, t, d, big, dec, ip, ti, v) VALUES (1, 1000, 'one', 1, {{'x', 'y'}}, "
        "{'k': 1}, {'f': 2}, {street: 'a', numbers: [1, 2]}, {street: 'b'}, (1, 'x'), 1mo2d3ns, 12345678901234567890123, "
        "1.50, '::1', '10:11:12.5', [0.5, 1.5]) USING TIMESTAMP 1000000"
    )
    await db.execute(f"UPDATE {k}.old USING TTL 1000 AND TIMESTAMP 2000000 SET b = 'soon' WHERE p = 1 AND c = 1000")
    short = f"UPDATE {k}.old USING TTL 500 SET tags = {{'z'}}, l = {{street: 'c'}} WHERE p = 3 AND c = 3000"
    await db.execute(short)
    await db.execute(f"UPDATE {k}.old USING TTL 1000 SET tags = tags + {{'y'}} WHERE p = 3 AND c = 3000")
    await db.execute(f"INSERT INTO {k}.old (p, c) VALUES (1, 2000)")  # a row that is nothing but its key
    await db.execute(f"INSERT INTO {k}.old (p, s) VALUES (2, 'alone')")  # a partition without rows
    old, new = await tables(db, k)
    copied = await copy_table(db, old, new)
    assert (copied.rows, copied.skipped, copied.source_rows, copied.target_rows) == (4, 0, 4, 4)

    async def rows(table: str) -> list[tuple[object, ...]]:
        return sorted((await db.execute(f"SELECT * FROM {k}.{table}")).rows, key=lambda row: str(row[:2]))

    assert await rows("new") == await rows("old")
    times = "WRITETIME(a), WRITETIME(b), WRITETIME(s), MAXWRITETIME(tags), TTL(a), TTL(b)"
    found = [
        (await db.execute(f"SELECT {times} FROM {k}.{name} WHERE p = 1 AND c = 1000")).one() for name in ("old", "new")
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0][:5] == found[1][:5]
    assert 990 < found[1][5] <= found[0][5]
    # The parts of a collection last as long as the one of them that lasts longest.
    parts = (await db.execute(f"SELECT TTL(tags), TTL(l.street) FROM {k}.new WHERE p = 3")).one()
    assert parts is not None
    assert all(990 < part <= 1000 for part in parts[0])
    assert 490 < parts[1] <= 500


async def test_rows_without_a_value_for_the_new_key_are_named(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(OLD.format(k))
    await db.ddl(NEW.format(k))
    await fill(db, k, 5)
    lost = uuid4()
    await db.execute(f"INSERT INTO {k}.old (id, n) VALUES (?, 1)", (lost,))
    await db.execute(f"INSERT INTO {k}.old (id, n, city) VALUES (?, 1, '')", (uuid4(),))
    code, out, err = await cassorm("copy", "old", "new", "--keyspace", k, "--json", hosts=cassandra_hosts)
    shown = json.loads(out)
    assert (code, shown["rows"], shown["skipped"], shown["target_rows"]) == (1, 5, 2, 5)
    assert str(lost) in err
    code, _, err = await cassorm("copy", "old", "none", "--keyspace", k, hosts=cassandra_hosts)
    assert (code, err) == (2, f"cassorm: table {k}.none: does not exist. Check the name, or create it\n")
    code, _, err = await cassorm("copy", "old", "new", hosts=cassandra_hosts)
    assert (code, err) == (2, "cassorm: arguments: 'old' names no keyspace. Write KEYSPACE.NAME, or add --keyspace\n")


async def test_a_copy_of_tables_that_have_changed_since_begins_again_when_told(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(OLD.format(k))
    await db.ddl(NEW.format(k))
    await fill(db, k, 10)
    seen: list[int] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.ranges_done)

    assert (await copy_table(db, *await tables(db, k), progress=watch)).complete
    assert (seen[0], seen[-1]) == (0, 64)
    await db.ddl(f"ALTER TABLE {k}.old ADD more int")
    await db.ddl(f"ALTER TABLE {k}.new ADD more int")
    with pytest.raises(SchemaError, match=r"has changed since the copy began.*--restart"):
        await copy_table(db, *await tables(db, k))
    assert (await copy_table(db, *await tables(db, k), restart=True)).complete
