"""One Cassandra process of a development cluster: start, stop, and the ways to hurt it."""

import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cassorm.devnode.config import Place, command, write_files
from cassorm.devnode.isolation import Cut, PacketFilter, group_of
from cassorm.devnode.kit import Kit
from cassorm.devnode.launcher import DetachedProcess, Launched, Launcher, Order
from cassorm.devnode.processes import Identity, is_paused, resident_bytes
from cassorm.devnode.spec import Spec
from cassorm.errors import DevNodeError

logger = logging.getLogger(__name__)

EXEC_JAVA = (sys.executable, "-I", "-S", str(Path(__file__).with_name("exec_java.py")))
PATIENCE = timedelta(minutes=2)  # for one node, on a busy machine
LOOK_S = 0.05
TAIL_LINES = 25
SPOKE = b"YamlConfigurationLoader"  # the logger of Cassandra's first line
READY = b"Startup complete"
ROLE_CREATED = b"Created default superuser role"
PORT_TAKEN = (b"Address already in use", b"is in use by another process", b"Failed to bind port")
ROLE_S = 15.0
LARGE_LOG = 10_000_000
DRAIN_S = 30.0


class Node:
    """One node of a cluster; made by `DevCluster`."""

    def __init__(
        self,
        spec: Spec,
        place: Place,
        kit: Kit | None,
        launcher: Launcher,
        packets: PacketFilter,
        *,
        patience: timedelta,
    ) -> None:
        """`kit` is None for a node that is only looked at or ended."""
        self._spec = spec
        self._place = place
        self._kit = kit
        self._launcher = launcher
        self._packets = packets
        self._patience = patience
        self._process: Launched | None = None
        self._log_start = 0

    @property
    def number(self) -> int:
        """The node's number in its cluster, from 1."""
        return self._place.index + 1

    @property
    def address(self) -> str:
        """The loopback address that the node listens on, for clients and other nodes."""
        return self._place.address

    @property
    def port(self) -> int:
        """The port for CQL, the same on all nodes of a cluster."""
        return self._place.cql_port

    @property
    def storage_port(self) -> int:
        """The port between nodes."""
        return self._place.storage_port

    @property
    def hosts(self) -> list[str]:
        """The node as a contact point: `["127.0.0.1:9042"]`."""
        return [f"{self.address}:{self.port}"]

    @property
    def log_path(self) -> Path:
        """Everything that the process writes."""
        return self._place.log

    @property
    def pid(self) -> int | None:
        """The pid of Java; None while the node does not run."""
        return self._process.identity.pid if self._process and self._process.exit_status() is None else None

    @property
    def state(self) -> str:
        """`running`, `paused` or `stopped`."""
        if (pid := self.pid) is None:
            return "stopped"
        return "paused" if is_paused(pid) else "running"

    @property
    def resident_bytes(self) -> int:
        """The memory that the process holds now; 0 when it does not run."""
        return resident_bytes(self.pid) if self.pid else 0

    def attach(self) -> None:
        """Take up the process that an earlier run of this program started and left running."""
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
            identity = Identity(**json.loads(self._process_file.read_text(encoding="utf-8")))
            if identity.alive:
                self._process = DetachedProcess(identity)

    async def start(self) -> None:
        """Return when the node answers CQL, soon when it runs already.

        Raises:
            DevNodeError: it ended before, or was not ready in time; the error shows the end of its log.
        """
        if self._process is not None and self.pid is not None:
            # It may be another command's, ended in the middle of a start.
            await self._until_accepting(self._process)
            return
        if (kit := self._kit) is None:
            raise DevNodeError("was made without what a start needs", where=self._label, remedy="Start it as a cluster")
        fresh = not (self._place.folder / "data").exists()
        await asyncio.to_thread(self._prepare)
        archived = kit.archive.options(self._place.folder, make_list=self._makes_archive)
        try:
            await self._launch(kit, archived, fresh=fresh)
        except DevNodeError:
            if not archived or SPOKE in self._log_since_start():
                raise
            # The JVM itself failed. Never observed with an archive, the one thing that a start can do without.
            await self._launch(kit, (), fresh=fresh)
            logger.warning("the class archive was removed: a start with it failed, and one without it did not")
            kit.archive.discard()
        if self._makes_archive and (order := kit.archive.order(self._place.folder, self._place.folder / "archive.log")):
            await self._launcher.launch(order)

    @property
    def _makes_archive(self) -> bool:
        """One node is enough; and nothing shall disturb a benchmark."""
        return self._place.index == 0 and self._spec.profile != "bench"

    async def stop(self) -> None:
        """Return when the node has drained and ended; one that does not within half a minute is killed."""
        if (process := self._process) is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a paused process would keep the first one for later
        if not await self._ended_within(process, DRAIN_S):
            await self.kill()

    async def kill(self) -> None:
        """Return when the node was ended by SIGKILL, as a crash would; `start` brings it back with its data."""
        if (process := self._process) is None:
            return
        self._signal(signal.SIGKILL)
        if not await self._ended_within(process, DRAIN_S):
            raise DevNodeError(
                f"process {process.identity.pid} does not end after SIGKILL",
                where=self._label,
                remedy="Look for a hung file system below it",
            )

    async def pause(self) -> None:
        """Stop the process by SIGSTOP: its connections stay open and nothing answers, until `resume`."""
        self._require_running("pause")
        self._signal(signal.SIGSTOP)
        await self._until_stopped()

    async def resume(self) -> None:
        """Let a paused process go on."""
        self._require_running("resume")
        self._signal(signal.SIGCONT)

    @property
    def reachable(self) -> bool:
        """Whether the other nodes can reach it: it runs and is neither paused nor isolated."""
        return self.state == "running" and not self._packets.is_cut(self._cut)

    @property
    def log_size(self) -> int:
        """Where the log ends now: a mark for `knows`."""
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def knows(self, other: "Node", since: int) -> bool:
        """Whether this node has logged behind the mark that the other is up and owns its token; True for itself."""
        # Cassandra's start is over before the nodes have told each other everything.
        log, name = self._log_from(max(since, self._log_start)), f"/{other.address}:{other.storage_port} ".encode()
        up, down = log.rfind(name + b"is now UP"), log.rfind(name + b"is now DOWN")
        return other is self or (up > down and name + b"state NORMAL" in log)

    async def isolate(self) -> None:
        """Cut the node off from the other nodes (clients still reach it), until `heal`.

        Raises:
            DevNodeError: there is no packet filter here, or it needs root.
        """
        self._launcher.undo_at_end(self._packets.undo())
        await asyncio.to_thread(self._packets.cut, self._cut)

    async def heal(self) -> None:
        """Let an isolated node reach the others again; they find each other within seconds."""
        await asyncio.to_thread(self._packets.heal, self._cut)

    @property
    def port_taken(self) -> bool:
        """Whether the last start failed because somebody else listens on a port of ours."""
        log = self._log_since_start()
        return any(words in log for words in PORT_TAKEN)

    @property
    def _cut(self) -> Cut:
        group = group_of(self.storage_port, self._place.index)
        return Cut(self.address, self.storage_port, group if self._process and self._process.grouped else None)

    @property
    def _label(self) -> str:
        return f"node {self.number} ({self.address}:{self.port})"

    @property
    def _process_file(self) -> Path:
        return self._place.folder / "process.json"

    def _prepare(self) -> None:
        write_files(self._spec, self._place)
        if self.log_size > LARGE_LOG:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        shutil.rmtree(self._place.folder / "tmp", ignore_errors=True)
        (self._place.folder / "tmp").mkdir()
        self._log_start = self.log_size

    async def _launch(self, kit: Kit, options: Sequence[str], *, fresh: bool) -> None:
        order = Order(
            f"node{self.number}",
            (*EXEC_JAVA, *command(self._spec, self._place, kit.java, kit.jars, options)),
            log=self.log_path,
            cwd=self._place.folder,
            group=group_of(self.storage_port, self._place.index),
        )
        self._process = process = await self._launcher.launch(order)
        facts = {"pid": process.identity.pid, "birth": process.identity.birth}
        self._process_file.write_text(json.dumps(facts), encoding="utf-8")
        try:
            await self._until_ready(process)
            if fresh and self._spec.auth and self._place.index == 0:
                await self._until_logged(process, ROLE_CREATED, ROLE_S)
        except BaseException:
            self._signal(signal.SIGKILL)
            await asyncio.shield(self._ended_within(process, DRAIN_S))
            raise

    async def _until_ready(self, process: Launched) -> None:
        patience_s = self._patience.total_seconds()
        if not await self._until_logged(process, READY, patience_s):
            raise self._failure(f"was not ready after {patience_s:.0f} s")
        await self._until_accepting(process)

    async def _until_accepting(self, process: Launched) -> None:
        deadline = time.monotonic() + self._patience.total_seconds()
        while not await self._accepts():
            if process.exit_status() is not None or time.monotonic() > deadline:
                raise self._failure(f"does not listen on {self.address}:{self.port}")
            await asyncio.sleep(LOOK_S)

    async def _until_logged(self, process: Launched, words: bytes, patience_s: float) -> bool:
        """Whether the words came in time."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            # The status first: what a process wrote before its end is in the log by then.
            status = process.exit_status()
            if words in self._log_since_start():
                return True
            if status is not None:
                how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
                raise self._failure(f"ended {how} before it was ready")
            await asyncio.sleep(LOOK_S)
        return False

    async def _accepts(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.address, self.port)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def _failure(self, what: str) -> DevNodeError:
        lines = self._log_since_start().decode(errors="replace").splitlines()[-TAIL_LINES:]
        tail = "\n".join(f"    {line[:400]}" for line in lines) or "    (nothing)"
        return DevNodeError(
            f"Cassandra {what}",
            where=self._label,
            remedy=f"Look for the cause in its log, which ends with:\n{tail}",
        )

    def _log_since_start(self) -> bytes:
        return self._log_from(self._log_start)

    def _log_from(self, position: int) -> bytes:
        try:
            with self.log_path.open("rb") as log:
                log.seek(position)
                return log.read()
        except FileNotFoundError:
            return b""

    async def _until_stopped(self) -> None:
        """Each thread stops by itself, within milliseconds."""
        for _ in range(1000):
            if self.state != "running":
                return
            await asyncio.sleep(LOOK_S / 50)

    async def _ended_within(self, process: Launched, patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while process.exit_status() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_S / 2)
        return True

    def _signal(self, number: int) -> None:
        if self._process and self._process.exit_status() is None:
            self._process.identity.signal(number)

    def _require_running(self, verb: str) -> None:
        if self.pid is None:
            raise DevNodeError(f"does not run, so it cannot {verb}", where=self._label, remedy="Call start() first")
