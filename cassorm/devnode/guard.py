"""The guard: starts processes for its parent and ends them, and cleans up, when the parent is gone for whatever reason.

Run as a script (`python -I -S guard.py [FOLDER_TO_REMOVE]`), standard library only and without threads: on Linux a
parent-death signal belongs to the thread that forked, and only in a process with one thread is a `preexec_fn` safe.

Orders come as JSON lines on stdin: `{"start": key, "argv": [...], "log": file, "cwd": folder, "group": gid or null, "nice": 0}`
and `{"undo": [argv, ...]}` (commands to run at the end, replacing the former ones). Answers go to stdout: `{"started": key,
"pid": 1, "group": true}`, `{"failed": key, "error": text}`, `{"exited": key, "status": code or -signal}`. The end of stdin is
the end: everything started is killed, the undo commands run, the folder goes.

A parent killed by SIGKILL closes the pipe; a guard killed by SIGKILL takes the processes along by their parent-death signal.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG = 1
LOOK_S = 0.5  # how often to look whether the parent is still the parent, should a fork of it keep the pipe open


def die_with_me(nice: int) -> Callable[[], None]:
    """What a child does between fork and exec: follow this process into death (Linux)."""
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None
    guard = os.getpid()

    def prepare() -> None:
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != guard:
                os._exit(1)
        if nice:
            os.nice(nice)

    return prepare


class Guard:
    """The children by key, and what to do at the end."""

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._undo: list[list[str]] = []

    def obey(self, order: dict[str, Any]) -> None:
        """Carry out one line from stdin."""
        if "undo" in order:
            self._undo = order["undo"]
            return
        key = order["start"]
        try:
            child, grouped = self._start(order)
        except (OSError, subprocess.SubprocessError) as error:
            self._tell(failed=key, error=str(error))
            return
        self._children[key] = child
        self._tell(started=key, pid=child.pid, group=grouped)

    def _start(self, order: dict[str, Any]) -> tuple[subprocess.Popen[bytes], bool]:
        with open(order["log"], "ab") as log:  # noqa: PTH123  (pathlib costs a guard half of its start)

            def popen(group: int | None) -> subprocess.Popen[bytes]:
                # The orders come from the parent alone; a single-threaded process may use preexec_fn.
                return subprocess.Popen(  # noqa: S603
                    order["argv"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=order["cwd"],
                    group=group,
                    preexec_fn=die_with_me(order["nice"]),  # noqa: PLW1509
                )

            if order["group"] is not None:
                # A group of its own tells this node's packets from the others'; not everywhere is it allowed.
                with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
                    return popen(order["group"]), True
            return popen(None), False

    def reap(self) -> None:
        """Report the children that have ended."""
        for key, child in list(self._children.items()):
            if (status := child.poll()) is not None:
                del self._children[key]
                self._tell(exited=key, status=status)

    def end(self, folder: str | None) -> None:
        """Kill the children, run the undo commands, remove the folder."""
        for child in self._children.values():
            child.kill()
        for child in self._children.values():
            child.wait()
        for command in self._undo:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                # Composed by cassorm.devnode.isolation.
                subprocess.run(command, check=False, timeout=10, capture_output=True)  # noqa: S603
        if folder:
            shutil.rmtree(folder, ignore_errors=True)

    def _tell(self, **answer: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(1, json.dumps(answer).encode() + b"\n")


def serve(guard: Guard) -> None:
    """Obey until stdin ends, a signal asks for the end, or the parent is another one."""
    parent = os.getppid()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    ending: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda number, _: ending.append(number))
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    pending = b""
    while not ending and os.getppid() == parent:
        ready, _, _ = select.select([0, wake], [], [], LOOK_S)
        if wake in ready:
            os.read(wake, 4096)
        if 0 in ready:
            received = os.read(0, 1 << 16)
            if not received:
                return
            *lines, pending = (pending + received).split(b"\n")
            for line in lines:
                guard.obey(json.loads(line))
        guard.reap()


def main() -> None:
    """Serve, then end, whatever happened."""
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    guard = Guard()
    try:
        serve(guard)
    finally:
        guard.end(folder)


if __name__ == "__main__":
    main()
