"""The table that every side reads and writes: its shape, its values, its keys. Nothing here belongs to any side."""

import random
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

COLUMNS = {
    "id": "uuid",
    "number": "int",
    "email": "text",
    "name": "text",
    "age": "int",
    "balance": "double",
    "active": "boolean",
    "created_at": "timestamp",
    "score": "bigint",
    "country": "text",
    "bio": "text",
}
REST: dict[str, Any] = {
    "email": "user@example.com",
    "name": "Jane Q. Public",
    "age": 42,
    "balance": 1234.5,
    "active": True,
    "created_at": datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
    "score": 123_456_789_012,
    "country": "United Kingdom",
    "bio": "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor.",
}
"""What every row holds besides its key."""
PAGE = 100
"""The rows of each partition of the table that is read."""
READ = "rows"
"""The table that all sides read; each writes into one of its own."""

NAMES = ", ".join(COLUMNS)
MARKERS = ", ".join("?" * len(COLUMNS))


def written(side: str) -> str:
    """The table that a side writes into."""
    return f"{READ}_{side}"


def create(keyspace: str, name: str) -> str:
    columns = ", ".join(f"{column} {kind}" for column, kind in COLUMNS.items())
    return f"CREATE TABLE {keyspace}.{name} ({columns}, PRIMARY KEY ((id), number))"


def insert(keyspace: str, name: str) -> str:
    return f"INSERT INTO {keyspace}.{name} ({NAMES}) VALUES ({MARKERS})"


def get(keyspace: str) -> str:
    return f"SELECT {NAMES} FROM {keyspace}.{READ} WHERE id = ? AND number = ?"


def page(keyspace: str) -> str:
    return f"SELECT {NAMES} FROM {keyspace}.{READ} WHERE id = ?"


def partitions(count: int) -> list[UUID]:
    """The keys of the table that is read: the same in every process."""
    made = random.Random(5)
    return [UUID(int=made.getrandbits(128), version=4) for _ in range(count)]
