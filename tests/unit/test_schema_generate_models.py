"""Model source: what is generated is a module whose models have the very same tables."""

import re
from typing import Any

from cassorm.cli.model_source import model_source
from cassorm.cql.types import NATIVE_TYPES
from cassorm.orm.model import table_of
from cassorm.schema.diff import differences
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.table import Column, Index, Table, UserType, View

NATIVE = sorted(NATIVE_TYPES - {"counter"})
TYPES = (
    UserType("street", (Column("name", "text"), Column("no", "int")), "shop"),
    UserType("postal_address", (Column("street", "frozen<street>"), Column("tags", "frozen<set<text>>")), "shop"),
)
WIDE = Table(
    keyspace="shop",
    name="wide_rows",
    columns=(
        Column("p", "uuid"),
        Column("q", "frozen<list<int>>"),
        Column("c", "timestamp"),
        *(Column(f"n_{kind}", kind) for kind in NATIVE),
        Column("class", "text"),
        Column("Upper", "int"),
        Column("l", "list<int>"),
        Column("s", "set<frozen<set<text>>>"),
        Column("m", "map<text, frozen<street>>"),
        Column("f", "frozen<map<text, int>>"),
        Column("t", "tuple<int, text>"),
        Column("a", "frozen<postal_address>"),
        Column("v", "vector<float, 3>"),
        Column("note", "text", static=True),
    ),
    partition_key=("p", "q"),
    clustering=(("c", "desc"),),
    options={"gc_grace_seconds": 60, "compaction": {"class": "LeveledCompactionStrategy"}},
    comment="all kinds",
    indexes=(Index("n_text", kind="sai", options={"case_sensitive": "false"}), Index("n_int", kind="secondary")),
    views=(View("by_text", ("n_text",), (("p", "asc"), ("q", "asc"), ("c", "asc")), ("n_int",)),),
)
COUNTS = Table(
    keyspace="shop", name="counts", columns=(Column("id", "int"), Column("hits", "counter")), partition_key=("id",)
)
SHOP = Schema((WIDE, COUNTS), TYPES, (Keyspace("shop", 1),))


def made(schema: Schema) -> dict[str, Any]:
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(model_source(schema), "generated.py", "exec"), module)
    return module


def test_the_models_that_are_generated_have_the_tables_that_they_were_made_of() -> None:
    module = made(SHOP)
    for name, table in (("WideRows", WIDE), ("Counts", COUNTS)):
        table_made = table_of(module[name])
        assert differences(table, table_made, options=True) == []
        assert differences(table_made, table, options=True) == []
        assert [column.name for column in table_made.columns] == [column.name for column in table.columns]


def test_only_what_is_used_is_imported_and_each_line_says_one_column() -> None:
    text = model_source(Schema((COUNTS,), (), (Keyspace("shop", 1),)))
    assert text == (
        '"""The tables of shop; written by cassorm schema generate."""\n\n'
        "from cassorm import PK, Counter, Int, Model, col\n\n\n"
        "class Counts(Model, keyspace='shop', table='counts'):\n"
        '    """A row of counts."""\n\n'
        "    id: PK[Int]\n"
        "    hits: Counter = col(default=0)\n"
    )


def test_names_that_no_field_can_have_keep_their_column() -> None:
    text = model_source(SHOP)
    assert re.search(r"^    class_: Col\[str \| None\] = col\(name='class', default=None\)$", text, re.MULTILINE)
    assert re.search(r"^    Upper: Col\[Int \| None\] = col\(default=None\)$", text, re.MULTILINE)


def test_a_second_index_on_a_column_is_said_to_be_left_out() -> None:
    table = Table(
        keyspace="k",
        name="t",
        columns=(Column("id", "int"), Column("m", "map<text, int>")),
        partition_key=("id",),
        indexes=(Index("m", name="a", kind="sai", target="keys"), Index("m", name="b", kind="sai", target="values")),
    )
    text = model_source(Schema((table,)))
    assert "index=SAI(name='a', target='keys')" in text
    assert "    # Index b on m is not declared here" in text
