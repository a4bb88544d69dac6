"""Shards must be the same in every process, version and language: fixed values."""

from uuid import UUID, uuid4

import pytest

from cassorm import Position
from cassorm.errors import QueryError
from cassorm.events.position import shard_of


@pytest.mark.parametrize(
    ("stream", "shards", "shard"),
    [
        (UUID("00000000-0000-0000-0000-000000000000"), 16, 0xECBB4B55 % 16),
        (UUID("12345678-1234-5678-1234-567812345678"), 16, 0),
        ("123456789", 1 << 32, 0xCBF43926),  # the check value that CRC-32's definition gives
        ("order-1", 16, 15),
        ("Zoë", 1000, 378),
        ("order-1", 1, 0),
    ],
)
def test_a_stream_has_the_same_shard_everywhere(stream: UUID | str, shards: int, shard: int) -> None:
    assert shard_of(stream, shards) == shard


def test_streams_spread_over_the_shards() -> None:
    counts = [0] * 16
    for _ in range(16_000):
        counts[shard_of(uuid4(), 16)] += 1
    assert all(850 < count < 1_150 for count in counts)


def test_a_position_survives_as_text() -> None:
    position = Position(uuid4(), 7, 1_795_264_230_844_763)
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "1:2", "x:1:2", f"{UUID(int=1)}:a:1", f"{UUID(int=1)}:1:2:3", None])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="is no position"):
        Position.parse(text)
