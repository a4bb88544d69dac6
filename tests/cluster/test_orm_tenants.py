"""Tenants in keyspaces of their own, and databases side by side: what belongs to one never shows in another."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.errors import ClusterError, QueryError
from cassorm.orm.cache import RowCache
from cassorm.orm.context import current_keyspace
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, Version, col
from cassorm.orm.model import Model
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.user_types import Udt

pytestmark = pytest.mark.cluster


class Place(Udt):
    town: str


class Note(Model):
    owner: PK[int]
    n: CK[int]
    text: Col[str]
    place: Col[Place | None] = col(default=None)


class Account(Model):
    id: PK[int]
    text: Col[str]
    rev: Version[int] = col(default=0)


class Country(Model):
    code: PK[str]
    name: Col[str] = col(default="")


Tenants = tuple[str, str]


@pytest_asyncio.fixture(scope="module")
async def tenants(cassandra_hosts: list[str]) -> AsyncIterator[Tenants]:
    names = (f"tenant_a_{uuid4().hex[:8]}", f"tenant_b_{uuid4().hex[:8]}")
    async with connect(cassandra_hosts) as db:
        for name in names:
            await db.create_keyspace(name)
            with db.in_keyspace(name):
                await db.create(Note, Account)
        yield names
        for name in names:
            await db.ddl(f"DROP KEYSPACE {name}")


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str], tenants: Tenants) -> AsyncIterator[Database]:
    """Without a keyspace of its own: what is done for no tenant fails."""
    async with connect(cassandra_hosts) as opened:
        opened.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
        yield opened


async def test_tasks_of_different_tenants_never_mix(db: Database, tenants: Tenants) -> None:
    cache = RowCache(db, Note, ttl=timedelta(minutes=1))
    dice = random.Random(3)

    async def serve(tenant: str, owner: int, pause_s: float) -> None:
        with db.in_keyspace(tenant):
            note = Note(owner=owner, n=1, text=tenant, place=Place(town=tenant))
            await db.insert(note)
            await asyncio.sleep(pause_s)
            assert await Note.get(owner, 1).using(db) == note
            assert await cache.get(owner, 1) == note
            async with db.batch() as batch:
                batch.insert(Note(owner=owner, n=2, text=tenant))
                await asyncio.sleep(pause_s)
                batch.add(Note.update(Note.text.set(f"{tenant}!")).where(Note.owner == owner, Note.n == 1))
            found = await Note.where(Note.owner == owner).using(db).all()
            assert [each.text for each in found] == [f"{tenant}!", tenant]
            cached = await cache.get(owner, 1)
            assert cached is not None
            assert cached.text == f"{tenant}!"
            assert (await db.get_many(Note, [(owner, 2)]))[0] == found[1]
            account = Account(id=owner, text=tenant)
            await db.save(account)
            await asyncio.sleep(pause_s)
            account.text = f"{tenant}?"
            await db.save(account)
            assert await Account.where(Account.id.in_([owner, 10_000])).using(db).all() == [account]

    await asyncio.gather(
        *(serve(tenant, owner, dice.random() / 50) for owner in range(40) for tenant in dice.sample(tenants, 2))
    )
    for tenant in tenants:
        with db.in_keyspace(tenant):
            notes = [note async for note in Note.scan(parallel=2).using(db)]
            assert len(notes) == 80
            assert {note.text.rstrip("!") for note in notes} == {tenant}
            assert {account.text async for account in Account.scan(parallel=2).using(db)} == {f"{tenant}?"}
    assert current_keyspace.get() is None


async def test_the_cache_keeps_the_rows_of_each_tenant_apart_and_drops_them_together(
    db: Database, tenants: Tenants
) -> None:
    cache = RowCache(db, Note, ttl=timedelta(minutes=1))

    async def cached(tenant: str) -> str | None:
        with db.in_keyspace(tenant):
            found = await cache.get(500, 1)
        return None if found is None else found.text

    for tenant in tenants:
        with db.in_keyspace(tenant):
            await db.insert(Note(owner=500, n=1, text=tenant))
    assert [await cached(tenant) for tenant in (*tenants, *tenants)] == [*tenants, *tenants]
    assert cache.loads == 2
    with db.in_keyspace(tenants[0]):
        await db.delete(Note(owner=500, n=1, text=""))
    assert [await cached(tenant) for tenant in tenants] == [None, tenants[1]]
    many = await asyncio.gather(*(cached(tenants[n % 2]) for n in range(100)))
    assert many == [None, tenants[1]] * 50


async def test_tokens_and_checkpoints_of_a_tenant_are_refused_for_another(db: Database, tenants: Tenants) -> None:
    one, other = tenants
    query = Note.where(Note.owner == 600).using(db)
    with db.in_keyspace(one):
        await db.insert_many(Note(owner=600, n=n, text="x") for n in range(5))
        page = await query.page(2)
        scan = Note.scan(parallel=1).using(db)
        assert [note async for note in scan]
    assert page.token is not None
    with db.in_keyspace(other):
        with pytest.raises(QueryError, match="no token of this query"):
            await query.page(2, page.token)
        with pytest.raises(QueryError, match="no checkpoint of this table"):
            Note.scan(resume=scan.checkpoint())


async def test_two_databases_with_keyspaces_of_their_own_serve_tasks_side_by_side(
    cassandra_hosts: list[str], tenants: Tenants
) -> None:
    async with (
        connect(cassandra_hosts, keyspace=tenants[0]) as one,
        connect(cassandra_hosts, keyspace=tenants[1]) as two,
    ):
        both = {tenants[0]: one, tenants[1]: two}
        caches = {name: RowCache(found, Note, ttl=timedelta(minutes=1)) for name, found in both.items()}

        async def serve(name: str, owner: int) -> None:
            async with both[name]:
                note = Note(owner=owner, n=1, text=name)
                await both[name].insert(note)
                await asyncio.sleep(0)
                assert await Note.get(owner, 1) == note
                assert await caches[name].get(owner, 1) == note
                assert await Note.where(Note.owner == owner).all() == [note]
                await Note.update(Note.text.set(f"{name}!")).where(Note.owner == owner, Note.n == 1)
                found = await caches[name].get(owner, 1)
                assert found is not None
                assert found.text == f"{name}!"

        await asyncio.gather(*(serve(name, owner) for owner in range(700, 720) for name in tenants))
        assert await Note.get(700, 1).using(one) != await Note.get(700, 1).using(two)
        # A token says for which keyspace it was made, though both have the same secret and the same text.
        one.page_secrets = two.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
        await one.insert_many(Note(owner=700, n=n, text="x") for n in range(5))
        page = await Note.where(Note.owner == 700).using(one).page(2)
        with pytest.raises(QueryError, match="no token of this query"):
            await Note.where(Note.owner == 700).using(two).page(2, page.token)


async def test_a_task_keeps_the_tenant_it_was_begun_for_and_blocks_nest(db: Database, tenants: Tenants) -> None:
    one, other = tenants
    go = asyncio.Event()

    async def later() -> str | None:
        await go.wait()
        found = await Note.get(800, 1).using(db)
        return None if found is None else found.text

    with db.in_keyspace(one):
        await db.insert(Note(owner=800, n=1, text="one"))
        task = asyncio.create_task(later())
        with db.in_keyspace(other):
            assert await Note.get(800, 1).using(db) is None
        assert await Note.get(800, 1).using(db) is not None
    with db.in_keyspace(other):
        go.set()
        assert await task == "one"


async def test_a_model_that_names_its_keyspace_is_shared_by_all_tenants(db: Database, tenants: Tenants) -> None:
    class Shared(Country, keyspace=tenants[0]):
        pass

    for tenant in tenants:
        with db.in_keyspace(tenant):
            await db.create(Shared)
            await db.insert(Shared(code=tenant))
    assert {tenant for tenant in tenants if await Shared.get(tenant).using(db)} == set(tenants)
    assert len(await db.cql(f"SELECT code FROM {tenants[0]}.shared")) == 2


async def test_without_a_tenant_and_with_a_wrong_name_nothing_is_read_or_written(db: Database) -> None:
    with pytest.raises(ClusterError, match=r"(?i)no keyspace"):
        await Note.get(1, 1).using(db)
    for name in ('a"; DROP KEYSPACE b; --', "", "a b", "x" * 49):
        with pytest.raises(QueryError, match="keyspace"), db.in_keyspace(name):
            raise AssertionError("entered")
