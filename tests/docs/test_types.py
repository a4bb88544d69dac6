"""The table of types: it names every type there is, and says of each what the code says."""

import re
from datetime import date, datetime, time
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import create_model

import cassorm
from cassorm.cql.types import NATIVE_TYPES
from cassorm.errors import ModelError
from cassorm.orm import codec, values
from cassorm.orm.fields import PK, Col, col
from cassorm.orm.markers import Frozen
from cassorm.orm.model import Model, table_of
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs/reference/types.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in TEXT.splitlines() if line.startswith("| ")
]
CODE = re.compile(r"`([^`]+)`")
NAMES: dict[str, Any] = {
    **{name: getattr(values, name) for name in vars(values) if name[0].isupper()},
    **{kind.__name__: kind for kind in (Decimal, UUID, date, datetime, time, IPv4Address, IPv6Address)},
    "Literal": Literal,
    "Annotated": Annotated,
    "Frozen": Frozen,
    "T": int,
    "K": str,
    "V": bool,
    "A": float,
    "B": bytes,
}
PLAIN = {"T": "bigint", "K": "text", "V": "boolean", "A": "double", "B": "blob"}


def codes(cell: str) -> list[str]:
    return [found.replace("\\|", "|") for found in CODE.findall(cell)]


def said() -> list[tuple[Any, str, list[str]]]:
    """Each annotation of the table that stands for itself, its CQL type, and the others that it may have."""
    found = []
    for python, cql, also, _ in ROWS[1:]:
        if not python.startswith("`") or python == "`Counter`":
            continue
        kinds = [re.sub(r"\b[TKVAB]\b", lambda name: PLAIN[name[0]], each) for each in codes(cql)]
        others = [re.sub(r"\b[TKVAB]\b", lambda name: PLAIN[name[0]], each) for each in codes(also)]
        annotations = codes(python)
        found += [(annotation, kinds[at if len(kinds) > 1 else 0], others) for at, annotation in enumerate(annotations)]
    return found


def type_of(annotation: Any, **options: Any) -> str:
    make: Any = create_model
    made = make("Made", __base__=Model, id=(PK[int], ...), x=(Col[annotation], col(**options)))
    return table_of(made).columns[1].type


@pytest.mark.parametrize(("annotation", "cql", "also"), said(), ids=[annotation for annotation, _, _ in said()])
def test_a_python_type_has_the_cql_types_that_the_page_says_and_no_other(
    annotation: str, cql: str, also: list[str]
) -> None:
    kind = eval(annotation, NAMES)
    assert type_of(kind) == cql
    for other in also:
        assert type_of(kind, type=other) == other
    for other in sorted(NATIVE_TYPES - {cql, *also, "counter"}):
        with pytest.raises(ModelError):
            type_of(kind, type=other)


def test_every_type_that_the_code_knows_has_a_row() -> None:
    python, cql, *_ = (", ".join(column) for column in zip(*ROWS, strict=True))
    named = {name for each in (cql, *(also for _, _, also, _ in ROWS)) for name in re.findall(r"\w+", each)}
    assert {*NATIVE_TYPES, "list", "set", "map", "tuple", "vector", "frozen"} <= named
    known = set(re.findall(r"\w+", python))
    assert {kind.__name__ for kind in codec.NATIVE} <= known
    own = {
        name
        for name, value in vars(values).items()
        if name in cassorm.__all__ and name[0].isupper() and value is not Any
    }
    assert own <= known | {"Vector"}
