"""Where an event stands among all events of a store: shard and microseconds."""

from typing import NamedTuple
from uuid import UUID

from cassorm.driver.tokens import token_of
from cassorm.errors import QueryError

HASH = "murmur3-token"
"""The name of `shard_of`'s hash, kept in the store's settings: every client must share it."""
_RING = 2**64
_HALF = 2**63


class Position(NamedTuple):
    """A position that may leave the process: it names its store and shard, so that another store can refuse it.

    `micros` rises within a stream; across the streams of a shard (`micros`, stream) orders events. `stream` and
    `version` say which event stands there, for who waits until its effect can be read.
    """

    store_id: UUID
    shard: int
    micros: int
    stream: UUID | str
    version: int

    def __str__(self) -> str:
        kind = "u" if isinstance(self.stream, UUID) else "t"
        return f"{self.store_id}:{self.shard}:{self.micros}:{self.version}:{kind}{self.stream}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that `str` wrote.

        Raises:
            QueryError: the text is no position.
        """
        try:
            store_id, shard, micros, version, stream = text.split(":", 4)
            kind, name = stream[:1], stream[1:]
            if kind not in ("u", "t"):
                raise ValueError(kind)
            return cls(UUID(store_id), int(shard), int(micros), UUID(name) if kind == "u" else name, int(version))
        except (ValueError, AttributeError):
            raise QueryError(f"{text!r} is no position", remedy="Pass the text that str(position) gave") from None


def shard_of(stream: UUID | str, shards: int) -> int:
    """Return the shard of a stream, 0 to `shards` - 1: the piece of the token ring in which its partition stands.

    So all streams of a shard are read by one range of tokens.
    """
    return (token_of(stream.bytes if isinstance(stream, UUID) else stream.encode()) + _HALF) * shards // _RING


def tokens_of(shard: int, shards: int) -> tuple[int, int]:
    """Return the tokens of a shard's streams: behind the first, up to and with the second."""
    first, behind = (-(-at * _RING // shards) - _HALF for at in (shard, shard + 1))
    return max(first - 1, -_HALF), behind - 1
