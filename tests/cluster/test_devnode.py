"""One node: its life, what is left of it, and whether it keeps its promises on speed and size."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from cassorm import connect
from cassorm.devnode import DevNode, cluster, ports
from cassorm.devnode.processes import identify
from cassorm.errors import CassormError, DevNodeError
from tests.cluster.watching import Heartbeat

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def node() -> AsyncIterator[DevNode]:
    async with DevNode() as node:
        yield node


async def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.02)
    pytest.fail("not within ten seconds")


async def test_it_answers_cql_and_stays_small(node: DevNode) -> None:
    async with connect(node.hosts) as db:
        assert db.release == "5.0.9"
    assert node.hosts == [f"127.0.0.1:{node.port}"]
    assert node.nodes[0].resident_bytes < 500_000_000


async def test_views_indexes_and_vectors_can_be_declared(node: DevNode) -> None:
    async with connect(node.hosts) as db:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 1}}"
        await db.ddl(f"CREATE KEYSPACE features WITH replication = {replication}")
        await db.ddl("CREATE TABLE features.t (id int PRIMARY KEY, name text, place vector<float, 3>)")
        await db.ddl("CREATE INDEX ON features.t (name) USING 'sai'")
        await db.ddl("CREATE INDEX ON features.t (place) USING 'sai'")
        await db.ddl(
            "CREATE MATERIALIZED VIEW features.by_name AS SELECT * FROM features.t "
            "WHERE name IS NOT NULL AND id IS NOT NULL PRIMARY KEY (name, id)"
        )
        await db.execute("INSERT INTO features.t (id, name, place) VALUES (1, 'a', [1, 2, 3])")
        found = await db.execute("SELECT id FROM features.t WHERE name = 'a'")
        nearest = await db.execute("SELECT id FROM features.t ORDER BY place ANN OF [1, 2, 2] LIMIT 1")
    assert (found.rows, nearest.rows) == ([(1,)], [(1,)])


async def test_a_paused_node_keeps_its_connections_and_answers_once_resumed(node: DevNode) -> None:
    async with connect(node.hosts) as db:
        await node.pause()
        assert node.state == "paused"
        with pytest.raises(CassormError):
            await db.execute("SELECT key FROM system.local", timeout=timedelta(seconds=0.3))
        await node.resume()
        assert node.state == "running"
        assert len(await db.execute("SELECT key FROM system.local")) == 1


async def test_clusters_run_side_by_side_and_one_that_ends_leaves_nothing(node: DevNode) -> None:
    async with Heartbeat() as heart, DevNode(profile="durable") as other:
        assert {other.port, other.nodes[0].storage_port}.isdisjoint({node.port, node.nodes[0].storage_port})
        folder, pid = other.log_path.parent.parent, other.pid
        async with connect(other.hosts) as db, connect(node.hosts) as first:
            settings = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'"
            assert (await db.execute(settings)).rows == [("batch",)]
            assert (await first.execute(settings)).rows == [("periodic",)]
        await write_and_kill(other)
    assert pid is not None
    assert identify(pid) is None
    assert not folder.exists()
    assert max(heart.blocked_s) < 0.5  # the loop went on through all of it


async def write_and_kill(node: DevNode) -> None:
    """A durable node that is killed comes back with all that it acknowledged.

    The others may lose the last tenth of a second: Cassandra replays a periodic commit log up to its last marker.
    """
    async with connect(node.hosts) as db:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 1}}"
        await db.ddl(f"CREATE KEYSPACE crash WITH replication = {replication}")
        await db.ddl("CREATE TABLE crash.t (id int PRIMARY KEY)")
        insert = await db.prepare("INSERT INTO crash.t (id) VALUES (?)")
        await asyncio.gather(*(db.execute(insert, (number,)) for number in range(500)))
        await node.kill()
    assert node.state == "stopped"
    await node.start()
    async with connect(node.hosts) as db:
        assert len([row async for row in db.stream("SELECT id FROM crash.t")]) == 500


async def test_a_setting_that_cassandra_refuses_is_told_with_the_end_of_its_log_and_leaves_nothing() -> None:
    node = DevNode(settings={"no_such_setting": 1})
    with pytest.raises(DevNodeError, match="no_such_setting") as caught:
        await node.start()
    assert "ended with exit code" in caught.value.problem
    with pytest.raises(DevNodeError, match="not started"):
        node.log_path  # noqa: B018 - the property raises


PARENT = """
import asyncio
from cassorm.devnode import DevNode
async def main():
    async with DevNode() as node:
        print(node.pid, node.log_path.parent.parent, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


def start_and_kill_parent() -> tuple[int, Path]:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, folder = parent.stdout.readline().split()
        assert identify(int(pid))
        parent.kill()
    return int(pid), Path(folder)


async def test_a_program_that_is_killed_leaves_no_java_and_no_folder() -> None:
    pid, folder = await asyncio.to_thread(start_and_kill_parent)
    await until(lambda: identify(pid) is None)
    await until(lambda: not folder.exists())


async def test_a_port_that_is_taken_at_the_last_moment_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stolen = socket.socket()

    def reserve_and_lose(hosts: tuple[str, ...], avoid: set[int]) -> ports.Reservation:
        reservation = ports.reserve(hosts, avoid)
        if stolen.getsockname()[1] == 0:
            stolen.bind((hosts[0], reservation.storage))
            stolen.listen()
        return reservation

    monkeypatch.setattr(cluster, "reserve", reserve_and_lose)
    with closing(stolen):
        async with DevNode() as node:
            assert node.nodes[0].storage_port != stolen.getsockname()[1]
