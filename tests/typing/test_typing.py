"""Type checkers pass a user's project in strict mode, and find every mistake that is planted in another module."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cassorm
from cassorm import Batch, Database, Model, Query, RowCache, Scan
from cassorm.orm.expressions import Expression
from cassorm.orm.parts import CounterExpression, ListExpression, MapExpression, SetExpression
from cassorm.orm.writes import Delete, Update
from tests.typing.project import use

ROOT = Path(__file__).parents[2]
PROJECT = Path(__file__).with_name("project.py")
# Public where other modules of ours need them, and nothing to a user.
INTERNAL = {
    "checked",
    "compared",
    "compiled",
    "limits",
    "may_skip",
    "of",
    "on_write",
    "tell_of_write",
    "text",
    "values_given",
}
MISTAKES = Path(__file__).with_name("mistakes.txt")


def planted() -> set[int]:
    lines = MISTAKES.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong" in line}


def copied(folder: Path) -> Path:
    """The mistakes as a module; beside the tests it would fail the checks of the project itself."""
    copy = folder / "mistakes.py"
    copy.write_text(MISTAKES.read_text(encoding="utf-8"), encoding="utf-8")
    return copy


def run(*command: str) -> str:
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert ran.stdout, ran.stderr
    return ran.stdout


def test_the_project_uses_all_of_it() -> None:
    used = set(re.findall(r"\w+", PROJECT.read_text(encoding="utf-8")))
    orm = {name for name, home in cassorm._HOME_OF.items() if home.startswith("orm.")}
    kinds = [Model, Database, Query, Scan, Batch, RowCache, Update, Delete, Expression]
    kinds += [SetExpression, ListExpression, MapExpression, CounterExpression]
    methods = {
        name
        for kind in kinds
        for base in kind.__mro__
        if base.__module__.startswith("cassorm.orm")
        for name, member in vars(base).items()
        if not name.startswith("_") and inspect.isfunction(getattr(member, "__func__", member))
    }
    assert sorted((orm | methods) - used - INTERNAL) == []


@pytest.mark.cluster
async def test_the_project_runs_on_a_node(cassandra_hosts: list[str]) -> None:
    assert len(await use(cassandra_hosts)) == 3


@pytest.mark.parametrize("plugins", ["", "pydantic.mypy"])
def test_mypy_passes_the_project_and_finds_every_mistake(tmp_path: Path, plugins: str) -> None:
    mistakes = copied(tmp_path)
    config = tmp_path / "mypy.ini"
    config.write_text(
        f"[mypy]\nstrict = true\nplugins = {plugins}\n[mypy-cassandra.*]\nignore_missing_imports = true\n"
    )
    found = run(
        *(sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(tmp_path / "cache")),
        *("--no-error-summary", "--hide-error-context", "--follow-imports=silent", str(PROJECT), str(mistakes)),
    )
    errors = re.findall(r"^(.+?):(\d+): error: (.*)$", found, re.MULTILINE)
    assert [error for error in errors if not error[0].endswith("mistakes.py")] == []
    assert {int(line) for _, line, _ in errors} == planted(), found


def test_pyright_passes_the_project_and_finds_every_mistake(tmp_path: Path) -> None:
    mistakes = copied(tmp_path)
    settings = tmp_path / "pyrightconfig.json"
    checked = {"include": [str(PROJECT), str(mistakes)], "extraPaths": [str(ROOT)], "typeCheckingMode": "strict"}
    quiet = {"reportUnusedExpression": False, "reportMissingTypeStubs": False, "reportUnusedImport": False}
    settings.write_text(json.dumps({**checked, **quiet, "pythonVersion": "3.11"}))
    found = json.loads(
        run(sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(settings), "--pythonpath", sys.executable)
    )
    errors = [
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1, one["message"])
        for one in found["generalDiagnostics"]
        if one["severity"] == "error"
    ]
    assert [error for error in errors if error[0] != "mistakes.py"] == []
    assert {line for _, line, _ in errors} == planted(), errors
