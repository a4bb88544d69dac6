"""Several nodes as one: made, started until they know each other, drained."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from cassorm.devnode.config import Place
from cassorm.devnode.isolation import PacketFilter
from cassorm.devnode.kit import Kit
from cassorm.devnode.launcher import Launcher
from cassorm.devnode.node import PATIENCE, Node
from cassorm.devnode.ports import is_free
from cassorm.devnode.spec import Spec
from cassorm.errors import DevNodeError

GOSSIP_S = 30.0
LOOK_S = 0.05


def make_nodes(
    spec: Spec,
    folder: Path,
    ports: tuple[int, int],
    kit: Kit | None,
    launcher: Launcher,
    *,
    patience: timedelta = PATIENCE,
) -> tuple[tuple[Node, ...], PacketFilter]:
    """The nodes of a cluster in `folder`, none started, and the packet filter that they share."""
    cql_port, storage_port = ports
    packets = PacketFilter(storage_port)
    places = [
        Place(index, folder / f"node{index + 1}", cql_port, storage_port, folder / "tls") for index in range(spec.nodes)
    ]
    return tuple(Node(spec, place, kit, launcher, packets, patience=patience) for place in places), packets


async def form(nodes: Sequence[Node]) -> None:
    """Return when all nodes answer and know each other: the first starts, then the others together.

    When one fails, those started here are killed.

    Raises:
        DevNodeError: a node did not start, or they did not find each other.
    """
    idle = [node for node in nodes if node.pid is None]
    marks = {node: node.log_size for node in nodes}
    try:
        for group in (nodes[:1], nodes[1:]):
            async with asyncio.TaskGroup() as tasks:
                for node in group:
                    tasks.create_task(node.start())
        await _until_they_know_each_other(idle, marks)
    except BaseException as error:
        for node in idle:
            await node.kill()
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from None
        raise


async def _until_they_know_each_other(started: Sequence[Node], marks: Mapping[Node, int]) -> None:
    present = [node for node in marks if node.reachable]
    pairs = {(one, other) for one in present for other in present if one in started or other in started}
    deadline = time.monotonic() + GOSSIP_S
    while pairs := {(one, other) for one, other in pairs if not one.knows(other, marks[one])}:
        if time.monotonic() > deadline:
            one, other = next(iter(pairs))
            raise DevNodeError(
                f"the nodes did not find each other within {GOSSIP_S:.0f} s: {one.address} does not see {other.address}",
                where=str(one.log_path),
                remedy="Look whether a firewall drops packets between loopback addresses",
            )
        await asyncio.sleep(LOOK_S)


async def drain(nodes: Sequence[Node]) -> None:
    """Return when all nodes have drained and ended."""
    await asyncio.gather(*(node.stop() for node in nodes))


def require_free_ports(nodes: Sequence[Node], name: str) -> None:
    """Refuse to start nodes whose ports somebody else listens on.

    Raises:
        DevNodeError: names the address; a named cluster keeps its ports for life.
    """
    for node in nodes:
        for port in (node.port, node.storage_port):
            if node.pid is None and not is_free(node.address, port):
                raise DevNodeError(
                    f"another program listens on {node.address}:{port}, which belongs to the cluster",
                    where=name,
                    remedy=f"Stop that program, or remove the cluster with its data: cassorm node rm --name {name}",
                )
