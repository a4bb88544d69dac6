"""Three nodes: they form a ring, a majority goes on, and the lost one comes back."""

import asyncio
import struct
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from cassorm import Consistency, Session, connect
from cassorm.devnode import DevCluster, Node, missing_for_isolation
from cassorm.errors import CassormError

pytestmark = pytest.mark.cluster

ROWS = 20
PATIENCE = timedelta(seconds=3)


@pytest_asyncio.fixture(scope="module")
async def cluster() -> AsyncIterator[DevCluster]:
    soon = {"write_request_timeout": "2000ms", "cas_contention_timeout": "2000ms"}
    async with DevCluster(nodes=3, settings=soon) as cluster:
        yield cluster


@pytest_asyncio.fixture(scope="module")
async def table(cluster: DevCluster) -> str:
    async with connect(cluster.hosts) as db:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 3}}"
        await db.ddl(f"CREATE KEYSPACE ring WITH replication = {replication}")
        await db.ddl("CREATE TABLE ring.t (id int PRIMARY KEY, v int)")
    return "ring.t"


async def write(db: Session, table: str, value: int, consistency: Consistency = Consistency.QUORUM) -> None:
    insert = await db.prepare(f"INSERT INTO {table} (id, v) VALUES (?, ?)")
    for number in range(ROWS):
        await db.execute(insert, (number, value), consistency=consistency, timeout=PATIENCE, idempotent=True)


async def until_all_answer(db: Session, table: str) -> None:
    """Every replica counts again."""
    for _ in range(60):
        try:
            await write(db, table, 0, Consistency.ALL)
        except CassormError:
            await asyncio.sleep(0.25)
        else:
            return
    pytest.fail("the cluster is not whole again")


async def test_three_nodes_form_one_ring_with_a_token_each(cluster: DevCluster, table: str) -> None:
    tokens = set()
    async with connect(cluster.hosts) as db:
        await write(db, table, 1, Consistency.ALL)
        for _ in range(6):  # each time another node answers, which leaves itself out
            peers = (await db.execute("SELECT peer_port, tokens FROM system.peers_v2")).rows
            assert [port for port, _ in peers] == [cluster.nodes[0].storage_port] * 2
            tokens |= {token for _, owned in peers for token in owned}
    assert len(tokens) == 3
    assert [node.resident_bytes < 500_000_000 for node in cluster.nodes] == [True] * 3


async def test_a_majority_goes_on_while_a_node_is_dead_and_the_first_one_is_no_exception(
    cluster: DevCluster, table: str
) -> None:
    lost = cluster.nodes[0]
    await lost.kill()
    async with connect([host for node in cluster.nodes[1:] for host in node.hosts]) as db:
        await write(db, table, 2)
        # The others found the ring through the one that is down; a node that starts now knows it from before.
        await cluster.nodes[2].kill()
        await cluster.nodes[2].start()
        await lost.start()
        await until_all_answer(db, table)


async def ask(node: Node, query: str, level: int) -> tuple[int, bytes]:
    """The opcode and body of one node's own answer: a driver would ask another node instead."""
    reader, writer = await asyncio.open_connection(node.address, node.port)
    answer = 0, b""
    startup = struct.pack(">H", 1) + b"".join(struct.pack(">H", len(s)) + s for s in (b"CQL_VERSION", b"3.0.0"))
    text = query.encode()
    body = struct.pack(">I", len(text)) + text + struct.pack(">HB", level, 0)
    for opcode, content in ((1, startup), (7, body)):
        writer.write(struct.pack(">BBhBI", 4, 0, 0, opcode, len(content)) + content)
        *_, replied, length = struct.unpack(">BBhBI", await reader.readexactly(9))
        answer = replied, await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.skipif(missing_for_isolation() is not None, reason=missing_for_isolation() or "")
async def test_an_isolated_node_has_no_quorum_the_majority_has_and_healing_joins_them(
    cluster: DevCluster, table: str
) -> None:
    first, alone, third = cluster.nodes
    one, quorum, error, write_timeout, unavailable = 1, 4, 0, 0x1100, 0x1000
    await alone.isolate()
    try:
        lost = await ask(alone, f"INSERT INTO {table} (id, v) VALUES (7, 99) IF NOT EXISTS", quorum)
        assert lost[0] == error
        assert struct.unpack(">I", lost[1][:4])[0] in (write_timeout, unavailable)
        for node in (first, third):
            assert (await ask(node, f"INSERT INTO {table} (id, v) VALUES (7, 3)", quorum))[0] != error
        # What one side wrote is not on the other, in both directions.
        select = f"SELECT v FROM {table} WHERE id = 7"
        values = [(await ask(node, select, one))[1][-4:] for node in cluster.nodes]
        assert [values[0], values[2]] == [struct.pack(">i", 3)] * 2
        assert values[1] != values[0]
    finally:
        await alone.heal()
    async with connect(cluster.hosts) as db:
        await until_all_answer(db, table)
