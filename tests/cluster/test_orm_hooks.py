"""Hooks around writes on a real node: what runs when, what stops a write, and which verbs run none."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from cassorm.errors import QueryError, StaleRowError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import PK, Col, Version, col
from cassorm.orm.hooks import after_delete, after_save, before_delete, before_save
from cassorm.orm.model import Model

pytestmark = pytest.mark.cluster

RAN: list[str] = []


class Tidy(Model, abstract=True):
    id: PK[int]
    name: Col[str]

    @before_save
    def lower(self) -> None:
        RAN.append("before_save")
        if self.name == "bad":
            raise ValueError("a bad name")
        self.name = self.name.lower()

    @before_delete
    async def keep(self) -> None:
        RAN.append("before_delete")
        if self.name == "kept":
            raise ValueError("kept for ever")

    @after_delete
    async def gone(self, db: Database) -> None:
        RAN.append(f"after_delete, there: {await type(self).get(self.id).using(db) is not None}")


class User(Tidy):
    @after_save
    async def told(self, db: Database) -> None:
        found = await User.get(self.id).using(db)
        RAN.append(f"after_save of {found and found.name}")
        if self.name == "loud":
            raise ZeroDivisionError


class Versioned(Tidy, table="versioned_users"):
    rev: Version[int] = col(default=0)

    @after_save
    def told(self) -> None:
        RAN.append(f"after_save of revision {self.rev}")


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace("orm_hooks")
        try:
            async with connect(cassandra_hosts, keyspace="orm_hooks") as found:
                await found.create(User, Versioned)
                yield found
        finally:
            await opened.ddl("DROP KEYSPACE orm_hooks")


@pytest.fixture(autouse=True)
def _nothing_has_run() -> None:
    RAN.clear()


async def test_before_save_may_change_fields_and_after_save_finds_the_row_written(db: Database) -> None:
    user = User(id=1, name="ADA")
    await db.insert(user)
    assert RAN == ["before_save", "after_save of ada"]
    RAN.clear()
    user.name = "Grace"
    assert await db.save(user)
    assert RAN == ["before_save", "after_save of grace"]
    RAN.clear()
    assert not await db.save(user)
    assert RAN == ["before_save"]
    RAN.clear()
    await db.delete(user)
    assert RAN == ["before_delete", "after_delete, there: False"]


async def test_what_a_before_hook_raises_stops_the_write(db: Database) -> None:
    with pytest.raises(ValueError, match="a bad name"):
        await db.insert(User(id=2, name="bad"))
    assert await User.get(2).using(db) is None
    assert RAN == ["before_save"]
    user = User(id=2, name="kept")
    await db.insert(user)
    with pytest.raises(ValueError, match="kept for ever"):
        await db.delete(user)
    assert await User.get(2).using(db) == user


async def test_after_hooks_run_for_what_was_written_alone(db: Database) -> None:
    first = Versioned(id=3, name="a")
    await db.save(first)
    assert (RAN, first.rev) == (["before_save", "after_save of revision 1"], 1)
    RAN.clear()
    assert not await db.insert(Versioned(id=3, name="b"), if_not_exists=True)
    with pytest.raises(StaleRowError):
        await db.save(Versioned(id=3, name="c"))
    with pytest.raises(StaleRowError):
        await db.delete(Versioned(id=3, name="d", rev=7))
    assert RAN == ["before_save", "before_save", "before_delete"]
    with pytest.raises(QueryError, match="conditions guard"):
        await db.insert(Versioned(id=4, name="d"))
    assert RAN[3:] == ["before_save"]


async def test_what_an_after_hook_raises_reaches_the_caller_and_the_row_stays_written(db: Database) -> None:
    user = User(id=5, name="loud")
    with pytest.raises(ZeroDivisionError):
        await db.insert(user)
    found = await User.get(5).using(db)
    assert found == user
    assert found is not None
    found.name = "quiet"
    assert await db.save(found)


async def test_of_many_inserts_each_runs_its_hooks_and_keeps_what_they_raise(db: Database) -> None:
    done = await db.insert_many([User(id=10, name="A"), User(id=11, name="bad"), User(id=12, name="C")], concurrency=1)
    assert [type(each.error) for each in done] == [type(None), ValueError, type(None)]
    found = await db.get_many(User, [10, 11, 12])
    assert [each and each.name for each in found] == ["a", None, "c"]
    assert RAN == ["before_save", "after_save of a", "before_save", "before_save", "after_save of c"]


async def test_expressions_and_batches_run_no_hooks(db: Database) -> None:
    users: Any = User
    await users.update(users.name.set("UPPER")).where(users.id == 20).using(db)
    await users.delete().where(users.id == 20).using(db)
    async with db.batch() as batch:
        batch.insert(User(id=20, name="BATCHED"))
    assert RAN == []
    found = await User.get(20).using(db)
    assert found is not None
    assert found.name == "BATCHED"
