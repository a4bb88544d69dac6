"""Statements as they are sent: counted for tests, traced by the server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.driver.session import Session
from cassorm.errors import ClusterError, QueryError
from cassorm.testing import assert_queries

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def table(cassorm_session: Session) -> AsyncIterator[str]:
    keyspace = f"observing_{uuid4().hex[:8]}"
    await cassorm_session.ddl(
        f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    await cassorm_session.ddl(f"CREATE TABLE {keyspace}.t (id int, n int, PRIMARY KEY (id, n))")
    yield f"{keyspace}.t"
    await cassorm_session.ddl(f"DROP KEYSPACE {keyspace}")


async def test_statements_are_counted_also_those_of_tasks_and_a_batch_is_one(
    cassorm_session: Session, table: str
) -> None:
    insert = await cassorm_session.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?)")
    with assert_queries(5) as log:
        await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", (1,))
        await asyncio.gather(*(cassorm_session.execute(insert, (1, n)) for n in range(3)))
        await cassorm_session.execute_batch([(insert, (2, 1)), (insert, (2, 2))], kind="unlogged")
    assert [each.params for each in log.statements] == [(1,), (1, 0), (1, 1), (1, 2), (2, 1, 2, 2)]
    assert log.statements[-1].text.splitlines() == [
        "BEGIN UNLOGGED BATCH",
        f"  {insert.text};",
        f"  {insert.text};",
        "APPLY BATCH",
    ]


async def test_another_number_fails_and_shows_the_statements(cassorm_session: Session, table: str) -> None:
    async def send() -> None:
        await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", (7,))

    with (
        pytest.raises(AssertionError, match=rf"(?s)2 statements were to be sent, 1 were.*SELECT n FROM {table}.*\[7\]"),
        assert_queries(2),
    ):
        await send()
    with pytest.raises(AssertionError, match="at most 0"), assert_queries(max=0):
        await send()
    with assert_queries(max=2):
        await send()


async def test_what_was_not_sent_and_what_others_send_is_not_counted(cassorm_session: Session, table: str) -> None:
    inside = asyncio.Event()

    async def other() -> None:
        await inside.wait()
        await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", (1,))

    outsider = asyncio.create_task(other())
    with assert_queries(1) as outer, assert_queries(1):
        await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", (1,))
        with pytest.raises(QueryError):
            await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", ("x",))
        inside.set()
        await outsider
    assert len(outer) == 1


async def test_an_error_inside_is_not_covered_up(cassorm_session: Session) -> None:
    with pytest.raises(ClusterError), assert_queries(5):
        await cassorm_session.execute("SELECT nothing FROM nowhere.at_all")


async def test_further_pages_are_statements_of_their_own(cassorm_session: Session, table: str) -> None:
    insert = await cassorm_session.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?)")
    await asyncio.gather(*(cassorm_session.execute(insert, (3, n)) for n in range(5)))
    with assert_queries(3) as log:
        select = f"SELECT n FROM {table} WHERE id = ?"
        assert [row async for row in cassorm_session.stream(select, (3,), page_size=2)] == [(n,) for n in range(5)]
    assert [each.following for each in log.statements] == [False, True, True]


async def test_the_server_tells_what_it_did(cassorm_session: Session, table: str) -> None:
    select = f"SELECT n FROM {table} WHERE id = ?"
    with assert_queries(2):
        async with cassorm_session.tracing() as traces:
            await cassorm_session.execute(select, (1,))
            await cassorm_session.execute(f"INSERT INTO {table} (id, n) VALUES (?, ?)", (1, 1))
            assert traces == []
    read, write = traces
    assert read.text == select
    assert read.coordinator == "127.0.0.1"
    assert timedelta(0) < read.duration < timedelta(seconds=5)
    assert read.request == "Execute CQL3 prepared query"
    assert any("rows" in event.activity or "memtable" in event.activity for event in read.events)
    assert [event.elapsed for event in read.events] == sorted(event.elapsed for event in read.events)
    assert "INSERT" in str(write)
    assert "ms  127.0.0.1" in str(write)


async def test_only_statements_on_the_named_tables_are_traced_and_none_after_the_block(
    cassorm_session: Session, table: str
) -> None:
    async with cassorm_session.tracing("t") as traces:
        await cassorm_session.execute("SELECT key FROM system.local")
        await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = 1")
    await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = 2")
    assert [trace.text for trace in traces] == [f"SELECT n FROM {table} WHERE id = 1"]
