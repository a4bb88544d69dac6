"""Tables and types that somebody else changes under a model: named errors, or it just works; never another value."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from cassorm.driver.session import Session
from cassorm.errors import ClusterError, QueryError, SchemaDriftError
from cassorm.orm.cache import RowCache
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.model import Model
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.user_types import Udt

pytestmark = pytest.mark.cluster

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Place(Udt):
    street: str
    number: int | None = None


class Parcel(Model):
    shop: PK[str]
    n: CK[int]
    at: Col[datetime] = col(name="sent")
    note: Col[str | None] = col(default=None)
    marks: Col[dict[str, int]] = col(default_factory=dict)


class Home(Model):
    id: PK[int]
    place: Col[Place]
    all: Col[list[Place]] = col(default_factory=list)


@pytest_asyncio.fixture
async def db(cassandra_hosts: list[str], cassorm_keyspace: str) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts, keyspace=cassorm_keyspace) as opened:
        opened.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
        yield opened


@pytest_asyncio.fixture
async def theirs(cassandra_hosts: list[str], db: Database) -> AsyncIterator[Session]:
    async with connect(cassandra_hosts, keyspace=db.keyspace) as opened:
        yield opened


async def changed(db: Database, theirs: Session, *statements: str) -> None:
    for text in statements:
        before = db._wire._known.changes
        await theirs.ddl(text)
        async with asyncio.timeout(5):
            while db._wire._known.changes == before:  # noqa: ASYNC110 - a driver's thread counts
                await asyncio.sleep(0.005)


def ways(db: Database, cache: RowCache[Parcel]) -> dict[str, Callable[[], Awaitable[Any]]]:
    row = (Parcel.shop == "a", Parcel.n == 1)
    query = Parcel.where(Parcel.shop == "a").using(db)

    async def scan() -> None:
        async for _ in Parcel.scan(parallel=1).using(db):
            pass

    async def batch() -> None:
        async with db.batch() as writes:
            writes.insert(Parcel(shop="a", n=1, at=MOMENT))

    async def save() -> None:
        parcel = Parcel(shop="a", n=1, at=MOMENT)
        await db.save(parcel)

    return {
        "get": lambda: _awaited(Parcel.get("a", 1).using(db)),
        "all": query.all,
        "page": lambda: query.page(10),
        "values": query.values(Parcel.at).all,
        "in": Parcel.where(Parcel.shop.in_(["a", "b"])).using(db).all,
        "scan": scan,
        "cache": lambda: cache.get("a", 1),
        "cql": lambda: _awaited(db.cql("SELECT * FROM parcel WHERE shop = ?", ["a"], into=Parcel)),
        "insert": lambda: db.insert(Parcel(shop="a", n=1, at=MOMENT)),
        "once": lambda: db.insert(Parcel(shop="a", n=1, at=MOMENT), if_not_exists=True),
        "save": save,
        "batch": batch,
        "update": lambda: _awaited(Parcel.update(Parcel.at.set(MOMENT)).where(*row).using(db)),
        "only_if": lambda: _awaited(
            Parcel.update(Parcel.note.set("x")).where(*row).only_if(Parcel.at == MOMENT).using(db)
        ),
    }


async def _awaited(what: Any) -> Any:
    return await what


async def test_whichever_way_a_retyped_column_is_used_it_is_named_and_nothing_is_written(
    db: Database, theirs: Session
) -> None:
    await db.create(Parcel)
    cache = RowCache(db, Parcel, ttl=timedelta(seconds=1))
    todo = ways(db, cache)
    for run in todo.values():
        await run()
    cache.clear()
    entry = Parcel.update(Parcel.marks["x"].set(1)).where(Parcel.shop == "a", Parcel.n == 1).using(db)
    await entry
    # A moment is sent as a number: as such a bigint would take it.
    table = "CREATE TABLE parcel (shop text, n bigint, sent bigint, note text, marks map<text, text>, PRIMARY KEY (shop, n))"
    await changed(db, theirs, "DROP TABLE parcel", table)
    await theirs.execute("INSERT INTO parcel (shop, n, sent, note) VALUES ('a', 7, 5, 'theirs')")
    for run in todo.values():
        with pytest.raises(SchemaDriftError, match=r"column sent is bigint, and Parcel.at is timestamp"):
            await run()
    with pytest.raises(SchemaDriftError, match=r"column marks is of text in its values, and Parcel.marks is map"):
        await entry
    # What does not touch the column goes on.
    assert await Parcel.where(Parcel.shop == "a").values(Parcel.n, Parcel.note).using(db).all() == [(7, "theirs")]
    await Parcel.update(Parcel.note.set("ours")).where(Parcel.shop == "a", Parcel.n == 7).using(db)
    assert (await theirs.execute("SELECT shop, n, sent, note FROM parcel")).rows == [("a", 7, 5, "ours")]


async def test_a_column_that_is_dropped_is_named_and_one_that_is_added_is_not_noticed(
    db: Database, theirs: Session
) -> None:
    await db.create(Parcel)
    parcel = Parcel(shop="a", n=1, at=MOMENT, note="x")
    await db.insert(parcel)
    assert await Parcel.get("a", 1).using(db) == parcel
    await changed(db, theirs, "ALTER TABLE parcel ADD aa text")
    await db.insert(parcel)
    assert await Parcel.get("a", 1).using(db) == parcel
    assert [row async for row in Parcel.scan(parallel=1).using(db)] == [parcel]
    await changed(db, theirs, "ALTER TABLE parcel DROP note")
    for run in (lambda: db.insert(parcel), lambda: _awaited(Parcel.get("a", 1).using(db))):
        with pytest.raises(ClusterError, match="Undefined column name note"):
            await run()


async def test_a_user_type_that_changed_is_read_by_its_names_and_never_written_in_part(
    db: Database, theirs: Session
) -> None:
    await db.create(Home)
    home = Home(id=1, place=Place(street="s", number=1), all=[Place(street="t")])
    await db.insert(home)
    assert await Home.get(1).using(db) == home
    await changed(db, theirs, "ALTER TYPE place ADD town text")
    assert await Home.get(1).using(db) == home
    with pytest.raises(QueryError, match="the live type has a field 'town', which Place has not; add it"):
        await db.insert(home)
    await changed(db, theirs, "ALTER TYPE place RENAME number TO no")
    for run in (lambda: db.insert(home), lambda: _awaited(Home.get(1).using(db))):
        with pytest.raises(SchemaDriftError, match="type place has no field number; there are street, no, town"):
            await run()
