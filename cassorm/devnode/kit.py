"""What every node of a cluster is started with: a Java, the jars, the class archive."""

import asyncio
import threading
from dataclasses import dataclass
from pathlib import Path

from cassorm.devnode.archive import Archive, archive_for
from cassorm.devnode.folders import require_posix
from cassorm.devnode.jars import ensure_jars
from cassorm.devnode.java import Java, find_java


@dataclass(frozen=True)
class Kit:
    """What every node of a cluster is started with."""

    java: Java
    jars: tuple[Path, ...]
    archive: Archive


async def prepare_kit(*, java: Path | None = None, mirror: str | None = None, show_progress: bool | None = None) -> Kit:
    """What nodes are started with, fetched when it is not here; the event loop goes on meanwhile.

    Raises:
        DevNodeError: no Java 17, or a jar that cannot be fetched.
    """
    require_posix()
    cancel = threading.Event()

    def prepare() -> Kit:
        runtime = find_java(wanted=java)
        jars = ensure_jars(mirror=mirror, show_progress=show_progress, cancel=cancel)
        return Kit(runtime, jars, archive_for(runtime, jars))

    try:
        return await asyncio.to_thread(prepare)
    except asyncio.CancelledError:
        cancel.set()
        raise
