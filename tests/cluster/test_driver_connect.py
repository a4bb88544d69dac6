"""Connecting: what is told when it does not work, and what is left behind when it is given up."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from cassorm.devnode import DevNode
from cassorm.driver.connect import connect
from cassorm.driver.session import Session
from cassorm.errors import ConfigurationError, UnavailableError
from tests.cluster.proxy import Proxy
from tests.cluster.watching import Heartbeat

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture(scope="module")
async def guarded() -> AsyncIterator[DevNode]:
    async with DevNode(auth=True, tls=True) as node:
        yield node


def login(node: DevNode, **changes: Any) -> dict[str, Any]:
    return {
        "hosts": node.hosts,
        "user": "cassandra",
        "password": "cassandra",
        "tls": True,
        "tls_ca": str(node.tls_ca),
    } | changes


async def test_a_user_comes_in_over_tls(guarded: DevNode) -> None:
    async with connect(**login(guarded)) as db:
        assert (await db.execute("LIST ROLES")).dicts()[0]["role"] == "cassandra"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"password": "s3cret-but-wrong"}, "user 'cassandra' is not accepted"),
        ({"user": None, "password": None}, "the cluster asks for a user"),
        ({"tls_ca": None}, "the certificate is not trusted"),
    ],
)
async def test_who_is_not_let_in_learns_why(
    guarded: DevNode, changes: dict[str, Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        await connect(**login(guarded, **changes))
    assert raised.value.remedy is not None
    assert "s3cret" not in str(raised.value)
    assert [record for record in caplog.records if record.exc_info] == []


async def test_a_keyspace_that_does_not_exist_is_told_with_those_that_do(
    cassandra_hosts: list[str], cassorm_keyspace: str
) -> None:
    with pytest.raises(ConfigurationError, match="keyspace 'nowhere' does not exist") as raised:
        await connect(cassandra_hosts, keyspace="nowhere")
    assert cassorm_keyspace in str(raised.value)


async def test_a_data_centre_that_does_not_exist_is_told_with_those_that_do(
    cassandra_hosts: list[str], cassorm_session: Session
) -> None:
    with pytest.raises(ConfigurationError, match="no data centre 'mars'") as raised:
        await connect(cassandra_hosts, datacenter="mars")
    assert cassorm_session.datacenter in str(raised.value)


async def test_hosts_that_refuse_are_all_named() -> None:
    with pytest.raises(UnavailableError, match=r"tried 127\.0\.0\.1:1, 127\.0\.0\.2:1 .*refused"):
        await connect(["127.0.0.1:1", "127.0.0.2:1"])


async def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no host of nowhere\.invalid has an address"):
        await connect("nowhere.invalid")


async def test_one_good_host_among_bad_ones_is_enough(cassandra_hosts: list[str]) -> None:
    port = cassandra_hosts[0].rpartition(":")[2]
    async with connect([f"127.0.0.99:{port}", *cassandra_hosts]) as db:
        assert (await db.execute("SELECT key FROM system.local")).rows == [("local",)]


async def test_a_host_that_takes_the_call_and_says_nothing_is_given_up_without_holding_up_the_loop() -> None:
    begun = asyncio.get_running_loop().time()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with Heartbeat() as heart:
            with pytest.raises(UnavailableError, match=f"tried 127.0.0.1:{port}"):
                await connect(f"127.0.0.1:{port}", connect_timeout=timedelta(seconds=1.2))
    assert 1 < asyncio.get_running_loop().time() - begun < 8
    assert max(heart.blocked_s) < 0.8


async def test_preparing_on_a_slow_node_does_not_hold_up_the_loop(cassandra_hosts: list[str]) -> None:
    async with Proxy(cassandra_hosts[0]) as proxy, connect(proxy.hosts) as db:
        proxy.hold_s = 1.0
        begun = asyncio.get_running_loop().time()
        async with Heartbeat() as heart:
            await db.prepare("SELECT key, release_version FROM system.local WHERE key = ?")
        assert asyncio.get_running_loop().time() - begun > 0.95
        assert max(heart.blocked_s) < 0.7
        proxy.hold_s = 0.0


async def test_a_connect_that_is_cancelled_leaves_no_connection(cassandra_hosts: list[str]) -> None:
    def of_the_driver() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("cassorm-driver")}

    before = of_the_driver()
    async with Proxy(cassandra_hosts[0]) as proxy:
        proxy.hold_s = 0.05
        opening = asyncio.create_task(connect(proxy.hosts)._open())
        await asyncio.sleep(0.12)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        proxy.hold_s = 0.0
        for _ in range(100):
            await asyncio.sleep(0.05)
            if of_the_driver() <= before and not proxy.connections:
                break
        assert of_the_driver() <= before
        assert proxy.connections == 0


async def test_settings_reach_the_session(cassandra_hosts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASSORM_HOSTS", ",".join(cassandra_hosts))
    monkeypatch.setenv("CASSORM_MAX_IN_FLIGHT", "7")
    async with connect(request_timeout=timedelta(seconds=3)) as db:
        assert (db.settings.max_in_flight, db.settings.request_timeout) == (7, timedelta(seconds=3))
        found = await asyncio.gather(*(db.execute("SELECT key FROM system.local") for _ in range(50)))
        assert all(result.rows == [("local",)] for result in found)
    db = await connect()
    await db.close()


@pytest.mark.parametrize("version", [4, 5])
async def test_every_protocol_version_that_can_be_set_works(cassandra_hosts: list[str], version: int) -> None:
    async with connect(cassandra_hosts, protocol_version=version) as db:
        select = await db.prepare("SELECT key FROM system.local WHERE key = ?", raw=("key",))
        assert (await db.execute(select, ("local",))).rows == [(b"local",)]
        assert (await db.execute("SELECT key FROM system.local")).rows == [("local",)]
