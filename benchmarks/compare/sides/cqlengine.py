"""cqlengine, the driver's own mapper: it blocks, so it runs in threads."""

from typing import Any
from uuid import UUID

from cassandra.cqlengine import columns, connection
from cassandra.cqlengine.models import Model

from benchmarks.compare.side import Place, Side
from benchmarks.compare.table import READ, REST


async def open_side(place: Place) -> Side:
    connection.setup([place.host], place.keyspace, port=place.port)

    class Base(Model):
        __abstract__ = True
        __keyspace__ = place.keyspace
        id = columns.UUID(partition_key=True)
        number = columns.Integer(primary_key=True)
        email = columns.Text()
        name = columns.Text()
        age = columns.Integer()
        balance = columns.Double()
        active = columns.Boolean()
        created_at = columns.DateTime()
        score = columns.BigInt()
        country = columns.Text()
        bio = columns.Text()

    class Row(Base):
        __table_name__ = READ

    class Written(Base):
        __table_name__ = place.table

    def insert(key: UUID) -> Any:
        return Written.create(id=key, number=0, **REST)

    def get(key: UUID, number: int) -> Any:
        return Row.get(id=key, number=number)

    def page(key: UUID) -> Any:
        return list(Row.objects(id=key))

    return Side(insert, get, page, dict, threads=True, note="in threads")
