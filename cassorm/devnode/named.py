"""Named clusters: a folder each in the user's data folder, with what was asked for, its ports, and every node's data."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cassorm.devnode.folders import data_folder, lock_now, make, unlock, write_atomically
from cassorm.devnode.ports import addresses, reserve
from cassorm.devnode.spec import Spec
from cassorm.errors import ConfigurationError, DevNodeError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
FACTS = "cluster.json"
LOOK_S = 0.1
PATIENCE_S = 60.0  # as long as another command may take to start or stop the same cluster


@dataclass(frozen=True)
class Named:
    """A named cluster as it stands on disk, running or not."""

    name: str
    folder: Path
    spec: Spec
    cql_port: int
    storage_port: int

    @property
    def hosts(self) -> list[str]:
        """The contact points of all nodes; the same at every start."""
        return [f"{address}:{self.cql_port}" for address in addresses(self.spec.nodes)]


def clusters_folder() -> Path:
    """Where named clusters lie."""
    return data_folder() / "clusters"


def find(name: str) -> Named | None:
    """The named cluster; None when there is none of that name.

    Raises:
        ConfigurationError: this cannot be a name.
        DevNodeError: its folder is damaged.
    """
    folder = clusters_folder() / _checked(name)
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        return Named(name, folder, Spec.load(json.dumps(facts["spec"])), facts["cql_port"], facts["storage_port"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DevNodeError(
            f"the cluster's description is damaged: {error}",
            where=str(folder / FACTS),
            remedy=f"Remove the folder {folder} and start again; its data is lost then",
        ) from error


def existing(name: str) -> Named:
    """The named cluster.

    Raises:
        ConfigurationError: there is none of that name; lists those that there are.
    """
    if named := find(name):
        return named
    names = ", ".join(named.name for named in all_named()) or "none"
    raise ConfigurationError(
        f"there is no cluster of that name; there are: {names}",
        where=name,
        remedy=f"Start it: cassorm node start --name {name}",
    )


def all_named() -> list[Named]:
    """Every named cluster, by name."""
    found = sorted(path.parent.name for path in clusters_folder().glob(f"*/{FACTS}"))
    return [named for name in found if NAME.fullmatch(name) and (named := find(name))]


def taken_ports() -> set[int]:
    """The ports of all named clusters: theirs even while they do not run."""
    return {port for named in all_named() for port in (named.cql_port, named.storage_port)}


def create(name: str, spec: Spec) -> Named:
    """A new named cluster with ports of its own, not started; the caller holds its lock."""
    folder = make(clusters_folder() / _checked(name))
    ports = reserve(addresses(spec.nodes), avoid=taken_ports())
    try:
        facts = {"spec": json.loads(spec.dump()), "cql_port": ports.cql, "storage_port": ports.storage}
        write_atomically(folder / FACTS, json.dumps(facts, indent=2))
    finally:
        ports.release()
    return Named(name, folder, spec, ports.cql, ports.storage)


def find_or_create(name: str, spec: Spec) -> tuple[Named, bool]:
    """The named cluster and whether it is new; the caller holds its lock.

    Raises:
        ConfigurationError: it exists and was made otherwise than `spec` says.
    """
    named = find(name)
    if named is None:
        return create(name, spec), True
    if named.spec != spec:
        pairs = ((field, getattr(named.spec, field), getattr(spec, field)) for field in Spec.__dataclass_fields__)
        differences = "; ".join(f"{field} is {old!r}, asked {new!r}" for field, old, new in pairs if old != new)
        raise ConfigurationError(
            f"the cluster exists and was made otherwise: {differences}",
            where=name,
            remedy="Leave the option out, take another name, or remove it with its data: "
            f"cassorm node rm --name {name}",
        )
    return named, False


def erase(named: Named) -> None:
    """Remove the cluster's folder with all data; the caller holds its lock and has stopped it."""
    (named.folder / FACTS).unlink(missing_ok=True)
    shutil.rmtree(named.folder, ignore_errors=True)


@asynccontextmanager
async def held(name: str) -> AsyncIterator[None]:
    """Be the only one who starts, stops or removes the cluster, inside the block.

    Raises:
        DevNodeError: another process has it and keeps it, such as a program inside `DevCluster(name=...)`.
    """
    path = make(clusters_folder()) / f".{_checked(name)}.lock"
    deadline = time.monotonic() + PATIENCE_S
    while (lock := lock_now(path)) is None:
        if time.monotonic() > deadline:
            raise DevNodeError(
                "another process is using the cluster and does not let go",
                where=name,
                remedy="End the program that runs it, or wait for the other command",
            )
        await asyncio.sleep(LOOK_S)
    try:
        yield
    finally:
        unlock(lock)


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name for a cluster",
            where="name",
            remedy="Take 1 to 48 letters, digits, `-` or `_`, beginning with a letter or digit",
        )
    return name
