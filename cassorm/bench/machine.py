"""On what a benchmark ran: machine, versions, engine."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cassorm.driver.session import Session

_PACKAGES = ("cassorm", "cassandra-driver", "scylla-driver", "pydantic", "pydantic-core", "uvloop")


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of the client; `load_1m` is how busy it was at the start."""

    cores: int
    cpu: str
    memory_bytes: int
    system: str
    load_1m: float


@dataclass(frozen=True, slots=True)
class Engine:
    """The cluster; `local` when it is a development node on the same machine, which shares its cores."""

    name: str
    version: str
    nodes: int
    local: bool


def machine() -> Machine:
    """The machine that this runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(cores, _cpu(), pages * size, f"{platform.system()} {platform.release()}", os.getloadavg()[0])


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """The versions of Python and of the libraries that count here."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


async def engine(session: Session, *, local: bool) -> Engine:
    """The cluster behind a session."""
    others = await session.execute("SELECT peer FROM system.peers")
    return Engine(session.dialect.name, session.release, 1 + len(others), local)


def resident_bytes() -> int:
    """The resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # not Linux: the highest so far is the nearest that the standard library knows
        import resource  # noqa: PLC0415 - not on every system

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")
