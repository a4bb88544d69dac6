"""Shards must be the same in every process, version and language: fixed values."""

from itertools import pairwise
from uuid import UUID, uuid4

import pytest

from cassorm import Position
from cassorm.driver.tokens import token_of
from cassorm.errors import QueryError
from cassorm.events.position import shard_of, tokens_of


@pytest.mark.parametrize(
    ("stream", "shards", "shard"),
    [
        (UUID("00000000-0000-0000-0000-000000000000"), 16, 12),
        (UUID("12345678-1234-5678-1234-567812345678"), 16, 9),
        ("123456789", 1 << 32, 3_162_793_054),
        ("order-1", 16, 5),
        ("Zoë", 1000, 404),
        ("order-1", 1, 0),
    ],
)
def test_a_stream_has_the_same_shard_everywhere(stream: UUID | str, shards: int, shard: int) -> None:
    assert shard_of(stream, shards) == shard


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 16, 1000, 1024])
def test_the_tokens_of_all_shards_are_the_whole_ring_once(shards: int) -> None:
    ranges = [tokens_of(shard, shards) for shard in range(shards)]
    assert ranges[0][0] == -(2**63)
    assert ranges[-1][1] == 2**63 - 1
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    for stream in (uuid4() for _ in range(200)):
        first, last = ranges[shard_of(stream, shards)]
        assert first < token_of(stream.bytes) <= last


def test_streams_spread_over_the_shards() -> None:
    counts = [0] * 16
    for _ in range(16_000):
        counts[shard_of(uuid4(), 16)] += 1
    assert all(850 < count < 1_150 for count in counts)


def test_a_position_survives_as_text() -> None:
    for stream in (uuid4(), "order:1", ""):
        position = Position(uuid4(), 7, 1_795_264_230_844_763, stream, 12)
        assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "1:2", "x:1:2", f"{UUID(int=1)}:1:2:3", f"{UUID(int=1)}:1:2:3:x", f"{UUID(int=1)}:1:2:3:uabc", None]
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(QueryError, match="is no position"):
        Position.parse(text)
