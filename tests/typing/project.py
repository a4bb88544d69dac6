"""A user's module that uses models as the documentation does: type checkers find nothing wrong in it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from cassorm import (
    CK,
    PK,
    SAI,
    Col,
    Counter,
    Database,
    Frozen,
    Model,
    Outcome,
    Page,
    SmallInt,
    Static,
    Udt,
    Vector,
    Version,
    Written,
    ck,
    col,
    connect,
    count_rows,
    pk,
)


class Place(Udt):
    room: str
    floor: int | None = None


class Reading(Model, keyspace="app", table="readings", ttl=timedelta(days=30), comment="of sensors"):
    org: PK[UUID]
    day: PK[date]
    ts: CK[datetime] = ck(order="desc")
    kind: Col[str] = col(default="", index=SAI())
    level: Col[SmallInt | None] = col(default=None)
    tags: Col[set[str]] = col(default_factory=set)
    log: Col[Frozen[list[str]]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict)
    notes: Col[list[str] | None] = col(default=None)
    place: Col[Place | None] = col(default=None)
    vector: Col[Annotated[list[float], Vector(3)]] = col(default_factory=lambda: [0.0, 0.0, 0.0])
    owner: Static[str] = col(default="")


class Doc(Model):
    id: PK[UUID] = pk()
    text: Col[str]
    rev: Version[int] = col(default=0)


class Hits(Model):
    page: PK[str]
    seen: Counter


class Short(BaseModel):
    kind: str


async def use(org: UUID, day: date, at: datetime) -> object:
    async with connect(keyspace="app") as db:
        opened: Database = db
        await opened.create(Reading, Doc, Hits)
        reading = Reading(org=org, day=day, ts=at, kind="a", place=Place(room="r"))
        reading.level = 3
        level: int | None = reading.level
        name: str = reading.kind
        applied: Outcome = await db.insert(reading, ttl=60, if_not_exists=True)
        found: Reading | None = await Reading.get(org, day, at)
        query = Reading.where(Reading.org == org, Reading.day == day, Reading.ts > at)
        async for row in query.order_by(Reading.ts.desc()).limit(10):
            name = row.kind
        rows: list[Reading] = await query.where(Reading.tags.contains("x"), Reading.labels["a"] == 1).all()
        page: Page[Reading] = await query.page(50, token=None)
        short: list[Short] = await query.into(Short).all()
        values: list[tuple[Any, ...]] = await query.values(Reading.ts.max(), count_rows()).all()
        total: int = await query.count()
        many: Sequence[Reading | None] = await db.get_many(Reading, [(org, day, at)])
        written: list[Written[Reading]] = await db.insert_many([reading], progress=print)
        update = Reading.update(
            Reading.kind.set("x"), Reading.tags.add("y"), Reading.labels["k"].set(1), Reading.notes.append("z")
        )
        applied = await update.where(Reading.org == org).only_if(Reading.kind == "a", Reading.level.in_([1, None]))
        await Hits.update(Hits.seen + 1).where(Hits.page == "a")
        await Reading.delete(Reading.tags).where(Reading.org == org)
        async with db.batch(unlogged=True) as batch:
            batch.insert(reading)
            batch.add(update)
        async for row in Reading.scan(parallel=16):
            name = row.kind
        raw: list[tuple[Any, ...]] = await db.cql("SELECT a FROM b", [1])
        typed: list[Short] = await db.cql("SELECT kind FROM readings", into=Short)
        saved: bool = await db.save(Doc(id=org, text="x"))
        model = await db.load_schema("users", {"fields": {"id": "uuid"}, "key": ["id"]})
        instance: Model | None = await model.get(org)
        return level, name, applied, found, rows, page, short, values, total, many, written, raw, typed, saved, instance
