"""A server that has less than it could: what it lacks is refused before anything changes, the rest works."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated

import pytest
import pytest_asyncio

from cassorm.cql.dialect import for_engine
from cassorm.errors import QueryError, SchemaError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import PK, Col, col
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model
from cassorm.orm.values import Vector
from cassorm.schema.introspect import introspect

pytestmark = pytest.mark.cluster


class Found(Model, profile="append-only"):
    id: PK[int]
    text: Col[str] = col(index=True)
    n: Col[int] = col(default=0)


class Attached(Model):
    id: PK[int]
    text: Col[str] = col(index=SAI())


class Near(Model):
    id: PK[int]
    place: Col[Annotated[list[float], Vector(2)]] = col(index=True)


@pytest_asyncio.fixture
async def db(cassandra_hosts: list[str], cassorm_keyspace: str) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts, keyspace=cassorm_keyspace) as opened:
        yield opened


@contextmanager
def taken_for(db: Database, engine: str) -> Iterator[None]:
    """Inside the block the database takes its server for an older, or another one."""
    real, db.dialect = db.dialect, for_engine(*engine.split(" "))
    assert (db.dialect.sai, db.dialect.vectors, db.dialect.ucs) == (False, False, False)
    try:
        yield
    finally:
        db.dialect = real


async def test_what_the_server_lacks_is_refused_and_nothing_is_created(db: Database) -> None:
    for engine in ("cassandra 4.1.7", "scylla 2025.1.0"):
        for model, problem in ((Attached, "no storage-attached indexes"), (Near, "no vectors")):
            # Also what it could have is not created when something else is refused.
            with taken_for(db, engine), pytest.raises(SchemaError, match=problem) as refused:
                await db.create(Found, model)
            assert str(for_engine(*engine.split(" "))) in str(refused.value)
            assert refused.value.remedy
        for query in (Found.where(Found.text >= "a"), Near.where().nearest(Near.place, [1.0, 2.0]).limit(1)):
            with taken_for(db, engine), pytest.raises(QueryError):
                await query.using(db).all()
    assert await introspect(db, str(db.keyspace)) == {}


async def test_what_every_server_has_works(db: Database) -> None:
    with taken_for(db, "cassandra 4.1.7"):
        await db.create(Found)
        live = (await introspect(db, str(db.keyspace)))["found"]
        assert [index.kind for index in live.indexes] == ["secondary"]
        assert live.options["compaction"] == {"class": "SizeTieredCompactionStrategy"}
        await db.insert(Found(id=1, text="x"))
        assert await Found.where(Found.text == "x").using(db).all() == [Found(id=1, text="x")]
        assert await db.create(Found) == []
