"""`cassorm node` as a user types it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cassorm import connect
from cassorm.devnode import DevNode
from cassorm.devnode.processes import identify
from cassorm.errors import DevNodeError

pytestmark = pytest.mark.cluster

NAME = f"cassorm-cli-{os.getpid()}"
# The command tells which hosts it got and whether somebody listens there.
LOOK = """
import os, socket, sys
host, port = os.environ["CASSORM_HOSTS"].split(":")
socket.create_connection((host, int(port))).close()
print(host, port, sys.argv[1:])
sys.exit(7)
"""


def cassorm(*arguments: str, code: int = 0, folder: Path | None = None) -> str:
    environment = os.environ | ({"TMPDIR": str(folder)} if folder else {})
    command = [sys.executable, "-m", "cassorm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_run_gives_a_command_its_hosts_and_keeps_its_exit_code_and_nothing_else(tmp_path: Path) -> None:
    told = cassorm("node", "run", "--", sys.executable, "-c", LOOK, "--nodes", "x", code=7, folder=tmp_path)
    assert told.startswith("127.0.0.1 ")
    assert told.endswith("['--nodes', 'x']\n")
    assert list(tmp_path.iterdir()) == []


def test_run_passes_signals_on_and_tears_down(tmp_path: Path) -> None:
    waiting = """
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: print("int", flush=True))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print("up", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-m", "cassorm", "node", "run", "--", sys.executable, "-c", waiting]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as process:
        assert process.stdout is not None
        for line, number in ((b"up\n", signal.SIGINT), (b"int\n", signal.SIGTERM)):
            assert process.stdout.readline() == line
            process.send_signal(number)
        assert process.wait(20) == 9
    assert list(tmp_path.iterdir()) == []


def test_run_that_is_interrupted_before_its_node_is_ready_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cassorm", "node", "run", "--", "true"]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}) as process:
        deadline = time.monotonic() + 20
        while not list(tmp_path.glob("cassorm-*/node1/cassandra.log")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


async def write_in_a_program() -> list[str]:
    async with DevNode(name=NAME, profile="durable") as node, connect(node.hosts) as db:
        replication = f"{{'class': 'NetworkTopologyStrategy', '{db.datacenter}': 1}}"
        await db.ddl(f"CREATE KEYSPACE kept WITH replication = {replication}")
        await db.ddl("CREATE TABLE kept.t (id int PRIMARY KEY)")
        await db.execute("INSERT INTO kept.t (id) VALUES (1)")
        return node.hosts


async def read(hosts: list[str]) -> list[tuple[int]]:
    async with connect(hosts) as db:
        return (await db.execute("SELECT id FROM kept.t")).rows


def test_a_named_node_keeps_its_data_and_address_until_it_is_removed() -> None:
    try:
        hosts = asyncio.run(write_in_a_program())
        started = json.loads(cassorm("node", "start", "--name", NAME, "--json"))
        assert (started["state"], started["profile"], started["hosts"]) == ("running", "durable", hosts)
        assert asyncio.run(read(hosts)) == [(1,)]
        assert cassorm("node", "start", "--name", NAME) == f"CASSORM_HOSTS={hosts[0]}\n"
        status = json.loads(cassorm("node", "status", "--name", NAME, "--json"))["nodes"][0]
        assert status["pid"] == started["nodes"][0]["pid"]
        assert status["resident_bytes"] < 500_000_000
        assert "Startup complete" in cassorm("node", "logs", "--name", NAME)
        with pytest.raises(DevNodeError, match="runs already"):
            asyncio.run(write_in_a_program())
        assert identify(status["pid"])
        cassorm("node", "stop", "--name", NAME)
        assert identify(status["pid"]) is None
        cassorm("node", "status", "--name", NAME, code=1)
    finally:
        cassorm("node", "rm", "--name", NAME)
    assert not Path(started["folder"]).exists()
