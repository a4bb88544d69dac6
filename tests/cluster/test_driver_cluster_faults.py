"""Three nodes: what goes to another one when one is lost, and what must not."""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from cassandra.cluster import Cluster

from cassorm.devnode import DevCluster
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError
from tests.cluster.proxy import Proxy

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def cluster() -> AsyncIterator[DevCluster]:
    async with DevCluster(nodes=3) as cluster:
        yield cluster


async def prepare_table(db: Session) -> None:
    replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 3}}"
    await db.ddl(f"CREATE KEYSPACE IF NOT EXISTS ks WITH replication = {replication}")
    await db.ddl("CREATE TABLE IF NOT EXISTS ks.t (id int PRIMARY KEY, note text)")


async def test_an_lwt_whose_answer_is_lost_does_not_lose_against_itself(cluster: DevCluster) -> None:
    async with Proxy(cluster.hosts[0]) as proxy, connect(proxy.hosts) as db:
        await prepare_table(db)
        insert = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?) IF NOT EXISTS")
        select = await db.prepare("SELECT note FROM ks.t WHERE id = ?")
        marker = uuid4().hex
        proxy.marker, proxy.fate = marker.encode(), "cut"
        unknown = []
        for number in range(30):
            try:
                assert (await db.execute(insert, (number, marker))).applied is True
            except OutcomeUnknownError:
                unknown.append(number)
                break
        # The first statement that went through the proxy; those before went to the other nodes.
        assert (len(unknown), proxy.seen) == (1, 1)
        assert (await db.execute(select, (unknown[0],))).rows == [(marker,)]


async def test_with_the_drivers_own_policy_it_would(cluster: DevCluster) -> None:
    """The control: the same cut connection, the bare driver."""
    async with Proxy(cluster.hosts[0]) as proxy:
        address, _, port = proxy.hosts[0].rpartition(":")
        marker = uuid4().hex

        def insert_until_it_conflicts() -> list[Any]:
            bare = Cluster([(address, int(port))], port=cluster.port, protocol_version=4)
            try:
                session = bare.connect()
                deadline = monotonic() + 20
                while [pool["open_count"] > 0 for pool in session.get_pool_state().values()] != [True] * 3:
                    assert monotonic() < deadline, "the driver has not reached all nodes"
                    sleep(0.05)
                insert = session.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?) IF NOT EXISTS")
                proxy.marker, proxy.fate = marker.encode(), "cut"
                answers = (session.execute(insert, (number, marker)).one() for number in range(100, 200))
                return [answer for answer in answers if not answer[0]][:1]
            finally:
                bare.shutdown()

        async with connect(cluster.hosts) as db:
            await prepare_table(db)
        conflicts = await asyncio.to_thread(insert_until_it_conflicts)
        assert [row.note for row in conflicts] == [marker]


async def test_reads_go_to_another_node_when_one_is_lost(cluster: DevCluster) -> None:
    async with Proxy(cluster.hosts[0]) as proxy, connect(proxy.hosts) as db:
        await prepare_table(db)
        insert = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?)")
        marker = uuid4().hex
        select = await db.prepare(f"SELECT note, id FROM ks.t WHERE id = ? AND note = '{marker}' ALLOW FILTERING")
        await asyncio.gather(*(db.execute(insert, (number, marker)) for number in range(300, 330)))
        proxy.marker, proxy.fate = select.handle.query_id, "cut"
        for number in range(300, 330):
            assert (await db.execute(select, (number,))).rows == [(marker, number)]
        assert proxy.seen >= 1


async def test_the_others_go_on_when_a_node_dies_and_it_is_used_again(cluster: DevCluster) -> None:
    async with connect(cluster.hosts) as db:
        await prepare_table(db)
        lwt = await db.prepare("INSERT INTO ks.t (id, note) VALUES (?, ?) IF NOT EXISTS")
        await cluster.nodes[2].kill()
        await asyncio.sleep(0.5)
        for number in range(1000, 1020):
            assert (await db.execute(lwt, (number, "two of three"))).applied is True
        await cluster.nodes[2].start()
        found: set[str] = set()
        for _ in range(200):
            row = (await db.execute("SELECT rpc_address FROM system.local")).one()
            assert row is not None
            found.add(str(row[0]))
            if len(found) == 3:
                break
            await asyncio.sleep(0.05)
        assert found == {node.address for node in cluster.nodes}
