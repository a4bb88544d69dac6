"""`cassorm node`: real Cassandra nodes on this machine, named ones that stay and ephemeral ones around a command."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from cassorm.cli.output import INTERRUPTED, NEGATIVE, Json, columns, data, note, run
from cassorm.devnode import detached
from cassorm.devnode.cluster import DevCluster
from cassorm.devnode.spec import PROFILES
from cassorm.errors import ConfigurationError

NOT_FOUND = 127  # what a shell answers for a command that does not exist
FOLLOW_S = 0.2

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Real Apache Cassandra nodes on this machine, without Docker."
)

Name = Annotated[str, typer.Option("--name", "-n", help="The cluster's name.", envvar="CASSORM_NODE_NAME")]
Profile = Annotated[
    str | None,
    typer.Option(help="; ".join(f"{name}: {profile.purpose}" for name, profile in PROFILES.items()) + "."),
]
Nodes = Annotated[int | None, typer.Option(min=1, help="How many nodes, on 127.0.0.1 and the next addresses.")]
Heap = Annotated[str | None, typer.Option(help="The largest heap of each node, such as 1g.")]


@app.command()
def start(
    name: Name = "default", nodes: Nodes = None, profile: Profile = None, heap: Heap = None, as_json: Json = False
) -> None:
    """Start a named cluster and leave it running; its data survives stop and start."""
    began = time.monotonic()
    quiet = False if as_json else None
    cluster = run(detached.start(name, nodes=nodes, profile=profile, heap=heap, show_progress=quiet))
    note(f"{name} is ready after {time.monotonic() - began:.1f} s; stop it with: cassorm node stop --name {name}")
    data(cluster.as_data(), f"CASSORM_HOSTS={','.join(cluster.hosts)}", as_json=as_json)


@app.command()
def stop(name: Name = "default", as_json: Json = False) -> None:
    """Drain and stop a named cluster; its data stays."""
    cluster = run(detached.stop(name))
    note(f"{name} is stopped")
    data(cluster.as_data(), "", as_json=as_json)


@app.command()
def status(name: Name = "default", as_json: Json = False) -> None:
    """Show every node of a named cluster; exit code 1 unless all of them run."""
    cluster = run(detached.status(name))
    rows = [
        (node.number, node.state, f"{node.address}:{node.port}", node.pid or "-", _size(node.resident_bytes), node.log)
        for node in cluster.nodes
    ]
    data(cluster.as_data(), columns(("node", "state", "address", "pid", "memory", "log"), rows), as_json=as_json)
    if cluster.state != "running":
        raise typer.Exit(NEGATIVE)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all named clusters."""
    clusters = run(detached.all_statuses())
    header = ("name", "state", "nodes", "profile", "hosts")
    rows = [(c.name, c.state, len(c.nodes), c.profile, ",".join(c.hosts)) for c in clusters]
    data([cluster.as_data() for cluster in clusters], columns(header, rows), as_json=as_json)
    if not clusters:
        note("no clusters; make one with: cassorm node start")


@app.command()
def rm(name: Name = "default", as_json: Json = False) -> None:
    """Stop a named cluster and delete it with all its data."""
    run(detached.remove(name))
    note(f"{name} is removed")
    data({"removed": name}, "", as_json=as_json)


@app.command()
def logs(
    name: Name = "default",
    node: Annotated[int, typer.Option(min=1, help="Which node, from 1.")] = 1,
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
) -> None:
    """Print the log of one node of a named cluster."""
    cluster = run(detached.status(name))
    if node > len(cluster.nodes):
        raise ConfigurationError(
            f"there is no node {node}; it has {len(cluster.nodes)}", where=name, remedy="Give one of them with --node"
        )
    try:
        _print_log(cluster.nodes[node - 1].log, lines, follow=follow)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


@app.command("run", context_settings={"allow_interspersed_args": False})
def run_(
    command: Annotated[
        list[str], typer.Argument(help="The command and its arguments, behind `--`.", metavar="COMMAND...")
    ],
    nodes: Annotated[int, typer.Option(min=1, help="How many nodes.")] = 1,
    profile: Profile = None,
    heap: Heap = None,
) -> None:
    """Run a command with nodes of its own: CASSORM_HOSTS is set for it, its exit code is kept, nothing is left behind."""
    if shutil.which(command[0]) is None:
        note(f"cassorm: {command[0]}: no such command; no node was started")
        raise typer.Exit(NOT_FOUND)
    cluster = DevCluster(nodes, profile=profile or "test", heap=heap)
    raise typer.Exit(run(Around(cluster, command).run()))


class Around:
    """An ephemeral cluster around one command, whose signals it passes on."""

    def __init__(self, cluster: DevCluster, command: Sequence[str]) -> None:
        self._cluster = cluster
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._ended_by: int | None = None
        self._early: list[int] | None = None
        """Signals that came while the command was being started; None before that."""

    async def run(self) -> int:
        """The command's exit code; 128 and the signal when a signal ended it, or us before it began."""
        task = asyncio.ensure_future(self._run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._pass_on, number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            if self._ended_by is None:
                raise
            return 128 + self._ended_by

    async def _run(self) -> int:
        began = time.monotonic()
        async with self._cluster as cluster:
            hosts = ",".join(cluster.hosts)
            note(f"cassorm: Cassandra is ready after {time.monotonic() - began:.1f} s: CASSORM_HOSTS={hosts}")
            environment = os.environ | {"CASSORM_HOSTS": hosts}
            self._early = []
            self._process = process = await asyncio.create_subprocess_exec(*self._command, env=environment)
            for number in self._early:
                _send(process, number)
            code = await process.wait()
        return code if code >= 0 else 128 - code

    def _pass_on(self, number: int, cancel: Callable[[], bool]) -> None:
        if self._process is not None:
            _send(self._process, number)
        elif self._early is not None:
            # The command may run already, and have said so: it is the one that is meant.
            self._early.append(number)
        else:
            self._ended_by = number
            cancel()


def _send(process: asyncio.subprocess.Process, number: int) -> None:
    if process.returncode is None and not (number == signal.SIGINT and _terminal_sends_to_all()):
        process.send_signal(number)


def _terminal_sends_to_all() -> bool:
    """Whether we are in the terminal's foreground: then Ctrl-C reached the command as well, and once is enough."""
    try:
        with Path("/dev/tty").open("rb") as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _print_log(path: Path, lines: int, *, follow: bool) -> None:
    """Print the last lines, and what follows until interrupted; a log that begins anew is read from its start."""
    text = path.read_bytes() if path.exists() else b""
    position = len(text)
    _write(b"".join(text.splitlines(keepends=True)[-lines:] if lines else []))
    while follow:
        time.sleep(FOLLOW_S)
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(position if size >= position else 0)
            _write(file.read())
            position = file.tell()


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.flush()


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size else "-"
