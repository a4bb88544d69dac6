"""Many stores, a keyspace each, served by the same workers: nothing is missed, and waiting costs what one store costs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import PK, CassandraEventStore, Col, Database, Projections, ReadModel, Session, map_from_event
from cassorm.driver.observing import Observer, SentStatement, observed_by
from cassorm.errors import ConfigurationError, ProjectionError
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Crew, Worker
from tests.cluster.test_feed_worker import QUICK, Jotted, Told, until, write

pytestmark = pytest.mark.cluster

STORES, SHARDS = 5, 4
CALM = replace(
    QUICK,
    idle=timedelta(milliseconds=500),
    beat=timedelta(seconds=1),
    lease=timedelta(seconds=6),
    calm=timedelta(milliseconds=600),
    resting=timedelta(milliseconds=250),
)
"""The pace of production where it counts: between two looks, and between two signs of life."""


@pytest_asyncio.fixture(scope="module")
async def stores(cassorm_session: Session) -> AsyncIterator[list[CassandraEventStore]]:
    home = f"cassorm_crew_{uuid4().hex[:8]}"
    names = [f"{home}_{number}" for number in range(STORES)]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                CassandraEventStore(cassorm_session, keyspace=name, workers_in=home, shards=SHARDS, replication=1)
            )
            for name in names
        ]
    for name in (home, *names):
        await cassorm_session.ddl(f"DROP KEYSPACE {name}")


@asynccontextmanager
async def serving(
    stores: Sequence[CassandraEventStore], subscription: Subscription, *, crew: Crew | None
) -> AsyncIterator[list[Worker]]:
    """A worker for each store: of one crew, or each of a crew of its own."""
    workers = [Worker(store, [subscription], crew=crew or Crew(CALM)) for store in stores]
    running = [asyncio.create_task(worker.run()) for worker in workers]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)


class Count(Observer):
    def __init__(self) -> None:
        self.statements = 0

    def sent(self, statement: SentStatement) -> None:
        self.statements += 1


def whole(workers: Sequence[Worker]) -> bool:
    return all(len(worker.carried) == SHARDS and not worker._lacks for worker in workers)


async def rate_at_rest(stores: Sequence[CassandraEventStore], told: Told, crew: Crew | None) -> float:
    """Statements a second of workers that have nothing to do."""
    count = Count()
    with observed_by(count):
        async with serving(stores, Subscription(f"rest{uuid4().hex}", told), crew=crew) as workers:
            await until(lambda: whole(workers) and all(worker.rests for worker in workers))
            await asyncio.sleep(0.5)
            before, begun = count.statements, asyncio.get_running_loop().time()
            await asyncio.sleep(2)
            return (count.statements - before) / (asyncio.get_running_loop().time() - begun)


async def test_what_workers_of_a_crew_ask_for_at_rest_does_not_grow_with_the_stores(
    stores: list[CassandraEventStore],
) -> None:
    told = Told()
    assert await rate_at_rest(stores, told, Crew(CALM)) < 30
    assert await rate_at_rest(stores, told, None) > 40, "as many workers that know nothing of each other"


async def test_the_first_event_after_a_rest_is_told_at_once_because_its_writer_rings(
    stores: list[CassandraEventStore],
) -> None:
    told, crew = Told(), Crew(CALM)
    async with serving(stores[:2], Subscription("rung", told), crew=crew) as workers:
        await until(lambda: whole(workers) and all(worker.rests for worker in workers))
        crew.workers += 1_000  # so many that each is looked at every three minutes
        await asyncio.sleep(CALM.idle.total_seconds() + 0.2)
        with_bell, without = stores[:2]
        bell, without._bell = without._bell, None
        try:
            missed = await write(without, 1, 1)
            found = await write(with_bell, 3, 2)
            await told.of(found, timeout_s=5)
            assert not missed.keys() & told.versions.keys()
        finally:
            without._bell = bell
        also = await write(without, 1, 1)  # it rings again: what came before is found with it
        await told.of(found | missed | also, timeout_s=5)
        crew.workers -= 1_000
    told.in_order(found | missed | also)


async def test_crews_share_the_shards_of_all_stores_and_one_takes_over_from_the_other(
    stores: list[CassandraEventStore],
) -> None:
    told = Told()
    subscription = Subscription("shared", told)
    some = stores[:3]
    wanted: dict[UUID, int] = {}
    async with serving(some, subscription, crew=Crew(QUICK)) as first:
        async with serving(some[:2], subscription, crew=Crew(QUICK)) as second:
            await until(
                lambda: (
                    [len(worker.carried) for worker in first] == [SHARDS // 2, SHARDS // 2, SHARDS]
                    and [len(worker.carried) for worker in second] == [SHARDS // 2, SHARDS // 2]
                )
            )
            assert {worker.id for worker in first}.isdisjoint({worker.id for worker in second})
            for store in some:
                wanted |= await write(store, 4, 3)
            await told.of(wanted)
        await until(lambda: whole(first))
        for store in some:
            wanted |= await write(store, 2, 2)
        await told.of(wanted)
    told.in_order(wanted)


async def test_what_a_member_could_not_give_back_is_taken_over_while_its_crew_lives_on(
    stores: list[CassandraEventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    told, subscription = Told(), Subscription("kept", Told())
    async with serving(stores[:1], subscription, crew=(crew := Crew(QUICK))):
        worker = Worker(stores[1], [Subscription("left", told)], crew=crew)
        running = asyncio.create_task(worker.run())
        await until(lambda: whole([worker]))
        other = Worker(stores[1], [], crew=crew)
        with pytest.raises(ConfigurationError, match="another worker of this crew serves it"):
            await other.run()
        monkeypatch.setattr(worker, "_give", lambda *_: asyncio.sleep(0))
        worker.stop()
        await running
        owners = await stores[1].feed.checkpoints("left", range(SHARDS))
        assert {one.owner for one in owners.values()} == {worker.id}
        wanted = await write(stores[1], 4, 2)
        async with serving([stores[1]], Subscription("left", told), crew=Crew(QUICK)):
            await told.of(wanted, timeout_s=10)
    told.in_order(wanted)


class Page(ReadModel, table="pages"):
    page_id: PK[UUID]
    number: Col[int] = map_from_event(Jotted)


async def test_two_stores_do_not_feed_the_same_tables(
    stores: list[CassandraEventStore], cassorm_session: Database
) -> None:
    keyspace = stores[0].settings.workers_in
    assert keyspace is not None
    with cassorm_session.in_keyspace(keyspace):
        for _ in range(2):
            Projections(stores[0], [Page])
        with pytest.raises(ProjectionError, match=f"are fed by store {stores[0].name} already"):
            Projections(stores[1], [Page])
    assert Projections(stores[1], [Page]).ground.keyspace == stores[1].keyspace


async def test_a_store_that_breaks_holds_up_no_other(
    stores: list[CassandraEventStore], cassorm_session: Session
) -> None:
    name = f"cassorm_lost_{uuid4().hex[:8]}"
    home = stores[0].settings.workers_in
    told = Told()
    async with (
        CassandraEventStore(cassorm_session, keyspace=name, workers_in=home, shards=SHARDS, replication=1) as lost,
        serving([lost, stores[0]], Subscription("both", told), crew=Crew(QUICK)) as workers,
    ):
        await until(lambda: whole(workers))
        await cassorm_session.ddl(f"DROP KEYSPACE {name}")
        wanted = dict.fromkeys((uuid4(), uuid4()), 5)
        for stream in wanted:
            await stores[0].append(stream, [Jotted(number=n) for n in range(5)])
        await told.of(wanted, timeout_s=10)
    told.in_order(wanted)
