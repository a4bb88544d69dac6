"""A schema in words, and as a file that makes it again."""

from pathlib import Path

import pytest

from cassorm.cql.dialect import for_engine
from cassorm.schema.ddl import resolve
from cassorm.schema.describe import describe
from cassorm.schema.dump import dump_yaml
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.load import load
from cassorm.schema.table import Column, Index, Table, UserType, View

ORDERS = Table(
    keyspace="shop",
    name="orders",
    columns=(
        Column("customer", "uuid"),
        Column("at", "timestamp"),
        Column("on", "boolean"),
        Column("tags", "map<text, frozen<address>>"),
        Column("owner", "text", static=True),
    ),
    partition_key=("customer",),
    clustering=(("at", "desc"),),
    options={"gc_grace_seconds": 60, "compaction": {"class": "LeveledCompactionStrategy"}},
    comment="what was sold: über alles",
    indexes=(Index("on", kind="sai"), Index("tags", name="keys", kind="sai", target="keys")),
    views=(View("by_on", ("on",), (("customer", "asc"), ("at", "asc")), ("tags",)),),
)
SHOP = Schema(
    (ORDERS, Table(keyspace="shop", name="plain", columns=(Column("id", "int"),), partition_key=("id",))),
    (UserType("address", (Column("street", "text"), Column("no", "int")), "shop"),),
    (Keyspace("shop", {"dc1": 3}),),
)


def test_a_schema_is_described_a_paragraph_for_each_table() -> None:
    assert describe(SHOP) == (
        "keyspace shop, copies dc1: 3\n\n"
        "type address: street text, no int\n\n"
        "table orders: what was sold: über alles\n"
        "  customer  uuid                        partition key\n"
        "  at        timestamp                   clustering, newest or largest first\n"
        "  on        boolean\n"
        "  tags      map<text, frozen<address>>\n"
        "  owner     text                        static\n"
        "  index orders_on_idx on on (sai)\n"
        "  index keys on keys(tags) (sai)\n"
        "  view by_on by ((on), customer, at): on, customer, at, tags\n"
        "  compaction = {'class': 'LeveledCompactionStrategy'}\n"
        "  gc_grace_seconds = 60\n\n"
        "table plain\n"
        "  id  int  partition key"
    )


def test_what_only_a_live_view_has_is_said() -> None:
    view = View("v", ("id",), filter="id > 3")
    table = Table(keyspace="k", name="t", columns=(Column("id", "int"),), partition_key=("id",), views=(view,))
    assert describe(Schema((table,))).endswith("view v by ((id)): all columns, where id > 3")


def test_yaml_reads_back_as_the_very_same_schema_with_a_line_for_each_column(tmp_path: Path) -> None:
    text = dump_yaml(SHOP)
    (tmp_path / "shop.yaml").write_text(text)
    assert load(tmp_path / "shop.yaml") == SHOP
    lines = text.splitlines()
    assert "      customer: uuid" in lines
    assert "    key: [[customer], at]" in lines
    assert "      'on': boolean" in lines


@pytest.mark.parametrize("engine", ["cassandra 5.0", "scylla 2025.4"])
def test_a_generated_file_is_as_good_for_ddl(tmp_path: Path, engine: str) -> None:
    dialect = for_engine(*engine.split())
    plain = Schema((SHOP.tables[1],))
    (tmp_path / "shop.yaml").write_text(dump_yaml(plain))
    assert [resolve(table, dialect) for table in load(tmp_path / "shop.yaml")] == [
        resolve(table, dialect) for table in plain
    ]
