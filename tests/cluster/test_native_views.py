"""Views of read models that the server keeps: the same rows as a view kept as a table, rebuilt and dropped with theirs."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import PK, Appended, CassandraEventStore, Col, Database, Event, connect
from cassorm.devnode import DevNode
from cassorm.errors import ProjectionError
from cassorm.events.worker import Pace
from cassorm.projections.kinds import RowKind
from cassorm.projections.mapping import map_from_event
from cassorm.projections.projections import Projections
from cassorm.projections.read_model import ReadModel, declared_of
from cassorm.projections.views import ReadView
from cassorm.schema.views import ViewDifference, find_view, verify_view

pytestmark = pytest.mark.cluster

QUICK = Pace(
    beat=timedelta(milliseconds=150),
    lease=timedelta(seconds=2),
    trail=timedelta(milliseconds=100),
    closing=timedelta(milliseconds=150),
    idle=timedelta(milliseconds=50),
    checkpoint=timedelta(milliseconds=150),
)


class Sent(Event, name="NvSent"):
    city: str


class Redirected(Event, name="NvRedirected"):
    city: str | None


class Weighed(Event, name="NvWeighed"):
    weight: Decimal
    place: str = "depot"


class Lost(Event, name="NvLost"):
    pass


class Parcel(ReadModel, table="parcels", aggregate="Parcel"):
    parcel_id: PK[UUID]
    city: Col[str | None] = map_from_event([Sent, Redirected], "city")
    weight: Col[Decimal] = map_from_event(Weighed, lambda e, row: row.weight + e.weight, default=Decimal(0))
    places: Col[set[str]] = map_from_event(Weighed, lambda e, row: {*row.places, e.place}, default_factory=set)
    __deleted_by__ = [Lost]
    __views__ = [
        ReadView("parcels_native", key="city", clustering="parcel_id desc", native=True),
        ReadView("parcels_kept", key="city", clustering="parcel_id desc"),
    ]


def small(*, native: bool) -> type[ReadModel]:
    """The same read model by the same source; who keeps its view is another matter."""

    class Small(ReadModel, table="small", aggregate="Parcel"):
        parcel_id: PK[UUID]
        city: Col[str | None] = map_from_event([Sent, Redirected], "city")
        __views__ = [ReadView("small_by_city", key="city", clustering="parcel_id", native=native)]

    return Small


@dataclass
class Depot:
    db: Database
    store: CassandraEventStore
    keyspace: str

    def projections(self, *models: Any) -> Projections:
        return Projections(self.store, models or [Parcel], db=self.db, pace=QUICK)

    async def life(self) -> Appended:
        """A parcel that moves from city to city, and perhaps is lost, and found again."""
        events: list[Event] = [Sent(city=random.choice("abc"))]
        for _ in range(random.randint(1, 8)):
            weighed = Weighed(weight=Decimal(random.randint(1, 99)) / 10, place=random.choice("xyz"))
            moved = Redirected(city=random.choice(["a", "b", "c", None]))
            events += random.choice([[weighed], [moved], [weighed, moved], [Lost()], [Lost(), Sent(city="d")]])
        parcel, version = uuid4(), 0
        while events:
            count = random.randint(1, 3)
            done = await self.store.append(parcel, events[:count], expected=version, aggregate_type="Parcel")
            version, events = done.version, events[count:]
        return done

    async def rows(self, model: Any) -> dict[UUID, Any]:
        """All that readers see, by parcel."""
        async with self.db:
            return {row.parcel_id: row.model_dump() async for row in model.scan()}

    async def compare(self) -> dict[UUID, Any]:
        """Both views have the rows that have a city, once the server has kept up."""
        rows = {key: row for key, row in (await self.rows(Parcel)).items() if row["city"] is not None}
        assert await self.rows(Parcel.view("parcels_kept")) == rows
        async with asyncio.timeout(10):
            while True:
                if await self.rows(Parcel.view("parcels_native")) == rows:
                    return rows
                await asyncio.sleep(0.1)

    async def found(self, model: type[ReadModel], city: str) -> UUID:
        """The parcel that the view has for a city, once it has one."""
        async with self.db, asyncio.timeout(10):
            while True:
                rows: list[Any] = await model.find_by(city=city)
                if rows:
                    return rows[0].parcel_id  # type: ignore[no-any-return]
                await asyncio.sleep(0.05)

    async def names(self) -> tuple[set[str], set[str]]:
        """The tables of the small and the large read model and its views that stand, and the materialized views."""
        tables = await self.db.cql(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", [self.keyspace]
        )
        views = await self.db.cql("SELECT view_name FROM system_schema.views WHERE keyspace_name = ?", [self.keyspace])
        return {name for (name,) in tables if name.startswith(("small", "parcels"))}, {name for (name,) in views}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def depot(cassandra_hosts: list[str]) -> AsyncIterator[Depot]:
    keyspace = f"native_views_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with (
                connect(cassandra_hosts, keyspace=keyspace) as db,
                CassandraEventStore(db, keyspace=keyspace, shards=2, replication=1) as store,
            ):
                yield Depot(db, store, keyspace)
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


async def test_a_native_view_has_the_rows_of_one_kept_as_a_table_through_moves_deletes_and_a_rebuild(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cassorm.projections.projections._NOTICED_S", 1.2)
    mine = depot.projections()
    await mine.create()
    lives = [await depot.life() for _ in range(20)]
    running = asyncio.create_task(mine.run())
    lives += await asyncio.gather(*(depot.life() for _ in range(20)))
    for each in lives:
        await mine.wait_for(each.position, "parcels")
    rows = await depot.compare()
    assert len(rows) > 5

    async with depot.db:
        row = next(iter(rows.values()))
        found = await Parcel.find_by(city=row["city"])
        assert row in [each.model_dump() for each in found]
        assert [each.parcel_id for each in found] == sorted((each.parcel_id for each in found), reverse=True)

    # What a process that was away writes again, and too late, changes neither.
    zombie = RowKind(declared_of(Parcel)).feeder(mine.ground, 1)
    for each in random.sample(lives, 10):
        events = await depot.store.get_events(each.stream)
        await zombie(events[: random.randint(1, len(events))])
    assert await depot.compare() == rows

    await mine.rebuild("parcels")
    late = await depot.life()
    await mine.wait_for(late.position, "parcels")
    again = await depot.compare()
    assert {key: again[key] for key in rows} == rows
    differences: list[ViewDifference] = []
    view = await find_view(depot.db, depot.keyspace, "parcels_native_g2")
    check = await verify_view(depot.db, *view, found=differences.append)
    assert (check.view_rows, differences) == (len(again), [])

    assert sorted(await mine.drop_retired("parcels")) == ["parcels", "parcels_kept", "parcels_native"]
    assert await depot.names() == ({"parcels_g2", "parcels_kept_g2"}, {"parcels_native_g2"})
    assert await depot.compare() == again
    mine.stop()
    await running


async def test_a_view_becomes_native_and_a_table_again_by_rebuilds(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cassorm.projections.projections._NOTICED_S", 0)
    native, kept = small(native=True), small(native=False)
    assert await depot.projections(kept).create() == []
    for generation, model in ((2, native), (3, kept)):
        mine = depot.projections(model)
        assert await mine.create() == ["small"], "a view that another keeps is another mapping"
        sent = await depot.store.append(uuid4(), [Sent(city=f"z{generation}")], aggregate_type="Parcel")
        await mine.rebuild("small")
        await mine.drop_retired("small")
        assert await depot.found(model, f"z{generation}") == sent.stream
        tables, views = await depot.names()
        view = f"small_by_city_g{generation}"
        assert {name for name in tables if name.startswith("small")} == {
            f"small_g{generation}",
            *([view] if model is kept else []),
        }
        assert {name for name in views if name.startswith("small")} == ({view} if model is native else set())


async def test_where_the_server_takes_no_views_it_is_said_before_anything_is_created() -> None:
    async with (
        DevNode(settings={"materialized_views_enabled": False}) as node,
        connect(node.hosts) as db,
        CassandraEventStore(db, keyspace="no_views", shards=1, replication=1) as store,
    ):
        with pytest.raises(
            ProjectionError,
            match=r"read model Small: has a native view, and materialized_views_enabled is false on the server\. "
            r"Leave native= out: .*cassandra\.yaml",
        ):
            await Projections(store, [small(native=True)]).create()
        there = await db.cql("SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'no_views'")
        assert not {name for (name,) in there} & {"small", "projection_generations"}
        assert await Projections(store, [small(native=False)]).create() == []
