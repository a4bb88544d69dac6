"""A node that dies, hangs and comes back, under a session that stays."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from cassorm.devnode import DevNode
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import CassormError, OutcomeUnknownError, UnavailableError
from tests.cluster.watching import Heartbeat, until_it_works

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def node() -> AsyncIterator[DevNode]:
    async with DevNode() as node:
        yield node


@pytest_asyncio.fixture(scope="module")
async def db(node: DevNode) -> AsyncIterator[Session]:
    async with connect(node.hosts) as db:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 1}}"
        await db.ddl(f"CREATE KEYSPACE ks WITH replication = {replication}")
        await db.ddl("CREATE TABLE ks.t (id int PRIMARY KEY, note text)")
        yield db


async def test_a_node_that_was_killed_is_used_again_when_it_is_back(node: DevNode, db: Session) -> None:
    insert = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?)")
    lwt = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?) IF NOT EXISTS")
    select = await db.prepare("SELECT note FROM ks.t WHERE id = ?", raw=("note",))
    await db.execute(insert, (1, "before"))
    assert (await db.execute(select, (1,))).rows == [(b"before",)]

    async def storm(number: int) -> type[BaseException] | None:
        statement = lwt if number % 2 else insert
        try:
            await db.execute(statement, (number, "storm"), timeout=timedelta(seconds=2))
        except CassormError as error:
            return type(error)
        return None

    tasks = [asyncio.create_task(storm(number)) for number in range(1000, 4000)]
    await asyncio.sleep(0.2)
    await node.kill()
    outcomes = set(await asyncio.gather(*tasks))
    assert outcomes <= {None, OutcomeUnknownError, UnavailableError}
    async with Heartbeat() as heart:
        with pytest.raises(UnavailableError):
            await db.execute(insert, (2, "while it is down"), timeout=timedelta(seconds=1))
        # Whatever is certain not to have been sent is so for an LWT as well.
        with pytest.raises(UnavailableError, match="no node could take the statement"):
            await db.execute(lwt, (3, "while it is down"), timeout=timedelta(seconds=1))
    assert max(heart.blocked_s) < 1
    await node.start()
    await until_it_works(db, within_s=10)
    # The node has forgotten the prepared statements; theirs is none of the caller's business.
    await db.execute(insert, (4, "after"))
    assert (await db.execute(lwt, (5, "after"))).applied is True
    assert (await db.execute(select, (4,))).rows == [(b"after",)]
    await db.execute_batch([(insert, (6, "a")), (lwt, (6, "b"))])


async def test_a_node_that_hangs_neither_blocks_the_loop_nor_uses_up_the_connection(node: DevNode, db: Session) -> None:
    lwt = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?) IF NOT EXISTS")
    await node.pause()
    try:
        async with Heartbeat() as heart:
            outcomes = await asyncio.gather(
                *(db.execute(lwt, (n, "hung"), timeout=timedelta(seconds=0.2)) for n in range(10_000, 13_000)),
                return_exceptions=True,
            )
        assert {type(outcome) for outcome in outcomes} == {OutcomeUnknownError}
        assert max(heart.blocked_s) < 1
    finally:
        await node.resume()
    await until_it_works(db, within_s=20)
    assert (await db.execute("SELECT count(*) FROM ks.t WHERE id IN (10000, 12999)")).one() in [(0,), (1,), (2,)]
