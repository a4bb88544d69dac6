"""Writes the jar lock of a Cassandra release: `python -m cassorm.devnode.relock [VERSION] [--output FILE]`.

jgo resolves the very set that Maven does; it and the jars come from the Maven repository that jgo names, into a temporary folder.
"""

import argparse
import hashlib
import re
import sys
import tempfile
from pathlib import Path

from jgo.maven import Dependency, MavenContext

from cassorm.devnode.lock import CASSANDRA_VERSION, PLATFORMS, Jar, lock_file

SYSTEMS = {"linux": "linux", "osx": "macos", "windows": "windows"}


def platform_of(classifier: str | None) -> str | None:
    """The platform that a classifier such as `linux-aarch_64` names; None when the jar is for all."""
    named = re.fullmatch(r"(linux|osx|windows)-(\w+)", classifier or "")
    return f"{SYSTEMS[named[1]]}-{named[2].replace('aarch_64', 'aarch64')}" if named else None


def locked(dependency: Dependency) -> Jar:
    """The lock's line for one resolved dependency, its jar fetched and hashed."""
    content = dependency.artifact.resolve().read_bytes()
    return Jar(
        dependency.groupId,
        dependency.artifactId,
        dependency.version,
        dependency.classifier or None,
        hashlib.sha256(content).hexdigest(),
        len(content),
        platform_of(dependency.classifier),
    )


def resolve(version: str, folder: Path) -> list[Jar]:
    """Every jar of the release that some supported platform needs, sorted by coordinates."""
    context = MavenContext(repo_cache=folder)
    root = context.create_dependency(f"org.apache.cassandra:cassandra-all:{version}")
    _, dependencies = context.resolver.resolve([root])
    wanted = {str(d.artifact.key): d for d in [root, *dependencies] if d.scope in (None, "compile", "runtime")}
    jars = (locked(d) for d in wanted.values() if platform_of(d.classifier) in (None, *PLATFORMS))
    return sorted(set(jars), key=str)


def main() -> None:
    """Resolve, hash and write."""
    parser = argparse.ArgumentParser(prog="python -m cassorm.devnode.relock", description=__doc__)
    parser.add_argument("version", nargs="?", default=CASSANDRA_VERSION)
    parser.add_argument("--output", type=Path, help="the lock file to write (default: the one in the package)")
    arguments = parser.parse_args()
    output: Path = arguments.output or lock_file(arguments.version)
    with tempfile.TemporaryDirectory() as folder:
        jars = resolve(arguments.version, Path(folder))
    head = f"# The jars of Apache Cassandra {arguments.version}; written by `python -m cassorm.devnode.relock`.\n"
    output.write_text(head + "".join(f"{jar}\n" for jar in jars), encoding="utf-8")
    sys.stderr.write(f"{output}: {len(jars)} jars, {sum(jar.size for jar in jars) / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
