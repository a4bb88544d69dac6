"""The class archive (AppCDS): Cassandra's classes as the JVM maps them, which saves each start a second of two.

The first node that starts without one lists the classes that it loads; when it is ready, a background process of low priority
makes the archive in the cache. An archive belongs to one runtime and one set of jars, by its name; the JVM checks both again and
ignores an archive that does not fit.
"""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cassorm.devnode.folders import cache_folder, make
from cassorm.devnode.java import Java
from cassorm.devnode.launcher import Order

LIST_NAME = "classes.list"
SCRIPT = Path(__file__).with_name("dump_archive.py")


@dataclass(frozen=True)
class Archive:
    """The class archive of one runtime and one set of jars, made or not."""

    path: Path
    java: Java
    jars: tuple[Path, ...]

    @property
    def wanted(self) -> bool:
        """Whether it is still to be made: it is not there, and no attempt has failed."""
        return not self.path.exists() and not self.path.with_suffix(".failed").exists()

    def options(self, folder: Path, *, make_list: bool) -> tuple[str, ...]:
        """The JVM options that use it; or those that list the classes into `folder`, when it is to be made from them."""
        if self.path.exists():
            return (f"-XX:SharedArchiveFile={self.path}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
        if make_list and self.wanted:
            return (f"-XX:DumpLoadedClassList={folder / LIST_NAME}",)
        return ()

    def order(self, folder: Path, log: Path) -> Order | None:
        """What to start when a node with a class list in `folder` is ready; None when there is nothing to make."""
        if not self.wanted or not (folder / LIST_NAME).exists():
            return None
        script = [sys.executable, "-I", "-S", str(SCRIPT), str(folder / LIST_NAME), str(self.path)]
        java = [str(self.java.executable), "-XX:+UseSerialGC", "-cp", ":".join(map(str, self.jars))]
        return Order("archive", (*script, *java), log=log, cwd=folder, nice=19)

    def discard(self) -> None:
        """Forget it: a start with it failed."""
        self.path.unlink(missing_ok=True)


def archive_for(java: Java, jars: Sequence[Path], folder: Path | None = None) -> Archive:
    """The archive that fits, in the cache."""
    folder = make(folder or cache_folder() / "archives")
    facts = [java.identity, *(f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in jars)]
    name = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:20]
    return Archive(folder / f"{name}.jsa", java, tuple(jars))
