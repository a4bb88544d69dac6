"""Schema files, folders and dicts."""

from pathlib import Path
from typing import Any

import pytest

from cassorm.errors import SchemaFileError
from cassorm.schema.keyspace import Keyspace
from cassorm.schema.load import load, load_all
from cassorm.schema.table import Column, Index, Table, UserType, View

ONE = """\
name: user_read_model
keyspace: app
comment: what users see
fields:
  id: uuid
  email: text
  created_at: timestamp
  total_spent: {type: decimal, static: true}
key: [[id], created_at]
clustering_order: {created_at: DESC}
indexes: [email]
materialized_views:
  by_email:
    select: [email, id]
    key: [email, id, created_at]
    clustering_order: {created_at: desc}
options:
  gc_grace_seconds: 3600
  compaction: {class: LeveledCompactionStrategy}
"""

TABLE = Table(
    name="user_read_model",
    keyspace="app",
    comment="what users see",
    columns=(
        Column("id", "uuid"),
        Column("email", "text"),
        Column("created_at", "timestamp"),
        Column("total_spent", "decimal", static=True),
    ),
    partition_key=("id",),
    clustering=(("created_at", "desc"),),
    indexes=(Index("email"),),
    views=(View("by_email", ("email",), (("id", "asc"), ("created_at", "desc")), ("email", "id")),),
    options={"gc_grace_seconds": 3600, "compaction": {"class": "LeveledCompactionStrategy"}},
)


def refusal(tmp_path: Path, text: str, suffix: str = ".yaml") -> SchemaFileError:
    file = tmp_path / f"bad{suffix}"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SchemaFileError) as caught:
        load(file)
    assert caught.value.file == str(file)
    assert caught.value.remedy
    return caught.value


def test_a_yaml_file_declares_a_table(tmp_path: Path) -> None:
    file = tmp_path / "users.yaml"
    file.write_text(ONE)
    assert load(file).tables == (TABLE,)
    assert load(str(file)).tables == (TABLE,)


def test_the_form_of_the_seeds_is_taken_from_a_dict() -> None:
    form: dict[str, Any] = {
        "fields": {"id": "uuid", "email": "text", "is_active": "boolean", "created_at": "timestamp"},
        "key": [["id"], "created_at"],
        "clustering_order": {"created_at": "desc"},
        "indexes": ["email"],
        "materialized_views": {"by_email": {"select": ["*"], "key": ["email", "id", "created_at"]}},
    }
    (table,) = load(form, name="user_read_model")
    assert table.name == "user_read_model"
    assert table.key == ("id", "created_at")
    assert table.views[0].columns == ("*",)
    assert table.keyspace is None


@pytest.mark.parametrize(
    ("key", "partition", "clustering"),
    [
        ("a", ("a",), ()),
        (["a"], ("a",), ()),
        (["a", "b"], ("a",), ("b",)),
        ([["a", "b"], "c"], ("a", "b"), ("c",)),
        ((("a", "b"), "c"), ("a", "b"), ("c",)),
    ],
)
def test_a_key_is_the_partition_key_then_clustering_columns(
    key: object, partition: tuple[str, ...], clustering: tuple[str, ...]
) -> None:
    (table,) = load({"name": "t", "fields": {"a": "int", "b": "int", "c": "int"}, "key": key})
    assert table.partition_key == partition
    assert [name for name, _ in table.clustering] == list(clustering)


def test_a_file_declares_several_tables_their_types_and_the_keyspace(tmp_path: Path) -> None:
    file = tmp_path / "shop.yml"
    file.write_text(
        "keyspace: shop\nreplication: {dc1: 3}\n"
        "types:\n  home: {at: frozen<address>}\n  address: {street: text}\n"
        "tables:\n"
        "  orders: {fields: {id: uuid, to: frozen<home>}, key: id}\n"
        "  audit: {keyspace: ops, fields: {id: uuid}, key: id, profile: append-only}\n"
    )
    schema = load(file)
    assert schema.keyspaces == (Keyspace("shop", {"dc1": 3}),)
    assert [kind.name for kind in schema.types] == ["address", "home"]
    assert schema.types[0] == UserType("address", (Column("street", "text"),), "shop")
    assert [(table.keyspace, table.name) for table in schema] == [("shop", "orders"), ("ops", "audit")]
    assert schema.tables[1].profile == "append-only"


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('{"name": "t",\n\t"fields": {"id": "uuid", "n": {"type": "int"}},\n\t"key": [["id"]]}')
    assert load(file).tables == load({"name": "t", "fields": {"id": "uuid", "n": "int"}, "key": "id"}).tables


def test_words_that_yaml_1_1_takes_for_something_else_are_names(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(
        "name: t\nfields: {on: int, yes: int, null: int, 2024-01-01x: int}\nkey: [on, yes]\n".replace(
            "2024-01-01x", "y"
        )
    )
    (table,) = load(file)
    assert [column.name for column in table.columns] == ["on", "yes", "null", "y"]
    assert table.key == ("on", "yes")


def test_a_folder_is_read_in_the_order_of_its_names_with_indexes_in_files_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "1.cql").write_text("CREATE INDEX ON b (n); CREATE TABLE c (id int PRIMARY KEY);")
    (tmp_path / "2.yaml").write_text("name: b\nfields: {id: int, n: int}\nkey: id\n")
    (tmp_path / "1.json").write_text('{"name": "a", "fields": {"id": "int"}, "key": "id"}')
    (tmp_path / "README.md").write_text("not a schema")
    schema = load(tmp_path)
    assert [table.name for table in schema] == ["a", "b", "c"]
    assert schema.tables[1].indexes[0].name == "b_n_idx"


def test_several_sources_make_one_schema(tmp_path: Path) -> None:
    cql, yaml = tmp_path / "a.cql", tmp_path / "b.yaml"
    cql.write_text("CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'};")
    yaml.write_text("keyspace: k\nreplication: {dc1: 3}\ntables: {t: {fields: {id: int}, key: id}}\n")
    schema = load_all([cql, yaml])
    assert schema.keyspaces == (Keyspace("k", {"dc1": 3}),)
    yaml.write_text("keyspace: k\nreplication: 1\ntables: {t: {fields: {id: int}, key: id}}\n")
    with pytest.raises(SchemaFileError, match=r"keyspace k is declared otherwise at .*a\.cql:1"):
        load_all([cql, yaml])


BAD: list[tuple[str, int, str, str]] = [
    ("name: t\nfeilds: {id: int}\nkey: id\n", 2, "unknown key feilds", "Did you mean fields?"),
    ("name: t\nfields:\n  id: int\nkey: id\nzzz: 1\n", 5, "unknown key zzz", "Use keyspace, comment, fields"),
    (
        "name: t\nfields:\n  id: int\n  n: {type: int, statik: true}\nkey: id\n",
        4,
        "unknown key fields.n.statik",
        "Did you mean static?",
    ),
    (
        "name: t\nfields: {id: int, n: int}\nkey: id\nindexes:\n - column: n\n   knd: sai\n",
        6,
        "unknown key indexes.0.knd",
        "Did you mean kind?",
    ),
    (
        "tables:\n  t:\n    fields: {id: int}\n    key: id\n    materialized_view: {}\n",
        5,
        "unknown key tables.t.materialized_view",
        "Did you mean materialized_views?",
    ),
    (
        "name: t\nfields: {id: int}\nkey: id\nmaterialized_views:\n  v:\n    select: [id]\n",
        5,
        "materialized_views.v lacks `key`",
        "Add `key:`",
    ),
    ("name: t\nfields:\n  id: int\n", 1, "the table lacks `key`", "Add `key:`"),
    ("fields: {id: int}\nkey: id\n", 1, "the table has no name", "Add `name:`"),
    ("name: t\ntable: t\nfields: {id: int}\nkey: id\n", 2, "`name` and `table` are both there", "Remove one of them"),
    ("name: t\nfields:\n  id: uuid\n  a: timestmp\nkey: id\n", 4, "unknown type 'timestmp'", "Did you mean timestamp"),
    (
        "name: t\nfields:\n  id: uuidd\nkey: id\n",
        3,
        "key column id of unknown type 'uuidd', or of a user type",
        "Did you mean uuid",
    ),
    ("name: t\nfields:\n  id: uuid\n  a: list<list<int>>\nkey: id\n", 4, "list<int> inside", "Write frozen<list<int>>"),
    ("name: t\nfields:\n  id: uuid\n  a: 7\nkey: id\n", 4, "fields.a", "Correct the value"),
    ("name: t\nfields:\n  id: uuid\nkey: [id, at]\n", 4, "key column at is no column", "Declare it, or use one of id"),
    ("name: t\nfields: {id: uuid}\nkey:\n  - []\n", 3, "[[]] is no key", "Write [id]"),
    ("name: t\nfields: {id: uuid}\nkey: {id: 1}\n", 3, "is no key", "Write [id]"),
    ("name: t\nfields:\n  id: uuid\n  id: text\nkey: id\n", 4, "'id' is there twice", "Remove one, or rename it"),
    ("name: 't; DROP TABLE x'\nfields: {id: int}\nkey: id\n", 1, "is no table name", "Use letters, digits"),
    ('name: t\nfields:\n  id: int\n  "a\\"b": int\nkey: id\n', 4, "is no column name", "Use letters, digits"),
    (f"table: {'t' * 49}\nfields: {{id: int}}\nkey: id\n", 1, "has 49 characters", "Use at most 48"),
    ("name: t\nkeyspace: 'a b'\nfields: {id: int}\nkey: id\n", 1, "is no keyspace name", "Use letters, digits"),
    (
        "name: t\nfields: {id: int, s: {type: int, static: true}}\nkey: id\n",
        2,
        "static in a table without",
        "Remove `static`",
    ),
    ("name: t\nfields:\n  id: int\n  n: counter\n  a: int\nkey: id\n", 5, "column a int beside counters", "move one"),
    (
        "name: t\nfields: {id: int, a: int}\nkey: [id, a]\nclustering_order:\n  b: desc\n",
        4,
        "clustering order of b, which is no clustering column",
        "Order a",
    ),
    ("name: t\nfields: {id: int}\nkey: id\nclustering_order: {id: dsc}\n", 4, "'dsc'", "Use 'asc' or 'desc'"),
    ("name: t\nfields: {id: int}\nkey: id\nprofile: fast\n", 4, "profile: 'fast'", "Use 'append-only'"),
    (
        "name: t\nfields: {id: int}\nkey: id\noptions:\n  gc_grace: 1\n",
        5,
        "unknown option 'gc_grace'",
        "gc_grace_seconds",
    ),
    (
        "name: t\nfields: {id: int}\nkey: id\noptions:\n  ttl: 1\n",
        5,
        "unknown option 'ttl'",
        "Write default_time_to_live",
    ),
    ("name: t\nfields: {id: int}\nkey: id\nindexes:\n  - n\n", 5, "index on n, which is no column", "Index a declared"),
    (
        "name: t\nfields: {id: int, n: int}\nkey: id\nmaterialized_views:\n  v: {key: [n]}\n",
        5,
        "view v: lacks key column id of the table",
        "add it",
    ),
    ("name: t\nreplication: 1\nfields: {id: int}\nkey: id\n", 2, "replication of no keyspace", "Add `keyspace:`"),
    ("name: t\nkeyspace: k\nreplication: 0\nfields: {id: int}\nkey: id\n", 3, "replication 0", "number of copies"),
    ("types: {a: {b: frozen<c>}}\ntables: {}\n", 1, "unknown type 'c'", "has to be declared"),
    ("types:\n  a: {b: frozen<c>}\n  c: {b: frozen<a>}\ntables: {}\n", 2, "type a: holds itself: ", "Break the circle"),
    (
        "types: {a: {b: list<int>}}\ntables:\n  t: {fields: {id: int, x: a}, key: id}\n",
        3,
        "a is not frozen",
        "frozen<a>",
    ),
    ("tables: [1]\n", 1, "tables", "Correct the value"),
    ("[1, 2]\n", 1, "declares nothing", "Write `fields` and `key`"),
    ("a: [\n", 2, "no YAML", "Correct the text there"),
    ("a: &x [*x]\n", 1, "an alias that unfolds without end", "Write the part out"),
    ("a: !!python/object:os.system x\n", 1, "no YAML", "Correct the text there"),
    ("name: t\n? [a]\n: b\n", 2, "a key that is no text", "Write a name"),
    ("name: t\n---\nname: u\n", 2, "another document", "Correct the text there"),
]


@pytest.mark.parametrize(("text", "line", "problem", "remedy"), BAD, ids=[case[2] for case in BAD])
def test_a_wrong_yaml_file_is_refused_with_file_line_and_remedy(
    tmp_path: Path, text: str, line: int, problem: str, remedy: str
) -> None:
    error = refusal(tmp_path, text)
    assert problem in error.problem
    assert error.line == line
    assert remedy in str(error.remedy)
    assert str(error).startswith(f"{tmp_path}/bad.yaml:{line}: ")


def test_a_wrong_json_file_is_refused_with_its_line(tmp_path: Path) -> None:
    for text, line, problem in [
        ('{"name": "t",\n "fields": {"id": "int"},\n "keys": "id"}', 3, "unknown key keys"),
        ('{"name": "t",\n "name": "u"}', 2, "'name' is there twice"),
        ('{"name": "t"\n "fields"}', 2, "no JSON"),
        ('{"name": "t",\n\t"fields": {"id": "int",\n\t\t"n": "itn"}, "key": "id"}', 3, "unknown type 'itn'"),
    ]:
        error = refusal(tmp_path, text, ".json")
        assert (error.line, problem in error.problem) == (line, True), error


def test_a_wrong_dict_is_refused_without_a_line() -> None:
    with pytest.raises(SchemaFileError, match=r"table t, column n: unknown type 'itn'\. Did you mean int") as caught:
        load({"fields": {"id": "int", "n": "itn"}, "key": "id"}, name="t")
    assert (caught.value.file, caught.value.line) == (None, None)
    with pytest.raises(SchemaFileError, match=r"unknown key filds\. Did you mean fields"):
        load({"filds": {}, "key": "id"}, name="t")


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.yaml").write_bytes(b"name: \xff\xfe")
    (tmp_path / "c.yaml").write_text("")
    (tmp_path / "d.yaml").write_text("a: \x00")
    (tmp_path / "e.yaml").write_text("[" * 1200)
    (tmp_path / "f.json").write_text("[" * 100_000)
    for name, problem in [
        ("nope.yaml", "cannot be read: No such file"),
        ("empty", "holds no schema file"),
        ("a.txt", ".txt is that of no schema file"),
        ("b.yaml", "is no text in UTF-8"),
        ("c.yaml", "declares nothing"),
        ("d.yaml", "no YAML"),
        ("e.yaml", "nested too deeply"),
        ("f.json", "nested too deeply"),
    ]:
        with pytest.raises(SchemaFileError) as caught:
            load(tmp_path / name)
        assert problem in caught.value.problem, name
        assert caught.value.file == str(tmp_path / name)
        assert caught.value.remedy


def test_what_is_declared_twice_names_both_places(tmp_path: Path) -> None:
    one, two = tmp_path / "1.yaml", tmp_path / "2.cql"
    one.write_text("\nname: t\nfields: {id: int, n: int}\nkey: id\nindexes: [{column: n, name: by_n}]\n")
    for text, problem in [
        ("CREATE TABLE t (id int PRIMARY KEY);", f"table t is declared twice, first at {one}:2"),
        (
            "CREATE TABLE u (id int PRIMARY KEY, n int);\nCREATE INDEX by_n ON u (n);",
            f"index by_n is declared twice, first at {one}",
        ),
        (
            "CREATE MATERIALIZED VIEW t2 AS SELECT * FROM t WHERE id IS NOT NULL PRIMARY KEY (id);\nCREATE TABLE t2 (id int PRIMARY KEY);",
            "table t2 is declared twice",
        ),
    ]:
        two.write_text(text)
        with pytest.raises(SchemaFileError) as caught:
            load(tmp_path)
        assert problem in caught.value.problem
    two.write_text("CREATE INDEX ON v (n);")
    with pytest.raises(SchemaFileError, match="an index or view on v, which is not declared before it") as caught:
        load(tmp_path)
    assert caught.value.remedy == "Declare the table first; declared so far: table t"
