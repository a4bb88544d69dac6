"""Named clusters that outlive the command that started them: start, look at, stop, remove."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cassorm.devnode import named
from cassorm.devnode.formation import drain, form, make_nodes, require_free_ports
from cassorm.devnode.kit import Kit, prepare_kit
from cassorm.devnode.launcher import DetachedLauncher
from cassorm.devnode.named import Named
from cassorm.devnode.node import Node
from cassorm.devnode.spec import Spec


@dataclass(frozen=True)
class NodeStatus:
    """One node as it is now."""

    number: int
    address: str
    port: int
    state: str
    pid: int | None
    resident_bytes: int
    log: Path


@dataclass(frozen=True)
class ClusterStatus:
    """A named cluster as it is now; `state` is `running`, `stopped`, or `partial` when some nodes are not running."""

    name: str
    state: str
    profile: str
    hosts: tuple[str, ...]
    folder: Path
    nodes: tuple[NodeStatus, ...]

    def as_data(self) -> dict[str, Any]:
        """What `--json` prints."""
        return dataclasses.asdict(self)


async def start(name: str, *, show_progress: bool | None = None, **asked: Any) -> ClusterStatus:
    """Return when every node of the named cluster answers CQL; makes the cluster, or starts what does not run.

    `asked` are fields of `Spec`; one that is None, or left out, is as it was made (or the default of a new cluster).

    Raises:
        ConfigurationError: the cluster exists and was made otherwise.
        DevNodeError: it cannot be started; nodes that this call started are ended again.
    """
    given = {field: value for field, value in asked.items() if value is not None}
    async with named.held(name):
        before = named.find(name)
        spec = dataclasses.replace(before.spec if before else Spec(), **given)
        found, new = named.find_or_create(name, spec)
        try:
            kit = await prepare_kit(show_progress=show_progress)
            async with _nodes_of(found, kit) as nodes:
                require_free_ports(nodes, name)
                await form(nodes)
                return _status(found, nodes)
        except BaseException:
            if new:
                named.erase(found)  # it never formed: there is nothing in it to keep
            raise


async def stop(name: str) -> ClusterStatus:
    """Return when every node has drained and ended; the data stays."""
    async with named.held(name):
        found = named.existing(name)
        async with _nodes_of(found) as nodes:
            await drain(nodes)
            return _status(found, nodes)


async def remove(name: str) -> None:
    """Return when the nodes are killed and their data is gone."""
    async with named.held(name):
        found = named.existing(name)
        async with _nodes_of(found) as nodes:
            for node in nodes:
                await node.kill()
        named.erase(found)


async def status(name: str) -> ClusterStatus:
    """The named cluster as it is now."""
    found = named.existing(name)
    async with _nodes_of(found) as nodes:
        return _status(found, nodes)


async def all_statuses() -> list[ClusterStatus]:
    """Every named cluster as it is now, by name."""
    return [await status(found.name) for found in named.all_named()]


@asynccontextmanager
async def _nodes_of(found: Named, kit: Kit | None = None) -> AsyncIterator[tuple[Node, ...]]:
    """The cluster's nodes, those that run taken up."""
    launcher = DetachedLauncher()
    nodes, _ = make_nodes(found.spec, found.folder, (found.cql_port, found.storage_port), kit, launcher)
    for node in nodes:
        node.attach()
    try:
        yield nodes
    finally:
        await launcher.close()


def _status(found: Named, nodes: tuple[Node, ...]) -> ClusterStatus:
    states = {node.state for node in nodes}
    return ClusterStatus(
        found.name,
        states.pop() if len(states) == 1 else "partial",
        found.spec.profile,
        tuple(found.hosts),
        found.folder,
        tuple(
            NodeStatus(node.number, node.address, node.port, node.state, node.pid, node.resident_bytes, node.log_path)
            for node in nodes
        ),
    )
