"""Relations on a real node: the rows of many others by few queries at once, never by one after the other."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
import pytest_asyncio

from cassorm.errors import QueryError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, ck, col
from cassorm.orm.model import Model
from cassorm.testing import assert_queries

pytestmark = pytest.mark.cluster


class Author(Model):
    id: PK[int]
    name: Col[str]


class Post(Model):
    author: PK[int]
    day: CK[date] = ck(order="desc")
    n: CK[int]
    title: Col[str] = col(default="")


DAY = date(2026, 1, 1)


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace("orm_relations")
        try:
            async with connect(cassandra_hosts, keyspace="orm_relations") as found:
                await found.create(Author, Post)
                await found.insert_many(Author(id=n, name=f"author {n}") for n in range(100))
                await found.insert_many(
                    Post(author=author, day=DAY, n=n) for author in range(100) for n in range(author % 4)
                )
                yield found
        finally:
            await opened.ddl("DROP KEYSPACE orm_relations")


@pytest.fixture
def under_way(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements were under way when each was sent."""
    execute, now, found = db.execute, 0, list[int]()

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal now
        now += 1
        found.append(now)
        try:
            return await execute(*args, **options)
        finally:
            now -= 1

    monkeypatch.setattr(db, "execute", counted)
    return found


async def test_the_children_of_a_hundred_parents_come_by_a_hundred_queries_of_which_few_run_at_once(
    db: Database, under_way: list[int]
) -> None:
    authors = [author async for author in Author.scan().using(db)]
    under_way.clear()
    with assert_queries(100):
        posts = await db.related(Post.where(), Post.author, [author.id for author in authors], concurrency=8)
    assert list(posts) == [author.id for author in authors]
    assert {author: len(rows) for author, rows in posts.items()} == {n: n % 4 for n in range(100)}
    assert max(under_way) == 8


async def test_the_query_of_the_children_may_say_more_and_each_parent_is_asked_for_once(db: Database) -> None:
    latest = Post.where(Post.day == DAY, Post.n < 3).order_by(Post.day.asc(), Post.n.desc()).limit(1)
    with assert_queries(3):
        posts = await db.related(latest, Post.author, [3, 2, 3, 4])
    assert {author: [post.n for post in rows] for author, rows in posts.items()} == {3: [2], 2: [1], 4: []}
    with assert_queries(2):
        titles = await db.related(Post.where().values(Post.n), Post.author, [3, 1])
    assert titles == {3: [(0,), (1,), (2,)], 1: [(0,)]}
    with assert_queries(0), pytest.raises(QueryError, match="lacks author"):
        await db.related(Post.where(), Post.day, [DAY])
    with assert_queries(0):
        assert await db.related(Post.where(), Post.author, []) == {}


async def test_the_parents_of_many_children_are_got_by_their_key_each_once(
    db: Database, under_way: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[object] = []
    get_many = db.get_many

    async def told(model: Any, wanted: Any, **options: Any) -> Any:
        keys.extend(wanted)
        return await get_many(model, wanted, **options)

    monkeypatch.setattr(db, "get_many", told)
    posts = [post async for post in Post.scan().using(db)]
    under_way.clear()
    with assert_queries(75):
        authors = await db.related(Author.where(), Author.id, [post.author for post in posts], concurrency=5)
    assert len(posts) == 150
    assert {post.author: authors[post.author][0].name for post in posts} == {
        n: f"author {n}" for n in range(100) if n % 4
    }
    assert sorted(keys) == [(n,) for n in range(100) if n % 4]  # type: ignore[type-var]
    assert max(under_way) == 5
    assert await db.related(Author.where(), Author.id, [-1, 7]) == {-1: [], 7: [Author(id=7, name="author 7")]}


async def test_both_ways_at_once_stay_within_their_bounds(db: Database, under_way: list[int]) -> None:
    await asyncio.gather(
        db.related(Post.where(), Post.author, range(100), concurrency=4),
        db.related(Author.where(), Author.id, range(100), concurrency=4),
    )
    assert max(under_way) <= 8
