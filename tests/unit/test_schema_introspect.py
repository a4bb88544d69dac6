"""Rows of `system_schema` as values; what a live node says is in tests/cluster."""

from typing import Any

import pytest

from cassorm.errors import SchemaError
from cassorm.schema.introspect import table_from
from cassorm.schema.table import Column, Index, View


def column(table: str, name: str, kind: str, *place: Any) -> dict[str, Any]:
    names = ("kind", "position", "clustering_order")
    where = dict(zip(names, (*place, *("regular", -1, "none")[len(place) :]), strict=True))
    return {"table_name": table, "column_name": name, "type": kind, **where}


def index(name: str, target: str, kind: str = "COMPOSITES", **options: str) -> dict[str, Any]:
    return {"table_name": "t", "index_name": name, "kind": kind, "options": {"target": target, **options}}


COLUMNS = [
    column("t", "b", "text"),
    column("t", "a", "int", "clustering", 0, "desc"),
    column("t", "Id", "uuid", "partition_key", 0),
    column("t", "s", "int", "static"),
    column("t", "m", "map<text, int>"),
    column("v", "b", "text", "partition_key", 0),
    column("v", "Id", "uuid", "clustering", 0, "asc"),
    column("v", "a", "int", "clustering", 1, "desc"),
    column("other", "x", "int", "partition_key", 0),
]
VIEW: dict[str, Any] = {
    "view_name": "v",
    "base_table_name": "t",
    "include_all_columns": False,
    "where_clause": 'b IS NOT NULL AND "Id" IS NOT NULL AND a IS NOT NULL',
    "comment": "",
}


def test_the_rows_of_a_table_become_a_value_and_those_of_others_are_passed_over() -> None:
    row = {
        "table_name": "t",
        "comment": "hello",
        "gc_grace_seconds": 60,
        "default_time_to_live": 0,
        "compaction": {"class": "org.apache.cassandra.db.compaction.LeveledCompactionStrategy", "max_threshold": "32"},
        "compression": {"sstable_compression": "org.apache.cassandra.io.compress.ZstdCompressor"},
        "cdc": None,
        "flags": {"compound"},
        "id": "x",
    }
    table = table_from("k", row, COLUMNS, [index("by_b", "b")], [VIEW, {**VIEW, "base_table_name": "other"}])
    assert [found.name for found in table.columns] == ["Id", "a", "b", "m", "s"]
    assert table.column("s") == Column("s", "int", static=True)
    assert (table.partition_key, table.clustering) == (("Id",), (("a", "desc"),))
    assert table.comment == "hello"
    assert table.options == {
        "gc_grace_seconds": 60,
        "compaction": {"class": "LeveledCompactionStrategy"},
        "compression": {"class": "ZstdCompressor"},
    }
    assert table.indexes == (Index("b", "by_b", "secondary"),)
    assert table.views == (View("v", ("b",), (("Id", "asc"), ("a", "desc")), ("b", "Id", "a")),)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (index("i", "keys(m)"), Index("m", "i", "secondary", "keys")),
        (index("i", "values(m)"), Index("m", "i", "secondary", "values")),
        (index("i", "m"), Index("m", "i", "secondary", "values")),
        (index("i", "b", "CUSTOM", class_name="StorageAttachedIndex"), Index("b", "i", "sai")),
        (index("i", "b", "CUSTOM", class_name="sai"), Index("b", "i", "sai")),
        (
            index("i", "b", "CUSTOM", class_name="org.apache.cassandra.index.sai.StorageAttachedIndex", ascii="true"),
            Index("b", "i", "sai", options={"ascii": "true"}),
        ),
        (
            index("i", "b", "CUSTOM", class_name="org.apache.cassandra.index.sasi.SASIIndex"),
            Index("b", "i", "org.apache.cassandra.index.sasi.SASIIndex"),
        ),
    ],
)
def test_indexes_of_every_kind_are_known(row: dict[str, Any], expected: Index) -> None:
    assert table_from("k", {"table_name": "t"}, COLUMNS, [row], []).indexes == (expected,)


def test_the_views_behind_the_indexes_of_scylladb_are_not_shown() -> None:
    behind = {**VIEW, "view_name": "by_b_index"}
    assert table_from("k", {"table_name": "t"}, COLUMNS, [index("by_b", "b")], [behind]).views == ()


def test_an_index_that_cassorm_cannot_describe_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match=r"index local on .* which is not one column") as caught:
        table_from("k", {"table_name": "t"}, COLUMNS, [index("local", '{"pk":["Id"],"ck":["b"]}')], [])
    assert caught.value.where == "table k.t"


def test_a_view_that_filters_keeps_its_filter() -> None:
    filtered = {**VIEW, "where_clause": VIEW["where_clause"] + " AND a > 3"}
    (view,) = table_from("k", {"table_name": "t"}, COLUMNS, [], [filtered]).views
    assert view.filter.endswith("a > 3")


def test_a_live_table_with_names_that_cassorm_does_not_take_is_refused_by_name() -> None:
    with pytest.raises(SchemaError, match="'a b' is no column name") as caught:
        table_from("k", {"table_name": "t"}, [*COLUMNS, column("t", "a b", "int")], [], [])
    assert caught.value.where == "table k.t"
