"""The cache of rows: one query for a thousand readers, and never stale after a write of this process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.errors import QueryError
from cassorm.orm.cache import RowCache
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, Version, col
from cassorm.orm.model import Model
from cassorm.orm.user_types import Udt

pytestmark = pytest.mark.cluster


class Item(Model):
    shop: PK[str]
    id: CK[int]
    name: Col[str] = col(default="")
    log: Col[list[str]] = col(default_factory=list)


class Setting(Model):
    name: PK[str]
    value: Col[str]
    rev: Version[int] = col(default=0)


class Place(Udt, type_name="cache_place"):
    room: str


class Odd(Model):
    amount: PK[Decimal]
    place: PK[Place]
    tags: PK[frozenset[str]]
    note: Col[str] = col(default="")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def opened(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"cache_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as db:
        await db.create_keyspace(keyspace)
        async with connect(cassandra_hosts, keyspace=keyspace) as found:
            await found.create(Item, Setting, Odd)
            yield found
        await db.ddl(f"DROP KEYSPACE {keyspace}")


@pytest_asyncio.fixture
async def db(opened: Database) -> Database:
    await Item.delete().where(Item.shop == "a").using(opened)
    return opened


def cached(db: Database, **options: Any) -> RowCache[Item]:
    return RowCache(db, Item, **{"ttl": timedelta(minutes=1), **options})


async def test_a_thousand_readers_of_a_cold_key_cost_one_query(db: Database) -> None:
    await db.insert(Item(shop="a", id=1, name="x"))
    cache = cached(db)
    found = await asyncio.gather(*(cache.get("a", 1) for _ in range(1000)))
    assert {item.name for item in found if item} == {"x"}
    assert len({id(item) for item in found}) == 1000
    assert cache.loads == 1


async def test_what_one_reader_does_to_its_instance_no_other_sees(db: Database) -> None:
    await db.insert(Item(shop="a", id=1, name="x", log=["1"]))
    cache = cached(db)
    mine, theirs = [await cache.get("a", id=1) for _ in range(2)]
    assert mine is not None
    mine.log.append("2")
    mine.name = "mine"
    assert theirs == await cache.get("a", 1) == Item(shop="a", id=1, name="x", log=["1"])


async def test_every_kind_of_write_drops_what_it_may_have_changed(db: Database) -> None:
    cache = cached(db)
    row = (Item.shop == "a", Item.id == 1)
    assert await cache.get("a", 1) is None
    item = Item(shop="a", id=1, name="inserted")
    await db.insert(item)
    assert await cache.get("a", 1) == item
    item.name = "saved"
    await db.save(item)
    assert await cache.get("a", 1) == item
    await Item.update(Item.name.set("updated")).where(*row).using(db)
    found = await cache.get("a", 1)
    assert found is not None
    assert found.name == "updated"
    async with db.batch() as batch:
        batch.insert(item.model_copy(update={"name": "batched"}))
    found = await cache.get("a", 1)
    assert found is not None
    assert found.name == "batched"
    await Item.delete().where(Item.shop == "a").using(db)
    assert await cache.get("a", 1) is None
    await db.insert(item)
    await db.delete(item)
    assert await cache.get("a", 1) is None
    settings = RowCache(db, Setting, ttl=timedelta(minutes=1))
    setting = Setting(name="s", value="1")
    assert await settings.get("s") is None
    await db.save(setting)
    setting.value = "2"
    await db.save(setting)
    assert await settings.get("s") == setting


@pytest.mark.parametrize("reader", ["waits", "comes later"])
async def test_a_read_that_was_under_way_while_a_write_happened_is_not_kept(
    db: Database, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    await db.insert(Item(shop="a", id=1, name="old"))
    cache = cached(db)
    answered, release = asyncio.Event(), asyncio.Event()
    execute = db.execute

    async def late(statement: Any, *args: Any, **options: Any) -> Any:
        result = await execute(statement, *args, **options)
        if statement.reads and not answered.is_set():
            answered.set()
            await release.wait()
        return result

    monkeypatch.setattr(db, "execute", late)
    early = asyncio.ensure_future(cache.get("a", 1))
    await answered.wait()
    await db.insert(Item(shop="a", id=1, name="new"))
    if reader == "waits":
        found = await cache.get("a", 1)
        assert found is not None
        assert found.name == "new"
    release.set()
    old = await early
    assert old is not None
    assert old.name == "old"
    found = await cache.get("a", 1)
    assert found is not None
    assert found.name == "new"


async def test_keys_that_python_takes_for_equal_or_cannot_hash_are_told_apart_as_the_server_does(db: Database) -> None:
    rows = [
        Odd(amount=amount, place=Place(room=room), tags=frozenset(tags))
        for amount in (Decimal("1.0"), Decimal("1.00"))
        for room, tags in (("a", "xyz"), ("b", "x"))
    ]
    assert all(each.outcome for each in await db.insert_many(rows))
    cache = RowCache(db, Odd, ttl=timedelta(minutes=1))
    for row in [*rows, *rows]:
        found = await cache.get(row.amount, Place(room=row.place.room), frozenset(sorted(row.tags)))
        assert found == row
        assert str(found.amount) == str(row.amount)
    assert cache.loads == 4
    await db.save(rows[0].model_copy(update={"note": "new"}))
    found = await cache.get(Decimal("1.0"), Place(room="a"), frozenset("zyx"))
    assert found is not None
    assert found.note == "new"
    assert (cache.loads, len(cache)) == (5, 4)


async def test_rows_go_when_their_time_or_their_room_is_over(db: Database) -> None:
    for number in range(5):
        await db.insert(Item(shop="a", id=number))
    small = cached(db, most=3)
    for number in range(5):
        await small.get("a", number)
    assert len(small) == 3
    await small.get("a", 4)
    assert small.loads == 5
    short = cached(db, ttl=timedelta(milliseconds=20))
    await short.get("a", 1)
    await asyncio.sleep(0.03)
    await short.get("a", 1)
    assert short.loads == 2


async def test_word_from_elsewhere_drops_a_partition(db: Database) -> None:
    await db.insert(Item(shop="a", id=1, name="x"))
    cache = cached(db)
    await cache.get("a", 1)
    await db.cql("UPDATE item SET name = ? WHERE shop = ? AND id = ?", ["y", "a", 1])
    cache.drop("a")
    found = await cache.get("a", 1)
    assert found is not None
    assert found.name == "y"
    with pytest.raises(QueryError, match="0 values"):
        cache.drop()


async def test_a_reader_that_gives_up_does_not_take_the_row_from_others(db: Database) -> None:
    await db.insert(Item(shop="a", id=1, name=uuid4().hex))
    cache = cached(db)
    first, second = (asyncio.ensure_future(cache.get("a", 1)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert cache.loads == 1
