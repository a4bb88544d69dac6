"""Projections run by workers: rows, totals and handlers, rebuilt beside the running ones, waited for, asked where they stand."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CK, NO_STREAM, PK, Appended, CassandraEventStore, Col, Database, Event, Model, col, connect
from cassorm.errors import (
    ConfigurationError,
    ModelError,
    ProjectionError,
    QueryError,
    SchemaDriftError,
    SubscriptionError,
)
from cassorm.events.memory import MemoryEventStore
from cassorm.events.worker import Pace, Worker
from cassorm.projections.handlers import Tx, on, projection
from cassorm.projections.mapping import map_from_event
from cassorm.projections.projections import Projections
from cassorm.projections.read_model import ReadModel
from cassorm.projections.rebuild import RebuildProgress
from cassorm.projections.registry import Generation, State
from cassorm.projections.status import status_of
from cassorm.projections.totals import Total, Totals, add_from_event, count_events
from cassorm.projections.views import ReadView

pytestmark = pytest.mark.cluster

QUICK = Pace(
    beat=timedelta(milliseconds=150),
    lease=timedelta(seconds=2),
    trail=timedelta(milliseconds=100),
    closing=timedelta(milliseconds=150),
    idle=timedelta(milliseconds=50),
    checkpoint=timedelta(milliseconds=150),
)


FIRST = Generation(1, State.ACTIVE, "", datetime.now(UTC))


class Opened(Event, name="PrjOpened"):
    customer: str
    country: str
    day: date


class Added(Event, name="PrjAdded"):
    amount: Decimal


class Closed(Event, name="PrjClosed"):
    pass


class Visited(Event, name="PrjVisited"):
    email: str


class Sale(ReadModel, table="sales", aggregate="Sale"):
    sale_id: PK[UUID]
    customer: Col[str] = map_from_event(Opened)
    total: Col[Decimal] = map_from_event(Added, lambda e, row: row.total + e.amount, default=Decimal(0))
    open: Col[bool] = map_from_event({Opened: True, Closed: False})
    __views__ = [ReadView("sales_by_customer", key="customer", clustering="sale_id")]


class Revenue(Totals, table="revenue", aggregate="Sale"):
    country: PK[str] = map_from_event(Opened)
    day: CK[date] = map_from_event(Opened)
    revenue: Total[Decimal] = add_from_event(Added, "amount")
    sales: Total[int] = count_events(Opened)


class Contact(Model, table="contacts"):
    domain: PK[str]
    person: CK[str]
    from_sale: Col[bool] = col(default=False)


@projection("contacts", writes=[Contact])
class Contacts:
    """Fed by two aggregate types."""

    def __init__(self) -> None:
        self.greeted: list[tuple[UUID, str]] = []

    @on(Visited)
    async def visited(self, event: Visited, tx: Tx) -> None:
        tx.save(Contact(domain=event.email.partition("@")[2], person=event.email))

    @on(Opened)
    def opened(self, event: Opened, tx: Tx) -> None:
        tx.save(Contact(domain="sales", person=event.customer, from_sale=True))

    @on(Visited, side_effect=True)
    async def greet(self, event: Visited, tx: Tx) -> None:
        self.greeted.append((tx.id(), event.email))


@dataclass
class Shop:
    db: Database
    store: CassandraEventStore
    contacts: Contacts = field(default_factory=Contacts)
    revenue: dict[tuple[str, date], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    sales: dict[tuple[str, date], int] = field(default_factory=lambda: defaultdict(int))
    ids: list[UUID] = field(default_factory=list)

    def projections(self) -> Projections:
        return Projections(self.store, [Sale, Revenue, self.contacts], db=self.db, pace=QUICK)

    async def sell(self, lines: int = 3) -> Appended:
        sale, version = uuid4(), 0
        country, day = random.choice(["DE", "IT", "FR"]), date(2026, 1, random.randint(1, 3))
        events: list[Event] = [Opened(customer=f"c{random.randint(1, 4)}", country=country, day=day)]
        amounts = [Decimal(random.randint(1, 999)) / 100 for _ in range(lines)]
        events += [Added(amount=amount) for amount in amounts] + [Closed()]
        while events:
            count = random.randint(1, 3)
            done = await self.store.append(sale, events[:count], expected=version, aggregate_type="Sale")
            version, events = done.version, events[count:]
        self.revenue[country, day] += sum(amounts)
        self.sales[country, day] += 1
        self.ids.append(sale)
        return done

    async def visit(self, email: str) -> Appended:
        return await self.store.append(uuid4(), [Visited(email=email)], expected=NO_STREAM, aggregate_type="Guest")

    async def everything(self) -> Any:
        """All that readers see."""
        async with self.db:
            sales = {row.sale_id: row.model_dump() async for row in Sale.scan()}
            view = {row.sale_id: row.model_dump() async for row in Sale.view("sales_by_customer").scan()}
            contacts = sorted([tuple(row.model_dump().values()) async for row in Contact.scan()])
            totals = {}
            for country in ("DE", "IT", "FR"):
                for each in await Revenue.find(country=country):
                    totals[country, each.day] = (each.revenue, each.sales)
        return sales, view, contacts, totals

    async def check(self) -> None:
        """Readers see what the streams say."""
        sales, view, _, totals = await self.everything()
        assert sales.keys() == view.keys() == set(self.ids)
        assert {key: sorted(map(str, row.values())) for key, row in sales.items()} == {
            key: sorted(map(str, row.values())) for key, row in view.items()
        }
        assert totals == {key: (amount, self.sales[key]) for key, amount in self.revenue.items()}
        for sale in random.sample(self.ids, 5):
            live = await Sale.live(self.store, sale)
            assert live is not None
            assert sales[sale] == live.model_dump()
        assert sales == {row.sale_id: row.model_dump() async for row in Sale.live_all(self.store)}
        assert totals == {(row.country, row.day): (row.revenue, row.sales) for row in await Revenue.live(self.store)}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(cassandra_hosts: list[str]) -> AsyncIterator[Shop]:
    keyspace = f"projections_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with (
                connect(cassandra_hosts, keyspace=keyspace) as db,
                CassandraEventStore(db, keyspace=keyspace, shards=2, replication=1) as store,
            ):
                shop = Shop(db, store)
                assert await shop.projections().create() == []
                yield shop
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


@asynccontextmanager
async def running(*all_of: Projections) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in all_of]
    try:
        yield
    finally:
        for each in all_of:
            each.stop()
        await asyncio.gather(*tasks)


async def test_where_nothing_was_created_it_is_said(shop: Shop, cassandra_hosts: list[str]) -> None:
    keyspace = f"bare_{uuid4().hex[:8]}"
    await shop.db.create_keyspace(keyspace)
    async with (
        connect(cassandra_hosts, keyspace=keyspace) as db,
        CassandraEventStore(db, keyspace=keyspace, shards=1, replication=1) as store,
    ):
        with pytest.raises(ProjectionError, match="was not created here"):
            await Shop(db, store).projections().status()
        await db.ddl(f"DROP KEYSPACE {keyspace}")


async def test_rows_totals_and_handlers_show_what_happened_before_and_after_they_began(shop: Shop) -> None:
    for _ in range(20):
        await shop.sell()
    await shop.visit("ada@example.com")
    one, other = shop.projections(), shop.projections()
    async with running(one, other):
        await asyncio.gather(*(shop.sell() for _ in range(20)))
        last, visited = await shop.sell(), await shop.visit("bob@example.com")
        for name in ("sales", "revenue"):
            await shop.db.wait_for(last.position, name)
        await shop.db.wait_for(visited.position, "contacts")
        for sale in shop.ids:
            head = await shop.store.head(sale)
            assert head is not None
            await one.wait_for(last.position._replace(stream=sale, version=head.version), "sales")
        await settled(one)
        await shop.check()
        async with shop.db:
            assert {row.person for row in await Contact.where(Contact.domain == "example.com").all()} == {
                "ada@example.com",
                "bob@example.com",
            }
            row = await Sale.find_by_id(last.stream)
            assert row is not None
            assert row in await Sale.find_by(customer=row.customer)
            found = await Revenue.find_by_id("DE", date(2026, 1, 1))
            assert found is None or found.revenue == shop.revenue["DE", date(2026, 1, 1)]
        assert sorted(email for _, email in shop.contacts.greeted) == ["ada@example.com", "bob@example.com"]
    await shop.db.cql("SELECT * FROM revenue")
    parts = await shop.db.cql("SELECT country, day, shard FROM revenue")
    assert len({shard for _, _, shard in parts}) == 2


async def settled(projections: Projections) -> None:
    """Return when nothing waits."""
    async with asyncio.timeout(20):
        while True:
            found = await projections.status()
            if all(each.scanned == 1 and not each.behind_events for each in found):
                return
            await asyncio.sleep(0.1)


async def test_a_rebuild_under_live_traffic_gives_what_the_live_tables_hold(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cassorm.projections.projections._WATCH_S", 0.3)
    monkeypatch.setattr("cassorm.projections.projections._NOTICED_S", 0.6)
    mine, told = shop.projections(), list[RebuildProgress]()
    stopping = asyncio.Event()
    greeted, visits = len(shop.contacts.greeted), 0

    async def traffic() -> None:
        while not stopping.is_set():
            nonlocal visits
            await shop.sell(lines=2)
            await shop.visit(f"v{random.randint(1, 9)}@example.org")
            visits += 1

    async with running(mine):
        await settled(mine)
        selling = asyncio.create_task(traffic())
        for name in ("sales", "revenue", "contacts"):
            made = await shop.projections().rebuild(name, progress=told.append)
            assert (made.number, made.state) == (2, State.ACTIVE)
        stopping.set()
        await selling
        # The worker has noticed by now that another generation is to be fed.
        await shop.sell()
        await asyncio.sleep(0.6)
        await settled(mine)
        await shop.check()
    assert {each.name for each in told} == {"sales", "revenue", "contacts"}
    assert told[-1].scanned == 1
    greetings = shop.contacts.greeted
    assert len(set(greetings)) == greeted + visits
    assert all(greetings.count(each) == 1 for each in greetings[:greeted]), "a rebuild calls no side effects again"
    # The generation that was read before, fed on from where it stood, and the one that was built beside it.
    kinds = mine.kinds.values()
    worker = Worker(shop.store, [kind.subscription(mine.ground, 1, building=False) for kind in kinds], pace=QUICK)
    feeding = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        while any([(await status_of(mine.ground, kind, [FIRST])).behind_events for kind in kinds]):  # noqa: ASYNC110 - of tables
            await asyncio.sleep(0.1)
    worker.stop()
    await feeding
    for table, columns in (
        ("sales", "sale_id, customer, total, open, applied_version"),
        ("sales_by_customer", "customer, sale_id, total, open, applied_version"),
        ("contacts", "domain, person, from_sale"),
        ("revenue", "country, day, shard, revenue, sales"),
    ):
        old = {tuple(row) for row in await shop.db.cql(f"SELECT {columns} FROM {table}")}
        new = {tuple(row) for row in await shop.db.cql(f"SELECT {columns} FROM {table}_g2")}
        assert old == new, table
    status = {each.name: each for each in await mine.status()}
    assert (status["sales"].generation, status["sales"].retired) == (2, (1,))
    assert await mine.drop_retired("sales") == ["sales", "sales_by_customer"]
    assert [each.state for each in await mine.generations("sales")] == [State.DROPPED, State.ACTIVE]
    await shop.check()


async def test_waiting_in_vain_says_where_the_projection_stands(shop: Shop) -> None:
    mine = shop.projections()
    sold = await shop.sell()
    with pytest.raises(
        SubscriptionError, match=r"projection sales: version 5 of stream .* nobody carries it"
    ) as caught:
        await mine.wait_for(sold.position, "sales", timedelta(milliseconds=50))
    assert "projections.run()" in str(caught.value)
    with pytest.raises(SubscriptionError, match="projection revenue"):
        await shop.db.wait_for(sold.position, "revenue", timedelta(milliseconds=50))
    with pytest.raises(QueryError, match="a position of store"):
        await mine.wait_for(sold.position._replace(store_id=uuid4()), "sales")
    with pytest.raises(QueryError, match="knows no projection 'nope', but projections_"):
        await shop.db.wait_for(sold.position, "nope")
    with pytest.raises(ProjectionError, match="there is no projection 'nope'"):
        await mine.rebuild("nope")
    status = {each.name: each for each in await mine.status()}
    assert status["sales"].behind_events == 5
    assert status["sales"].behind > timedelta(0)
    async with running(mine):
        await mine.wait_for(sold.position, "sales")
        await mine.wait_for(sold.position, "revenue")


async def test_a_changed_mapping_is_noticed_and_fed_only_after_a_rebuild(shop: Shop) -> None:
    class Note(ReadModel, table="notes", aggregate="Sale"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    first = Projections(shop.store, [Note], db=shop.db, pace=QUICK)
    assert await first.create() == []
    before = Note

    class Note(ReadModel, table="notes", aggregate="Sale"):  # type: ignore[no-redef]
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)
        country: Col[str] = map_from_event(Opened)

    changed = Projections(shop.store, [Note], db=shop.db, pace=QUICK)
    assert await changed.create() == ["notes"]
    assert await changed.subscriptions() == []
    assert [each.name for each in await first.subscriptions()] == ["notes@1"]
    (status,) = await changed.status()
    assert status.changed
    made = await changed.rebuild("notes")
    assert made.number == 2
    assert changed.changed == frozenset()
    async with shop.db:
        rows = [row async for row in Note.scan()]
        assert len(rows) == len(shop.ids)
        assert all(row.country for row in rows)  # type: ignore[attr-defined]
    assert await first.subscriptions() == []
    assert before is not Note


async def test_a_rebuild_that_cannot_take_what_the_old_one_took_is_not_switched_to(shop: Shop) -> None:
    class Size(ReadModel, table="sizes", aggregate="Sale"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    async with shop.db:
        first = Projections(shop.store, [Size], db=shop.db, pace=QUICK)
        await first.create()
        await first.rebuild("sizes")
        bad = str(random.choice(shop.ids))

        class Size(ReadModel, table="sizes", aggregate="Sale"):  # type: ignore[no-redef]
            id: PK[UUID]
            customer: Col[str] = map_from_event(Opened, lambda e, row, r: 1 / 0 if str(r.stream) == bad else e.customer)

        changed = Projections(shop.store, [Size], db=shop.db, pace=QUICK)
        with pytest.raises(ProjectionError, match=rf"generation 3 has parked events of 1 streams .*, {bad} among them"):
            await changed.rebuild("sizes")
        assert len([row async for row in Size.scan()]) == len(shop.ids)
        made = await changed.rebuild("sizes", despite_parked=True)
        assert made.number == 3
        assert len([row async for row in Size.scan()]) == len(shop.ids) - 1
        (status,) = await changed.status()
        assert status.parked == 1


async def test_a_rebuild_that_was_killed_goes_on_where_it_was(shop: Shop) -> None:
    mine = shop.projections()
    rebuilding = asyncio.create_task(mine.rebuild("revenue"))
    async with asyncio.timeout(10):
        while not [each for each in await mine.generations("revenue") if each.state is State.BUILDING]:  # noqa: ASYNC110 - of a table
            await asyncio.sleep(0.02)
    rebuilding.cancel()
    await asyncio.gather(rebuilding, return_exceptions=True)
    building = [each for each in await mine.generations("revenue") if each.state is State.BUILDING]
    made = await shop.projections().rebuild("revenue")
    assert [made.number] == [each.number for each in building]
    await shop.check()
    with pytest.raises(ProjectionError, match="two projections have the name sales"):
        Projections(shop.store, [Sale, Sale])
    with pytest.raises(ProjectionError, match="is no projection"):
        Projections(shop.store, [Contact])


async def test_rows_of_inline_read_models_are_there_when_append_returns(shop: Shop) -> None:
    class Quick(ReadModel, table="quick", aggregate="Sale", mode="inline"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)
        total: Col[Decimal] = map_from_event(Added, lambda e, row: row.total + e.amount, default=Decimal(0))

    mine = Projections(shop.store, [Quick], db=shop.db, pace=QUICK)
    await mine.create()
    off = mine.inline()
    async with shop.db:
        sold = await shop.sell()
        row = await Quick.find_by_id(sold.stream)
        assert row == await Quick.live(shop.store, sold.stream)
        off()
        other = await shop.sell()
        assert await Quick.find_by_id(other.stream) is None
        async with running(mine):
            await mine.wait_for(other.position, "quick")
        assert await Quick.find_by_id(other.stream) == await Quick.live(shop.store, other.stream)
        assert await Quick.find_by_id(sold.stream) == row


def test_handlers_that_cannot_be_called_are_refused() -> None:
    class Other(Model, table="others"):
        id: PK[str]

    with pytest.raises(ModelError, match="handles no event"):
        projection("empty", writes=[Other])(type("Empty", (), {}))

    async def two(event: Opened) -> None:
        """Too few values."""

    async def three(event: Opened, tx: Tx) -> None:
        """Enough."""

    with pytest.raises(ModelError, match=r"two takes 1 values\. Write def two"):
        projection("two", writes=[Other])(on(Opened)(two))
    with pytest.raises(ModelError, match="writes no model"):
        projection("three")(on(Opened)(three))
    with pytest.raises(ModelError, match="which the projection contacts writes"):
        projection("second", writes=[Contact])(on(Opened)(three))
    with pytest.raises(ModelError, match="read models and totals keep themselves"):
        projection("third", writes=[Sale])(on(Opened)(three))
    with pytest.raises(ModelError, match=r"@on: <class 'str'> is no event class"):
        on(str)  # type: ignore[arg-type]


async def test_a_rebuild_that_no_worker_has_gone_before_holds_all_that_has_happened(shop: Shop) -> None:
    class Late(ReadModel, table="late", aggregate="Sale"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    # Since the last worker stopped nobody has moved the closing marks.
    await asyncio.gather(*(shop.sell(lines=1) for _ in range(30)))
    mine = Projections(shop.store, [Late], db=shop.db, pace=QUICK)
    await mine.create()
    await mine.rebuild("late")
    async with shop.db:
        assert {row.id async for row in Late.scan()} == set(shop.ids)


async def test_what_the_store_cannot_feed_and_what_was_never_created_is_refused(shop: Shop) -> None:
    class Texts(ReadModel, table="texts", aggregate="Sale"):
        id: PK[str]
        customer: Col[str] = map_from_event(Opened)

    class Never(ReadModel, table="never", aggregate="Sale"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    class Drifted(ReadModel, table="contacts_of_old", aggregate="Sale"):
        id: PK[UUID]
        customer: Col[str] = map_from_event(Opened)

    with pytest.raises(ProjectionError, match=r"Texts\.id: is a text, and the ids .* are uuid\. Write PK\[UUID\]"):
        await Projections(shop.store, [Texts]).create()
    with pytest.raises(ConfigurationError, match="a MemoryEventStore feeds no tables"):
        Projections(MemoryEventStore(), [Never])  # type: ignore[arg-type]
    async with shop.db:
        with pytest.raises(ProjectionError, match=r"projection never in keyspace .*: was not created here"):
            await Never.find_by_id(uuid4())
    await shop.db.ddl("CREATE TABLE contacts_of_old (id uuid PRIMARY KEY, customer int)")
    with pytest.raises(SchemaDriftError, match="customer"):
        await Projections(shop.store, [Drifted]).create()
    async with connect(shop.db.settings.hosts) as other:
        await other.create_keyspace(f"{shop.db.keyspace}_empty")
        with other.in_keyspace(f"{shop.db.keyspace}_empty"):
            with pytest.raises(ProjectionError, match="was not created here"):
                await Never.get(uuid4()).using(other)
            with pytest.raises(QueryError, match="knows no projection"):
                await other.wait_for(None, "sales")
        await other.ddl(f"DROP KEYSPACE {shop.db.keyspace}_empty")
