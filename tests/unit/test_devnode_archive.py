import subprocess
import sys
from pathlib import Path

from cassorm.devnode.archive import SCRIPT, Archive, archive_for
from cassorm.devnode.java import Java

FAKE_JAVA = """#!/bin/sh
for option; do
  case $option in
    -XX:SharedClassListFile=*) list=${option#*=} ;;
    -XX:SharedArchiveFile=*) archive=${option#*=} ;;
  esac
done
grep -q broken "$list" && { echo 'no such class'; exit 1; }
cp "$list" "$archive"
"""


def archive(folder: Path, identity: str = "jdk") -> Archive:
    java = folder / "java"
    java.write_text(FAKE_JAVA)
    java.chmod(0o755)
    jar = folder / "a.jar"
    jar.touch()
    return archive_for(Java(java, "17", frozenset(), identity), [jar], folder / "archives")


def make(archive: Archive, folder: Path, classes: str) -> None:
    (folder / "classes.list").write_text(classes)
    order = archive.order(folder, folder / "log")
    assert order is not None
    assert order.nice == 19
    subprocess.run(order.argv, check=True)


def test_a_start_lists_classes_until_there_is_an_archive_and_then_uses_it(tmp_path: Path) -> None:
    mine = archive(tmp_path)
    assert mine.options(tmp_path, make_list=True) == (f"-XX:DumpLoadedClassList={tmp_path}/classes.list",)
    assert mine.options(tmp_path, make_list=False) == ()
    make(mine, tmp_path, "one\ntwo\nhal")
    assert mine.path.read_text() == "one\ntwo\n"
    assert f"-XX:SharedArchiveFile={mine.path}" in mine.options(tmp_path, make_list=True)
    assert mine.order(tmp_path, tmp_path / "log") is None


def test_a_dump_that_fails_is_remembered_and_leaves_no_archive(tmp_path: Path) -> None:
    mine = archive(tmp_path)
    make(mine, tmp_path, "broken\n")
    assert not mine.wanted
    assert mine.options(tmp_path, make_list=True) == ()
    assert "no such class" in mine.path.with_suffix(".failed").read_text()


def test_another_runtime_and_other_jars_have_other_archives(tmp_path: Path) -> None:
    first, second = archive(tmp_path, "jdk 17.0.1"), archive(tmp_path, "jdk 17.0.2")
    (tmp_path / "a.jar").write_text("altered")
    third = archive(tmp_path, "jdk 17.0.1")
    assert len({first.path, second.path, third.path}) == 3


def test_two_dumps_at_once_do_the_work_once(tmp_path: Path) -> None:
    mine = archive(tmp_path)
    mine.java.executable.write_text(FAKE_JAVA + "echo done >> $(dirname $0)/dumps; sleep 0.2\n")
    (tmp_path / "classes.list").write_text("one\n")
    order = mine.order(tmp_path, tmp_path / "log")
    assert order is not None
    assert order.argv[:4] == (sys.executable, "-I", "-S", str(SCRIPT))
    for process in [subprocess.Popen(order.argv) for _ in range(2)]:
        assert process.wait(10) == 0
    assert (tmp_path / "dumps").read_text() == "done\n"
