"""Tables written and read back: as CQL, as YAML and JSON, as dicts; and whatever else comes in their place."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cassorm.cql.dialect import PROFILES, Dialect, for_engine
from cassorm.cql.identifiers import RESERVED
from cassorm.errors import SchemaFileError
from cassorm.schema import ddl
from cassorm.schema.dump import dump, dump_schema
from cassorm.schema.keyspace import Keyspace, Schema
from cassorm.schema.load import load
from cassorm.schema.table import Column, Index, Order, Table, UserType, View
from tests.unit.test_cql_types import column_types, natives

ENGINES = [for_engine("cassandra", "5.0.9"), for_engine("cassandra", "4.1.0"), for_engine("scylla", "2025.4.1")]

names = st.one_of(st.from_regex(r"[A-Za-z_0-9]{1,12}", fullmatch=True), st.sampled_from(sorted(RESERVED)))
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)
USER_TYPES = (
    UserType("Address", (Column("street", "text"), Column("order", "int"))),
    UserType("address", (Column("in", 'frozen<"Address">'),)),
    UserType("line_item", (Column("a", "int"),)),
    UserType("select", (Column("a", "frozen<list<address>>"),)),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "gc_grace_seconds": st.integers(0, 10**6),
        "default_time_to_live": st.integers(0, 10**6),
        "bloom_filter_fp_chance": st.floats(0.01, 1),
        "speculative_retry": texts,
        "caching": st.dictionaries(names, texts, max_size=2),
        "compaction": st.just({"class": "LeveledCompactionStrategy", "sstable_size_in_mb": 160}),
        "compression": st.sampled_from(
            [{"class": "ZstdCompressor", "chunk_length_in_kb": 64}, {"class": "LZ4Compressor"}]
        ),
    },
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Tables of all shapes that CQL takes, but counters."""
    found = draw(st.lists(names, min_size=2, max_size=7, unique=True))
    partition = draw(st.integers(1, len(found) - 1))
    clustered = draw(st.integers(0, len(found) - partition))
    orders: list[Order] = [draw(st.sampled_from(("asc", "desc"))) for _ in range(clustered)]
    columns = []
    for at, name in enumerate(found):
        kind = (
            draw(natives)
            if at < partition + clustered
            else draw(column_types.filter(lambda kind: kind.name != "counter"))
        )
        static = at >= partition + clustered and clustered > 0 and draw(st.booleans())
        columns.append(Column(name, str(kind), static))
    key = (tuple(found[:partition]), tuple(zip(found[partition : partition + clustered], orders, strict=True)))
    rest = columns[partition + clustered :]
    plain = [column for column in rest if not column.static and not column.cql_type.is_multicell]
    return Table(
        name=draw(names),
        keyspace=draw(st.one_of(st.none(), names)),
        columns=tuple(columns),
        partition_key=key[0],
        clustering=key[1],
        comment=draw(texts),
        options=draw(options),
        profile=draw(st.sampled_from((None, *PROFILES))),
        indexes=tuple(
            Index(column.name, f"i{at}")
            for at, column in enumerate(rest)
            if can_be_indexed(column) and draw(st.booleans())
        ),
        views=draw(
            views(
                found[: partition + clustered],
                [column.name for column in plain if "duration" not in column.cql_type.names()],
            )
        ),
    )


def can_be_indexed(column: Column) -> bool:
    kind = column.cql_type
    return {"duration", "vector"}.isdisjoint(kind.names()) and (kind.frozen or not kind.is_user_type)


@st.composite
def views(draw: st.DrawFn, key: list[str], plain: list[str]) -> tuple[View, ...]:
    if not plain or draw(st.booleans()):
        return ()
    ordered = draw(st.permutations([draw(st.sampled_from(plain)), *key]))
    selected = tuple(draw(st.lists(st.sampled_from(plain), unique=True)))
    orders: list[Order] = [draw(st.sampled_from(("asc", "desc"))) for _ in ordered[1:]]
    clustering = tuple(zip(ordered[1:], orders, strict=True))
    return (View("a_view_of_its_own", (ordered[0],), clustering, selected or tuple(plain), comment=draw(texts)),)


def whole(table: Table) -> Schema:
    return Schema((table,), USER_TYPES).in_keyspace(table.keyspace)


SETTINGS = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("schemas")


@SETTINGS
@given(table=tables(), engine=st.sampled_from(ENGINES))
def test_a_table_written_as_cql_is_read_back_as_the_engine_holds_it(
    table: Table, engine: Dialect, folder: Path
) -> None:
    if not engine.vectors and any("vector" in column.cql_type.names() for column in table.columns):
        return
    file = folder / "t.cql"
    file.write_text(ddl.script(whole(table), engine), encoding="utf-8")
    read = load(file)
    assert read.tables == (ddl.resolve(table, engine),)
    assert set(read.types) == set(whole(table).types)


@SETTINGS
@given(table=tables())
def test_a_table_written_as_yaml_or_json_is_read_back_as_itself(table: Table, folder: Path) -> None:
    schema = Schema(whole(table).tables, whole(table).types, (Keyspace(table.keyspace, 3),) if table.keyspace else ())
    form = dump_schema(schema)
    in_yaml, in_json = folder / "t.yaml", folder / "t.json"
    in_yaml.write_text(yaml.safe_dump(form, sort_keys=False, allow_unicode=True), encoding="utf-8")
    in_json.write_text(json.dumps(form), encoding="utf-8")
    assert load(in_yaml) == schema
    assert load(in_json) == schema


@SETTINGS
@given(table=tables())
def test_a_table_written_as_a_dict_is_read_back_as_itself(table: Table) -> None:
    types = {kind.name: {column.name: column.type for column in kind.fields} for kind in USER_TYPES}
    assert load({**dump(table), "types": types}).tables == (table,)


def test_a_counter_table_is_read_back(folder: Path) -> None:
    table = Table(name="t", columns=(Column("id", "int"), Column("n", "counter")), partition_key=("id",))
    (folder / "c.cql").write_text(ddl.script(Schema((table,)), ENGINES[0]))
    assert load(folder / "c.cql").tables == (table,)


STARTS = (
    "CREATE TABLE t (id int PRIMARY KEY, n text); CREATE INDEX ",
    "CREATE TABLE t (id int, n text, PRIMARY KEY (id, n)) WITH ",
    "CREATE TABLE t (id int PRIMARY KEY, n text); CREATE MATERIALIZED VIEW v AS SELECT ",
    "CREATE KEYSPACE k WITH ",
)
WORDS = [
    "CREATE",
    "TABLE",
    "TYPE",
    "INDEX",
    "CUSTOM",
    "MATERIALIZED",
    "VIEW",
    "KEYSPACE",
    "IF",
    "NOT",
    "EXISTS",
    "ON",
    "AS",
    "SELECT",
    "FROM",
    "WHERE",
    "IS",
    "NULL",
    "AND",
    "WITH",
    "CLUSTERING",
    "ORDER",
    "BY",
    "ASC",
    "DESC",
    "PRIMARY",
    "KEY",
    "STATIC",
    "USING",
    "OPTIONS",
    "t",
    "k",
    "id",
    '"a""b"',
    "'x'",
    "'StorageAttachedIndex'",
    "int",
    "text",
    "list<int>",
    "frozen",
    "<",
    ">",
    "(",
    ")",
    ",",
    ".",
    ";",
    "=",
    "{",
    "}",
    ":",
    "*",
    "1",
    "-2.5",
    "true",
    "comment",
    "compaction",
    "gc_grace_seconds",
    "replication",
    "--",
    "/*",
    "*/",
    "$$",
    "//",
    "'",
    '"',
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from(WORDS), max_size=25), start=st.sampled_from(["", *STARTS]))
def test_any_text_is_a_schema_or_is_refused_with_a_line(words: list[str], start: str, folder: Path) -> None:
    file = folder / "any.cql"
    file.write_text(start + " ".join(words))
    try:
        schema = load(file)
    except SchemaFileError as error:
        refused = (error.file, bool(error.line), bool(error.remedy))
        assert refused == (str(file), True, True)
    else:
        assert ddl.script(schema, ENGINES[0])


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), names, texts, st.sampled_from(["int", "asc", "*"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=5,
)
KEYS = [
    "name",
    "fields",
    "key",
    "clustering_order",
    "indexes",
    "materialized_views",
    "options",
    "types",
    "tables",
    "keyspace",
]
GOOD = {"name": "t", "fields": {"id": "int", "n": "text"}, "key": ["id"]}


@settings(max_examples=60, deadline=None)
@given(changes=st.dictionaries(st.one_of(st.sampled_from(KEYS), names), anything, max_size=2))
def test_any_dict_is_a_schema_or_is_refused_with_a_remedy(changes: dict[str, object]) -> None:
    try:
        schema = load({**GOOD, **changes})
    except SchemaFileError as error:
        remedy = error.remedy
    else:
        remedy = ddl.script(schema, ENGINES[0]) or "no tables"
    assert remedy
