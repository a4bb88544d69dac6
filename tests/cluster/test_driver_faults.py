"""Lost answers and lost connections, by a proxy before the node."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError, UnavailableError
from tests.cluster.proxy import Fate, Proxy
from tests.cluster.watching import until_it_works

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture
async def table(cassorm_session: Session, cassorm_keyspace: str) -> AsyncIterator[str]:
    name = f"{cassorm_keyspace}.notes"
    await cassorm_session.ddl(f"CREATE TABLE {name} (id int PRIMARY KEY, note text)")
    yield name


@pytest.mark.parametrize("fate", ["swallow", "cut"])
@pytest.mark.parametrize("shape", ["prepared", "text", "batch"])
async def test_an_lwt_without_an_answer_is_unknown_and_was_sent_once(
    cassorm_session: Session, cassandra_hosts: list[str], table: str, fate: Fate, shape: str
) -> None:
    marker = uuid4().hex
    timeout = timedelta(seconds=1)
    async with Proxy(cassandra_hosts[0]) as proxy, connect(proxy.hosts) as db:
        insert = await db.prepare(f"INSERT INTO {table} (id, note) VALUES (?, ?) IF NOT EXISTS")
        proxy.marker, proxy.fate = marker.encode(), fate
        text = f"INSERT INTO {table} (id, note) VALUES (1, '{marker}') IF NOT EXISTS"
        shapes = {
            "prepared": lambda: db.execute(insert, (1, marker), timeout=timeout),
            "text": lambda: db.execute(text, timeout=timeout),
            "batch": lambda: db.execute_batch([(insert, (1, marker))], timeout=timeout),
        }
        with pytest.raises(OutcomeUnknownError, match="it may have taken effect") as raised:
            await shapes[shape]()
        assert raised.value.__cause__ is not None
        await asyncio.sleep(0.3)
        assert proxy.seen == 1
    # It did take effect: to send it again blindly would have reported a conflict with itself.
    assert (await cassorm_session.execute(f"SELECT note FROM {table} WHERE id = 1")).rows == [(marker,)]


async def test_a_plain_statement_without_an_answer_may_be_called_again(cassandra_hosts: list[str], table: str) -> None:
    marker = uuid4().hex
    async with Proxy(cassandra_hosts[0]) as proxy, connect(proxy.hosts) as db:
        insert = await db.prepare(f"INSERT INTO {table} (id, note) VALUES (?, ?)")
        proxy.marker, proxy.fate = marker.encode(), "swallow"
        with pytest.raises(UnavailableError, match=r"no answer within 0\.2 s"):
            await db.execute(insert, (1, marker), timeout=timedelta(seconds=0.2))
        assert proxy.seen == 1
        proxy.fate = "pass"
        await db.execute(insert, (1, marker))
        assert proxy.seen == 2


async def test_a_lost_connection_is_replaced(cassandra_hosts: list[str], table: str) -> None:
    marker = uuid4().hex
    async with Proxy(cassandra_hosts[0]) as proxy, connect(proxy.hosts) as db:
        proxy.marker, proxy.fate = marker.encode(), "cut"
        with pytest.raises(UnavailableError):
            await db.execute(f"INSERT INTO {table} (id, note) VALUES (1, '{marker}')")
        proxy.fate = "pass"
        assert await until_it_works(db, within_s=10) < 10


async def test_closing_ends_an_unanswered_lwt_as_unknown(cassandra_hosts: list[str], table: str) -> None:
    marker = uuid4().hex
    async with Proxy(cassandra_hosts[0]) as proxy:
        db = await connect(proxy.hosts, max_in_flight=2)
        insert = await db.prepare(f"INSERT INTO {table} (id, note) VALUES (?, ?) IF NOT EXISTS")
        proxy.marker, proxy.fate = marker.encode(), "swallow"
        tasks = [asyncio.create_task(db.execute(insert, (n, marker))) for n in range(3)]
        await asyncio.sleep(0.2)
        await db.close(grace=timedelta(seconds=0.1))
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    # Two had been sent, the third still waited for its turn.
    assert [type(outcome) for outcome in outcomes] == [OutcomeUnknownError, OutcomeUnknownError, UnavailableError]
