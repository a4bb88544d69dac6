"""Workloads: what a YAML file may say, and what is said to one that says something else."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args
from uuid import UUID

import pytest
from pydantic import ValidationError

from cassorm.bench.cases import row_maker, sample_value
from cassorm.bench.workload import BenchColumn, ColumnType, Workload, load_workload
from cassorm.errors import ConfigurationError

FILES = sorted((Path(__file__).parents[2] / "benchmarks" / "workloads").glob("*.yaml"))


def load(tmp_path: Path, text: str) -> Workload:
    path = tmp_path / "w.yaml"
    path.write_text(text, encoding="utf-8")
    return load_workload(path)


def test_the_published_default_is_what_runs_without_a_file() -> None:
    assert load_workload(next(path for path in FILES if path.name == "default.yaml")) == Workload()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_published_workload_loads(path: Path) -> None:
    assert load_workload(path).rounds >= 1


def test_what_a_file_leaves_out_stays_as_it_is(tmp_path: Path) -> None:
    found = load(tmp_path, "rounds: 2\nseconds: 1\ncolumns: {k: uuid, v: {type: text, length: 7}}\n")
    assert (found.rounds, found.seconds, found.concurrencies) == (2, 1.0, Workload().concurrencies)
    assert {name: (column.type, column.length) for name, column in found.columns.items()} == {
        "k": ("uuid", 20),
        "v": ("text", 7),
    }


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing yet\n") == Workload()


WRONG = {
    "an unknown key, with the one that was meant": (
        "rounds: 3\nconcurency: [1]\n",
        2,
        "unknown key concurency",
        "concurrencies",
    ),
    "an unknown key of a column": (
        "columns:\n  id: uuid\n  v: {type: text, lenght: 3}\n",
        3,
        "unknown key columns.v.lenght",
        "length",
    ),
    "an unknown type, with those there are": ("columns:\n  id: uuid\n  v: txt\n", 3, "'txt'", "text, int"),
    "a length of a number": (
        "columns:\n  id: uuid\n  v: {type: int, length: 3}\n",
        3,
        "a column of type int has no length",
        "",
    ),
    "a key that is no uuid": ("columns:\n  id: int\n  v: text\n", 1, "the first, id, is the key", ""),
    "one column": ("columns:\n  id: uuid\n", 1, "columns: ", ""),
    "no rounds": ("seconds: 1\nrounds: 0\n", 2, "rounds: ", ""),
    "text for a number": ("rounds: many\n", 1, "'many'", ""),
    "no time": ("seconds: 0\n", 1, "seconds: ", ""),
    "no concurrency": ("concurrencies: []\n", 1, "concurrencies: ", ""),
    "more events than a prepared batch holds": ("events_per_append: [33]\n", 1, "events_per_append.0: ", ""),
    "a key twice": ("rounds: 1\nrounds: 2\n", 2, "'rounds' is there twice", ""),
    "no YAML": ("rounds: [1\n", 2, "no YAML", ""),
    "a list": ("- rounds\n", None, "no mapping", "concurrencies"),
}


@pytest.mark.parametrize(("text", "line", "problem", "remedy"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_refused_with_line_and_remedy(
    tmp_path: Path, text: str, line: int | None, problem: str, remedy: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    path = tmp_path / "w.yaml"
    assert caught.value.where == (f"{path}:{line}" if line else str(path))
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert remedy in caught.value.remedy


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        load_workload(tmp_path / "nowhere.yaml")


def test_quick_shortens_and_keeps_the_middle_concurrency() -> None:
    quick = Workload(concurrencies=[256, 16, 64]).quick()
    assert quick.concurrencies == [64]
    assert quick.warmup_seconds + quick.rounds * quick.seconds < 2
    assert quick.long_stream <= 2_000


def test_a_workload_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Workload().rounds = 7  # type: ignore[misc]


PYTHON: Mapping[str, type] = {
    "uuid": UUID,
    "text": str,
    "blob": bytes,
    "int": int,
    "bigint": int,
    "double": float,
    "float": float,
    "boolean": bool,
    "timestamp": datetime,
    "date": date,
    "decimal": Decimal,
}


@pytest.mark.parametrize("kind", get_args(ColumnType))
def test_every_type_has_a_value(kind: ColumnType) -> None:
    assert type(sample_value(BenchColumn(type=kind))) is PYTHON[kind]


@pytest.mark.parametrize("length", [1, 80, 81, 1000])
def test_a_text_is_as_long_as_asked(length: int) -> None:
    text = sample_value(BenchColumn(type="text", length=length))
    assert isinstance(text, str)
    assert len(text) == length


def test_rows_differ_in_their_key_alone() -> None:
    make, one, other = row_maker(Workload().columns), UUID(int=1), UUID(int=2)
    assert make(one)[0] == one
    assert make(one)[1:] == make(other)[1:]
    assert len(make(one)) == len(Workload().columns)
