"""Names that CQL reserves or reads in lower case, and columns that are not called as their fields, in all that there is."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import BaseModel, create_model

from cassorm.cql.identifiers import RESERVED
from cassorm.errors import QueryError, SchemaError, StaleRowError
from cassorm.orm.cache import RowCache
from cassorm.orm.database import Database, connect
from cassorm.orm.expressions import count_rows
from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col, pk
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model, table_of
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.user_types import Udt
from cassorm.schema.introspect import introspect
from cassorm.schema.table import View

pytestmark = pytest.mark.cluster


class Place(Udt, type_name="Order"):
    town: str = col(name="Select")
    number: int | None = col(name="from", default=None)


class Thing(
    Model,
    table="Table",
    comment='it\'s "quoted"; -- {} $$ /* \\ é \n',
    views=[View("VIEW", ("Where",), (("TOKEN", "asc"), ("from", "asc")), ("select", "in"))],
):
    group: PK[str] = pk(name="TOKEN")
    at: CK[int] = ck(name="from", order="desc")
    name: Col[str | None] = col(name="select", default=None, index=SAI(name="Index"))
    tags: Col[set[str]] = col(name="Set", default_factory=set, index=SAI())
    log: Col[list[str]] = col(name="limit", default_factory=list)
    labels: Col[dict[str, int]] = col(name="in", default_factory=dict, index=SAI(target="entries"))
    place: Col[Place | None] = col(name="And", default=None)
    where_: Col[str] = col(name="Where", default="")
    owner: Static[str] = col(name="OWNER", default="")


class Kept(Model, table="order"):
    id_: PK[int] = pk(name="ID")
    text: Col[str] = col(name="TEXT", default="")
    rev: Version[int] = col(name="Version", default=0)


class Counted(Model, table="COUNT"):
    page: PK[str] = pk(name="Page")
    hits: Counter = col(name="Hits", default=0)


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"Mixed_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as admin:
        await admin.create_keyspace(keyspace)
        async with connect(cassandra_hosts, keyspace=keyspace) as opened:
            opened.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
            await opened.create(Thing, Kept, Counted)
            yield opened
        await admin.ddl(f'DROP KEYSPACE "{keyspace}"')


make: Any = create_model


async def filled(db: Database, count: int = 3) -> str:
    group = uuid4().hex
    rows = [
        Thing(group=group, at=n, name=f"n{n}", tags={"a"}, labels={"x": n}, place=Place(town="t", number=n), owner="me")
        for n in range(count)
    ]
    assert all(each.outcome for each in await db.insert_many(rows))
    return group


async def test_what_is_created_is_what_was_declared(db: Database) -> None:
    assert await db.create(Thing, Kept, Counted) == []
    live = (await introspect(db, str(db.keyspace)))["Table"]
    assert live.comment == table_of(Thing).comment
    assert {column.name for column in live.columns} == {column.name for column in table_of(Thing).columns}
    assert [view.name for view in live.views] == ["VIEW"]


async def test_rows_are_written_and_read_by_their_fields(db: Database) -> None:
    group = await filled(db)
    async with db:
        row = (Thing.group == group, Thing.at == 1)
        found: Any = await Thing.get(group, at=1)
        assert (found.name, found.place, found.owner) == ("n1", Place(town="t", number=1), "me")
        found.name, found.where_ = "saved", "w"
        found.log.append("l")
        assert await db.save(found)
        await Thing.update(
            Thing.tags.add("b"), Thing.labels["y"].set(7), Thing.log.prepend("k"), Thing.place.set(Place(town="u"))
        ).where(*row)
        again: Any = await Thing.get(group, 1)
        assert again == found.model_copy(
            update={"tags": {"a", "b"}, "labels": {"x": 1, "y": 7}, "log": ["k", "l"], "place": Place(town="u")}
        )
        lost = (
            await Thing.update(Thing.name.set("x")).where(*row).only_if(Thing.name == "other", Thing.labels["y"] == 7)
        )
        assert lost.found["name"] == "saved"
        assert await Thing.update(Thing.name.set("x")).where(*row).only_if(Thing.name == "saved")
        async with db.batch() as batch:
            batch.insert(Thing(group=group, at=9, name="batched"))
            batch.add(
                Thing.update(Thing.owner.set("we")).where(Thing.group == group), Thing.delete(Thing.tags).where(*row)
            )
        await db.refresh(again)
        assert (again.name, again.owner, again.tags) == ("x", "we", set())
        await Thing.delete().where(Thing.group == group, Thing.at > 1)
        assert await Thing.where(Thing.group == group).count() == 2


async def test_queries_and_what_they_give_are_by_field(db: Database) -> None:
    class Short(BaseModel):
        at: int
        name: str | None

    group = await filled(db)
    query = Thing.where(Thing.group == group).using(db)
    assert [row.at for row in await query.order_by(Thing.at.asc()).all()] == [0, 1, 2]
    assert await query.into(Short).all() == [Short(at=n, name=f"n{n}") for n in (2, 1, 0)]
    assert await query.values(Thing.at, Thing.name).limit(1).all() == [(2, "n2")]
    assert await query.values(Thing.at.max(), count_rows()).one() == (2, 3)
    assert await query.values(Thing.group, count_rows()).group_by(Thing.group).all() == [(group, 3)]
    assert [row.at for row in await query.where(Thing.name == "n1").all()] == [1]
    assert [row.at for row in await query.where(Thing.labels["x"] == 2).all()] == [2]
    assert len(await query.where(Thing.tags.contains("a")).all()) == 3
    assert [row.at for row in await query.where(Thing.at.in_([0, 2])).all()] == [2, 0]
    assert await query.where(Thing.at >= 1).per_partition_limit(1).using(db).exists()
    page = await query.page(2)
    assert [row.at for row in [*page.items, *(await query.page(2, page.token)).items]] == [2, 1, 0]
    assert {row.at async for row in Thing.scan(parallel=2).using(db) if row.group == group} == {0, 1, 2}
    assert (group,) in await Thing.where().partitions().allow_filtering().using(db).all()
    rows = await db.cql('SELECT * FROM "Table" WHERE "TOKEN" = ?', [group], into=Thing)
    assert rows == await query.all()
    assert [row and row.name for row in await db.get_many(Thing, [(group, 1), (group, 7)])] == ["n1", None]
    assert [len(rows) for rows in (await db.related(Thing.where(), Thing.group, [group])).values()] == [3]
    assert '"from": 2' in (await query.json().first() or "")
    cache = RowCache(db, Thing, ttl=timedelta(minutes=1))
    cached = await cache.get(group, at=1)
    assert cached is not None
    await Thing.update(Thing.name.set("new")).where(Thing.group == group, Thing.at == 1).using(db)
    assert (await cache.get(group, at=1)) == cached.model_copy(update={"name": "new"})


async def test_versions_and_counters_have_names_of_their_own(db: Database) -> None:
    kept = Kept(id_=1)
    await db.save(kept)
    stale = kept.model_copy()
    kept.text = "new"
    await db.save(kept)
    stale.text = "other"
    with pytest.raises(StaleRowError) as refused:
        await db.save(stale)
    assert refused.value.found["rev"] == 2
    await db.delete(kept)
    page = uuid4().hex
    await Counted.update(Counted.hits + 3).where(Counted.page == page).using(db)
    assert await Counted.get(page).using(db) == Counted(page=page, hits=3)


async def test_every_reserved_word_is_a_column(db: Database) -> None:
    words = [*sorted(RESERVED), "Key", "KEY", "_x", "0", "x" * 100]
    fields: dict[str, Any] = {f"f{n}": (Col[int], col(name=word)) for n, word in enumerate(words)}
    made: Any = make("Words", __base__=Model, id=(PK[int], ...), **fields)
    await db.create(made)
    sent = made(id=1, **{f"f{n}": n for n in range(len(words))})
    await db.insert(sent)
    await made.update(*(getattr(made, name).set(-1) for name in fields)).where(made.id == 2).using(db)
    assert await made.get(1).using(db) == sent
    assert await made.get(2).using(db) == made(id=2, **dict.fromkeys(fields, -1))
    assert await made.where(made.id == 1).using(db).values(*(getattr(made, name) for name in fields)).one() == (
        *range(len(words)),
    )


async def test_a_keyspace_that_is_no_name_is_refused_before_anything_is_sent(db: Database) -> None:
    with pytest.raises(QueryError, match="keyspace name"), db.in_keyspace('x"; DROP TABLE "Table"; --'):
        pytest.fail("taken")
    with pytest.raises(SchemaError, match="keyspace name"):
        await db.create_keyspace("x'; DROP KEYSPACE system")
