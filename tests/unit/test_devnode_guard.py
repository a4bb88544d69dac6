import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cassorm.devnode.launcher import DetachedLauncher, GuardedLauncher, Order
from cassorm.devnode.processes import Identity, identify, is_paused
from cassorm.errors import DevNodeError

SLEEP = "/bin/sleep"


def order(folder: Path, *argv: str, key: str = "node1") -> Order:
    return Order(key, argv or (SLEEP, "60"), log=folder / "log", cwd=folder)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("not within ten seconds")


async def test_a_guarded_process_runs_until_the_launcher_closes_and_the_folder_goes_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    folder.mkdir()
    launcher = GuardedLauncher(remove=folder)
    process = await launcher.launch(order(folder))
    assert process.identity.alive
    assert process.exit_status() is None
    await launcher.close()
    assert not process.identity.alive
    assert not folder.exists()


async def test_exit_codes_and_signals_are_told_apart(tmp_path: Path) -> None:
    launcher = GuardedLauncher()
    code = await launcher.launch(order(tmp_path, "/bin/sh", "-c", "exit 3", key="a"))
    killed = await launcher.launch(order(tmp_path, key="b"))
    killed.identity.signal(signal.SIGKILL)
    await until(lambda: code.exit_status() is not None and killed.exit_status() is not None)
    assert (code.exit_status(), killed.exit_status()) == (3, -9)
    await launcher.close()


async def test_what_a_process_writes_is_in_its_log_and_the_next_start_appends(tmp_path: Path) -> None:
    launcher = GuardedLauncher()
    for words in ("one", "two"):
        process = await launcher.launch(order(tmp_path, "/bin/sh", "-c", f"echo {words}; echo err >&2"))
        await until(lambda process=process: process.exit_status() is not None)  # type: ignore[misc]
    assert (tmp_path / "log").read_text() == "one\nerr\ntwo\nerr\n"
    await launcher.close()


async def test_a_program_that_does_not_exist_is_an_error_and_the_guard_goes_on(tmp_path: Path) -> None:
    launcher = GuardedLauncher()
    with pytest.raises(DevNodeError, match="cannot be started"):
        await launcher.launch(order(tmp_path, "/no/such/java"))
    assert (await launcher.launch(order(tmp_path))).exit_status() is None
    await launcher.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="a parent-death signal is Linux's")
async def test_a_killed_guard_takes_its_processes_along(tmp_path: Path) -> None:
    launcher = GuardedLauncher()
    process = await launcher.launch(order(tmp_path))
    os.kill(parent_of(process.identity.pid), signal.SIGKILL)
    await until(lambda: not process.identity.alive)
    await until(lambda: process.exit_status() is not None)
    with pytest.raises(DevNodeError, match="guard process"):
        await launcher.launch(order(tmp_path))
    await launcher.close()


PARENT = """
import asyncio, os, pathlib, sys, time
from cassorm.devnode.launcher import GuardedLauncher, Order
async def main():
    folder = pathlib.Path(sys.argv[1])
    launcher = GuardedLauncher(remove=folder)
    launcher.undo_at_end([["/bin/sh", "-c", "echo undone > " + sys.argv[2]]])
    process = await launcher.launch(Order("node1", ("/bin/sleep", "60"), log=folder / "log", cwd=folder))
    if os.fork() == 0:  # a forked worker keeps the guard's pipe open
        time.sleep(5)
        os._exit(0)
    print(process.identity.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def start_and_kill_parent(folder: Path, undone: Path) -> Identity:
    command = [sys.executable, "-c", PARENT, str(folder), str(undone)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        identity = identify(int(parent.stdout.readline()))
        assert identity is not None
        assert identity.alive
        parent.kill()
    return identity


async def test_a_killed_parent_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    folder, undone = tmp_path / "cluster", tmp_path / "undone"
    folder.mkdir()
    identity = start_and_kill_parent(folder, undone)
    await until(lambda: not identity.alive)
    await until(lambda: not folder.exists())
    assert undone.read_text() == "undone\n"


async def test_a_detached_process_outlives_its_launcher(tmp_path: Path) -> None:
    launcher = DetachedLauncher()
    process = await launcher.launch(order(tmp_path))
    await launcher.close()
    assert process.identity.alive
    assert os.getsid(process.identity.pid) == process.identity.pid
    process.identity.signal(signal.SIGKILL)
    await until(lambda: not process.identity.alive)


def test_a_recycled_pid_is_not_mistaken_for_the_process_that_had_it() -> None:
    mine = identify(os.getpid())
    assert mine is not None
    assert mine.alive
    former = Identity(mine.pid, mine.birth + "0")
    assert not former.alive
    assert not former.signal(signal.SIGKILL)


def test_a_zombie_counts_as_gone_and_a_stopped_process_as_paused() -> None:
    child = subprocess.Popen([SLEEP, "60"])
    identity = identify(child.pid)
    assert identity is not None
    child.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not is_paused(child.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_paused(child.pid)
    assert identity.alive
    child.kill()
    while identity.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not identity.alive
    child.wait()
