"""Two ways to start a process: under a guard that ends it with us, or detached, to outlive us."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, cast

from cassorm.devnode import guard
from cassorm.devnode.processes import Identity, identify
from cassorm.errors import DevNodeError

LOOK_S = 0.02  # how often to look for an answer that comes within milliseconds
ANSWER_S = 10.0
OTHERS_OPTIONS = frozenset({"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS"})


@dataclass(frozen=True)
class Order:
    """What to start: `key` names it among its launcher's processes; output is appended to `log`.

    `group` is the group id to run under where the system allows it; the process starts without it otherwise.
    """

    key: str
    argv: tuple[str, ...]
    log: Path
    cwd: Path
    group: int | None = None
    nice: int = 0


class Launched(Protocol):
    """A process that was started."""

    identity: Identity
    grouped: bool

    def exit_status(self) -> int | None:
        """None while it runs; then its exit code, or minus the signal that ended it."""


class Launcher(Protocol):
    """Starts processes."""

    async def launch(self, order: Order) -> Launched:
        """Start the process; it runs when this returns."""

    def undo_at_end(self, commands: Sequence[Sequence[str]]) -> None:
        """Run these commands at the end, also when we die; they replace the former ones."""

    async def close(self) -> None:
        """End what has to end with us."""


def java_environment() -> dict[str, str]:
    """Ours without the variables that slip options into every JVM: a start means the same everywhere."""
    return {name: value for name, value in os.environ.items() if name not in OTHERS_OPTIONS}


class GuardedProcess:
    """A process under a guard."""

    def __init__(self, owner: "GuardedLauncher", identity: Identity, *, grouped: bool) -> None:
        self.identity = identity
        self.grouped = grouped
        self.status: int | None = None
        self._owner = owner

    def exit_status(self) -> int | None:
        """None while it runs; then its exit code, or minus the signal that ended it."""
        self._owner.listen()
        if self.status is None and self._owner.ended:
            self.status = -signal.SIGKILL  # what the guard's death does to it
        return self.status


class GuardedLauncher:
    """Starts processes that end with this one, even when it is killed; `remove` is the folder that goes then too.

    One guard process serves all of a cluster's nodes. Its pipe is read when somebody asks: no thread, no event loop.
    """

    def __init__(self, remove: Path | None = None) -> None:
        # Isolated and without site: the guard starts in 20 ms and reads nothing that the environment could change.
        argv = [sys.executable, "-I", "-S", guard.__file__, *([str(remove)] if remove else [])]
        self._process = subprocess.Popen(  # noqa: S603  (our own script)
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=java_environment(),
            bufsize=0,
            start_new_session=True,
        )
        self._orders = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._answers.fileno(), False)
        self._pending = b""
        self._processes: dict[str, GuardedProcess] = {}
        self._failures: dict[str, str] = {}

    @property
    def ended(self) -> bool:
        """Whether the guard is gone, and with it all it started."""
        return self._process.poll() is not None

    async def launch(self, order: Order) -> GuardedProcess:
        """Start the process; it runs when this returns.

        Raises:
            DevNodeError: it cannot be started, or the guard was killed.
        """
        self._processes.pop(order.key, None)
        self._send(
            start=order.key,
            argv=order.argv,
            log=str(order.log),
            cwd=str(order.cwd),
            group=order.group,
            nice=order.nice,
        )
        deadline = time.monotonic() + ANSWER_S
        while order.key not in self._processes:
            self.listen()
            if error := self._failures.pop(order.key, None):
                raise DevNodeError(
                    f"cannot be started: {error}", where=order.argv[0], remedy="Check that it can be run"
                )
            if self.ended or time.monotonic() > deadline:
                raise _lost()
            await asyncio.sleep(LOOK_S)
        return self._processes[order.key]

    def undo_at_end(self, commands: Sequence[Sequence[str]]) -> None:
        """Run these commands when the guard ends, also when we die; they replace the former ones."""
        self._send(undo=commands)

    def listen(self) -> None:
        """Take in what the guard has told so far; never waits."""
        while received := self._read():
            *lines, self._pending = (self._pending + received).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _read(self) -> bytes:
        return b"" if self._answers.closed else self._answers.read(1 << 16) or b""

    def _take(self, answer: dict[str, Any]) -> None:
        if key := answer.get("started"):
            pid = answer["pid"]
            identity = identify(pid) or Identity(pid, "gone")
            self._processes[key] = GuardedProcess(self, identity, grouped=answer["group"])
        elif key := answer.get("exited"):
            if process := self._processes.get(key):
                process.status = answer["status"]
        else:
            self._failures[answer["failed"]] = answer["error"]

    def _send(self, **order: object) -> None:
        try:
            self._orders.write(json.dumps(order).encode() + b"\n")
        except (OSError, ValueError) as error:
            raise _lost() from error

    async def close(self) -> None:
        """End everything that was started, undo, remove the folder; returns when that is done."""
        if not self._orders.closed:
            self._orders.close()
        await asyncio.to_thread(self._process.wait)
        self.listen()
        self._answers.close()


def _lost() -> DevNodeError:
    return DevNodeError(
        "the guard process of the development node is gone, and with it its nodes",
        remedy="Start the node again; if that repeats, look who kills it (out of memory?)",
    )


class DetachedProcess:
    """A process that outlives us; found again by its identity."""

    grouped = False

    def __init__(self, identity: Identity, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.identity = identity
        self._child = child

    def exit_status(self) -> int | None:
        """None while it runs; then its exit code, or 0 when we are not its parent and cannot know."""
        if self._child is not None:
            return self._child.poll()
        return None if self.identity.alive else 0


class DetachedLauncher:
    """Starts processes in sessions of their own."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[bytes]] = []

    async def launch(self, order: Order) -> DetachedProcess:
        """Start the process; it runs when this returns.

        Raises:
            DevNodeError: it cannot be started.
        """
        try:
            child = self._popen(order)
        except OSError as error:
            raise DevNodeError(
                f"cannot be started: {error}", where=order.argv[0], remedy="Check that it can be run"
            ) from error
        self._children.append(child)
        return DetachedProcess(identify(child.pid) or Identity(child.pid, "gone"), child)

    def _popen(self, order: Order) -> "subprocess.Popen[bytes]":
        with order.log.open("ab") as log:
            # Java with our own arguments; a few milliseconds.
            child = subprocess.Popen(  # noqa: S603
                order.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=order.cwd,
                env=java_environment(),
                start_new_session=True,
            )
        if order.nice:
            os.setpriority(os.PRIO_PROCESS, child.pid, order.nice)
        return child

    def undo_at_end(self, commands: Sequence[Sequence[str]]) -> None:
        """Nothing: what a detached node does outlives us on purpose."""

    async def close(self) -> None:
        """Let the processes go: their ends are nobody's concern here any more."""
        for child in self._children:
            # Popen warns in its destructor of a child that still runs; these are meant to.
            child.returncode = child.poll() or 0
