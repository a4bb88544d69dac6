"""caspyorm's asynchronous API."""

import logging
from typing import Any
from uuid import UUID

from caspyorm import Model, connection, fields

from benchmarks.compare.side import Place, Side
from benchmarks.compare.table import READ, REST


async def open_side(place: Place) -> Side:
    # It has a line on stderr for each row unless it is told otherwise.
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("caspyorm").setLevel(logging.ERROR)
    await connection.connect_async(keyspace=place.keyspace, contact_points=[place.host], port=place.port)

    def model(table: str) -> Any:
        return type(
            "Row",
            (Model,),
            {
                "__table_name__": table,
                "id": fields.UUID(partition_key=True, required=True),
                "number": fields.Integer(clustering_key=True, required=True),
                "email": fields.Text(),
                "name": fields.Text(),
                "age": fields.Integer(),
                "balance": fields.Float(),
                "active": fields.Boolean(),
                "created_at": fields.Timestamp(),
                "score": fields.Integer(),
                "country": fields.Text(),
                "bio": fields.Text(),
            },
        )

    row, written = model(READ), model(place.table)

    async def insert(key: UUID) -> Any:
        await written(id=key, number=0, **REST).save_async()
        return True

    async def get(key: UUID, number: int) -> Any:
        return await row.get_async(id=key, number=number)

    async def page(key: UUID) -> Any:
        return await row.filter(id=key).all_async()

    return Side(insert, get, page, lambda found: found.model_dump())
