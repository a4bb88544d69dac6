"""coodie's asynchronous documents, on the same driver."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from coodie.aio import Document, init_coodie
from coodie.fields import BigInt, ClusteringKey, Double, PrimaryKey

from benchmarks.compare.side import Place, Side
from benchmarks.compare.table import READ, REST


async def open_side(place: Place) -> Side:
    await init_coodie(hosts=[place.host], port=place.port, keyspace=place.keyspace, driver_type="cassandra")

    class Base(Document):
        id: Annotated[UUID, PrimaryKey()]
        number: Annotated[int, ClusteringKey()]
        email: str
        name: str
        age: int
        balance: Annotated[float, Double()]
        active: bool
        created_at: datetime
        score: Annotated[int, BigInt()]
        country: str
        bio: str

    class Row(Base):
        class Settings:
            name = READ
            keyspace = place.keyspace

    class Written(Base):
        class Settings:
            name = place.table
            keyspace = place.keyspace

    async def insert(key: UUID) -> Any:
        # `save` is its plain INSERT; `insert` is a conditional one.
        await Written(id=key, number=0, **REST).save()
        return True

    async def get(key: UUID, number: int) -> Any:
        return await Row.get(id=key, number=number)

    async def page(key: UUID) -> Any:
        return await Row.find(id=key).all()

    return Side(insert, get, page, lambda row: row.model_dump())
