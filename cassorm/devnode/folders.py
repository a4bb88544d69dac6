"""Where the development node keeps its files, as each system wants it, and locks between processes."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cassorm.errors import DevNodeError

if sys.platform != "win32":
    import fcntl

LOOK_S = 0.1


def require_posix() -> None:
    """Refuse to go on where neither file locks nor signals are what the node relies on.

    Raises:
        DevNodeError: this is Windows; use WSL 2, or name a cluster with CASSORM_HOSTS.
    """
    if sys.platform == "win32":
        raise DevNodeError(
            "the development node does not run on Windows itself",
            where=sys.platform,
            remedy="Run it inside WSL 2, or name a running cluster with CASSORM_HOSTS",
        )


def cache_folder() -> Path:
    """What can be fetched or made again: jars, the class archive, port locks."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cassorm"
    return _xdg("XDG_CACHE_HOME", ".cache") / "cassorm"


def data_folder() -> Path:
    """What belongs to the user: the data of named nodes."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "cassorm"
    return _xdg("XDG_DATA_HOME", ".local/share") / "cassorm"


def _xdg(variable: str, default: str) -> Path:
    """The folder that the variable names; the XDG specification has relative ones ignored."""
    named = Path(os.environ.get(variable, ""))
    return named if named.is_absolute() else Path.home() / default


def make(folder: Path) -> Path:
    """The folder, made when it did not exist.

    Raises:
        DevNodeError: it cannot be made; the remedy names the variable that moves it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DevNodeError(
            f"the folder cannot be made: {error.strerror}",
            where=str(folder),
            remedy="Make it writable, or point HOME, XDG_CACHE_HOME or XDG_DATA_HOME to a folder that is",
        ) from error
    return folder


def lock_now(path: Path) -> IO[bytes] | None:
    """The open file that holds the lock until `unlock`; None when another process (or caller) holds it."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed the file between our open and our lock: then this lock protects nothing.
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None


def unlock(file: IO[bytes]) -> None:
    """Remove the lock's file and let others have the lock."""
    Path(file.name).unlink(missing_ok=True)
    file.close()


@contextmanager
def locked(path: Path, cancel: threading.Event) -> Iterator[None]:
    """Hold the lock inside the block; waits for whoever has it, or enters without it once `cancel` is set."""
    make(path.parent)
    while (file := lock_now(path)) is None:
        if cancel.wait(LOOK_S):
            break
    try:
        yield
    finally:
        if file:
            unlock(file)


def write_atomically(path: Path, text: str) -> None:
    """Replace the file's content: readers see the old or the new text, never a part."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
