"""A cluster of real Cassandra processes for as long as a block lasts: `DevCluster`, and `DevNode` for one node."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from cassorm.devnode import named
from cassorm.devnode.formation import drain, form, make_nodes, require_free_ports
from cassorm.devnode.kit import Kit, prepare_kit
from cassorm.devnode.launcher import GuardedLauncher
from cassorm.devnode.node import PATIENCE, Node
from cassorm.devnode.ports import addresses, reserve
from cassorm.devnode.spec import Spec
from cassorm.devnode.tls import ensure_certificate
from cassorm.errors import DevNodeError

logger = logging.getLogger(__name__)

ATTEMPTS = 3  # somebody else may take a port between our look and Cassandra's bind


class DevCluster:
    """A Cassandra cluster on loopback addresses, each node a process of its own.

    ```python
    async with DevCluster(nodes=3, profile="durable") as cluster:
        async with cassorm.connect(cluster.hosts) as db: ...
        await cluster.nodes[1].kill()
    ```

    Without `name` everything is gone after the block, also when this process is killed. With `name` its data stays: the
    same name starts it again, here or with `cassorm node start`.

    `profile`: `test` starts fastest, `durable` syncs each write to disk, `bench` runs fastest once warm.
    `auth`: users log in, as `cassandra` with password `cassandra`. `tls`: clients encrypt; `tls_ca` is the certificate.
    `settings`: cassandra.yaml settings over those of the profile (None removes one). `jvm`: further JVM options.
    `heap`: the largest heap of each node, such as `1g`. `java`: the executable to use instead of the one found.
    `mirror`: a Maven repository to fetch jars from (default: CASSORM_MAVEN_MIRROR). `patience`: how long a node may start.
    `show_progress`: a bar while jars are fetched; None shows it on a terminal.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        name: str | None = None,
        profile: str = "test",
        auth: bool = False,
        tls: bool = False,
        heap: str | None = None,
        settings: Mapping[str, Any] | None = None,
        jvm: Sequence[str] = (),
        java: Path | None = None,
        mirror: str | None = None,
        patience: timedelta = PATIENCE,
        show_progress: bool | None = None,
    ) -> None:
        self.name = name
        self.spec = Spec(nodes, profile, auth, tls, heap, dict(settings or {}), tuple(jvm))
        self._java, self._mirror, self._show_progress = java, mirror, show_progress
        self._patience = patience
        self._opened = AsyncExitStack()
        self._nodes: tuple[Node, ...] = ()
        self._folder: Path | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes; `nodes[0]` is the one that the others found the cluster by.

        Raises:
            DevNodeError: the cluster was not started, or is closed.
        """
        if not self._nodes:
            raise DevNodeError(
                "the cluster is not started", where=self.name, remedy=f"Use `async with {type(self).__name__}(...)`"
            )
        return self._nodes

    @property
    def hosts(self) -> list[str]:
        """The contact points of all nodes, as CASSORM_HOSTS and `cassorm.connect` take them."""
        return [host for node in self.nodes for host in node.hosts]

    @property
    def port(self) -> int:
        """The port for CQL on every node."""
        return self.nodes[0].port

    @property
    def tls_ca(self) -> Path | None:
        """The PEM file that clients verify the nodes with; None without `tls`."""
        return self._folder / "tls" / "ca.pem" if self.spec.tls and self._folder else None

    async def start(self) -> None:
        """Return when every node answers CQL; starts those that do not run.

        Raises:
            DevNodeError: no Java, no jars, no ports, or a node that ended; the error shows the end of its log.
            ConfigurationError: the named cluster exists and was made otherwise.
        """
        if self._nodes:
            await form(self._nodes)
        elif self.name is None:
            await self._open_ephemeral()
        else:
            await self._open_named(self.name)

    async def stop(self) -> None:
        """Return when every node has drained and ended; `start` continues with the data that is there."""
        await drain(self._nodes)

    async def close(self) -> None:
        """End the nodes; without a name nothing is left of them, with a name they drain and their data stays."""
        opened, self._opened = self._opened, AsyncExitStack()
        self._nodes = ()
        await opened.aclose()

    async def _open_ephemeral(self) -> None:
        kit = await self._kit()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._try_ephemeral(kit)
            except DevNodeError:
                taken = any(node.port_taken for node in self._nodes)
                await self.close()
                if not taken or attempt == ATTEMPTS:
                    raise
                logger.info("a port was taken by another program meanwhile; trying others")
            except BaseException:
                await self.close()
                raise
            else:
                return

    async def _try_ephemeral(self, kit: Kit) -> None:
        hosts = addresses(self.spec.nodes)
        ports = reserve(hosts, avoid=named.taken_ports())
        self._opened.callback(ports.release)
        folder = Path(tempfile.mkdtemp(prefix="cassorm-"))
        self._opened.callback(shutil.rmtree, folder, ignore_errors=True)
        await self._make_nodes(kit, folder, (ports.cql, ports.storage), GuardedLauncher(remove=folder))
        await form(self._nodes)

    async def _open_named(self, name: str) -> None:
        kit = await self._kit()
        try:
            await self._opened.enter_async_context(named.held(name))
            found, new = named.find_or_create(name, self.spec)
            try:
                await self._form_named(kit, found)
            except BaseException:
                if new:
                    named.erase(found)  # it never formed: there is nothing in it to keep
                raise
        except BaseException:
            await self.close()
            raise

    async def _form_named(self, kit: Kit, found: named.Named) -> None:
        await self._make_nodes(kit, found.folder, (found.cql_port, found.storage_port), GuardedLauncher())
        for node in self._nodes:
            node.attach()
        if any(node.pid for node in self._nodes):
            raise DevNodeError(
                "the cluster runs already",
                where=found.name,
                remedy=f"Use it through CASSORM_HOSTS={','.join(found.hosts)}, "
                f"or stop it: cassorm node stop --name {found.name}",
            )
        require_free_ports(self._nodes, found.name)
        await form(self._nodes)
        self._opened.push_async_callback(drain, self._nodes)

    async def _kit(self) -> Kit:
        return await prepare_kit(java=self._java, mirror=self._mirror, show_progress=self._show_progress)

    async def _make_nodes(self, kit: Kit, folder: Path, ports: tuple[int, int], launcher: GuardedLauncher) -> None:
        self._opened.push_async_callback(launcher.close)
        self._folder = folder
        if self.spec.tls:
            await asyncio.to_thread(ensure_certificate, folder / "tls", addresses(self.spec.nodes), kit.java)
        self._nodes, packets = make_nodes(self.spec, folder, ports, kit, launcher, patience=self._patience)
        self._opened.callback(packets.clear)


class Options(TypedDict, total=False):
    """The options of `DevCluster`, but for the number of nodes."""

    name: str | None
    profile: str
    auth: bool
    tls: bool
    heap: str | None
    settings: Mapping[str, Any] | None
    jvm: Sequence[str]
    java: Path | None
    mirror: str | None
    patience: timedelta
    show_progress: bool | None


class DevNode(DevCluster):
    """A cluster of one node, and that node: see `DevCluster` for the options.

    ```python
    async with DevNode() as node, cassorm.connect(node.hosts) as db: ...
    ```
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(1, **options)

    @property
    def address(self) -> str:
        """The loopback address that the node listens on."""
        return self.nodes[0].address

    @property
    def pid(self) -> int | None:
        """The pid of Java; None while the node does not run."""
        return self.nodes[0].pid

    @property
    def state(self) -> str:
        """`running`, `paused` or `stopped`."""
        return self.nodes[0].state

    @property
    def log_path(self) -> Path:
        """Everything that the process writes."""
        return self.nodes[0].log_path

    async def kill(self) -> None:
        """Return when the node was ended by SIGKILL; `start` brings it back with its data."""
        await self.nodes[0].kill()

    async def pause(self) -> None:
        """Stop the process by SIGSTOP: its connections stay open and nothing answers, until `resume`."""
        await self.nodes[0].pause()

    async def resume(self) -> None:
        """Let the paused process go on."""
        await self.nodes[0].resume()
