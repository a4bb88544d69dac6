"""What it takes to come from one schema to another: each difference, its statements, and what they cost."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cassorm.cql.dialect import for_engine
from cassorm.errors import SchemaError
from cassorm.schema.changes import Change, Site, changes
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.table import Column, Index, Table, UserType, View

SITE = Site(for_engine("cassandra", "5.0"), "dc1")
ORDERS = Table(
    keyspace="shop",
    name="orders",
    columns=(Column("id", "uuid"), Column("at", "timestamp"), Column("total", "decimal")),
    partition_key=("id",),
    clustering=(("at", "desc"),),
    indexes=(Index("total", kind="sai"),),
    views=(View("by_total", ("total",), (("id", "asc"), ("at", "asc"))),),
)
ADDRESS = UserType("address", (Column("street", "text"), Column("no", "int")), "shop")
LIVE = Schema((ORDERS,), (ADDRESS,), (Keyspace("shop", {"dc1": 3}),))


def found(wanted: Schema, live: Schema = LIVE, **options: Any) -> list[Change]:
    return list(changes(wanted, live, SITE, **options))


def one(table: Table, **options: Any) -> Change:
    (change,) = found(Schema((table,)), **options)
    return change


def orders(**parts: Any) -> Table:
    return replace(ORDERS, **parts)


def statements(change: Change) -> list[str]:
    return [step.text for step in change.steps]


def test_a_cluster_as_wanted_needs_no_change() -> None:
    assert found(LIVE, extra=True, whole=True) == []


SAFE: Mapping[str, tuple[Table, list[str]]] = {
    "missing column": (
        orders(columns=(*ORDERS.columns, Column("Paid", "boolean"))),
        ['ALTER TABLE shop.orders ADD "Paid" boolean'],
    ),
    "missing index": (
        orders(indexes=(*ORDERS.indexes, Index("at", name="by_at", kind="secondary"))),
        ["CREATE INDEX IF NOT EXISTS by_at ON shop.orders (at)"],
    ),
    "wrong index": (
        orders(indexes=(Index("total", kind="secondary"),)),
        [
            "DROP INDEX IF EXISTS shop.orders_total_idx",
            "CREATE INDEX IF NOT EXISTS orders_total_idx ON shop.orders (total)",
        ],
    ),
    "wrong view": (
        orders(views=(View("by_total", ("total",), (("at", "asc"), ("id", "asc"))),)),
        [
            "DROP MATERIALIZED VIEW IF EXISTS shop.by_total",
            (
                "CREATE MATERIALIZED VIEW IF NOT EXISTS shop.by_total AS\n  SELECT * FROM shop.orders\n"
                "  WHERE total IS NOT NULL AND at IS NOT NULL AND id IS NOT NULL\n  PRIMARY KEY ((total), at, id)"
                " WITH CLUSTERING ORDER BY (at ASC, id ASC)"
            ),
        ],
    ),
    "wrong option": (
        orders(options={"default_time_to_live": 60}),
        ["ALTER TABLE shop.orders WITH default_time_to_live = 60"],
    ),
}


@pytest.mark.parametrize("kind", SAFE)
def test_what_a_statement_can_change_is_safe(kind: str) -> None:
    wanted, expected = SAFE[kind]
    change = one(wanted)
    assert (change.where, change.difference.kind, change.effect) == ("shop.orders", kind, "safe")
    assert statements(change) == expected


IMPOSSIBLE: Mapping[str, tuple[Table, str]] = {
    "wrong type": (
        orders(columns=(*ORDERS.columns[:2], Column("total", "double"))),
        "total is decimal, expected double",
    ),
    "wrong key": (
        orders(partition_key=("id", "at"), clustering=()),
        "((id), at), expected ((id, at))",
    ),
    "wrong order": (orders(clustering=(("at", "asc"),)), "at DESC, expected ASC"),
    "wrong static": (
        orders(columns=(*ORDERS.columns[:2], Column("total", "decimal", static=True)), indexes=(), views=()),
        "total is not static, expected static",
    ),
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_what_no_statement_can_change_needs_a_new_table(kind: str) -> None:
    wanted, detail = IMPOSSIBLE[kind]
    change = one(wanted)
    assert (change.difference.kind, change.difference.detail) == (kind, detail)
    assert (change.effect, change.steps, change.needs_copy) == ("impossible", (), True)
    assert change.note == "needs a new table and a copy of the rows"


def test_what_no_file_declares_is_reported_when_asked_for_and_dropping_a_column_loses_data() -> None:
    bare = orders(columns=(*ORDERS.columns[:2],), indexes=(), views=())
    assert found(Schema((bare,))) == []
    column, index, view = found(Schema((bare,)), extra=True)
    assert (column.difference.kind, column.effect) == ("extra column", "loses data")
    assert statements(column) == ["ALTER TABLE shop.orders DROP total"]
    assert (index.effect, statements(index)) == ("safe", ["DROP INDEX IF EXISTS shop.orders_total_idx"])
    assert (view.effect, statements(view)) == ("safe", ["DROP MATERIALIZED VIEW IF EXISTS shop.by_total"])


def test_tables_and_types_of_others_count_only_when_the_files_are_the_whole_keyspace() -> None:
    wanted = Schema(keyspaces=LIVE.keyspaces)
    assert found(wanted, extra=True) == []
    table, kind = found(wanted, whole=True)
    assert (table.difference.text, table.effect) == ("extra table orders", "loses data")
    assert statements(table) == [
        "DROP MATERIALIZED VIEW IF EXISTS shop.by_total",
        "DROP TABLE IF EXISTS shop.orders",
    ]
    assert statements(kind) == ["DROP TYPE IF EXISTS shop.address"]
    assert found(wanted, whole=True, ignore={"orders"}) == [kind]


def test_a_field_can_be_added_to_a_type_at_its_end_alone() -> None:
    no, street = ADDRESS.fields[1], ADDRESS.fields[0]
    city = Column("city", "text")
    (added,) = found(Schema(types=(replace(ADDRESS, fields=(*ADDRESS.fields, city)),)))
    assert (added.effect, statements(added)) == ("safe", ["ALTER TYPE shop.address ADD city text"])
    (between,) = found(Schema(types=(replace(ADDRESS, fields=(city, *ADDRESS.fields)),)))
    assert (between.effect, between.note) == ("impossible", "fields can be added at the end alone: declare it last")
    (turned,) = found(Schema(types=(replace(ADDRESS, fields=(no, street)),)))
    assert (turned.difference.kind, turned.effect) == ("wrong field", "impossible")
    (extra,) = found(Schema(types=(replace(ADDRESS, fields=(street,)),)), extra=True)
    assert (extra.difference.text, extra.effect) == ("extra field no int", "impossible")


def test_other_replication_is_altered_and_the_repair_is_named() -> None:
    (change,) = found(Schema(keyspaces=(Keyspace("shop", 1),)))
    assert statements(change) == [
        "ALTER KEYSPACE shop WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '1'}"
    ]
    assert "nodetool repair" in change.note


def test_a_keyspace_that_nobody_declares_cannot_be_created() -> None:
    missing, table = found(Schema((ORDERS,)), Schema())
    assert (missing.difference.kind, missing.effect, missing.creates) == ("missing keyspace", "impossible", False)
    assert (table.difference.kind, table.creates, len(table.steps)) == ("missing table", True, 3)
    declared, *_ = found(replace(LIVE, types=()), Schema())
    assert declared.creates
    assert statements(declared)[0].startswith("CREATE KEYSPACE IF NOT EXISTS shop")


def test_an_engine_without_the_option_refuses_before_anything_is_sent() -> None:
    scylla = Site(for_engine("scylla", "2025.4"), "dc1")
    wanted = Schema((orders(options={"read_repair": "NONE"}),))
    with pytest.raises(SchemaError, match=r"ScyllaDB 2025\.4 has no option 'read_repair'"):
        list(changes(wanted, LIVE, scylla))


def test_statements_for_one_keyspace_leave_its_name_out() -> None:
    wanted = Schema((orders(columns=(*ORDERS.columns, Column("n", "int"))),), (ADDRESS,))
    (change,) = found(wanted, unnamed="shop")
    assert (change.where, statements(change)) == ("shop.orders", ["ALTER TABLE orders ADD n int"])
    created = [
        text
        for change in found(wanted, Schema(keyspaces=LIVE.keyspaces), unnamed="shop")
        for text in statements(change)
    ]
    assert "shop." not in "".join(created)
