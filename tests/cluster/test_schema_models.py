"""`cassorm schema` with models instead of files: shown, created, compared, and migrated to."""

import sys
from pathlib import Path
from uuid import uuid4

import pytest

from cassorm.cli.modules import declared
from cassorm.driver.session import Session
from cassorm.errors import ModelError
from cassorm.schema.keyspace import Schema
from cassorm.schema.load import load
from tests.cluster.commands import cassorm

MODELS = """\
from uuid import UUID
from pydantic import BaseModel
from cassorm import CK, PK, Col, Model, Udt, ck, col

class Address(Udt):
    street: str

class Base(Model, abstract=True):
    id: PK[UUID]

class Customer(Base):
    home: Col[Address | None] = col(default=None)
    email: Col[str] = col(default="", index=True)

class Order(Model, table="orders"):
    customer: PK[UUID]
    n: CK[int] = ck(order="desc")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"shop_{uuid4().hex[:8]}"
    (tmp_path / f"{name}.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    return name


async def test_models_are_shown_as_cql_beside_files(tmp_path: Path, module: str) -> None:
    file = tmp_path / "more.yaml"
    file.write_text("name: audit\nfields: {id: int}\nkey: id\n")
    code, out, _ = await cassorm("show", str(file), "--models", module, hosts=["127.0.0.1:1"])
    assert code == 0
    assert [line.split()[-2] for line in out.splitlines() if line.startswith("CREATE T")] == [
        *("address", "audit", "customer", "orders")
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be imported: No module named"),
        ("import nowhere_to_be_found", "cannot be imported: No module named 'nowhere_to_be_found'"),
        ("from cassorm import Model\nclass Base(Model, abstract=True): ...", "has no models"),
        (f"{MODELS}\nclass Other(Base, table='orders'): ...", r"Other: declares table orders.*otherwise"),
        (
            f"{MODELS}\nclass Place(Udt, type_name='address'):\n    room: int\nclass Other(Base):\n    at: Col[Place]",
            "Other: has a user type address with other fields",
        ),
    ],
)
def test_modules_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, problem: str
) -> None:
    name = f"wrong_{uuid4().hex[:8]}"
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=problem):
        declared([name], Schema(()))


def test_a_file_may_say_the_same_as_a_model_and_nothing_else(module: str) -> None:
    same = load(
        {"fields": {"customer": "uuid", "n": "bigint"}, "key": ["customer", "n"], "clustering_order": {"n": "desc"}},
        "orders",
    )
    assert len(declared([module], same).tables) == 2
    with pytest.raises(ModelError, match="declares table orders"):
        declared([module], load({"fields": {"customer": "uuid"}, "key": "customer"}, "orders"))


async def test_neither_files_nor_models_is_wrong_usage() -> None:
    code, _, err = await cassorm("diff", hosts=["127.0.0.1:1"])
    assert (code, "--models MODULE" in err) == (2, True)


@pytest.mark.cluster
async def test_models_are_created_compared_and_migrated_to(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str, module: str, tmp_path: Path
) -> None:
    k, hosts = cassorm_keyspace, cassandra_hosts
    given = ["--models", module, "--keyspace", k]
    code, out, _ = await cassorm("apply", *given, hosts=hosts)
    assert (code, out.split()) == (0, ["address", "customer", "customer_email_idx", "orders"])
    assert (await cassorm("diff", *given, hosts=hosts))[:2] == (0, "")
    await cassorm_session.ddl(f"ALTER TABLE {k}.customer DROP home")
    code, out, err = await cassorm("diff", *given, hosts=hosts)
    assert (code, out) == (1, f"{k}.customer  missing column  home frozen<address>\n")
    assert err.endswith(f"Next: cassorm schema plan --models {module}\n")
    code, out, _ = await cassorm("plan", *given, hosts=hosts)
    assert (code, f"ALTER TABLE {k}.customer ADD home frozen<address>;" in out) == (0, True)
    folder = tmp_path / "migrations"
    code, out, _ = await cassorm("migrate", str(folder), "--new", "home", *given, hosts=hosts)
    assert code == 0
    assert "ALTER TABLE customer ADD home frozen<address>;" in (folder / "0001_home.cql").read_text()
