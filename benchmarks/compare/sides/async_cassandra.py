"""async-cassandra, which wraps the driver for asyncio: rows as named tuples, it has no models."""

from typing import Any
from uuid import UUID

from async_cassandra import AsyncCluster

from benchmarks.compare import table
from benchmarks.compare.side import Place, Side


async def open_side(place: Place) -> Side:
    session = await AsyncCluster([place.host], port=place.port).connect()
    insert_one = await session.prepare(table.insert(place.keyspace, place.table))
    get_one = await session.prepare(table.get(place.keyspace))
    get_page = await session.prepare(table.page(place.keyspace))
    rest = tuple(table.REST.values())

    async def insert(key: UUID) -> Any:
        await session.execute(insert_one, (key, 0, *rest))
        return True

    async def get(key: UUID, number: int) -> Any:
        return (await session.execute(get_one, (key, number))).one()

    async def page(key: UUID) -> Any:
        return (await session.execute(get_page, (key,))).all()

    return Side(insert, get, page, lambda row: row._asdict(), note="rows, no models")
