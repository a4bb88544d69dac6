"""pyssandra: coroutine functions that block the event loop until the answer is there."""

from datetime import datetime
from typing import Any
from uuid import UUID

from cassandra.cluster import Cluster
from pydantic import BaseModel, create_model
from pyssandra import Pyssandra

from benchmarks.compare.side import Place, Side
from benchmarks.compare.table import READ, REST


class Base(BaseModel):
    id: UUID
    number: int
    email: str
    name: str
    age: int
    balance: float
    active: bool
    created_at: datetime
    score: int
    country: str
    bio: str


async def open_side(place: Place) -> Side:
    session = Cluster([place.host], port=place.port).connect()
    tables = Pyssandra(session, place.keyspace)
    # It names a table after its class.
    row, written = (_registered(tables, table) for table in (READ, place.table))

    async def insert(key: UUID) -> Any:
        await tables[written].insert(written(id=key, number=0, **REST))
        return True

    async def get(key: UUID, number: int) -> Any:
        return await tables[row].find_one({"id": key, "number": number})

    async def page(key: UUID) -> Any:
        return (await tables[row].find_many({"id": key})).results

    return Side(insert, get, page, lambda found: found.model_dump(), note="blocks the event loop")


def _registered(tables: Pyssandra, table: str) -> Any:
    made = create_model("".join(word.title() for word in table.split("_")), __base__=Base)
    return tables.table(partition_keys=["id"], clustering_keys=["number"])(made)
