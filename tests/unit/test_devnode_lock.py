import platform
from pathlib import Path

import pytest

from cassorm.devnode.lock import PLATFORMS, Jar, current_platform, for_platform, read_lock
from cassorm.errors import DevNodeError

NATIVES = {
    "linux-aarch64": "linux-aarch_64",
    "linux-x86_64": "linux-x86_64",
    "macos-aarch64": "osx-aarch_64",
    "macos-x86_64": "osx-x86_64",
}


def test_the_lock_holds_cassandra_and_each_file_name_once() -> None:
    jars = read_lock()
    names = [jar.file_name for jar in jars]
    assert "cassandra-all-5.0.9.jar" in names
    assert len(set(names)) == len(names)
    assert all(jar.size > 0 for jar in jars)


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_gets_its_own_natives_and_no_others(name: str) -> None:
    jars = for_platform(read_lock(), name)
    natives = {jar.classifier for jar in jars if jar.classifier} - {"shaded", "native"}
    assert natives == {NATIVES[name]}
    assert 88 <= len(jars) <= 92


def test_an_unknown_platform_gets_the_jars_that_are_for_all() -> None:
    assert {jar.platform for jar in for_platform(read_lock(), "linux-riscv64")} == {None}


def test_the_class_path_has_one_order() -> None:
    jars = read_lock()
    assert for_platform(reversed(jars), "linux-x86_64") == for_platform(jars, "linux-x86_64")


def test_a_jar_knows_its_place_in_a_repository_and_its_line() -> None:
    jar = Jar("com.example.db", "thing", "1.2", "linux-x86_64", "ab" * 32, 17, "linux-x86_64")
    assert jar.repository_path == "com/example/db/thing/1.2/thing-1.2-linux-x86_64.jar"
    assert str(jar) == f"com.example.db:thing:1.2:linux-x86_64  {'ab' * 32}  17  linux-x86_64"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    path.write_text("# a comment\n\n" + "".join(f"{jar}\n" for jar in read_lock()))
    assert read_lock(path) == read_lock()


@pytest.mark.parametrize(
    "line",
    [
        "group:artifact:1  abc  17",
        f"group:artifact  {'ab' * 32}  17",
        f"group:artifact:1  {'ab' * 32}  many",
        f"group:artifact:1  {'ab' * 32}  17  amiga",
        f"group:artifact:1  {'ab' * 32}",
        f"group:artifact:1:a:b  {'ab' * 32}  17",
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.lock"
    path.write_text(f"# fine\n{line}\n")
    with pytest.raises(DevNodeError, match="does not parse") as caught:
        read_lock(path)
    assert caught.value.where == "some.lock:2"


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Darwin", "arm64", "macos-aarch64"),
        ("Darwin", "x86_64", "macos-x86_64"),
    ],
)
def test_platforms_are_named_as_in_the_lock(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, name: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert current_platform() == name
