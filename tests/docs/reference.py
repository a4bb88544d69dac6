"""docs/reference/names.md, written from the docstrings: `make reference`."""

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from types import FunctionType
from typing import Any

import cassorm
from cassorm import errors
from tests.docs.pages import ROOT

PATH = ROOT / "docs" / "reference" / "names.md"
_DOORS = {
    "cassorm": "The toolkit.",
    "cassorm.testing": "Tools for tests; the fixtures of the pytest plugin are in [how to test](../how-to/testing.md).",
    "cassorm.devnode": "A real Cassandra as processes: see [how to run a node](../how-to/dev-node.md).",
}
_CLASSES = [
    found
    for door in _DOORS
    for name in importlib.import_module(door).__all__
    if inspect.isclass(found := getattr(importlib.import_module(door), name))
]
_MADE_FOR_YOU = {"Batch", "Database", "Given", "Node", "Outcome", "Query", "Recorded", "Scan", "Session"}
_HEAD = """\
# Public names

Written from the docstrings by `make reference`. What is not listed here may change at any time. The command line tells about
itself: `cassorm --help`.
"""
_ERRORS = """\
## `cassorm.errors`

Every exception of cassorm, all of them derived from `CassormError`. `error.retry` says whether the same call may be made again:
NEVER, SAFE, RELOAD (load again, decide again) or SAME_IDS (send the very same append again).

| error | retry | when |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *(_door(name, about) for name, about in _DOORS.items())]
    rows = [f"| `{error.__name__}` | {error.retry.name} | {_first(error)} |" for error in _below(errors.CassormError)]
    return "\n".join([*parts, _ERRORS + "\n".join(rows) + "\n"])


def _door(name: str, about: str) -> str:
    module = importlib.import_module(name)
    public = [exported for exported in module.__all__ if not exported.startswith("_")]
    return "\n".join([f"## `{name}`", "", about, "", *(_entry(module, exported) for exported in public)])


def _entry(module: Any, name: str) -> str:
    found = getattr(module, name)
    if isinstance(found, Mapping):
        return f"### `{name}`\n\nBy name: {', '.join(f'`{key}`' for key in found)}.\n"
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return f"### `{name}`\n\n{_said_behind(name) or f'`{found}`'}\n"
    heading = f"### `{name}{_parameters(found)}`\n\n{_first(found)}\n"
    members = [f"- `{call}`: {text}" for call, text in _members(found)] if inspect.isclass(found) else []
    return "\n".join([heading, *members, ""]) if members else heading


def _said_behind(name: str) -> str | None:
    """The text behind the assignment of a name of `cassorm`, for what has no docstring of its own."""
    home = importlib.import_module(f"cassorm.{cassorm._HOME_OF[name]}")
    parsed = ast.walk(ast.parse(inspect.getsource(home)))
    blocks = [block for node in parsed for block in (getattr(node, "body", None), getattr(node, "orelse", None))]
    for block in blocks:
        for pair in pairwise(block) if isinstance(block, list) else ():
            match pair:
                case ast.Assign(targets=[ast.Name(id=target)]), ast.Expr(value=ast.Constant(value=str(text))):
                    if target == name:
                        return " ".join(text.split())
    return None


def _members(found: type) -> Iterator[tuple[str, str]]:
    """What a class of ours adds to the other classes of the page, in the order of its source."""
    bases = [base for base in found.__mro__[1:] if base in _CLASSES]
    known = {name for base in bases for name in dir(base)}
    for owner in found.__mro__:
        if owner in bases or not owner.__module__.startswith("cassorm"):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in known or isinstance(member, staticmethod):
                continue
            known.add(name)
            function = getattr(member, "__func__", member)
            if isinstance(member, property):
                yield name, _first(member)
            elif isinstance(function, FunctionType) and function.__doc__:
                yield f"{name}{_parameters(function)}", _first(function)
    for base in bases:
        yield base.__name__, "and all that it has."


def _parameters(found: Any) -> str:
    """The names of the parameters, as they are written in a call; empty for what is not called."""
    if hasattr(found, "_fields"):
        return f"({', '.join(found._fields)})"
    if inspect.isclass(found) and ("__init__" not in vars(found) or found.__name__ in _MADE_FOR_YOU):
        return ""
    given = [
        parameter for name, parameter in inspect.signature(found).parameters.items() if name not in ("self", "cls")
    ]
    listed: list[str] = []
    for parameter in given:
        if parameter.kind is parameter.KEYWORD_ONLY and not any(name.startswith("*") for name in listed):
            listed.append("*")
        stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) + "**" * (parameter.kind is parameter.VAR_KEYWORD)
        listed.append(f"{stars}{parameter.name}")
    return f"({', '.join(listed)})"


def _first(found: object) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())


def _below(error: type[errors.CassormError]) -> Iterator[type[errors.CassormError]]:
    """An error of the tree and those derived from it, depth first."""
    yield error
    for kind in error.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield from _below(kind)


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PATH}\n")
