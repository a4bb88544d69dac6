"""CREATE statements in .cql files."""

from pathlib import Path

import pytest

from cassorm.errors import SchemaFileError
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.load import load
from cassorm.schema.table import Column, Index, Table, UserType, View

SHOP = """\
-- The shop's tables
CREATE KEYSPACE IF NOT EXISTS shop
  WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3', 'dc2': 2} AND durable_writes = true;

/* where to send */
create type shop.Address (street text, "No" int);

CREATE TABLE shop.orders (
  id uuid,            // the order
  "placedAt" TIMESTAMP,
  owner varchar STATIC,
  ship_to frozen<address>,
  tags map<text, frozen<list<int>>>,
  PRIMARY KEY (id, "placedAt")
) WITH CLUSTERING ORDER BY ("placedAt" DESC)
  AND comment = 'it''s; -- a comment'
  AND compaction = {'class': 'org.apache.cassandra.db.compaction.LeveledCompactionStrategy', 'enabled': true}
  AND bloom_filter_fp_chance = 0.01
  AND cdc = false
  AND extensions = {}
  AND gc_grace_seconds = 60;

CREATE INDEX by_owner ON shop.orders (owner);
CREATE CUSTOM INDEX ON shop.orders (keys(tags)) USING 'StorageAttachedIndex';
CREATE INDEX IF NOT EXISTS "ByTo" ON shop.orders (ship_to) USING 'sai' WITH OPTIONS = {'similarity_function': 'dot'};
CREATE MATERIALIZED VIEW shop.by_time AS
  SELECT id, "placedAt", tags FROM shop.orders
  WHERE "placedAt" IS NOT NULL AND id IS NOT NULL
  PRIMARY KEY (("placedAt"), id) WITH CLUSTERING ORDER BY (id DESC) AND comment = 'by time';
CREATE COLUMNFAMILY IF NOT EXISTS single (id int PRIMARY KEY, values list<int>)
"""


def refusal(tmp_path: Path, text: str) -> SchemaFileError:
    file = tmp_path / "bad.cql"
    file.write_text(text)
    with pytest.raises(SchemaFileError) as caught:
        load(file)
    assert caught.value.file == str(file)
    assert caught.value.remedy
    return caught.value


def test_every_kind_of_declaration_is_read(tmp_path: Path) -> None:
    file = tmp_path / "shop.cql"
    file.write_text(SHOP)
    orders = Table(
        keyspace="shop",
        name="orders",
        columns=(
            Column("id", "uuid"),
            Column("placedAt", "timestamp"),
            Column("owner", "text", static=True),
            Column("ship_to", "frozen<address>"),
            Column("tags", "map<text, frozen<list<int>>>"),
        ),
        partition_key=("id",),
        clustering=(("placedAt", "desc"),),
        comment="it's; -- a comment",
        options={
            "bloom_filter_fp_chance": 0.01,
            "cdc": False,
            "compaction": {"class": "LeveledCompactionStrategy", "enabled": "true"},
            "gc_grace_seconds": 60,
        },
        indexes=(
            Index("owner", "by_owner", "secondary"),
            Index("tags", kind="sai", target="keys"),
            Index("ship_to", "ByTo", "sai", options={"similarity_function": "dot"}),
        ),
        views=(View("by_time", ("placedAt",), (("id", "desc"),), ("id", "placedAt", "tags"), comment="by time"),),
    )
    single = Table(name="single", columns=(Column("id", "int"), Column("values", "list<int>")), partition_key=("id",))
    assert load(file) == Schema(
        (orders, single),
        (UserType("address", (Column("street", "text"), Column("No", "int")), "shop"),),
        (Keyspace("shop", {"dc1": 3, "dc2": 2}),),
    )


BAD: list[tuple[str, int, str]] = [
    ("\nUSE shop;", 2, "'USE' declares nothing"),
    ("INSERT INTO t (a) VALUES (1);", 1, "'INSERT' declares nothing"),
    ("DROP TABLE t;", 1, "'DROP' declares nothing"),
    ("ALTER TABLE t ADD a int;", 1, "'ALTER' declares nothing"),
    (
        "CREATE TABLE a (id int PRIMARY KEY);\nCREATE FUNCTION f ()",
        2,
        "CREATE 'FUNCTION' cannot stand in a schema file",
    ),
    ("CREATE CUSTOM TABLE t (id int PRIMARY KEY)", 1, "CREATE 'TABLE' cannot stand"),
    ("-- nothing\n", 1, "declares nothing"),
    ("CREATE TABLE t (\n  id int,\n  a int\n);", 4, "table t has no primary key"),
    ("CREATE TABLE t (id int PRIMARY KEY,\n a int PRIMARY KEY);", 2, "table t has two primary keys"),
    ("CREATE TABLE t (id int PRIMARY KEY,\n PRIMARY KEY (id));", 2, "a second primary key"),
    ("CREATE TABLE t (\n id int,\n a itn,\n PRIMARY KEY (id));", 3, "unknown type 'itn'"),
    ("CREATE TABLE t (\n id int,\n a int b int,\n PRIMARY KEY (id));", 3, "'int b int' is no CQL type"),
    ("CREATE TABLE t (\n id int,\n a list<set<int>>,\n PRIMARY KEY (id));", 3, "is not frozen"),
    ("CREATE TABLE t (\n id int,\n id int,\n PRIMARY KEY (id));", 3, "column id is there twice"),
    ("CREATE TABLE t (\n id int,\n PRIMARY KEY (id, nope));", 3, "key column nope is no column"),
    ("CREATE TABLE t (\n id int,\n s int STATIC,\n PRIMARY KEY (id));", 3, "is static in a table without clustering"),
    ("CREATE TABLE t (\n id int,\n order int,\n PRIMARY KEY (id));", 3, "'order' is no name of a column"),
    ('CREATE TABLE t (\n id int,\n "a""b" int,\n PRIMARY KEY (id));', 3, "is no column name"),
    ("CREATE TABLE t; DROP TABLE x", 1, "';' where ( belongs"),
    ("CREATE TABLE t (id int PRIMARY KEY\n", 1, "the end of the file where , belongs"),
    ("CREATE TABLE t (id int PRIMARY KEY)\nWITH COMPACT STORAGE;", 2, "COMPACT cannot be set"),
    ("CREATE TABLE t (id int PRIMARY KEY)\nWITH ID = 'x';", 2, "ID cannot be set"),
    ("CREATE TABLE t (id int PRIMARY KEY) WITH comment = 'a'\nAND gc_grace = 1;", 2, "unknown option 'gc_grace'"),
    ("CREATE TABLE t (id int PRIMARY KEY) WITH gc_grace_seconds = 1\nAND gc_grace_seconds = 2;", 2, "is there twice"),
    ("CREATE TABLE t (id int PRIMARY KEY) WITH\n gc_grace_seconds = now();", 2, "'now' is no value"),
    ("CREATE TABLE t (id int PRIMARY KEY) WITH gc_grace_seconds =", 1, "a value is missing"),
    (f"CREATE TABLE t (id int PRIMARY KEY) WITH gc_grace_seconds = {'9' * 5000}", 1, "is no value"),
    ("CREATE TABLE t (id int PRIMARY KEY) WITH caching = {'a': {'b': 1}}", 1, "'{' is no value"),
    ("CREATE TABLE t (id int, PRIMARY KEY (id))\nWITH CLUSTERING ORDER BY (id DESC);", 2, "clustering order of id"),
    ("CREATE TABLE t (id int PRIMARY KEY)\nCREATE TABLE u (id int PRIMARY KEY)", 2, "'CREATE' after the end"),
    ("CREATE KEYSPACE k;", 1, "keyspace k with no replication"),
    ("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy'} AND fast = true", 1, "keyspace k with fast"),
    ("CREATE TYPE a ();", 1, "has no fields"),
    ("CREATE TYPE a (\n b counter);", 2, "field b of type counter"),
    ("CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE CUSTOM INDEX ON t (n);", 2, "a custom index without a class"),
    ("CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE INDEX ON t (m);", 2, "index on m, which is no column"),
    ("CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE INDEX ON t ((id), n);", 2, "'(' is no name of a column"),
    (
        "CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE MATERIALIZED VIEW v AS SELECT * FROM t\nWHERE n > 3 PRIMARY KEY (n, id);",
        3,
        "a view that filters on n",
    ),
    (
        "CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE n IS NOT NULL\nPRIMARY KEY (n, id);",
        3,
        "view v says IS NOT NULL of n",
    ),
    (
        "CREATE TABLE t (id int PRIMARY KEY, n int);\nCREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE n IS NOT NULL PRIMARY KEY (n);",
        2,
        "lacks key column id",
    ),
    ("CREATE TABLE t (id int PRIMARY KEY)\n WITH comment = 'a", 2, "a string is opened and never closed"),
    ("/* a\n", 1, "a comment is opened and never closed"),
]


@pytest.mark.parametrize(("text", "line", "problem"), BAD, ids=[case[2] for case in BAD])
def test_a_wrong_cql_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int, problem: str) -> None:
    error = refusal(tmp_path, text)
    assert problem in error.problem
    assert error.line == line


def test_what_describe_prints_is_read(tmp_path: Path) -> None:
    file = tmp_path / "described.cql"
    file.write_text(
        "CREATE TABLE k.t (\n    id int PRIMARY KEY,\n    v vector<float, 3>\n)"
        " WITH additional_write_policy = '99p'\n    AND allow_auto_snapshot = true\n    AND bloom_filter_fp_chance = 0.01\n"
        "    AND caching = {'keys': 'ALL', 'rows_per_partition': 'NONE'}\n    AND cdc = false\n    AND comment = ''\n"
        "    AND compaction = {'class': 'org.apache.cassandra.db.compaction.SizeTieredCompactionStrategy',"
        " 'max_threshold': '32', 'min_threshold': '4'}\n"
        "    AND compression = {'chunk_length_in_kb': '16', 'class': 'org.apache.cassandra.io.compress.LZ4Compressor'}\n"
        "    AND memtable = 'default'\n    AND crc_check_chance = 1.0\n    AND default_time_to_live = 0\n"
        "    AND extensions = {}\n    AND gc_grace_seconds = 864000\n    AND incremental_backups = true\n"
        "    AND max_index_interval = 2048\n    AND memtable_flush_period_in_ms = 0\n    AND min_index_interval = 128\n"
        "    AND read_repair = 'BLOCKING'\n    AND speculative_retry = '99p';\n"
    )
    (table,) = load(file)
    assert table.options["memtable"] == "default"
    assert table.options["compression"] == {"chunk_length_in_kb": "16", "class": "LZ4Compressor"}
