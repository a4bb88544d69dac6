"""The jar cache: every jar of the lock that this platform needs, whole, or fetched now.

A jar counts as whole when it was hashed once and its size, times and inode have not changed since (one `stat` a jar, about
a millisecond for all); otherwise it is hashed again. Processes may start at once: one fetches, the others wait for it.
"""

import hashlib
import json
import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from cassorm.devnode.folders import cache_folder, locked, make, write_atomically
from cassorm.devnode.lock import CASSANDRA_VERSION, Jar, current_platform, for_platform, read_lock
from cassorm.errors import DevNodeError

logger = logging.getLogger(__name__)

STAMPS = "verified.json"


def ensure_jars(
    jars: Sequence[Jar] | None = None,
    folder: Path | None = None,
    *,
    mirror: str | None = None,
    show_progress: bool | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Path, ...]:
    """The paths of `jars` (default: all that this platform needs) in the cache, in class path order.

    Another thread makes it give up soon by setting `cancel`.

    Raises:
        DevNodeError: a jar is missing and cannot be fetched; those that came are kept for the next try.
    """
    jars = for_platform(read_lock(), current_platform()) if jars is None else jars
    folder = make(folder or cache_folder() / "jars")
    cancel = cancel or threading.Event()
    if missing_jars(jars, folder):
        with locked(folder / ".lock", cancel):
            missing = missing_jars(jars, folder)
            if missing:
                _fetch(missing, folder, mirror, show_progress, cancel)
                if still := missing_jars(jars, folder):
                    raise DevNodeError(
                        f"{len(still)} of {len(missing)} jars were not fetched, {still[0].file_name} among them",
                        where=str(folder),
                        remedy="The transfer was cancelled: start again",
                    )
    return tuple(folder / jar.file_name for jar in jars)


def missing_jars(jars: Sequence[Jar], folder: Path) -> list[Jar]:
    """Those that are not in the folder or are not what the lock says."""
    known = _read_stamps(folder)
    stamps = {jar.file_name: _stamp(jar, folder, known.get(jar.file_name)) for jar in jars}
    fresh = {name: stamp for name, stamp in stamps.items() if stamp is not None}
    if any(known.get(name) != stamp for name, stamp in fresh.items()):
        write_atomically(folder / STAMPS, json.dumps(known | fresh, indent=0, sort_keys=True))
    return [jar for jar in jars if stamps[jar.file_name] is None]


def _stamp(jar: Jar, folder: Path, known: list[object] | None) -> list[object] | None:
    """What to remember of a jar that is whole; None when it is not."""
    path = folder / jar.file_name
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    stamp: list[object] = [jar.sha256, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    if stamp == known:
        return stamp
    if status.st_size == jar.size:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256:
                return stamp
    logger.warning("%s is damaged and is fetched again", path)
    return None


def _read_stamps(folder: Path) -> dict[str, list[object]]:
    try:
        stamps = json.loads((folder / STAMPS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _fetch(
    jars: Sequence[Jar],
    folder: Path,
    mirror: str | None,
    show_progress: bool | None,
    cancel: threading.Event,
) -> None:
    try:
        # Here and not above: a complete cache needs neither these libraries nor the quarter of a second that they take.
        from cassorm.devnode.progress import transfer_bar  # noqa: PLC0415
        from cassorm.devnode.transfer import Transfer  # noqa: PLC0415
    except ImportError as error:
        raise DevNodeError(
            f"{error.name} is not installed and the jars of Cassandra are not here yet",
            where=str(folder),
            remedy="Install the extra: pip install 'cassorm[node]'",
        ) from error
    size = sum(jar.size for jar in jars)
    title = f"Cassandra {CASSANDRA_VERSION}: {len(jars)} jars"
    logger.info("%s, %.0f MB, into %s", title, size / 1e6, folder)
    with transfer_bar(title, size, shown=show_progress) as progress:
        Transfer(jars, folder, mirror=mirror, progress=progress, cancel=cancel).run()
