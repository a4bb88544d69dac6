"""Turns itself into Java: `python -I -S exec_java.py JAVA OPTIONS...`; first makes the process light (Linux).

Cassandra locks all its memory when it may, and root may: 200 MB more resident, most of it the JDK's own class library. And glibc gives
every thread pool its own arenas, which grow to half a gigabyte under load; two serve a development node as well.
Standard library only, as the guard.
"""

import ctypes
import os
import resource
import sys

PR_CAPBSET_DROP = 24
CAP_IPC_LOCK = 14


def main() -> None:
    """Give up the right to lock memory, then become Java."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0)
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  (no shell is what we want)


if __name__ == "__main__":
    main()
