"""Processes by pid, told apart from a later process that got the same pid."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Identity:
    """One process for good: its pid and when it was born."""

    pid: int
    birth: str

    @property
    def alive(self) -> bool:
        """Whether this very process runs (or is paused); a zombie does not."""
        return birth_of(self.pid) == self.birth

    def signal(self, number: int) -> bool:
        """Send the signal; False when the process is gone."""
        if not self.alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def identify(pid: int) -> Identity | None:
    """Who runs under the pid now; None when nobody does."""
    birth = birth_of(pid)
    return Identity(pid, birth) if birth else None


def birth_of(pid: int) -> str | None:
    """When the process under the pid was born, in words that no later process shares; None when there is none."""
    if sys.platform != "linux":
        told = _ps(pid, "stat=,lstart=")
        return told.split(None, 1)[1].strip() if told and not told.startswith("Z") else None
    fields = _stat(pid)
    # Field 22 of /proc/PID/stat counts from boot, so the boot belongs to it.
    return f"{BOOT_ID.read_text().strip()} {fields[19]}" if fields and fields[0] not in "ZX" else None


def is_paused(pid: int) -> bool:
    """Whether the process is stopped by SIGSTOP, every thread of it."""
    if sys.platform != "linux":
        return (_ps(pid, "stat=") or "").startswith("T")
    threads = [_stat(f"{pid}/task/{thread.name}") for thread in Path(f"/proc/{pid}/task").glob("*")]
    return bool(threads) and all(fields[0] in "Tt" for fields in threads if fields)


def resident_bytes(pid: int) -> int:
    """The memory that the process holds now; 0 when it is gone."""
    if sys.platform != "linux":
        return int(_ps(pid, "rss=") or 0) * 1024
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _stat(process: int | str) -> list[str]:
    """The fields of its /proc stat file from the state on; the name before them may hold blanks and brackets."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _ps(pid: int, columns: str) -> str | None:
    # A fixed command and a number.
    command = ["/bin/ps", "-o", columns, "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None
