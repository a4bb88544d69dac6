"""A user's module that uses models as the documentation does: type checkers find nothing wrong in it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import BaseModel, computed_field, field_validator

from cassorm import (
    CK,
    PK,
    SAI,
    Ascii,
    Batch,
    BigInt,
    CassandraEventStore,
    Col,
    Condition,
    Consistency,
    Counter,
    Database,
    Duration,
    Event,
    Float32,
    Frozen,
    Int,
    Model,
    Outcome,
    Page,
    PageSecrets,
    Position,
    Projections,
    Query,
    ReadModel,
    ReadView,
    Recorded,
    RowCache,
    Scan,
    ScanProgress,
    Secondary,
    Settings,
    SmallInt,
    Static,
    Subscription,
    TimeUUID,
    TinyInt,
    Total,
    Totals,
    Udt,
    VarInt,
    Vector,
    Version,
    View,
    Worker,
    Written,
    add_from_event,
    after_delete,
    after_save,
    before_delete,
    before_save,
    ck,
    col,
    connect,
    count_rows,
    map_from_event,
    now,
    pk,
    table_of,
    token,
)


class Status(Enum):
    OPEN = "open"
    PAID = "paid"


class Place(Udt, type_name="place"):
    room: str
    floor: int | None = None


class Owned(Model, abstract=True):
    created_at: Col[datetime] = col(default_factory=now)


BY_KIND = View("reading_by_kind", ("kind",), (("org", "asc"), ("day", "asc"), ("ts", "desc")), ("level",))


class Reading(
    Owned,
    keyspace="app",
    table="readings",
    ttl=timedelta(days=30),
    comment="of sensors",
    options={"gc_grace_seconds": 3600},
    views=[BY_KIND],
):
    org: PK[UUID]
    day: PK[date]
    ts: CK[datetime] = ck(order="desc", default_factory=now)
    kind: Col[str] = col(default="", index=SAI(case_sensitive="false"))
    level: Col[SmallInt | None] = col(default=None, index=Secondary())
    tags: Col[set[str]] = col(default_factory=set, index=True)
    roles: Col[frozenset[str]] = col(default=frozenset())
    log: Col[Frozen[list[str]]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict, index=SAI(target="entries"))
    notes: Col[list[str] | None] = col(default=None)
    place: Col[Place | None] = col(default=None)
    pair: Col[tuple[int, str | None]] = col(default=(0, None))
    vector: Col[Annotated[list[float], Vector(3)]] = col(default_factory=lambda: [0.0, 0.0, 1.0], index=SAI())
    update_: Col[str] = col(default="", name="update", max_length=100)
    owner: Static[str] = col(default="")

    @field_validator("kind")
    @classmethod
    def lower(cls, kind: str) -> str:
        return kind.lower()

    @computed_field
    def title(self) -> str:
        return f"{self.kind} of {self.owner}"

    @before_save
    async def stamp(self, db: Database) -> None:
        self.owner = self.owner or str(db.keyspace)

    @after_save
    @before_delete
    @after_delete
    def say(self) -> None:
        assert self.org is not None


class Kinds(Model, table="all_kinds"):
    id: PK[TimeUUID]
    tiny: CK[TinyInt] = ck()
    whole: Col[Int]
    big: Col[BigInt]
    any_size: Col[VarInt]
    short: Col[Float32]
    plain: Col[Ascii]
    money: Col[Decimal]
    months: Col[Duration]
    status: Col[Status] = col(default=Status.OPEN)
    address: Col[IPv4Address | None] = col(default=None)
    data: Col[bytes] = col(default=b"", type="blob")


class Plain(Model):
    org: Annotated[UUID, PK()]
    at: Annotated[datetime, CK(order="desc")]
    kind: Annotated[str, Col(index=True)] = ""


class Doc(Model, lwt_only=True):
    id: PK[UUID] = pk(default_factory=uuid4)
    text: Col[str]
    rev: Version[int] = col(default=0)


class Account(Model, unique=["login", ("tenant", "name")]):
    id: PK[UUID]
    tenant: Col[str]
    login: Col[str]
    name: Col[str | None] = col(default=None)
    email: Col[str | None] = col(default=None, unique=True)


class Hits(Model):
    page: PK[str]
    seen: Counter


class Short(BaseModel):
    kind: str


def recent(org: UUID, day: date, *more: Condition) -> Query[Reading]:
    return Reading.where(Reading.org == org, Reading.day == day, *more)


async def write(db: Database, org: UUID, day: date, at: datetime) -> object:
    created: list[str] = await db.create(Reading, Doc, Account, Hits, Kinds, Plain)
    reading = Reading(org=org, day=day, ts=at, kind="a", place=Place(room="r"))
    reading.level = 3
    reading.tags.add("x")
    applied: Outcome = await db.insert(reading, ttl=60, if_not_exists=True, serial_consistency=Consistency.SERIAL)
    applied = await db.insert(reading, timestamp=at, timeout=timedelta(seconds=3))
    stood: dict[str, Any] = applied.found
    saved: bool = await db.save(Doc(text="x"), ttl=timedelta(days=1))
    written: list[Written[Reading]] = await db.insert_many([reading], progress=print, concurrency=8)
    first: Reading = written[0].instance
    row = (Reading.org == org, Reading.day == day, Reading.ts == at)
    update = Reading.update(
        Reading.kind.set("x"),
        Reading.tags.add("y"),
        Reading.tags.remove("z"),
        Reading.roles.add("admin"),
        Reading.labels["k"].set(1),
        Reading.labels.put({"l": 2}),
        Reading.labels.drop("m"),
        Reading.notes.append("z"),
        Reading.notes.prepend("a"),
        Reading.notes.remove("b"),
        Reading.level.set(None),
    )
    applied = await update.where(*row).only_if(Reading.kind != "b", Reading.level.in_([1, 3])).using(db)
    applied = await update.where(*row).if_exists()
    applied = await update.where(*row).ttl(60).timestamp(at).using(consistency=Consistency.ONE)
    applied = await Hits.update(Hits.seen + 1).where(Hits.page == "a")
    applied = await Hits.update(Hits.seen - 2).where(Hits.page.in_(["a", "b"]))
    await Reading.delete(Reading.tags, Reading.owner).where(*row)
    await Reading.delete().where(Reading.org == org, Reading.day == day, Reading.ts < at)
    await db.refresh(reading)
    await db.delete(reading, if_exists=True)
    async with db.batch(unlogged=True, max_partitions=20) as batch:
        opened: Batch = batch
        opened.insert(reading, ttl=5)
        older = (Reading.org == org, Reading.day == day, Reading.ts == at - timedelta(hours=1))
        batch.add(update.where(*row), Reading.delete().where(*older))
    return created, stood, saved, first, batch.outcome


async def read(db: Database, org: UUID, day: date, at: datetime) -> object:
    found: Reading | None = await Reading.get(org, day, at)
    found = await Reading.get(org=org, day=day, ts=at).using(db, consistency=Consistency.LOCAL_ONE)
    query = recent(org, day, Reading.ts >= at, Reading.ts <= datetime.now(UTC))
    name = ""
    async for row in query.order_by(Reading.ts.desc()).limit(10).per_partition_limit(2):
        name = row.kind
    rows: list[Reading] = await query.where(Reading.tags.contains("x"), Reading.labels["a"] == 1).all()
    rows = await Reading.where(Reading.labels.contains_key("a"), Reading.owner == "b").allow_filtering().all()
    rows = await Reading.where(token(Reading.org, Reading.day) > 0).using(page_size=100).all()
    rows = await Reading.where(Reading.kind == "a").nearest(Reading.vector, [1.0, 2.0, 3.0]).limit(3).all()
    one: Reading = await query.order_by(Reading.ts.asc()).one()
    first: Reading | None = await query.first()
    db.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
    page: Page[Reading] = await query.page(50, token=None)
    following: str | None = page.token
    short: list[Short] = await query.into(Short).all()
    values: list[tuple[Any, ...]] = await query.values(
        Reading.ts.max(), Reading.ts.min(), Reading.level.sum(), Reading.level.avg(), count_rows()
    ).all()
    grouped: list[tuple[Any, ...]] = await query.values(count_rows()).group_by(Reading.org, Reading.day).all()
    partitions: list[tuple[Any, ...]] = (
        await Reading.where(token(Reading.org, Reading.day) > 0).partitions(Reading.owner).all()
    )
    texts: list[str] = await query.json().all()
    async with db.tracing(Reading) as traces:
        total: int = await query.count()
    took: list[timedelta] = [trace.duration for trace in traces]
    some: bool = await query.exists()
    text, params = query.statement()
    many: Sequence[Reading | None] = await db.get_many(Reading, [(org, day, at)])
    children: dict[UUID, list[Reading]] = await db.related(Reading.where(Reading.day == day), Reading.org, [org])
    raw: list[tuple[Any, ...]] = await db.cql("SELECT kind FROM readings WHERE kind = ?", ["x"])
    typed: list[Short] = await db.cql("SELECT kind FROM readings", into=Short)
    async for each in db.cql("SELECT kind FROM readings", into=Short):
        name = each.kind
    return (
        *(found, name, rows, one, first, following, short, values, grouped, partitions),
        *(texts, total, took, some, text, params, many, children, raw, typed),
    )


async def keep(db: Database, org: UUID, day: date, at: datetime) -> object:
    done: list[tuple[int, int, int]] = []

    def report(progress: ScanProgress) -> None:
        done.append((progress.done, progress.ranges, progress.rows))

    scan: Scan[Reading] = Reading.scan(parallel=16, page_size=100, resume=None).using(db, progress=report)
    async for row in scan:
        assert row.kind
    checkpoint: str = scan.checkpoint()
    cache = RowCache(db, Reading, ttl=timedelta(seconds=5), most=100)
    kept: Reading | None = await cache.get(org, day, at)
    cache.drop(org, day)
    cache.clear()
    users = await db.load_schema("users", {"fields": {"id": "uuid", "email": "text"}, "key": ["id"]})
    user = users(id=org, email="a@example.com")
    await db.insert(user)
    instance = await users.get(org)
    models = await db.load_schemas("schemas/examples/shop.yaml", create=False)
    with db.in_keyspace("tenant"):
        await db.create(Doc)
        await db.insert(Doc(text=table_of(Doc).name), if_not_exists=True)
    return checkpoint, done, kept, instance, models


class Opened(Event, name="typing.Opened"):
    owner: str


class Booked(Event, name="typing.Booked"):
    amount: Decimal


class Purse(ReadModel, table="purses", aggregate="Purse"):
    purse_id: PK[UUID]
    owner: Col[str] = map_from_event(Opened, "owner")
    balance: Col[Decimal] = map_from_event(Booked, lambda e, row: row.balance + e.amount, default=Decimal(0))
    state: Col[str] = map_from_event({Opened: "open"})
    __indexes__ = ["state"]
    __views__ = [
        ReadView("purses_by_owner", key="owner", clustering=["purse_id"]),
        ReadView("purses_by_balance", key="purse_id", clustering="balance desc", native=True),
    ]


class Balances(Totals, table="balances", aggregate="Purse"):
    owner: PK[str] = map_from_event(Opened)
    balance: Total[Decimal] = add_from_event(Booked, "amount")


async def follow(db: Database) -> list[Purse]:
    heard: list[str] = []

    async def hear(recorded: Recorded) -> None:
        heard.append(recorded.event_type)

    async with CassandraEventStore(db, shards=2) as store:
        projections = Projections(store, [Purse])
        await projections.create()
        running = asyncio.create_task(projections.run())
        purse = uuid4()
        events: list[Event] = [Opened(owner="o"), Booked(amount=Decimal(5))]
        position: Position = (await store.append(purse, events, aggregate_type="Purse")).position
        await db.wait_for(Position.parse(str(position)), "purses", timedelta(seconds=30))
        row: Purse | None = await Purse.find_by_id(purse)
        assert row is not None
        balance: Decimal = row.balance
        folded: Purse | None = await Purse.live(store, purse)
        assert folded == row
        every: list[Purse] = [each async for each in Purse.live_all(store, parallel=2)]
        assert every == [row]
        sums: list[Balances] = await Balances.live(store)
        total: Decimal = sums[0].balance
        assert total == balance
        assert balance == 5
        found: list[Purse] = await Purse.find_by(owner="o")
        open_ones: list[Purse] = await Purse.where(Purse.state == "open").all()
        by_balance = Purse.view("purses_by_balance")
        shown: Purse | None = await by_balance.where(by_balance.purse_id == purse).into(Purse).first()
        assert shown in (None, row)  # the server may be a moment behind
        projections.stop()
        await running
        worker = Worker(store, [Subscription("hear", hear)])
        hearing = asyncio.create_task(worker.run())
        while len(heard) < 2:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)
        worker.stop()
        await hearing
    return found + open_ones


async def use(hosts: Sequence[str]) -> list[object]:
    async with connect(hosts) as db:
        await db.create_keyspace("app", 1)
        await db.create_keyspace("tenant", {"class": "SimpleStrategy", "replication_factor": 1})
    arguments = (uuid4(), now().date(), now())
    async with connect(hosts, keyspace="app", consistency="LOCAL_QUORUM") as db:
        found = [await write(db, *arguments), await read(db, *arguments), await keep(db, *arguments)]
        assert len(await follow(db)) == 2
    opened: Database = await connect(settings=Settings(hosts=",".join(hosts), keyspace="app"))
    async with opened:
        assert await Doc.get(uuid4()) is None
        await opened.ddl("DROP KEYSPACE app")
        await opened.ddl("DROP KEYSPACE tenant")
    await opened.close()
    return found
