"""What a side gives: three operations, and how they are run at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

Operation = Literal["insert", "get", "page"]
OPERATIONS: tuple[Operation, ...] = ("insert", "get", "page")


@dataclass(frozen=True)
class Place:
    """Where a side works; `table` is its own, for what it inserts."""

    host: str
    port: int
    keyspace: str
    table: str


@dataclass(frozen=True)
class Side:
    """A library's three operations: coroutine functions, or functions that block when `threads`.

    `insert` makes an instance of the library's model from a key and the values of the table, and writes it. `get`
    gives one, `page` the list of a partition's. `values` turns what they give into a dict by column, for the check.
    """

    insert: Callable[[UUID], Any]
    get: Callable[[UUID, int], Any]
    page: Callable[[UUID], Any]
    values: Callable[[Any], Mapping[str, Any]]
    threads: bool = False
    note: str = ""
