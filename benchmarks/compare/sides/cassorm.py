"""cassorm's models."""

from datetime import datetime
from typing import Any
from uuid import UUID

from benchmarks.compare.side import Place, Side
from benchmarks.compare.table import READ, REST
from cassorm import CK, PK, Col, Model, connect
from cassorm.orm.values import Int


async def open_side(place: Place) -> Side:
    class Base(Model, abstract=True):
        id: PK[UUID]
        number: CK[Int]
        email: Col[str]
        name: Col[str]
        age: Col[Int]
        balance: Col[float]
        active: Col[bool]
        created_at: Col[datetime]
        score: Col[int]
        country: Col[str]
        bio: Col[str]

    class Row(Base, keyspace=place.keyspace, table=READ):
        """What is read."""

    class Written(Base, keyspace=place.keyspace, table=place.table):
        """What is written."""

    db = await connect(f"{place.host}:{place.port}")

    async def get(key: UUID, number: int) -> Any:
        return await Row.get(key, number).using(db)

    async def page(key: UUID) -> Any:
        return await Row.where(Row.id == key).using(db).all()

    return Side(
        insert=lambda key: db.insert(Written(id=key, number=0, **REST)),
        get=get,
        page=page,
        values=lambda row: row.model_dump(),
    )
