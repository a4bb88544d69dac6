import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cassorm import __version__
from cassorm.cli import app as root
from cassorm.cli import node as node_commands
from cassorm.cli.output import columns, exit_code
from cassorm.devnode import named
from cassorm.devnode.spec import Spec
from cassorm.errors import (
    CassormError,
    ConfigurationError,
    DevNodeError,
    ModelError,
    OutcomeUnknownError,
    QueryError,
    SchemaDriftError,
    SchemaFileError,
    UnavailableError,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def cassorm(*arguments: str) -> int:
    """The exit code, whichever way the command left."""
    try:
        return root.main(arguments)
    except SystemExit as left:
        return int(str(left.code))


def test_the_module_and_the_script_are_the_same_command() -> None:
    environment = os.environ | {"COLUMNS": "200"}
    module = subprocess.run(
        [sys.executable, "-m", "cassorm", "--version"], capture_output=True, text=True, check=True, env=environment
    )
    assert module.stdout == f"cassorm {__version__}\n"


def test_without_arguments_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    cassorm()
    listed = capsys.readouterr()
    assert all(name in listed.out + listed.err for name in root.COMMANDS)


@pytest.mark.parametrize("arguments", [("fly",), ("node", "fly"), ("node", "start", "--nodes", "0"), ("node", "run")])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert cassorm(*arguments) == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SchemaDriftError("t", ["x"], remedy="r"), 1),
        (CassormError("x"), 1),
        (ConfigurationError("x"), 2),
        (ModelError("x"), 2),
        (QueryError("x"), 2),
        (SchemaFileError("x", remedy="r"), 2),
        (DevNodeError("x"), 3),
        (UnavailableError("x"), 3),
        (OutcomeUnknownError("x"), 3),
    ],
)
def test_the_kind_of_error_decides_the_exit_code(error: CassormError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_one_message_on_stderr_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cassorm("node", "status", "--name", "shop") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == (
        "cassorm: shop: there is no cluster of that name; there are: none. Start it: cassorm node start --name shop\n"
    )


def test_a_stopped_cluster_is_a_negative_finding_with_its_data_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    made = named.create("shop", Spec(nodes=2, profile="durable"))
    assert cassorm("node", "status", "--name", "shop", "--json") == 1
    status = json.loads(capsys.readouterr().out)
    assert (status["name"], status["state"], status["profile"]) == ("shop", "stopped", "durable")
    assert status["hosts"] == made.hosts
    assert [node["state"] for node in status["nodes"]] == ["stopped", "stopped"]


def test_clusters_are_listed_as_columns_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cassorm("node", "list") == 0
    assert capsys.readouterr().out == ""
    made = named.create("shop", Spec())
    assert cassorm("node", "list") == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "STATE", "NODES", "PROFILE", "HOSTS"]
    assert row.split() == ["shop", "stopped", "1", "test", *made.hosts]
    assert cassorm("node", "list", "--json") == 0
    assert [cluster["name"] for cluster in json.loads(capsys.readouterr().out)] == ["shop"]


def test_removing_deletes_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    named.create("shop", Spec())
    assert cassorm("node", "rm", "--name", "shop", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": "shop"}
    assert named.find("shop") is None


def test_the_log_of_a_node_is_printed_from_its_end(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made = named.create("shop", Spec())
    (made.folder / "node1").mkdir()
    (made.folder / "node1" / "cassandra.log").write_text("one\ntwo\nthree\n")
    assert cassorm("node", "logs", "--name", "shop", "--lines", "2") == 0
    assert capfdbinary.readouterr().out == b"two\nthree\n"
    assert cassorm("node", "logs", "--name", "shop", "--node", "2") == 2


def test_a_command_that_does_not_exist_starts_no_node(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_commands, "DevCluster", lambda *_, **__: pytest.fail("a node was made"))
    assert cassorm("node", "run", "--", "no-such-command") == 127
    assert "no-such-command" in capsys.readouterr().err


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns(("a", "bee"), [("long", 1), ("x", 22)]) == "A     BEE\nlong  1\nx     22"
    assert columns(("a",), []) == ""
