"""The doctor on real nodes, and at the start of an event store."""

import asyncio
import json
import logging
import sys

import pytest

from cassorm import Session, connect
from cassorm.devnode import DevNode
from cassorm.events.examination import examine, log_findings
from cassorm.events.health import Level

pytestmark = pytest.mark.cluster


async def cassorm(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cassorm", *arguments, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_a_node_that_syncs_its_commit_log_now_and_then_is_reported(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    found = {finding.check: finding for finding in await examine(cassorm_session, cassorm_keyspace)}
    assert found["commitlog_sync"].level is Level.WARNING
    assert found["paxos_variant"].level is Level.OK
    assert found["versions"].what == f"1 node, version {cassorm_session.release}"
    assert found["replication"].where == f"keyspace {cassorm_keyspace}, datacenter1"
    assert found["replication"].what.startswith("1 copy on 1 node")
    assert found["clocks"].level is Level.OK
    assert {"timeouts", "materialized_views"} <= found.keys()


async def test_a_node_that_syncs_each_write_is_not() -> None:
    async with DevNode(profile="durable") as node, connect(node.hosts) as session:
        found = [finding for finding in await examine(session) if finding.check == "commitlog_sync"]
        assert [finding.level for finding in found] == [Level.OK]


async def test_simple_replication_of_a_live_keyspace_is_reported(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    await cassorm_session.ddl(
        f"ALTER KEYSPACE {cassorm_keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}} "
        "AND durable_writes = false"
    )
    found = [finding for finding in await examine(cassorm_session, cassorm_keyspace) if "keyspace" in finding.where]
    assert [(finding.level, finding.check) for finding in found] == [
        (Level.ERROR, "durable_writes"),
        (Level.WARNING, "replication"),
        (Level.ERROR, "replication"),
    ]


async def test_a_keyspace_that_does_not_exist_is_an_error(cassorm_session: Session) -> None:
    found = [finding for finding in await examine(cassorm_session, "nowhere") if "nowhere" in finding.where]
    assert [finding.level for finding in found] == [Level.ERROR]


async def test_the_command_says_it_in_its_exit_code_and_as_json(
    cassandra_hosts: list[str], cassorm_keyspace: str
) -> None:
    code, out, _ = await cassorm(
        "doctor", "--hosts", ",".join(cassandra_hosts), "--keyspace", cassorm_keyspace, "--json"
    )
    found = {finding["check"]: finding for finding in json.loads(out)}
    assert code == 1
    assert found["commitlog_sync"]["level"] == "warning"
    assert found["commitlog_sync"]["remedy"]
    assert set(found["commitlog_sync"]) == {"level", "check", "where", "what", "remedy"}


async def test_a_cluster_that_is_not_there_is_exit_code_3() -> None:
    code, out, err = await cassorm("doctor", "--hosts", "127.0.0.1:1")
    assert (code, out) == (3, "")
    assert "127.0.0.1:1" in err


async def test_a_store_is_warned_in_the_log_and_of_one_node_not_about_its_copies(
    cassandra_hosts: list[str], cassorm_keyspace: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A session of its own: what was said once in a session is not said again.
    async with connect(cassandra_hosts) as db:
        with caplog.at_level(logging.WARNING, "cassorm.events"):
            await log_findings(db, cassorm_keyspace)
    assert {record.name for record in caplog.records} == {"cassorm.events"}
    assert any("commitlog_sync is periodic" in record.message for record in caplog.records)
    assert not any("keyspace" in record.message for record in caplog.records)
