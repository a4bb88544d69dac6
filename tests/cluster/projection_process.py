"""A process that feeds one read model and takes its time: each row is written 200 ms after its event was there."""

import asyncio
import sys
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from cassorm import PK, CassandraEventStore, Col, Event, Projections, ReadModel, connect, map_from_event
from cassorm.events.worker import Pace
from cassorm.projections.fold import Change
from cassorm.projections.row_writer import RowTable

DELAY_S = 0.2
PACE = Pace(
    beat=timedelta(milliseconds=150),
    trail=timedelta(milliseconds=100),
    closing=timedelta(milliseconds=150),
    idle=timedelta(milliseconds=50),
    checkpoint=timedelta(milliseconds=150),
)


class Priced(Event, name="PpPriced"):
    price: Decimal


class Product(ReadModel, table="products", aggregate="Product"):
    product_id: PK[UUID]
    price: Col[Decimal] = map_from_event(Priced)


async def main(hosts: str, keyspace: str) -> None:
    write = RowTable.write

    async def late(self: RowTable, change: Change) -> None:
        await asyncio.sleep(DELAY_S)
        await write(self, change)

    RowTable.write = late  # type: ignore[method-assign]
    async with connect(hosts.split(","), keyspace=keyspace) as db, CassandraEventStore(db, keyspace=keyspace) as store:
        await Projections(store, [Product], pace=PACE).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
