"""A cache of rows that another process writes, 200 ms after their events: no entry is stale once the row is written."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Database, Projections, RowCache, connect
from cassorm.events.alive import awake
from cassorm.events.crew_tables import Sign, carried_as
from cassorm.events.feed_status import subscribed
from tests.cluster.projection_process import DELAY_S, PACE, Priced, Product

pytestmark = pytest.mark.cluster


@dataclass
class Place:
    db: Database
    store: CassandraEventStore
    projections: Projections

    def cache(self) -> RowCache[Product]:
        return RowCache(self.db, Product, ttl=timedelta(minutes=10))

    async def written(self, product: UUID, price: int) -> None:
        """Return when the other process has written the row."""
        async with asyncio.timeout(20), self.db:
            while (row := await Product.get(product)) is None or row.price != price:  # noqa: ASYNC110 - of a table
                await asyncio.sleep(0.005)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cassandra_hosts: list[str]) -> AsyncIterator[Place]:
    keyspace = f"cached_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with (
                connect(cassandra_hosts, keyspace=keyspace) as db,
                CassandraEventStore(db, keyspace=keyspace, shards=2, replication=1) as store,
            ):
                projections = Projections(store, [Product], pace=PACE)
                await projections.create()
                command = (
                    sys.executable,
                    "-m",
                    "tests.cluster.projection_process",
                    ",".join(cassandra_hosts),
                    keyspace,
                )
                other = await asyncio.create_subprocess_exec(*command)
                try:
                    first = await store.append(uuid4(), [Priced(price=Decimal(1))], aggregate_type="Product")
                    await projections.wait_for(first.position, "products", timedelta(seconds=30))
                    yield Place(db, store, projections)
                finally:
                    other.terminate()
                    await other.wait()
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


async def price(cache: RowCache[Product], product: UUID) -> int:
    found = await cache.get(product)
    return 0 if found is None else int(found.price)


async def test_after_waiting_for_an_append_its_effect_is_read_from_the_cache_too(place: Place) -> None:
    cache, product = place.cache(), uuid4()
    for version in range(1, 4):
        begun = time.monotonic()
        done = await place.store.append(product, [Priced(price=Decimal(version))], aggregate_type="Product")
        assert await price(cache, product) == version - 1, "read too early, and kept"
        await place.db.wait_for(done.position, "products")
        assert time.monotonic() - begun >= DELAY_S
        assert await price(cache, product) == version
        loads = cache.loads
        assert await price(cache, product) == version
        assert cache.loads == loads


async def test_no_entry_is_stale_once_the_row_of_another_process_is_written(place: Place) -> None:
    cache, products = place.cache(), [uuid4() for _ in range(5)]
    async with place.projections.fresh_caches():
        for version in range(1, 4):
            for product in products:
                await place.store.append(product, [Priced(price=Decimal(version))], aggregate_type="Product")
                # Read again and again meanwhile: what is kept is the row as it is before the event.
                assert await price(cache, product) == version - 1
            await asyncio.gather(*(place.written(product, version) for product in products))
            begun = time.monotonic()
            while any([await price(cache, product) != version for product in products]):
                assert time.monotonic() - begun < 2
                await asyncio.sleep(0.005)
    follows = await place.db.cql("SELECT subscription FROM checkpoints")
    assert {name for (name,) in follows} == {"products@1"}, "whoever followed leaves nothing behind"


async def test_without_following_the_feed_an_entry_stays_stale(place: Place) -> None:
    cache, product = place.cache(), uuid4()
    for version in (1, 2):
        await place.store.append(product, [Priced(price=Decimal(version))], aggregate_type="Product")
        assert await price(cache, product) == 0
        await place.written(product, version)
    await asyncio.sleep(0.1)
    assert await price(cache, product) == 0


async def test_what_a_killed_process_has_left_is_forgotten_later(place: Place) -> None:
    feed, now = place.store.feed, await place.store.feed.node_clock()
    killed, lately, alive = (f"caches of {uuid4()}" for _ in range(3))
    for name, ago_s in ((killed, 3700), (lately, 3000), (alive, 3700)):
        for shard in range(place.store.settings.shards):
            await feed.begin(name, shard, now - ago_s * 1_000_000, None)
    worker = uuid4()
    await place.store.crew.here(worker, Sign(1, 1), [carried_as(place.store.name, alive)])
    async with place.projections.fresh_caches(), asyncio.timeout(20):
        while killed in (left := await subscribed(place.store)):  # noqa: ASYNC110 - of a table
            await asyncio.sleep(0.02)
        assert {lately, alive} < set(left)
    await place.store.crew.leave(worker)
    for name in (lately, alive):
        await feed.forget(name)
    assert await subscribed(place.store) == ["products@1"]


async def test_after_a_long_sleep_what_is_kept_is_read_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cassorm.projections.freshness._LOOK_S", 0.02)
    cache, product = place.cache(), uuid4()
    await place.store.append(product, [Priced(price=Decimal(1))], aggregate_type="Product")
    await place.written(product, 1)
    async with place.projections.fresh_caches():
        await asyncio.sleep(0.6)  # the event itself is told
        assert await price(cache, product) == 1
        loads = cache.loads
        await asyncio.sleep(0.2)
        assert (await price(cache, product), cache.loads) == (1, loads)
        monkeypatch.setattr("cassorm.projections.freshness.awake", lambda: awake() + 61)
        await asyncio.sleep(0.2)
        assert (await price(cache, product), cache.loads) == (1, loads + 1)
