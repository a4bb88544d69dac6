"""Tables written and read back: as CQL, as YAML and JSON, as dicts."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cassorm.cql.dialect import PROFILES, Dialect, for_engine
from cassorm.cql.identifiers import RESERVED
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
        indexes=tuple(Index(column.name, f"i{at}") for at, column in enumerate(rest) if draw(st.booleans())),
        views=draw(
            views(found[: partition + clustered], [column.name for column in plain if column.type != "duration"])
        ),
    )


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
