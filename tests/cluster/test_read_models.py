"""Read models on a real node: whatever is delivered twice, late or by two at once leaves the same cells."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import PK, CassandraEventStore, Col, Database, Event, Recorded, connect
from cassorm.errors import ProjectionError, QueryError
from cassorm.orm.markers import Frozen
from cassorm.projections.active import plan_of_generation
from cassorm.projections.feeder import RowFeeder
from cassorm.projections.fold import Standing
from cassorm.projections.mapping import map_from_event
from cassorm.projections.read_model import ReadModel, declared_of
from cassorm.projections.registry import Registry
from cassorm.projections.row_writer import RowTable, SharedRows
from cassorm.projections.shared import from_json, shared_table
from cassorm.projections.views import ReadView
from cassorm.schema.apply import ensure_tables

pytestmark = pytest.mark.cluster


class OrderPlaced(Event, name="RmOrderPlaced"):
    customer: str


class LineAdded(Event, name="RmLineAdded"):
    amount: Decimal
    tag: str = ""


class CustomerChanged(Event, name="RmCustomerChanged"):
    customer: str | None


class OrderShipped(Event, name="RmOrderShipped"):
    pass


class OrderPurged(Event, name="RmOrderPurged"):
    pass


class OrderSeen(Event, name="RmOrderSeen"):
    """Of no interest to the read models here."""


class OrderSummary(ReadModel, table="order_summaries", aggregate="Order"):
    order_id: PK[UUID]
    customer: Col[str | None] = map_from_event([OrderPlaced, CustomerChanged], "customer")
    total: Col[Decimal] = map_from_event(LineAdded, lambda e, row: row.total + e.amount, default=Decimal(0))
    status: Col[str] = map_from_event({OrderPlaced: "open", OrderShipped: "shipped"})
    placed_at: Col[datetime | None] = map_from_event({OrderPlaced: lambda e, row, r: r.timestamp}, default=None)
    tags: Col[Frozen[list[str]]] = map_from_event(LineAdded, lambda e, row: [*row.tags, e.tag], default_factory=list)
    words: Col[set[str]] = map_from_event(LineAdded, lambda e, row: {*row.words, e.tag} - {""}, default_factory=set)
    __indexes__ = ["status"]
    __deleted_by__ = [OrderPurged]
    __views__ = [ReadView("orders_by_customer", key="customer", clustering=["placed_at desc", "order_id"])]


class Kept(ReadModel, table="kept", aggregate="Order", storage="shared"):
    order_id: PK[UUID]
    customer: Col[str | None] = map_from_event([OrderPlaced, CustomerChanged], "customer")
    total: Col[Decimal] = map_from_event(LineAdded, lambda e, row: row.total + e.amount, default=Decimal(0))
    __deleted_by__ = [OrderPurged]


class Registered(Event, name="RmRegistered"):
    email: str


class EmailChanged(Event, name="RmEmailChanged"):
    email: str


class Left(Event, name="RmLeft"):
    pass


class User(ReadModel, table="users", aggregate="User"):
    user_id: PK[UUID]
    email: Col[str] = map_from_event([Registered, EmailChanged], "email")
    __deleted_by__ = [Left]
    __views__ = [ReadView("users_by_email", key="email", unique=True)]


KIND = declared_of(OrderSummary)
USERS = declared_of(User)


@dataclass
class Place:
    db: Database
    store: CassandraEventStore
    keyspace: str

    def feeder(self, generation: int = 1) -> RowFeeder:
        """As another process would have one."""
        plans = [plan_of_generation(plan, generation) for plan in (KIND.plan, *(view.plan for view in KIND.views))]
        return RowFeeder(KIND, RowTable(self.db, plans[0], plans[1:], self.keyspace), self.store)

    def users(self) -> RowFeeder:
        plans = [plan_of_generation(plan, 1) for plan in (USERS.plan, USERS.views[0].plan)]
        return RowFeeder(USERS, RowTable(self.db, plans[0], plans[1:], self.keyspace, unique=[0]), self.store)

    def shared(self) -> RowFeeder:
        kind = declared_of(Kept)
        rows = SharedRows(self.db, Kept, "kept", self.keyspace, lambda data, version: from_json(kind, data, version))
        return RowFeeder(kind, rows, self.store)

    async def stream(self, *events: Event) -> list[Recorded]:
        """The events as recorded, each by an append of its own or some together."""
        stream, left, version = uuid4(), list(events), 0
        while left:
            count = random.randint(1, 2)
            await self.store.append(stream, left[:count], expected=version, aggregate_type="Order")
            version += len(left[:count])
            del left[:count]
        return await self.store.get_events(stream)

    async def cells(self, stream: object) -> Any:
        """Every cell of a stream's rows, with the time at which it was written."""
        return await cells(self.db, "order_summaries", "order_id", stream)

    async def history(self, stream: object) -> Any:
        """Every cell of a stream's rows in the view."""
        rows = await self.db.cql("SELECT customer, placed_at, order_id FROM orders_by_customer ALLOW FILTERING")
        found = {}
        for customer, placed_at, order_id in rows:
            if order_id == stream:
                where = "WHERE customer = ? AND placed_at = ? AND order_id = ?"
                text = (
                    "SELECT total, status, tags, words, applied_version, WRITETIME(total), WRITETIME(status), "
                    f"WRITETIME(tags), WRITETIME(words), WRITETIME(applied_version) FROM orders_by_customer {where}"
                )
                (row,) = await self.db.cql(text, [customer, placed_at, order_id])
                found[customer] = tuple(row)
        return found


async def cells(db: Database, table: str, key: str, stream: object) -> Any:
    names = ("customer", "total", "status", "placed_at", "tags", "words", "applied_version")
    times = ", ".join(f"WRITETIME({name})" for name in names)
    rows = await db.cql(f"SELECT {', '.join(names)}, {times} FROM {table} WHERE {key} = ?", [stream])
    return list(rows)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(cassandra_hosts: list[str]) -> AsyncIterator[Place]:
    keyspace = f"read_models_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with (
                connect(cassandra_hosts, keyspace=keyspace) as db,
                CassandraEventStore(db, keyspace=keyspace, shards=2, replication=1) as store,
            ):
                await db.create(OrderSummary, User, *(view.model for view in (*KIND.views, *USERS.views)))
                await ensure_tables(db, [shared_table(keyspace)])
                registry = Registry(db, keyspace)
                await registry.create()
                for name in ("order_summaries", "kept", "users"):
                    await registry.begin(name, "test")
                yield Place(db, store, keyspace)
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


LIFE: list[Event] = [
    OrderPlaced(customer="c1"),
    LineAdded(amount=Decimal(1), tag="a"),
    OrderSeen(),
    CustomerChanged(customer="c2"),
    LineAdded(amount=Decimal("2.50"), tag="b"),
    CustomerChanged(customer=None),
    OrderSeen(),
    CustomerChanged(customer="c1"),
    OrderShipped(),
]


def wanted(events: Sequence[Recorded]) -> list[Recorded]:
    return [each for each in events if each.event_type in KIND.rules.names]


async def test_a_row_and_its_view_show_what_the_stream_says(place: Place) -> None:
    events = await place.stream(*LIFE)
    await place.feeder()(wanted(events))
    live = await OrderSummary.live(place.store, events[0].stream)
    row = await OrderSummary.get(events[0].stream).using(place.db)
    assert row is not None
    assert row == live
    assert (row.customer, row.total, row.tags, row.words) == ("c1", Decimal("3.50"), ["a", "b"], {"a", "b"})
    assert row.applied_version == 9
    async with place.db:
        assert await OrderSummary.find_by_id(row.order_id) == row
        assert row in await OrderSummary.find_by(customer="c1")
        assert row in await OrderSummary.find_by(status="shipped")
        assert row.order_id not in [each.order_id for each in await OrderSummary.find_by(customer="c2")]
        history = OrderSummary.view("orders_by_customer")
        assert [
            each.total for each in await history.where(history.customer == "c1").all() if each.order_id == row.order_id
        ]
        with pytest.raises(QueryError, match="neither key nor index"):
            await OrderSummary.find_by(total=Decimal(1))
        with pytest.raises(QueryError, match="is written by the projection order_summaries alone"):
            await place.db.save(row.model_copy(update={"total": Decimal(9)}))


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "deleted and begun again"])
@pytest.mark.parametrize("seed", range(3))
async def test_events_delivered_again_late_and_by_zombies_leave_the_same_cells(
    place: Place, purged: bool, seed: int
) -> None:
    more = [OrderPurged(), OrderPlaced(customer="c3"), LineAdded(amount=Decimal(7), tag="z")] if purged else []
    events = wanted(await place.stream(*LIFE, *more))
    stream = events[0].stream
    chance = random.Random(seed)
    first = place.feeder()
    cuts = sorted(chance.sample(range(1, len(events)), 3))
    parts = [events[a:b] for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    zombies = []
    for part in parts:
        # Each zombie has read the row as it is here, and writes what follows when all is over.
        zombie = place.feeder()
        zombie._known[stream] = await zombie._rows.read(stream)
        zombies.append((zombie, part))
        await first(part)
    before, history = await place.cells(stream), await place.history(stream)
    assert [cell[1] for cell in before] == [Decimal(7) if purged else Decimal("3.50")]
    assert list(history) == ["c3" if purged else "c1"]
    chance.shuffle(zombies)
    for zombie, part in zombies:
        await zombie(part)
    for part in [*parts, *([event] for event in chance.sample(events, len(events)))]:
        await place.feeder()(part)
    await asyncio.gather(*(place.feeder()(part) for part in parts))
    assert await place.cells(stream) == before
    assert await place.history(stream) == history


async def test_without_the_position_as_its_timestamp_a_zombie_would_undo_what_came_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def all_of(timestamped: bool) -> Any:
        events = wanted(await place.stream(*LIFE))
        zombie, feeder = place.feeder(), place.feeder()
        for each in (zombie, feeder) if not timestamped else ():
            now = events[-1].position
            for writer in (each._rows._rows, *each._rows._views.values()):  # type: ignore[attr-defined]
                send = writer._send

                async def late(text: str, params: Any, key: Any, send: Any = send) -> None:
                    nonlocal now
                    now += 1_000_000
                    await send(text, [now if type(one) is int and one in positions else one for one in params], key)

                monkeypatch.setattr(writer, "_send", late)
        positions = {event.position for event in events}
        await zombie(events[:1])
        await feeder(events)
        await zombie(events[1:3])
        return (await place.cells(events[0].stream))[0][6], len(await place.history(events[0].stream))

    assert await all_of(timestamped=True) == (9, 1)
    version, views = await all_of(timestamped=False)
    assert (version, views) != (9, 1)


async def test_with_the_version_applied_switched_off_an_event_counts_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def total(again: Sequence[Recorded]) -> Decimal:
        await place.feeder()(again)
        row = await OrderSummary.get(again[0].stream).using(place.db)
        assert row is not None
        return row.total

    events = wanted(await place.stream(*LIFE))
    assert await total(events) == Decimal("3.50")
    assert await total(events[1:2]) == Decimal("3.50")
    read = RowTable.read

    async def forgetful(self: RowTable, stream: object) -> Standing:
        return (await read(self, stream))._replace(version=events[0].version)

    monkeypatch.setattr(RowTable, "read", forgetful)
    assert await total(events[1:2]) == Decimal("3.50"), "and yet its timestamp is too old to be seen"
    assert await total(events[-1:]) > Decimal("3.50")


async def test_a_gap_is_filled_from_the_stream_before_a_row_goes_on(place: Place) -> None:
    events = wanted(await place.stream(*LIFE))
    stream = events[0].stream
    await place.feeder()(events[:1])
    await place.feeder()(events[-1:])
    row = await OrderSummary.get(stream).using(place.db)
    assert row == await OrderSummary.live(place.store, stream)
    other = wanted(await place.stream(*LIFE))
    await place.feeder()(other[4:5])
    row = await OrderSummary.get(other[0].stream).using(place.db)
    assert row is not None
    assert (row.applied_version, row.total) == (other[4].version, Decimal("3.50"))


async def test_an_event_that_cannot_be_mapped_leaves_the_row_as_it_was(place: Place) -> None:
    events = wanted(await place.stream(*LIFE))
    await place.feeder()(events[:2])
    before = await place.cells(events[0].stream)
    broken = place.feeder()
    shipped = events[-1]
    shipped.event = OrderSeen()
    with pytest.raises(ProjectionError, match=r"RmOrderShipped of schema version 1 is not mapped"):
        await broken(events[2:])
    assert await place.cells(events[0].stream) == before


async def test_rows_kept_as_json_in_the_shared_table_are_as_safe(place: Place) -> None:
    names = declared_of(Kept).rules.names
    events = [each for each in await place.stream(*LIFE) if each.event_type in names]
    stream = events[0].stream
    for event in events:
        await place.shared()([event])

    async def stored() -> Any:
        text = "SELECT data, applied_version, WRITETIME(data) FROM projections WHERE projection_name = ? AND key = ?"
        return list(await place.db.cql(text, ["kept", str(stream)]))

    before = await stored()
    await place.shared()(events)
    for event in events[::-1]:
        await place.shared()([event])
    assert await stored() == before
    async with place.db:
        row = await Kept.find_by_id(stream)
        assert row is not None
        assert (row.total, row.customer, row.applied_version) == (Decimal("3.50"), "c1", 8)
        assert await Kept.find_by_id(uuid4()) is None
        with pytest.raises(QueryError, match="kept as JSON in a shared table"):
            await Kept.where(Kept.order_id == row.order_id).all()
    purged = await place.stream(OrderPlaced(customer="c"), OrderPurged())
    await place.shared()(purged)
    await place.shared()(purged[:1])
    async with place.db:
        assert await Kept.find_by_id(purged[0].stream) is None


async def test_a_key_that_another_row_has_is_refused_with_the_ids_of_both(place: Place) -> None:
    ada, bob, eve = (f"{name}@{uuid4().hex[:6]}" for name in ("ada", "bob", "eve"))
    first, second, feeder = uuid4(), uuid4(), place.users()
    streams: dict[UUID, list[Recorded]] = {}

    async def happen(stream: UUID, event: Event) -> list[Recorded]:
        await place.store.append(stream, [event], aggregate_type="User")
        streams[stream] = await place.store.get_events(stream)
        return streams[stream][-1:]

    async def having(email: str) -> list[UUID]:
        return [row.user_id for row in await User.find_by(email=email)]

    await feeder(await happen(first, Registered(email=ada)))
    await feeder(await happen(second, Registered(email=bob)))
    wants_ada = await happen(second, EmailChanged(email=ada))
    async with place.db:
        for each in (feeder, place.users()):
            with pytest.raises(ProjectionError, match=f"streams {second} and {first} have the same email"):
                await each(wants_ada)
        assert (await having(ada), await having(bob)) == ([first], [second])
        await feeder(await happen(first, EmailChanged(email=eve)))
        assert await having(ada) == []
        await feeder(wants_ada)
        assert await having(ada) == [second]
        # What is past is not claimed again, by nobody.
        for events in (streams[first][:1], streams[first], streams[second][:1]):
            await place.users()(events)
        assert (await having(ada), await having(eve), await having(bob)) == ([second], [first], [])
        wants_ada = await happen(first, EmailChanged(email=ada))
        with pytest.raises(ProjectionError, match="have the same email"):
            await place.users()(wants_ada)
        await feeder(await happen(second, EmailChanged(email=bob)))
        await place.users()(wants_ada)
        assert (await having(ada), await having(bob)) == ([first], [second])


async def test_the_key_of_a_deleted_row_and_of_a_crash_is_free_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = f"ada@{uuid4().hex[:6]}"
    gone = await place.stream(Registered(email=ada), Left())
    heir = await place.stream(Registered(email=ada))
    await place.users()(gone[:1])
    await place.users()(gone[1:])
    await place.users()(heir)
    await place.users()(gone[:1])
    await place.users()(gone)
    async with place.db:
        assert [row.user_id for row in await User.find_by(email=ada)] == [heir[0].stream]
    other, wish = f"eve@{uuid4().hex[:6]}", uuid4()
    claims = place.users()._rows._claims[0]  # type: ignore[attr-defined]
    await claims.claim((other,), wish)
    late = await place.stream(Registered(email=other))
    with pytest.raises(ProjectionError, match=f"and {wish} have the same email"):
        await place.users()(late)
    monkeypatch.setattr("cassorm.projections.claims.GRACE", timedelta(0))
    await place.users()(late)
    async with place.db:
        assert [row.user_id for row in await User.find_by(email=other)] == [late[0].stream]
