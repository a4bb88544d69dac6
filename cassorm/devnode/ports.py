"""Free ports for a cluster: one for CQL and one between nodes, on all of its addresses, taken by no other cluster.

A port is reserved by a lock on a file, which the kernel frees when its holder dies, and is tried on every address. Ports come
from below the range that systems hand out to outgoing connections, so none of those can slip in between.
"""

import random
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cassorm.devnode.folders import cache_folder, lock_now, make, unlock
from cassorm.errors import DevNodeError

FIRST, LAST = 20_000, 32_000


def addresses(count: int) -> tuple[str, ...]:
    """The loopback addresses of a cluster's nodes: 127.0.0.1 and the next ones."""
    return tuple(f"127.0.0.{number}" for number in range(1, count + 1))


@dataclass
class Reservation:
    """Two ports that are ours until released (or until this process dies)."""

    cql: int
    storage: int
    locks: list[IO[bytes]]

    def release(self) -> None:
        """Let others have the ports."""
        for lock in self.locks:
            unlock(lock)


def reserve(hosts: Sequence[str], avoid: Collection[int] = (), folder: Path | None = None) -> Reservation:
    """Two ports that nobody listens on at any of `hosts`, reserved; none of `avoid`.

    Raises:
        DevNodeError: an address cannot be used, or no port is free.
    """
    folder = make(folder or cache_folder() / "ports")
    for host in hosts:
        require_address(host)
    found: list[tuple[int, IO[bytes]]] = []
    for port in _shuffled():
        if port in avoid or not all(is_free(host, port) for host in hosts):
            continue
        if lock := lock_now(folder / str(port)):
            found.append((port, lock))
        if len(found) == 2:
            (cql, _), (storage, _) = found
            return Reservation(cql, storage, [lock for _, lock in found])
    raise DevNodeError(
        f"no two free ports between {FIRST} and {LAST}",
        where=", ".join(hosts),
        remedy="Stop clusters that are not needed (`cassorm node list`)",
    )


def _shuffled() -> Iterator[int]:
    """Every port once, from a random one on: clusters that start together seldom try the same."""
    ports = list(range(FIRST, LAST))
    random.shuffle(ports)
    return iter(ports)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    with closing(socket.socket()) as probe:
        # As Java does: a port whose last connections are still in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def require_address(host: str) -> None:
    """Refuse an address that this machine does not have.

    Raises:
        DevNodeError: macOS has 127.0.0.1 alone until others are added: the remedy is the command.
    """
    with closing(socket.socket()) as probe:
        try:
            probe.bind((host, 0))
        except OSError as error:
            remedy = (
                f"Run `sudo ifconfig lo0 alias {host} up`"
                if sys.platform == "darwin"
                else "Bring up the interface `lo`"
            )
            raise DevNodeError(f"the address cannot be used: {error.strerror}", where=host, remedy=remedy) from error
