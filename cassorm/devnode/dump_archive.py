"""Makes a class archive: `python -I -S dump_archive.py LIST TARGET JAVA OPTIONS...`; run in the background, at low priority.

One process at a time makes one; the archive appears under its name only when it is whole and on disk. A dump that fails leaves
`TARGET.failed` with the reason, so that it is not tried at every start. Standard library only, as the guard.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

KEEP = 3
PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Between fork and exec: whoever ends this script ends the JVM (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def dump(class_list: Path, target: Path, command: list[str]) -> None:
    """Let the JVM write the archive of the listed classes, then put it in place."""
    draft, listed = target.with_suffix(".draft"), target.with_suffix(".list")
    # The node still writes to its list: leave the last, perhaps half, line out.
    listed.write_bytes(class_list.read_bytes().rpartition(b"\n")[0] + b"\n")
    java, *options = command
    argv = [java, "-Xshare:dump", f"-XX:SharedClassListFile={listed}", f"-XX:SharedArchiveFile={draft}", *options]
    # The command comes from cassorm.devnode.archive; one thread here, so preexec_fn is safe.
    done = subprocess.run(argv, capture_output=True, check=False, preexec_fn=die_with_parent)  # noqa: S603
    listed.unlink(missing_ok=True)
    if done.returncode or not draft.exists():
        draft.unlink(missing_ok=True)
        target.with_suffix(".failed").write_bytes(done.stdout[-4000:] + done.stderr[-4000:])
        return
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    newest_first = sorted(target.parent.glob("*.jsa"), key=lambda path: -path.stat().st_mtime)
    for old in newest_first[KEEP:]:
        old.unlink(missing_ok=True)


def main() -> None:
    """Dump, unless it is done or another process is at it."""
    class_list, target = Path(sys.argv[1]), Path(sys.argv[2])
    with target.with_suffix(".lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if not target.exists():
            dump(class_list, target, sys.argv[3:])


if __name__ == "__main__":
    main()
