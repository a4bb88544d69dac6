import os
import sys
from pathlib import Path

import pytest

from cassorm.devnode import detached, folders, named
from cassorm.devnode.cluster import DevCluster, DevNode
from cassorm.devnode.spec import Spec
from cassorm.errors import ConfigurationError, DevNodeError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def test_a_named_cluster_keeps_its_ports_and_what_it_was_asked_to_be() -> None:
    made = named.create("shop", Spec(nodes=3, profile="durable"))
    assert named.find("shop") == made
    assert named.existing("shop").hosts == [f"127.0.0.{n}:{made.cql_port}" for n in (1, 2, 3)]


def test_named_clusters_never_share_ports_even_while_they_do_not_run() -> None:
    made = [named.create(f"c{number}", Spec()) for number in range(10)]
    assert len(named.taken_ports()) == 20
    assert [cluster.name for cluster in named.all_named()] == sorted(cluster.name for cluster in made)


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", ".hidden", "x" * 49, "naïve"])
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name for a cluster"):
        named.find(name)


def test_asking_for_something_else_under_the_same_name_lists_the_differences() -> None:
    named.create("shop", Spec(nodes=3))
    with pytest.raises(ConfigurationError, match=r"nodes is 3, asked 1; profile is 'test', asked 'bench'"):
        named.find_or_create("shop", Spec(nodes=1, profile="bench"))


def test_an_unknown_name_lists_those_that_there_are() -> None:
    named.create("shop", Spec())
    with pytest.raises(ConfigurationError, match="there are: shop"):
        named.existing("stop")


def test_a_damaged_description_is_named_with_its_file() -> None:
    made = named.create("shop", Spec())
    (made.folder / "cluster.json").write_text("{}")
    with pytest.raises(DevNodeError, match="damaged") as caught:
        named.find("shop")
    assert caught.value.where == str(made.folder / "cluster.json")


async def test_one_holder_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "PATIENCE_S", 0.05)
    async with named.held("shop"):
        with pytest.raises(DevNodeError, match="another process is using the cluster"):
            async with named.held("shop"):
                pytest.fail("held twice")
        async with named.held("other"):
            pass
    async with named.held("shop"):
        pass


async def test_a_cluster_that_never_ran_is_shown_as_stopped_and_can_be_removed(home: Path) -> None:
    named.create("shop", Spec(nodes=2))
    status = await detached.status("shop")
    assert (status.state, [node.pid for node in status.nodes]) == ("stopped", [None, None])
    await detached.remove("shop")
    assert list((home / "data/cassorm/clusters").iterdir()) == []
    assert await detached.all_statuses() == []


async def test_a_recorded_pid_that_belongs_to_another_process_now_is_not_taken_for_the_node() -> None:
    made = named.create("shop", Spec())
    (made.folder / "node1").mkdir()
    (made.folder / "node1" / "process.json").write_text(f'{{"pid": {os.getpid()}, "birth": "long ago"}}')
    assert (await detached.status("shop")).state == "stopped"
    await detached.remove("shop")  # and we are still here


@pytest.mark.parametrize("kind", [DevCluster, DevNode])
def test_a_cluster_that_is_not_started_says_how_to_start_it(kind: type[DevCluster]) -> None:
    with pytest.raises(DevNodeError, match=f"async with {kind.__name__}"):
        kind().hosts  # noqa: B018 - the property raises


async def test_stopping_and_closing_what_was_never_started_is_fine() -> None:
    cluster = DevCluster()
    await cluster.stop()
    await cluster.close()
    await cluster.close()


def test_folders_follow_the_xdg_variables_and_ignore_relative_ones(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert folders.cache_folder() == home / "cache" / "cassorm"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/cache")
    assert folders.cache_folder() == home / ".cache" / "cassorm"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert folders.cache_folder() == home / "Library" / "Caches" / "cassorm"
    assert folders.data_folder() == home / "Library" / "Application Support" / "cassorm"
