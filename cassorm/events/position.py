"""Where an event stands among all events of a store: shard and microseconds."""

import zlib
from typing import NamedTuple
from uuid import UUID

from cassorm.errors import QueryError

HASH = "crc32"
"""The name of `shard_of`'s hash, kept in the store's settings: every client must share it."""


class Position(NamedTuple):
    """A position that may leave the process: it names its store and shard, so that another store can refuse it.

    `micros` rises within a stream; across the streams of a shard (`micros`, stream) orders events.
    """

    store_id: UUID
    shard: int
    micros: int

    def __str__(self) -> str:
        return f"{self.store_id}:{self.shard}:{self.micros}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that `str` wrote.

        Raises:
            QueryError: the text is no position.
        """
        try:
            store_id, shard, micros = text.split(":")
            return cls(UUID(store_id), int(shard), int(micros))
        except (ValueError, AttributeError):
            raise QueryError(
                f"{text!r} is no position", remedy="Pass the text of a Position: store id, shard and microseconds"
            ) from None


def shard_of(stream: UUID | str, shards: int) -> int:
    """Return the shard of a stream, 0 to `shards` - 1: CRC-32 of the id's bytes (UTF-8 for text), modulo `shards`."""
    data = stream.bytes if isinstance(stream, UUID) else stream.encode()
    return zlib.crc32(data) % shards
