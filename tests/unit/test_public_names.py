"""The public doors: what they export, and that every other package only says what lives in it."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import cassorm

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


def test_checkers_see_the_names_that_are_imported_when_asked_for() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in checked.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: (node.module or "").removeprefix("cassorm.") for node in imports for alias in node.names}
    assert seen == cassorm._HOME_OF
    assert set(cassorm.__all__) == {*seen, "__version__"} <= set(dir(cassorm))
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        cassorm.nope  # noqa: B018 - the attribute is the claim


def test_tables_come_without_event_sourcing_and_events_without_tables() -> None:
    code = (
        "import sys, cassorm; print([name for name in sys.modules if name.startswith('cassorm.')]); "
        "from cassorm import {}; "
        "print([name for name in sys.modules if name.startswith({!r})])"
    )
    for names, others in (
        ("Model, connect, RowCache", ("cassorm.events", "cassorm.aggregates")),
        ("Aggregate, AggregateRepository, CassandraEventStore", ("cassorm.orm",)),
    ):
        command = [sys.executable, "-c", code.format(names, others)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ran.stdout, ran.stderr) == ("[]\n[]\n", "")


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
