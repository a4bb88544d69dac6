"""The rules that a table has to keep, checked before anything is sent."""

from collections.abc import Callable
from typing import Any

import pytest

from cassorm.errors import SchemaError
from cassorm.schema.keyspace import Keyspace, Schema, check_user_types
from cassorm.schema.table import Column, Index, Table, UserType, View

ID, AT, TOTAL = Column("id", "uuid"), Column("at", "timestamp"), Column("total", "decimal")


def orders(**changes: Any) -> Table:
    parts: dict[str, Any] = {
        "name": "orders",
        "columns": (ID, AT, TOTAL),
        "partition_key": ("id",),
        "clustering": (("at", "desc"),),
    }
    return Table(**{**parts, **changes})


def test_a_column_keeps_the_one_spelling_of_its_type() -> None:
    assert Column("a", "VARCHAR") == Column("a", "text")
    assert Column("a", "tuple<int>").type == "frozen<tuple<int>>"


def test_a_table_is_a_value() -> None:
    assert orders() == orders()
    assert hash(orders()) == hash(orders())
    assert orders() != orders(clustering=(("at", "asc"),))
    assert orders().key == ("id", "at")


REFUSED: list[tuple[Callable[[], object], tuple[str, ...], str]] = [
    (lambda: orders(name="or;ders"), ("name",), "'or;ders' is no table name"),
    (lambda: orders(name="o" * 49), ("name",), "has 49 characters"),
    (lambda: orders(keyspace='sh"op'), ("name",), "is no keyspace name"),
    (lambda: orders(columns=()), ("columns",), "has no columns"),
    (lambda: orders(columns=(ID, AT, AT)), ("columns", "at"), "column at is there twice"),
    (lambda: Column('to"tal', "int"), ("columns", 'to"tal'), "is no column name"),
    (lambda: Column("total", "decimel<int>"), ("columns", "total"), "takes no parameters"),
    (lambda: orders(partition_key=()), ("key",), "has no partition key"),
    (lambda: orders(partition_key=("nope",)), ("key", "nope"), "key column nope is no column"),
    (lambda: orders(clustering=(("id", "asc"),)), ("key", "id"), "key column id is there twice"),
    (lambda: orders(clustering=(("at", "down"),)), ("clustering_order", "at"), "order 'down' of at"),
    (
        lambda: orders(clustering=(), columns=(ID, Column("note", "text", static=True))),
        ("columns", "note"),
        "is static in a",
    ),
    (lambda: orders(columns=(ID, Column("at", "int", static=True))), ("columns", "at"), "key column at is static"),
    (lambda: orders(columns=(ID, Column("at", "list<int>"))), ("columns", "at"), "key column at is not frozen"),
    (lambda: orders(columns=(ID, Column("at", "address"))), ("columns", "at"), "a user type that is not frozen"),
    (lambda: orders(columns=(ID, Column("at", "duration"))), ("columns", "at"), "key column at is a duration"),
    (lambda: orders(columns=(ID, Column("at", "counter"))), ("columns", "at"), "key column at is a counter"),
    (lambda: orders(columns=(ID, AT, TOTAL, Column("n", "counter"))), ("columns", "total"), "beside counters"),
    (
        lambda: orders(columns=(ID, AT, Column("n", "counter")), options={"default_time_to_live": 5}),
        ("options", "default_time_to_live"),
        "counters do not expire",
    ),
    (
        lambda: orders(options={"gc_grace_second": 1}),
        ("options", "gc_grace_second"),
        "unknown option 'gc_grace_second'",
    ),
    (lambda: orders(options={"gc_grace_seconds": "1"}), ("options", "gc_grace_seconds"), "'1' is no value"),
    (lambda: orders(options={"gc_grace_seconds": -1}), ("options", "gc_grace_seconds"), "-1 is no value"),
    (lambda: orders(options={"gc_grace_seconds": 2**31}), ("options", "gc_grace_seconds"), "2147483648 is no value"),
    (lambda: orders(options={"gc_grace_seconds": True}), ("options", "gc_grace_seconds"), "True is no value"),
    (lambda: orders(options={"compaction": "LCS"}), ("options", "compaction"), "'LCS' is no value"),
    (lambda: orders(options={"compaction": {"class": ["a"]}}), ("options", "compaction"), "inside compaction"),
    (
        lambda: orders(options={"bloom_filter_fp_chance": float("nan")}),
        ("options", "bloom_filter_fp_chance"),
        "nan is no",
    ),
    (lambda: orders(options={"comment": "x"}), ("options", "comment"), "unknown option 'comment'"),
    (lambda: orders(profile="fast"), ("profile",), "unknown profile 'fast'"),
    (lambda: orders(indexes=(Index("nope"),)), ("indexes", "nope"), "index on nope, which is no column"),
    (lambda: orders(indexes=(Index("id"),)), ("indexes", "id"), "which is the partition key"),
    (lambda: orders(indexes=(Index("total", kind="fast"),)), ("indexes", "total"), "of kind 'fast'"),
    (lambda: orders(indexes=(Index("total", target="keys"),)), ("indexes", "total"), "index on the keys of total"),
    (lambda: orders(indexes=(Index("total", name="a b"),)), (), "'a b' is no index name"),
    (lambda: orders(indexes=(Index("total"), Index("total"))), ("indexes", "orders_total_idx"), "is there twice"),
    (
        lambda: orders(columns=(ID, AT, Column("n", "counter")), indexes=(Index("n"),)),
        ("indexes", "n"),
        "index on the counter n",
    ),
    (
        lambda: orders(columns=(ID, AT, Column("n", "counter")), indexes=(Index("at"),)),
        ("indexes", "at"),
        "index on at beside counters",
    ),
    *(
        (
            lambda kind=kind, index=index: orders(columns=(ID, AT, Column("n", kind)), indexes=(index,)),
            ("indexes", "n"),
            problem,
        )
        for kind, index, problem in [
            ("duration", Index("n"), "index on n of duration"),
            ("map<text, frozen<list<duration>>>", Index("n", target="keys"), "Durations have no order"),
            ("address", Index("n"), "address, which is not frozen"),
            ("blob", Index("n", kind="sai"), "blob, which is none for SAI"),
            ("map<text, blob>", Index("n", kind="sai", target="entries"), "which is none for SAI"),
            ("vector<double, 2>", Index("n"), "among vectors of float alone"),
            ("vector<float, 1>", Index("n", kind="sai"), 'similarity_function="euclidean"'),
        ]
    ),
    (lambda: orders(columns=(Column("id", "frozen<list<duration>>"), AT)), ("columns", "id"), "key column id is a"),
    (lambda: orders(columns=(ID, Column("at", "tuple<int, duration>"))), ("columns", "at"), "key column at is a"),
]


@pytest.mark.parametrize(("make", "part", "problem"), REFUSED, ids=[case[2] for case in REFUSED])
def test_a_broken_rule_is_refused_with_its_part_and_a_remedy(
    make: Callable[[], object], part: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        make()
    assert problem in str(caught.value)
    assert caught.value.part == part
    assert caught.value.where
    assert caught.value.remedy


VIEW_REFUSED: list[tuple[View, str]] = [
    (View("by_total", ()), "has no key"),
    (View("by_total", ("total",)), "lacks key column id of the table"),
    (View("by_total", ("total",), (("id", "asc"),)), "lacks key column at of the table"),
    (View("by_total", ("total", "note"), (("id", "asc"), ("at", "asc"))), "adds total and note to the table's key"),
    (View("by_total", ("nope",), (("id", "asc"), ("at", "asc"))), "key column nope is no column"),
    (View("by_total", ("total",), (("id", "asc"), ("at", "up"))), "order 'up' of at"),  # type: ignore[arg-type]
    (View("by_total", ("tags",), (("id", "asc"), ("at", "asc"))), "key column tags is not frozen"),
    (View("by_total", ("id",), (("at", "asc"),), ("nope",)), "selects nope, which is no column"),
    (View("by_total", ("id",), (("at", "asc"),), ("total", "total")), "column total is there twice"),
    (View("by_total", ("id",), (("at", "asc"),), options={"default_time_to_live": 3}), "has a TTL of its own"),
    (View("by_total", ("id",), (("at", "asc"),), options={"ttl": 3}), "unknown option 'ttl'"),
    (View("by total", ("id",), (("at", "asc"),)), "'by total' is no view name"),
]


@pytest.mark.parametrize(("view", "problem"), VIEW_REFUSED, ids=[case[1] for case in VIEW_REFUSED])
def test_a_view_that_the_server_would_refuse_is_refused_before(view: View, problem: str) -> None:
    columns = (ID, AT, TOTAL, Column("note", "text"), Column("tags", "set<text>"))
    with pytest.raises(SchemaError) as caught:
        orders(columns=columns, views=(view,))
    assert problem in str(caught.value)
    assert caught.value.part == ("views", view.name)
    assert caught.value.remedy


def test_a_view_has_no_static_columns_and_no_counters() -> None:
    static = (ID, AT, TOTAL, Column("note", "text", static=True))
    by_total = View("by_total", ("total",), (("id", "asc"), ("at", "asc")))
    with pytest.raises(SchemaError, match="selects \\*, which holds the static column note"):
        orders(columns=static, views=(by_total,))
    named = View("by_total", ("total",), (("id", "asc"), ("at", "asc")), ("total", "note"))
    with pytest.raises(SchemaError, match="selects note, which is static"):
        orders(columns=static, views=(named,))
    with pytest.raises(SchemaError, match="a view on counters"):
        orders(columns=(ID, AT, Column("n", "counter")), views=(View("v", ("id",), (("at", "asc"),)),))
    view = View("orders", ("id",), (("at", "asc"),))
    with pytest.raises(SchemaError, match="view orders is there twice"):
        orders(views=(view,))


def test_the_columns_of_a_views_key_are_among_its_columns() -> None:
    view = View("by_total", ("total",), (("id", "asc"), ("at", "asc")), ("note",))
    table = orders(columns=(ID, AT, TOTAL, Column("note", "text")), views=(view,))
    assert table.views[0].columns == ("total", "id", "at", "note")


def test_indexes_get_names_and_targets() -> None:
    table = orders(
        columns=(ID, AT, TOTAL, Column("tags", "map<text, int>"), Column("path", "frozen<list<text>>")),
        indexes=(Index("total"), Index("tags"), Index("tags", target="keys"), Index("path")),
    )
    assert [(index.name, index.target) for index in table.indexes] == [
        ("orders_total_idx", None),
        ("orders_tags_idx", "values"),
        ("orders_tags_keys_idx", "keys"),
        ("orders_path_idx", "full"),
    ]


def test_what_sai_does_not_index_gets_the_kind_that_every_engine_has() -> None:
    columns = (ID, AT, Column("raw", "blob"), Column("by", "map<text, blob>"))
    table = orders(columns=columns, indexes=(Index("raw"), Index("by"), Index("by", target="keys", kind="sai")))
    assert [index.kind for index in table.indexes] == ["secondary", "secondary", "sai"]
    euclidean = Index("v", kind="sai", options={"similarity_function": "euclidean"})
    assert orders(columns=(ID, AT, Column("v", "vector<float, 1>")), indexes=(euclidean,)).indexes[0].kind == "sai"


def test_a_long_index_name_is_cut_to_what_the_server_takes_and_stays_its_own() -> None:
    first, second = Column("a" * 40 + "1", "int"), Column("a" * 40 + "2", "int")
    table = orders(columns=(ID, AT, first, second), indexes=(Index(first.name), Index(second.name)))
    names = [index.name for index in table.indexes]
    assert all(len(name) == 48 for name in names)
    assert len(set(names)) == 2


def test_options_have_one_form() -> None:
    table = orders(
        options={
            "compression": {"sstable_compression": "org.apache.cassandra.io.compress.ZstdCompressor"},
            "compaction": {"enabled": True, "class": "LeveledCompactionStrategy", "sstable_size_in_mb": 160},
            "bloom_filter_fp_chance": 1,
        }
    )
    assert list(table.options) == ["bloom_filter_fp_chance", "compaction", "compression"]
    assert table.options["compression"] == {"class": "ZstdCompressor"}
    assert table.options["compaction"] == {
        "class": "LeveledCompactionStrategy",
        "enabled": "true",
        "sstable_size_in_mb": "160",
    }


def test_a_user_type_has_fields_that_can_stand_in_one() -> None:
    assert UserType("address", (Column("street", "text"),)).fields[0].type == "text"
    for fields, problem in [
        ((), "has no fields"),
        ((Column("a", "int"), Column("a", "int")), "field a is there twice"),
        ((Column("a", "counter"),), "field a of type counter"),
        ((Column("a", "other"),), "field a of type other"),
    ]:
        with pytest.raises(SchemaError, match=problem) as caught:
            UserType("address", fields)
        assert caught.value.remedy
    with pytest.raises(SchemaError, match="is no type name"):
        UserType("add'ress", (Column("a", "int"),))


def test_user_types_come_in_an_order_in_which_they_can_be_created() -> None:
    street = UserType("street", (Column("name", "text"),))
    address = UserType("address", (Column("street", "frozen<street>"),))
    person = UserType("person", (Column("homes", "frozen<list<address>>"),))
    assert Schema(types=(person, address, street)).types == (street, address, person)


def test_user_types_that_hold_each_other_are_refused() -> None:
    one = UserType("one", (Column("a", "frozen<two>"),))
    two = UserType("two", (Column("a", "frozen<one>"),))
    with pytest.raises(SchemaError, match="holds itself") as caught:
        Schema(types=(one, two))
    assert caught.value.remedy == "Break the circle"


def test_a_user_type_is_declared_and_frozen_when_it_holds_collections() -> None:
    types = {"address": UserType("address", (Column("tags", "set<text>"),))}
    check_user_types((Column("home", "frozen<address>"),), types, "table t")
    with pytest.raises(SchemaError, match="table t, column home: address is not frozen, nor is tags in it"):
        check_user_types((Column("home", "address"),), types, "table t")
    with pytest.raises(SchemaError, match=r"unknown type 'adress'\. Did you mean address"):
        check_user_types((Column("home", "frozen<adress>"),), types, "table t")


@pytest.mark.parametrize("replication", [0, -1, {}, {"dc1": 0}, True])
def test_a_keyspace_has_at_least_one_copy(replication: Any) -> None:
    with pytest.raises(SchemaError, match="replication") as caught:
        Keyspace("shop", replication)
    assert caught.value.remedy


def test_a_keyspace_name_is_checked() -> None:
    with pytest.raises(SchemaError, match="is no keyspace name"):
        Keyspace("shop; DROP KEYSPACE shop")
