"""Views compared with their base and built anew; schemas described and generated, on a live cluster."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from cassorm.devnode import DevNode
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import SchemaError
from cassorm.orm.model import table_of
from cassorm.schema.diff import differences
from cassorm.schema.introspect import introspect
from cassorm.schema.views import ViewDifference, find_view, verify_view
from tests.cluster.commands import cassorm

pytestmark = pytest.mark.cluster

BASE = "CREATE TABLE {0}.{1} (id int, n int, city text, total double, s text static, PRIMARY KEY (id, n))"
VIEW = (
    "CREATE MATERIALIZED VIEW {0}.{1}_by_city AS SELECT id, n, city, total FROM {0}.{1} "
    "WHERE city IS NOT NULL AND id IS NOT NULL AND n IS NOT NULL PRIMARY KEY ((city), id, n)"
)


def sstables(folder: Path, table: str) -> set[Path]:
    return {file for place in folder.glob(f"data/data/shop/{table}-*") for file in place.iterdir() if file.is_file()}


async def flush(db: Session, folder: Path, what: str, table: str) -> None:
    """Have the server write what it holds in memory: it does so after a time that tables name."""
    await db.ddl(f"ALTER {what} shop.{table} WITH memtable_flush_period_in_ms = 100")
    while not any(file.name.endswith("-TOC.txt") for file in sstables(folder, table)):  # noqa: ASYNC110 - the server writes files
        await asyncio.sleep(0.05)
    await db.ddl(f"ALTER {what} shop.{table} WITH memtable_flush_period_in_ms = 0")


async def restart_without(node: DevNode, *lost: tuple[str, set[Path]]) -> None:
    """Stop the node, take from tables what was written since, and start it again."""
    await node.stop()
    folder = node.log_path.parent
    for table, known in lost:
        new = sstables(folder, table) - known
        assert new
        for file in new:
            file.unlink()
    # All that it holds is in sstables by now: nothing may come back from it.
    for file in (folder / "data" / "commitlog").iterdir():
        file.unlink()
    await node.start()


@pytest_asyncio.fixture(scope="module")
async def torn() -> AsyncIterator[DevNode]:
    """A node that has lost the last writes of `a` in its view, and those of `b` in the base."""
    async with DevNode() as node:
        async with connect(node.hosts) as db:
            copies = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 1}}"
            await db.ddl(f"CREATE KEYSPACE shop WITH replication = {copies}")
            for table in "ab":
                await db.ddl(BASE.format("shop", table))
                await db.ddl(VIEW.format("shop", table))
                insert = await db.prepare(f"INSERT INTO shop.{table} (id, n, city, total) VALUES (?, 1, 'here', 1.5)")
                await asyncio.gather(*(db.execute(insert, (number,)) for number in range(100)))
            folder = node.log_path.parent
            await flush(db, folder, "MATERIALIZED VIEW", "a_by_city")
            await flush(db, folder, "TABLE", "b")
            lost = [(table, sstables(folder, table)) for table in ("a_by_city", "b")]
            for table in "ab":
                await db.execute(f"INSERT INTO shop.{table} (id, n, city, total) VALUES (1000, 1, 'here', 1.0)")
                await db.execute(f"UPDATE shop.{table} SET total = 2.5 WHERE id = 1 AND n = 1")
                await db.execute(f"UPDATE shop.{table} SET city = 'there' WHERE id = 2 AND n = 1")
        await restart_without(node, *lost)
        yield node


async def test_a_view_that_lost_writes_is_told_row_by_row_and_built_anew(torn: DevNode) -> None:
    code, out, err = await cassorm("verify-view", "shop.a_by_city", hosts=torn.hosts)
    assert code == 1
    assert sorted(out.splitlines()) == [
        "differs  city=here, id=1, n=1  total",
        "extra    city=here, id=2, n=1",
        "missing  city=here, id=1000, n=1",
        "missing  city=there, id=2, n=1",
    ]
    assert "101 rows of the base, 100 rows of the view: 4 differences" in err
    assert "Next: cassorm schema rebuild-view shop.a_by_city" in err

    code, out, err = await cassorm("rebuild-view", "a_by_city", "--keyspace", "shop", hosts=torn.hosts)
    assert (code, out) == (2, "")
    assert "CREATE MATERIALIZED VIEW IF NOT EXISTS shop.a_by_city AS" in err
    assert err.endswith("Add --yes\n")
    code, out, _ = await cassorm("rebuild-view", "shop.a_by_city", "--yes", hosts=torn.hosts)
    assert (code, out) == (0, "shop.a_by_city\n")
    code, out, err = await cassorm("verify-view", "shop.a_by_city", "--json", hosts=torn.hosts)
    assert (code, json.loads(out)) == (0, {"base_rows": 101, "view_rows": 101, "differences": {}, "listed": []})


async def test_a_base_that_lost_writes_leaves_rows_in_the_view_that_nothing_gives(torn: DevNode) -> None:
    code, out, _ = await cassorm("verify-view", "shop.b_by_city", "--json", "--limit", "3", hosts=torn.hosts)
    shown = json.loads(out)
    assert (code, shown["base_rows"], shown["view_rows"]) == (1, 100, 101)
    assert shown["differences"] == {"differs": 1, "missing": 1, "extra": 2}
    assert len(shown["listed"]) == 3


async def test_a_view_is_as_its_base_also_while_both_are_written(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(BASE.format(k, "t"))
    await db.ddl(VIEW.format(k, "t"))
    insert = await db.prepare(f"INSERT INTO {k}.t (id, n, city, total, s) VALUES (?, ?, ?, ?, 'x')")
    await asyncio.gather(*(db.execute(insert, (n % 7, n, f"city {n % 9}", float("nan"))) for n in range(300)))
    await db.execute(f"INSERT INTO {k}.t (id, n, total) VALUES (1, 1000, 1)")  # in no view: it has no city
    await db.execute(f"INSERT INTO {k}.t (id, s) VALUES (99, 'alone')")
    ended = asyncio.Event()

    async def write() -> None:
        n = 0
        while not ended.is_set():
            n += 1
            row = n % 300
            await db.execute(insert, (row % 7, row, f"city {n % 11}", float(n)))

    writing = asyncio.create_task(write())
    found: list[ViewDifference] = []
    seen = await verify_view(db, *await find_view(db, k, "t_by_city"), found=found.append)
    ended.set()
    await writing
    assert found == []
    assert (seen.base_rows, seen.differences) == (302, 0)
    # A row that moves while the view is read is met once, twice or not at all, and looked up before it is told.
    assert 250 < seen.view_rows < 350


async def test_a_view_that_filters_or_is_none_is_refused(cassorm_session: Session, cassorm_keyspace: str) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(BASE.format(k, "t"))
    await db.ddl(VIEW.format(k, "t").replace("city IS NOT NULL", "city IS NOT NULL AND n > 3"))
    with pytest.raises(SchemaError, match=r"t_by_city: filters: .*n > 3"):
        await verify_view(db, *await find_view(db, k, "t_by_city"), found=print)
    with pytest.raises(SchemaError, match=r"view .*\.t: does not exist"):
        await find_view(db, k, "t")


async def test_a_live_keyspace_is_described_and_its_generated_file_is_without_differences(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, tmp_path: Path
) -> None:
    db, k = cassorm_session, cassorm_keyspace
    await db.ddl(f"CREATE TYPE {k}.address (street text)")
    await db.ddl(BASE.format(k, "t"))
    await db.ddl(f"ALTER TABLE {k}.t ADD home frozen<address>")
    await db.ddl(f"CREATE INDEX by_total ON {k}.t (total) USING 'sai'")
    await db.ddl(VIEW.format(k, "t"))
    code, out, _ = await cassorm("inspect", k, hosts=cassandra_hosts)
    assert code == 0
    assert re.search(r"^  id +int +partition key$", out, re.MULTILINE)
    assert "type address: street text" in out
    assert "  index by_total on total (sai)" in out
    for form in ("yaml", "cql"):
        code, out, err = await cassorm("generate", k, "--format", form, hosts=cassandra_hosts)
        assert (code, err) == (0, "")
        file = tmp_path / f"made.{form}"
        file.write_text(out)
        code, out, err = await cassorm("diff", str(file), "--whole", hosts=cassandra_hosts)
        assert (code, out, err) == (0, "", "no differences\n")
    code, out, _ = await cassorm("generate", k, "--format", "models", hosts=cassandra_hosts)
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(out, "generated.py", "exec"), module)
    live = (await introspect(db, k))["t"]
    assert (code, differences(table_of(module["T"]), live), differences(live, table_of(module["T"]))) == (0, [], [])
    code, _, err = await cassorm("inspect", "no_such", hosts=cassandra_hosts)
    assert (code, err) == (2, "cassorm: keyspace no_such: does not exist. Check its name, or create it\n")
