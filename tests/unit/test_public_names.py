"""The public doors: what they export, and that every other package only says what lives in it."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

DOORS = ("cassorm", "cassorm.devnode", "cassorm.testing")
PACKAGE = Path(__file__).parents[2] / "cassorm"


@pytest.mark.parametrize("door", DOORS)
def test_every_exported_name_is_there_once(door: str) -> None:
    module = importlib.import_module(door)
    assert len(module.__all__) == len(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


@pytest.mark.parametrize("door", DOORS)
def test_whatever_is_exported_says_what_it_is(door: str) -> None:
    module = importlib.import_module(door)
    exported = [getattr(module, name) for name in module.__all__]
    callables = [one for one in exported if inspect.isclass(one) or inspect.isfunction(one)]
    assert callables
    # pydantic's and enum's classes inherit a text of their base: only their own counts.
    assert [one.__qualname__ for one in callables if not one.__dict__.get("__doc__", one.__doc__)] == []


@pytest.mark.parametrize(
    "package", sorted(path.parent for path in PACKAGE.rglob("__init__.py")), ids=lambda path: str(path.name)
)
def test_a_package_that_is_no_door_holds_a_docstring_alone(package: Path) -> None:
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    name = ".".join(("cassorm", *package.relative_to(PACKAGE).parts))
    assert name in DOORS or len(tree.body) == 1


def test_importing_cassorm_or_its_pytest_plugin_loads_neither_a_driver_nor_the_node() -> None:
    code = (
        "import sys, cassorm, cassorm.testing.plugin; "
        "print([name for name in sys.modules if name.split('.')[0] in ('cassandra', 'jgo', 'requests', 'uvloop', 'typer') "
        "or name.startswith(('cassorm.devnode', 'cassorm.cli', 'cassorm.bench'))])"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")
