"""The fixtures of the pytest plugin, in projects with different settings of pytest-asyncio."""

import re
import socket

import pytest

from cassorm import Session

pytestmark = pytest.mark.cluster

STRICT = ("strict", "function", "@pytest.mark.asyncio")
AUTO = ("auto", "session", "")

TESTS = """
    import pytest
    from uuid import uuid4
    from cassorm import Event

    class Happened(Event, name="PluginHappened"):
        pass

    {mark}
    async def test_a_store(event_store, cassorm_keyspace, cassorm_session):
        assert (await event_store.append(uuid4(), [Happened()])).version == 1
        assert event_store.keyspace == cassorm_keyspace
        print("keyspace", cassorm_keyspace)

    {mark}
    async def test_another(event_store, cassorm_keyspace, cassorm_session):
        assert (await event_store.append(uuid4(), [Happened()])).version == 1
        print("keyspace", cassorm_keyspace)
"""


@pytest.mark.parametrize("settings", [STRICT, AUTO], ids=["strict, a loop for each test", "auto, one loop"])
async def test_each_test_gets_a_keyspace_of_its_own_that_is_gone_afterwards(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, str, str],
    cassandra_hosts: list[str],
    cassorm_session: Session,
) -> None:
    mode, scope, mark = settings
    monkeypatch.setenv("CASSORM_HOSTS", ",".join(cassandra_hosts))
    pytester.makeini(
        f"[pytest]\nfilterwarnings = error\nasyncio_mode = {mode}\n"
        f"asyncio_default_fixture_loop_scope = function\nasyncio_default_test_loop_scope = {scope}\n"
    )
    pytester.makepyfile(TESTS.format(mark=mark))
    ran = pytester.runpytest_subprocess("-s")
    ran.assert_outcomes(passed=2)
    keyspaces = re.findall(r"keyspace (cassorm_test_\w+)", ran.stdout.str())
    assert len(set(keyspaces)) == 2
    there = {name for (name,) in await cassorm_session.execute("SELECT keyspace_name FROM system_schema.keyspaces")}
    assert not there & set(keyspaces)


def test_without_named_hosts_a_node_is_started_and_gone_afterwards(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CASSORM_HOSTS", raising=False)
    pytester.makeini("[pytest]\nfilterwarnings = error\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile("""
        import socket
        import threading

        def test_it(cassandra_hosts):
            host, _, port = cassandra_hosts[0].rpartition(":")
            socket.create_connection((host, int(port))).close()
            print("node", host, port)

        def test_one_node_serves_the_whole_run(cassandra_hosts):
            assert [thread.name for thread in threading.enumerate()].count("cassorm-node") == 1
            print("node", *cassandra_hosts[0].split(":"))
    """)
    ran = pytester.runpytest_subprocess("-s")
    ran.assert_outcomes(passed=2)
    (address,) = set(re.findall(r"node (\S+) (\d+)", ran.stdout.str()))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address[0], int(address[1]))).close()
