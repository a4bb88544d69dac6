"""Cuts a node off from its fellows with packet filter rules, and heals it: a chain of our own for each cluster.

All nodes are on this machine and dial from 127.0.0.1, so an address tells who is dialled and not who dials. The node's own
group id, given to it at its start, tells its packets; together both directions are cut.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from cassorm.errors import DevNodeError

FIRST_GROUP = 70_000_000


def group_of(storage_port: int, index: int) -> int | None:
    """The group id that a node's process runs under; None where isolating is not possible anyway."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    return FIRST_GROUP + storage_port * 10 + index


@dataclass(frozen=True)
class Cut:
    """One node's rules: its address, the cluster's storage port, and its group when it has one of its own."""

    address: str
    storage_port: int
    group: int | None

    def rules(self) -> list[list[str]]:
        """What to drop on its way out of any process of this machine."""
        port = str(self.storage_port)
        rules = [
            ["-d", self.address, "-p", "tcp", "--dport", port],
            ["-s", self.address, "-p", "tcp", "--sport", port],
        ]
        if self.group is not None:
            rules.append(["-m", "owner", "--gid-owner", str(self.group), "-p", "tcp", "--dport", port])
        return [[*rule, "-j", "DROP"] for rule in rules]


class PacketFilter:
    """One cluster's chain: only its storage port, so that other clusters on the same addresses notice nothing."""

    def __init__(self, storage_port: int) -> None:
        self._chain = f"cassorm-{storage_port}"
        self._cuts: set[Cut] = set()
        self._chained = False

    def cut(self, cut: Cut) -> None:
        """Drop what goes to, comes from and is sent by the node, until `heal`.

        Raises:
            DevNodeError: this is not Linux, not root, or iptables is missing or refuses.
        """
        if cut in self._cuts:
            return
        require_packet_filter()
        if not self._chained:
            self._chained = True
            self._run("-N", self._chain)
            self._run("-I", "OUTPUT", "-j", self._chain)
        self._cuts.add(cut)
        for rule in cut.rules():
            self._run("-A", self._chain, *rule)

    def is_cut(self, cut: Cut) -> bool:
        """Whether the node is cut off now."""
        return cut in self._cuts

    def heal(self, cut: Cut) -> None:
        """Remove the node's rules; with the last ones goes the chain."""
        if cut not in self._cuts:
            return
        self._cuts.remove(cut)
        for rule in cut.rules():
            self._run("-D", self._chain, *rule)
        if not self._cuts:
            self.clear()

    def clear(self) -> None:
        """Remove everything of ours, if there is anything."""
        if not self._chained:
            return
        self._chained = False
        self._cuts.clear()
        for command in self.undo():
            # At teardown every step is tried, whatever became of the former ones. Our own arguments.
            subprocess.run(command, capture_output=True, check=False)  # noqa: S603

    def undo(self) -> list[list[str]]:
        """The commands that remove everything of ours."""
        steps = (["-D", "OUTPUT", "-j", self._chain], ["-F", self._chain], ["-X", self._chain])
        return [[iptables() or "iptables", "-w", *step] for step in steps]

    def _run(self, *arguments: str) -> None:
        # Our own arguments, no shell; -w waits for others who change the rules.
        command = [iptables() or "iptables", "-w", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise DevNodeError(
                f"iptables refused: {done.stderr.strip()}",
                where=" ".join(command),
                remedy="In a container, give it NET_ADMIN; otherwise see whether the kernel has iptables' modules",
            )


def iptables() -> str | None:
    """The program's path; it often lies where only root's PATH leads."""
    return shutil.which("iptables", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))


def missing_for_isolation() -> str | None:
    """Why no node can be isolated here; None when it can be tried."""
    if sys.platform != "linux":
        return f"isolating a node needs Linux's packet filter; this is {sys.platform}"
    if os.geteuid() != 0:
        return "isolating a node needs root"
    if iptables() is None:
        return "isolating a node needs iptables, which is not installed"
    return None


def require_packet_filter() -> None:
    """Refuse where rules cannot be set.

    Raises:
        DevNodeError: says what is missing.
    """
    if why := missing_for_isolation():
        raise DevNodeError(
            why,
            remedy="Run as root on Linux with iptables (Debian: apt-get install iptables), or use pause() instead",
        )
