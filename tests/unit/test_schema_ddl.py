"""Tables as CQL text, for each engine."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cassorm.cql.dialect import Dialect, for_engine
from cassorm.errors import SchemaError
from cassorm.schema import ddl
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.table import Column, Index, Table, UserType, View

CASSANDRA_5 = for_engine("cassandra", "5.0.9")
CASSANDRA_4 = for_engine("cassandra", "4.1.7")
SCYLLA = for_engine("scylla", "2025.1.0")

ORDERS = Table(
    keyspace="shop",
    name="orders",
    columns=(
        Column("id", "uuid"),
        Column("placedAt", "timestamp"),
        Column("order", "int"),
        Column("owner", "text", static=True),
        Column("tags", "map<text, int>"),
    ),
    partition_key=("id",),
    clustering=(("placedAt", "desc"),),
    profile="append-only",
    comment="it's the customer's",
    indexes=(Index("order"), Index("tags", target="keys")),
    views=(View("by_order", ("order",), (("id", "asc"), ("placedAt", "asc")), ("tags",)),),
)


def with_options(**options: Any) -> Table:
    return replace(ORDERS, profile=None, options=options)


def test_a_table_is_written_with_every_name_quoted_that_needs_it() -> None:
    assert ddl.create_table(ORDERS, CASSANDRA_5) == (
        "CREATE TABLE IF NOT EXISTS shop.orders (\n"
        "  id uuid,\n"
        '  "placedAt" timestamp,\n'
        '  "order" int,\n'
        "  owner text STATIC,\n"
        "  tags map<text, int>,\n"
        '  PRIMARY KEY ((id), "placedAt")\n'
        ') WITH CLUSTERING ORDER BY ("placedAt" DESC)\n'
        "  AND comment = 'it''s the customer''s'\n"
        "  AND compaction = {'class': 'UnifiedCompactionStrategy', 'scaling_parameters': 'T4'}\n"
        "  AND compression = {'class': 'ZstdCompressor'}"
    )


def test_scylladb_and_cassandra_4_get_what_they_have() -> None:
    four, scylla = (ddl.create_table(ORDERS, engine) for engine in (CASSANDRA_4, SCYLLA))
    assert "compaction = {'class': 'SizeTieredCompactionStrategy'}" in four
    assert "compression = {'class': 'ZstdCompressor'}" in four
    assert "compaction = {'class': 'SizeTieredCompactionStrategy'}" in scylla
    assert "compression = {'sstable_compression': 'ZstdCompressor'}" in scylla


def test_an_index_is_of_the_kind_that_the_engine_has() -> None:
    by_order, by_tags = ORDERS.indexes
    assert ddl.create_index(ORDERS, by_order, CASSANDRA_5) == (
        "CREATE CUSTOM INDEX IF NOT EXISTS orders_order_idx ON shop.orders (\"order\") USING 'StorageAttachedIndex'"
    )
    for engine in (CASSANDRA_4, SCYLLA):
        assert ddl.create_index(ORDERS, by_tags, engine) == (
            "CREATE INDEX IF NOT EXISTS orders_tags_keys_idx ON shop.orders (keys(tags))"
        )


def test_an_index_of_a_kind_that_the_engine_lacks_is_refused() -> None:
    custom = Index("order", "i", kind="org.apache.cassandra.index.sasi.SASIIndex", options={"mode": "it's"})
    assert ddl.create_index(ORDERS, custom, CASSANDRA_4).endswith(
        "USING 'org.apache.cassandra.index.sasi.SASIIndex' WITH OPTIONS = {'mode': 'it''s'}"
    )
    for index, engine in [(Index("order", "i", kind="sai"), CASSANDRA_4), (custom, SCYLLA)]:
        with pytest.raises(SchemaError, match="has no") as caught:
            ddl.create_index(ORDERS, index, engine)
        assert caught.value.where == "table shop.orders, index on order"
        assert caught.value.remedy == "Leave the kind open, or make it secondary"


def test_a_view_names_its_key_columns_as_not_null() -> None:
    assert ddl.create_view(ORDERS, ORDERS.views[0], CASSANDRA_5) == (
        "CREATE MATERIALIZED VIEW IF NOT EXISTS shop.by_order AS\n"
        '  SELECT "order", id, "placedAt", tags FROM shop.orders\n'
        '  WHERE "order" IS NOT NULL AND id IS NOT NULL AND "placedAt" IS NOT NULL\n'
        '  PRIMARY KEY (("order"), id, "placedAt") WITH CLUSTERING ORDER BY (id ASC, "placedAt" ASC)'
    )


@pytest.mark.parametrize(
    ("replication", "datacenter", "copies"),
    [
        (3, "dc1", "'dc1': '3'"),
        (3, None, "'replication_factor': '3'"),
        ({"dc1": 3, "dc2": 2}, "dc1", "'dc1': '3', 'dc2': '2'"),
    ],
)
def test_a_keyspace_is_replicated_by_data_centre(replication: Any, datacenter: str | None, copies: str) -> None:
    assert ddl.create_keyspace("shop", replication, CASSANDRA_5, datacenter=datacenter) == (
        f"CREATE KEYSPACE IF NOT EXISTS shop WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}"
    )


def test_a_keyspace_may_name_another_strategy_and_switch_durable_writes_off() -> None:
    simple: dict[str, int | str] = {"class": "SimpleStrategy", "replication_factor": 1}
    assert ddl.create_keyspace("Shop", simple, CASSANDRA_5, datacenter="dc1", durable_writes=False) == (
        "CREATE KEYSPACE IF NOT EXISTS \"Shop\" WITH replication = {'class': 'SimpleStrategy', "
        "'replication_factor': '1'} AND durable_writes = false"
    )


def test_tablets_are_switched_off_where_lightweight_transactions_need_it() -> None:
    old, new = (ddl.create_keyspace("shop", 1, for_engine("scylla", version)) for version in ("2025.3", "2025.4"))
    assert old.endswith(" AND tablets = {'enabled': false}")
    assert "tablets" not in new


def test_nothing_in_a_name_or_a_value_gets_out_of_its_quotes() -> None:
    datacenter = "dc1'}; DROP KEYSPACE shop; --"
    text = ddl.create_keyspace("shop", 1, CASSANDRA_5, datacenter=datacenter)
    assert "'dc1''}; DROP KEYSPACE shop; --': '1'}" in text
    table = replace(ORDERS, comment="'; DROP TABLE orders; --")
    assert "comment = '''; DROP TABLE orders; --'" in ddl.create_table(table, CASSANDRA_5)


def test_types_columns_and_whole_schemas_are_written_in_the_order_of_creation() -> None:
    address = UserType("address", (Column("street", "text"), Column("order", "int")), "shop")
    schema = Schema((ORDERS,), (address,), (Keyspace("shop", 1),))
    texts = list(ddl.schema_statements(schema, CASSANDRA_5, datacenter="dc1"))
    assert [text.split(" shop")[0].split(" ON ")[0].partition(" IF NOT EXISTS")[0] for text in texts] == [
        "CREATE KEYSPACE",
        "CREATE TYPE",
        "CREATE TABLE",
        "CREATE CUSTOM INDEX",
        "CREATE CUSTOM INDEX",
        "CREATE MATERIALIZED VIEW",
    ]
    assert texts[1] == 'CREATE TYPE IF NOT EXISTS shop.address (\n  street text,\n  "order" int\n)'
    assert ddl.script(schema, CASSANDRA_5, datacenter="dc1") == "\n".join(f"{text};\n" for text in texts)
    assert ddl.add_column(ORDERS, Column("order", "int"), CASSANDRA_5) == 'ALTER TABLE shop.orders ADD "order" int'
    assert ddl.add_column(ORDERS, Column("a", "int", static=True), CASSANDRA_5).endswith(" ADD a int STATIC")


def test_what_options_say_goes_before_the_profile() -> None:
    table = replace(ORDERS, options={"compaction": {"class": "LeveledCompactionStrategy"}, "gc_grace_seconds": 60})
    text = ddl.create_table(table, CASSANDRA_5)
    assert "compaction = {'class': 'LeveledCompactionStrategy'}" in text
    assert "ZstdCompressor" in text
    assert "gc_grace_seconds = 60" in text


def test_time_windows_follow_the_ttl() -> None:
    table = replace(ORDERS, profile="time-window", options={"default_time_to_live": 50 * 86_400})
    text = ddl.create_table(table, CASSANDRA_5)
    assert "'compaction_window_size': '1', 'compaction_window_unit': 'DAYS'" in text
    assert "default_time_to_live = 4320000" in text


@pytest.mark.parametrize(
    ("table", "engine", "problem"),
    [
        (with_options(memtable="trie"), SCYLLA, "ScyllaDB 2025.1.0 has no option 'memtable'"),
        (with_options(memtable="trie"), for_engine("cassandra", "4.0.11"), "Cassandra 4.0.11 has no option 'memtable'"),
        (with_options(tombstone_gc={"mode": "repair"}), CASSANDRA_5, "Cassandra 5.0.9 has no option 'tombstone_gc'"),
        (with_options(cdc={"enabled": True}), CASSANDRA_5, "is not what Cassandra 5.0.9 takes"),
        (with_options(cdc=True), SCYLLA, "is not what ScyllaDB 2025.1.0 takes"),
        (
            with_options(compaction={"class": "UnifiedCompactionStrategy"}),
            CASSANDRA_4,
            "Cassandra 4.1.7 has no UnifiedCompactionStrategy",
        ),
        (replace(ORDERS, columns=(*ORDERS.columns, Column("v", "vector<float, 3>"))), CASSANDRA_4, "has no vectors"),
    ],
)
def test_what_the_engine_lacks_is_refused_before_anything_is_sent(table: Table, engine: Dialect, problem: str) -> None:
    with pytest.raises(SchemaError) as caught:
        ddl.create_table(table, engine)
    assert problem in str(caught.value)
    assert caught.value.where
    assert caught.value.remedy


def test_a_user_type_that_holds_what_the_engine_lacks_is_refused() -> None:
    kind = UserType("place", (Column("v", "frozen<list<vector<float, 3>>>"),), "shop")
    assert "vector<float, 3>" in ddl.create_type(kind, CASSANDRA_5)
    makes: list[Callable[[], str]] = [
        lambda: ddl.create_type(kind, CASSANDRA_4),
        lambda: ddl.add_field(kind, kind.fields[0], CASSANDRA_4),
        lambda: ddl.add_column(ORDERS, kind.fields[0], CASSANDRA_4),
    ]
    for make in makes:
        with pytest.raises(SchemaError, match=r"Cassandra 4.1.7 has no vectors"):
            make()


def test_an_index_that_finds_the_nearest_is_refused_where_there_is_none() -> None:
    table = replace(ORDERS, columns=(*ORDERS.columns, Column("v", "vector<float, 3>")), indexes=(Index("v"),))
    assert "StorageAttachedIndex" in ddl.create_index(table, table.indexes[0], CASSANDRA_5)
    with pytest.raises(SchemaError, match="no index that finds the nearest vectors"):
        ddl.create_index(table, table.indexes[0], for_engine("scylla", "2026.1"))


def test_cdc_is_written_as_each_engine_takes_it() -> None:
    assert "cdc = true" in ddl.create_table(with_options(cdc=True), CASSANDRA_5)
    assert "cdc = {'enabled': 'true'}" in ddl.create_table(with_options(cdc={"enabled": True}), SCYLLA)
