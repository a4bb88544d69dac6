"""Tables that somebody else changes while statements are prepared: never a value written or read as what it is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.driver.connect import connect
from cassorm.driver.prepared import Prepared
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, QueryError, SchemaError

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def versions(cassandra_hosts: list[str]) -> AsyncIterator[dict[int, tuple[Session, Session]]]:
    """Our session and somebody else's, by version of the native protocol."""
    keyspace = f"changes_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as admin:
        await admin.ddl(
            f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        )
        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(connect(cassandra_hosts, keyspace=keyspace, protocol_version=version))
                for version in (4, 4, 5)
            ]
            ours, theirs, newer = opened
            yield {4: (ours, theirs), 5: (newer, theirs)}
        await admin.ddl(f"DROP KEYSPACE {keyspace}")


@pytest.fixture
def sessions(versions: dict[int, tuple[Session, Session]]) -> tuple[Session, Session]:
    return versions[4]


def some(name: str) -> str:
    return f"{name}_{uuid4().hex[:6]}"


async def changed(ours: Session, theirs: Session, *statements: str) -> None:
    """Change the schema from elsewhere, and wait until our session was told."""
    for text in statements:
        before = ours._wire._known.changes
        await theirs.ddl(text)
        async with asyncio.timeout(5):
            while ours._wire._known.changes == before:  # noqa: ASYNC110 - a driver's thread counts
                await asyncio.sleep(0.005)


def switch_off(monkeypatch: pytest.MonkeyPatch, session: Session, *protections: str) -> None:
    known = session._wire._known
    if "told" in protections:
        monkeypatch.setattr(known, "changed", lambda event: setattr(known, "changes", known.changes + 1))
    if "asked" in protections:
        monkeypatch.setattr(known, "is_other", lambda query_id, columns: False)


async def hot(session: Session, table: str, a: object, b: object) -> tuple[Prepared, Prepared]:
    insert = await session.prepare(f"INSERT INTO {table} (k, a, b) VALUES (?, ?, ?)")
    select = await session.prepare(f"SELECT k, a, b FROM {table} WHERE k = ?")
    await session.execute(insert, (0, a, b))
    assert (await session.execute(select, (0,))).rows == [(0, a, b)]
    return insert, select


async def test_a_column_that_is_added_disturbs_nobody(sessions: tuple[Session, Session]) -> None:
    ours, theirs = sessions
    table = some("added")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a int, b text)")
    insert, select = await hot(ours, table, 1, "x")
    everything = await ours.prepare(f"SELECT * FROM {table} WHERE k = ?")
    await ours.execute(everything, (0,))
    await changed(ours, theirs, f"ALTER TABLE {table} ADD aa text")
    await ours.execute(insert, (1, 2, "y"))
    assert (await ours.execute(select, (1,))).rows == [(1, 2, "y")]
    assert (await ours.execute(everything, (1,))).dicts() == [{"k": 1, "a": 2, "aa": None, "b": "y"}]


async def test_a_column_that_is_dropped_is_named_and_may_come_back(sessions: tuple[Session, Session]) -> None:
    ours, theirs = sessions
    table = some("dropped")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a int, b timestamp)")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    insert, select = await hot(ours, table, 1, moment)
    await changed(ours, theirs, f"ALTER TABLE {table} DROP b")
    for statement, params in ((insert, (1, 2, moment)), (select, (1,))):
        with pytest.raises(ClusterError, match="Undefined column name b"):
            await ours.execute(statement, params)
    await changed(ours, theirs, f"ALTER TABLE {table} ADD b bigint")
    with pytest.raises(QueryError, match=r"parameter b of .* is no bigint"):
        await ours.execute(insert, (1, 2, moment))
    await ours.execute(insert, (1, 2, 5))
    assert (await ours.execute(select, (1,))).rows == [(1, 2, 5)]


@pytest.mark.parametrize(
    ("version", "off", "batch"), [(4, "asked", False), (5, "told", False), (4, "told", True), (5, "asked", True)]
)
async def test_no_value_is_written_as_the_type_that_its_column_had(
    versions: dict[int, tuple[Session, Session]],
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    off: str,
    *,
    batch: bool,
) -> None:
    ours, theirs = versions[version]
    table = some("retyped")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a int, b text)")
    insert, select = await hot(ours, table, 5, "text")
    switch_off(monkeypatch, ours, off)
    await changed(ours, theirs, f"DROP TABLE {table}", f"CREATE TABLE {table} (k int PRIMARY KEY, a text, b int)")
    if off == "asked":
        # The server knows the statement again, by somebody else's word.
        await theirs.prepare(insert.text)

    async def write(*params: object) -> None:
        await (ours.execute_batch([(insert, params)]) if batch else ours.execute(insert, params))

    with pytest.raises(QueryError, match=r"parameter a of .*: 5 \(int\) is no text"):
        await write(1, 5, "text")
    await write(2, "text", 5)
    assert (await ours.execute(select, (1,))).rows == []
    assert (await ours.execute(select, (2,))).rows == [(2, "text", 5)]


async def test_without_these_protections_values_are_written_as_what_they_are_not(
    sessions: tuple[Session, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = sessions
    table = some("unprotected")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a int, b text)")
    insert, select = await hot(ours, table, 5, "text")
    switch_off(monkeypatch, ours, "asked", "told")
    await theirs.ddl(f"DROP TABLE {table}")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a text, b int)")
    await ours.execute(insert, (1, 5, "text"))
    assert (await theirs.execute(select.text, (1,))).rows == [(1, "\0\0\0\5", 0x74657874)]


@pytest.mark.parametrize("version", [4, 5])
async def test_rows_are_read_as_what_their_columns_are_now(
    versions: dict[int, tuple[Session, Session]], monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    ours, theirs = versions[version]
    table = some("reread")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a bigint, b text)")
    _, select = await hot(ours, table, 5, "text")
    switch_off(monkeypatch, ours, "asked", "told")
    seen: list[Any] = []

    def check(prepared: Prepared) -> None:
        seen.append(prepared.returns)
        if ("a", "double") in prepared.returns:
            raise SchemaError("a is a double")

    await ours.prepare(select.text, check=check)
    await theirs.ddl(f"DROP TABLE {table}")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a double, b text)")
    await theirs.execute(f"INSERT INTO {table} (k, a, b) VALUES (1, 0.5, 'x')")
    with pytest.raises(SchemaError, match="a is a double"):
        await ours.execute(select, (1,))
    assert seen == [(("k", "int"), ("a", kind), ("b", "text")) for kind in ("bigint", "double")]
    unchecked = await ours.prepare(select.text)
    assert (await ours.execute(unchecked, (1,))).rows == [(1, 0.5, "x")]


async def test_own_changes_are_known_at_once(sessions: tuple[Session, Session]) -> None:
    ours, _ = sessions
    table = some("own")
    await ours.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a int, b text)")
    insert, other = (await hot(ours, table, 5, "text"))[0], await ours.prepare("SELECT key FROM system.local")
    await ours.ddl(f"ALTER TABLE {table} ADD c int")
    assert insert.stale
    assert not other.stale
    await asyncio.gather(*(ours.execute(insert, (n, n, "x")) for n in range(20)))
    assert not insert.stale


async def test_user_types_are_written_with_the_fields_that_they_have_now(sessions: tuple[Session, Session]) -> None:
    ours, theirs = sessions
    kind = some("kind")
    table = some("typed")
    await theirs.ddl(f"CREATE TYPE {kind} (p int, q text)")
    await theirs.ddl(f"CREATE TABLE {table} (k int PRIMARY KEY, a frozen<{kind}>, b list<frozen<{kind}>>)")
    insert = await ours.prepare(f"INSERT INTO {table} (k, a, b) VALUES (?, ?, ?)")
    select = await ours.prepare(f"SELECT a, b FROM {table} WHERE k = ?")
    await ours.execute(insert, (1, (1, "x"), [(2, "y")]))
    assert insert.user_types == {kind: (("p", "int"), ("q", "text"))}
    await changed(ours, theirs, f"ALTER TYPE {kind} ADD r int", f"ALTER TYPE {kind} RENAME p TO pp")
    await ours.execute(insert, (2, (1, "x", 3), []))
    assert insert.user_types == {kind: (("pp", "int"), ("q", "text"), ("r", "int"))}
    found = [(await ours.execute(select, (k,))).rows[0][0]._asdict() for k in (1, 2)]
    assert found == [{"pp": 1, "q": "x", "r": None}, {"pp": 1, "q": "x", "r": 3}]


async def test_when_word_may_have_been_missed_every_statement_is_prepared_again(
    sessions: tuple[Session, Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = sessions
    select = await ours.prepare("SELECT key FROM system.local WHERE key = ?")
    control, loop = ours._wire._cluster.control_connection, asyncio.get_running_loop()
    await loop.run_in_executor(None, control._reconnect)
    select.stale = False
    # Nothing has changed while the connection was replaced.
    await loop.run_in_executor(None, control._reconnect)
    assert not select.stale
    with monkeypatch.context() as deaf:
        deaf.setattr(control, "_handle_schema_change", lambda event: None)
        await theirs.ddl(f"CREATE TABLE {some('missed')} (k int PRIMARY KEY)")
        await loop.run_in_executor(None, control._reconnect)
    assert select.stale
    assert (await ours.execute(select, ("local",))).rows == [("local",)]
    assert not select.stale
