"""The locked jars of one Cassandra release: what they are, where they lie in a Maven repository, and which a platform needs.

One line a jar: `group:artifact:version[:classifier]  sha256  size_bytes  [platform]`. A jar without a platform is for all;
the natives of platforms on which nobody runs a development node are not in the file.
Written by `python -m cassorm.devnode.relock`.
"""

import platform as host
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cassorm.errors import DevNodeError

CASSANDRA_VERSION = "5.0.9"
PLATFORMS = ("linux-aarch64", "linux-x86_64", "macos-aarch64", "macos-x86_64")


@dataclass(frozen=True)
class Jar:
    """One locked jar."""

    group: str
    artifact: str
    version: str
    classifier: str | None
    sha256: str
    size: int
    platform: str | None

    @property
    def file_name(self) -> str:
        """The name in the repository and in the cache, such as `jna-5.13.0.jar`."""
        classifier = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{classifier}.jar"

    @property
    def repository_path(self) -> str:
        """The path below the root of a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"

    def __str__(self) -> str:
        """The line of the lock file."""
        coordinates = ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))
        return "  ".join(filter(None, (coordinates, self.sha256, str(self.size), self.platform)))


def lock_file(version: str = CASSANDRA_VERSION) -> Path:
    """Where the lock of a release lies inside the package."""
    return Path(__file__).with_name(f"cassandra-{version}.lock")


def read_lock(path: Path | None = None) -> tuple[Jar, ...]:
    """Every jar of the lock, of all platforms, in the order of the file.

    Raises:
        DevNodeError: a line does not parse; the file is damaged: install cassorm again, or write it with `relock`.
    """
    path = path or lock_file()
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return tuple(_parse(line, f"{path.name}:{number}") for number, line in lines if line and not line.startswith("#"))


def _parse(line: str, where: str) -> Jar:
    try:
        coordinates, sha256, size, *platform = line.split()
        group, artifact, version, *classifier = coordinates.split(":")
        bytes.fromhex(sha256)
        jar = Jar(group, artifact, version, next(iter(classifier), None), sha256, int(size), next(iter(platform), None))
    except ValueError as error:
        raise _damaged(line, where) from error
    if len(sha256) != 64 or len(platform) > 1 or len(classifier) > 1 or jar.platform not in (None, *PLATFORMS):
        raise _damaged(line, where)
    return jar


def _damaged(line: str, where: str) -> DevNodeError:
    return DevNodeError(
        f"the jar lock has a line that does not parse: {line!r}",
        where=where,
        remedy="Install cassorm again, or write the lock with `python -m cassorm.devnode.relock`",
    )


def current_platform() -> str:
    """This machine as the lock names platforms, such as `linux-x86_64`."""
    system = {"darwin": "macos"}.get(host.system().lower(), host.system().lower())
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(host.machine().lower(), host.machine().lower())
    return f"{system}-{machine}"


def for_platform(jars: Iterable[Jar], platform: str) -> tuple[Jar, ...]:
    """Those that `platform` needs, sorted by file name: the class path is the same at every start."""
    needed = (jar for jar in jars if jar.platform in (None, platform))
    return tuple(sorted(needed, key=lambda jar: jar.file_name))
