"""Model source: what is generated is a module whose models have the very same tables."""

import re
from typing import Any

from cassorm.cli.model_source import model_source
from cassorm.cql.types import NATIVE_TYPES
from cassorm.orm.from_schema import models_of
from cassorm.orm.model import Model, table_of
from cassorm.orm.model_plan import plan_of
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


ODD_NAMES = [
    *(
        "class",
        "class_",
        "_class",
        "__class",
        "date",
        "datetime",
        "time",
        "dt",
        "col",
        "pk",
        "int",
        "str",
        "list",
        "set",
    ),
    *(
        "Decimal",
        "UUID",
        "Model",
        "copy",
        "where",
        "where_",
        "model_dump",
        "0",
        "0x",
        "_",
        "None",
        "Mixed",
        "udt_name",
        "self",
    ),
]
ODD = Schema(
    (
        Table(
            keyspace="k",
            name="model",
            columns=(
                Column("id", "int"),
                *(Column(name, "date") for name in ODD_NAMES),
                Column("a", "set<frozen<odd>>"),
                Column("b", "map<frozen<list<frozen<inner>>>, frozen<map<text, frozen<list<text>>>>>"),
                Column("c", 'frozen<"order">'),
                Column("d", "set<frozen<tuple<frozen<list<int>>, text>>>"),
            ),
            partition_key=("id",),
        ),
        *(
            Table(keyspace="k", name=name, columns=(Column("id", "uuid"),), partition_key=("id",))
            for name in ("order", "none", "9", "decimal", "Decimal", "udt", "a_b", "aB", "AB", "view")
        ),
    ),
    (
        UserType("inner", (Column("a", "list<text>"), Column("b", "frozen<set<int>>")), "k"),
        UserType("odd", (Column("in", "frozen<inner>"), *(Column(name, "time") for name in ODD_NAMES)), "k"),
        UserType("order", (Column("a", "frozen<map<text, int>>"), Column("class", "timestamp")), "k"),
    ),
    (Keyspace("k", 1),),
)


def test_whatever_tables_types_and_columns_are_called_the_module_has_their_shapes() -> None:
    module = made(ODD)
    made_here = [each for each in module.values() if getattr(each, "__module__", "") == "generated"]
    classes = {table_of(each).name: each for each in made_here if issubclass(each, Model)}
    assert set(classes) == {table.name for table in ODD.tables}
    for table in ODD.tables:
        assert table_of(classes[table.name]).columns == table.columns
    loaded = models_of(ODD)
    assert {name: table_of(model) for name, model in loaded.items()} == {table.name: table for table in ODD.tables}
    models: list[Any] = [classes["model"], loaded["model"]]
    for model in models:
        kinds = {kind.name: kind for kind in plan_of(model).user_types}
        assert [column.name for column in kinds["odd"].fields] == ["in", *ODD_NAMES]
        assert len(set(model.model_fields)) == len(ODD_NAMES) + 5
        annotation: Any = model.model_fields["a"].annotation
        odd = annotation.__args__[0]
        value = odd(in_=kinds_inner(odd)(a=("x",), b=frozenset([1])))
        assert model(id=1, a={value, value}, d={((1, 2), "x")}).a == {value}


def kinds_inner(odd: Any) -> Any:
    return odd.model_fields["in_"].annotation.__args__[0]


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
