"""What stands for a mapping, so that a change of it is noticed: its tables, its events, and the source of its code.

Of a read model and of totals the source of the fields counts, of handlers the whole source; neither comments nor layout
do. Functions that are called from there are not looked at: whoever changes them gives the projection another version,
or rebuilds it.
"""

import ast
import hashlib
import inspect
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from cassorm.events.event import Event
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.mapping import Step


def fingerprint_of(parts: Iterable[object]) -> str:
    """Text of 16 characters that stands for these parts."""
    return hashlib.sha256("\n".join(str(part) for part in parts).encode()).hexdigest()[:16]


def shape_of(plan: ModelPlan) -> str:
    """The table of a model as text."""
    table = plan.table
    columns = ", ".join(f"{column.name} {column.type}" for column in sorted(table.columns, key=lambda each: each.name))
    indexes = ", ".join(sorted(f"{index.column} {index.kind} {index.target}" for index in table.indexes))
    return f"{table.name} ({columns}) {table.partition_key} {table.clustering} [{indexes}]"


def steps_text(steps: Mapping[type[Event], Iterable[Step]]) -> str:
    """Which events set which fields, as text."""
    return "; ".join(
        sorted(
            f"{event.__event_type__} {event.__schema_version__}: {', '.join(sorted(step.attribute for step in each))}"
            for event, each in steps.items()
        )
    )


def fields_source(cls: type[Any], upto: type[Any]) -> str:
    """The source of the fields of a class, and of its bases below `upto`; empty where there is none."""
    classes = [base for base in cls.__mro__ if issubclass(base, upto) and base is not upto]
    found = []
    for base in classes:
        body = getattr(_tree(base), "body", ())
        found += [ast.unparse(node) for node in body if isinstance(node, ast.AnnAssign | ast.Assign)]
    return "\n".join(found)


def whole_source(thing: Any) -> str:
    """The source of a class or function without its text of documentation; empty where there is none."""
    tree = _tree(thing)
    if tree is None:
        return ""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(body, list):
            first = body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(body) > 1:
                del body[0]
    return ast.unparse(tree)


def _tree(thing: Any) -> ast.stmt | None:
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError, SyntaxError):  # typed into a console, or made by a program
        return None
    return parsed.body[0] if parsed.body else None
