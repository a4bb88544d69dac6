"""Models on each engine: what every one gets, and what one that lacks it refuses before anything is sent."""

from typing import Annotated, Any

import pytest
from pydantic import create_model

from cassorm.cql.dialect import Dialect, for_engine
from cassorm.errors import QueryError, SchemaError
from cassorm.orm.database import schema_of
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.markers import SAI, IndexOn, Secondary
from cassorm.orm.model import Model
from cassorm.orm.user_types import Udt
from cassorm.orm.values import Vector
from cassorm.schema.ddl import create_keyspace, schema_statements
from cassorm.schema.table import View

ENGINES = {
    name: for_engine(*name.split(" "))
    for name in (
        "cassandra 4.1.7",
        "cassandra 5.0.9",
        "cassandra 6.0",
        "scylla 6.2.0",
        "scylla 2025.1.3",
        "scylla 2026.1.0",
    )
}
NEWER, OLDER = (
    ("cassandra 5.0.9", "cassandra 6.0"),
    ("cassandra 4.1.7", "scylla 6.2.0", "scylla 2025.1.3", "scylla 2026.1.0"),
)
SCYLLA = tuple(name for name in ENGINES if name.startswith("scylla"))


class Place(Udt):
    at: Annotated[list[float], Vector(2)]


def texts(engine: Dialect, *, options: dict[str, Any] | None = None, **fields: Any) -> str:
    made = create_model(
        "Made", __base__=Model, __cls_kwargs__=options or {}, id=(PK[int], ...), at=(CK[int], ...), **fields
    )
    return "\n".join(schema_statements(schema_of([made]), engine))


@pytest.mark.parametrize("name", ENGINES)
def test_an_index_that_names_no_kind_is_of_the_one_that_the_engine_has(name: str) -> None:
    fields: dict[str, Any] = {
        "text": (Col[str], col(index=True)),
        "raw": (Col[bytes], col(index=True)),
        "labels": (Col[dict[str, int]], col(default_factory=dict, index=IndexOn(target="entries"))),
        "plain": (Col[int], col(index=Secondary())),
    }
    found = texts(ENGINES[name], **fields)
    custom = name in NEWER
    assert (found.count("USING 'StorageAttachedIndex'"), found.count("CREATE INDEX")) == ((2, 2) if custom else (0, 4))
    assert ("ON made (entries(labels)) USING" in found) is custom


@pytest.mark.parametrize(
    ("field", "refusing", "problem"),
    [
        ((Col[str], col(index=SAI())), OLDER, "has no storage-attached indexes"),
        (
            (Col[str], col(index=IndexOn("org.apache.cassandra.index.sasi.SASIIndex"))),
            SCYLLA,
            "has no indexes of class",
        ),
        ((Col[Annotated[list[float], Vector(2)]], ...), OLDER[:3], "has no vectors"),
        ((Col[dict[str, Annotated[list[float], Vector(2)]]], ...), OLDER[:3], "has no vectors"),
        ((Col[list[Place]], ...), OLDER[:3], "has no vectors"),
        ((Col[Annotated[list[float], Vector(2)]], col(index=True)), OLDER[3:], "has no index that finds the nearest"),
    ],
)
def test_what_an_engine_lacks_is_refused_by_it_alone(field: Any, refusing: tuple[str, ...], problem: str) -> None:
    for name, engine in ENGINES.items():
        if name in refusing:
            with pytest.raises(SchemaError, match=problem) as refused:
                texts(engine, x=field)
            assert refused.value.remedy
            assert str(engine) in str(refused.value)
        elif field[1] is ... or name not in OLDER:
            assert "CREATE TABLE" in texts(engine, x=field)


@pytest.mark.parametrize(
    ("options", "knowing"),
    [
        ({"memtable": "trie"}, ("cassandra 4.1.7", *NEWER)),
        ({"read_repair": "NONE"}, ("cassandra 4.1.7", *NEWER)),
        ({"tombstone_gc": {"mode": "repair"}}, SCYLLA),
        ({"tablets": {"min_tablet_count": 8}}, SCYLLA),
        ({"cdc": True}, ("cassandra 4.1.7", *NEWER)),
        ({"cdc": {"enabled": True}}, SCYLLA),
        ({"compaction": {"class": "UnifiedCompactionStrategy"}}, NEWER),
        ({"compaction": {"class": "LeveledCompactionStrategy"}}, tuple(ENGINES)),
        ({"gc_grace_seconds": 3600}, tuple(ENGINES)),
    ],
)
def test_options_go_to_the_engines_that_know_them(options: dict[str, Any], knowing: tuple[str, ...]) -> None:
    for name, engine in ENGINES.items():
        if name in knowing:
            assert f"{next(iter(options))} = " in texts(engine, options={"options": options})
        else:
            with pytest.raises(SchemaError) as refused:
                texts(engine, options={"options": options})
            assert refused.value.remedy


@pytest.mark.parametrize("name", ENGINES)
def test_profiles_views_and_keyspaces_are_written_for_each_engine(name: str) -> None:
    view = View("by_text", ("text",), (("id", "asc"), ("at", "asc")))
    found = texts(ENGINES[name], options={"profile": "append-only", "views": [view]}, text=(Col[str], ...))
    strategy = "UnifiedCompactionStrategy" if name in NEWER else "SizeTieredCompactionStrategy"
    assert strategy in found
    assert ("sstable_compression" in found) is (name in SCYLLA)
    assert "CREATE MATERIALIZED VIEW IF NOT EXISTS by_text AS" in found
    # Lightweight transactions work on tablets from 2025.4 on.
    tablets = "AND tablets = {'enabled': false}" in create_keyspace("app", 1, ENGINES[name])
    assert tablets is (name in ("scylla 6.2.0", "scylla 2025.1.3"))


class Reading(Model):
    id: PK[int]
    n: Col[int] = col(index=True)
    text: Col[str] = col(index=True)
    at: Col[Annotated[list[float], Vector(2)]] = col(index=True)


@pytest.mark.parametrize("name", ENGINES)
def test_queries_that_only_newer_indexes_answer_are_refused_elsewhere(name: str) -> None:
    sai = ENGINES[name].sai
    assert sai is (name in NEWER)
    assert "text = ?" in Reading.where(Reading.text == "x").statement(sai=sai)[0]
    for query, problem in (
        (Reading.where(Reading.n > 1), "neither key nor index"),
        (Reading.where(Reading.n == 1, Reading.text == "x"), None),
        (Reading.where().nearest(Reading.at, [1.0, 2.0]).limit(3), "on an engine without such indexes"),
    ):
        if sai:
            assert query.statement(sai=True)[0]
        else:
            with pytest.raises(QueryError, match=problem) as refused:
                query.statement(sai=False)
            assert refused.value.remedy
