"""Parts that are read side by side: little ahead of the reader, to the end or to the first error."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from cassorm.projections.every_stream import side_by_side


class Source:
    """Counts what was made of it."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    async def part(self, count: int, *, fails: bool = False) -> AsyncGenerator[int]:
        try:
            for number in range(count):
                self.made += 1
                yield number
                await asyncio.sleep(0)
            if fails:
                raise ValueError("broken off")
        finally:
            self.closed += 1


async def test_all_of_it_comes_once_whatever_is_read_at_once() -> None:
    for parallel in (1, 2, 9):
        source = Source()
        found = [
            each async for each in side_by_side([source.part(5), source.part(0), source.part(3)], parallel=parallel)
        ]
        assert sorted(found) == [0, 0, 1, 1, 2, 2, 3, 4]
        assert source.closed == 3


async def test_no_more_is_made_than_the_reader_takes() -> None:
    source = Source()
    reading = side_by_side([source.part(1000), source.part(1000)], parallel=2)
    for taken in range(1, 20):
        await anext(reading)
        await asyncio.sleep(0.001)
        # What waits for the reader, and what each part holds in its hand.
        assert source.made <= taken + 4
    await reading.aclose()
    assert source.closed == 2


async def test_an_error_comes_behind_what_came_before_and_ends_all() -> None:
    source, found = Source(), list[int]()

    async def read() -> None:
        async for each in side_by_side([source.part(2, fails=True), source.part(1000)], parallel=2):
            found.append(each)

    with pytest.raises(ValueError, match="broken off"):
        await read()
    assert found.count(1) >= 1
    assert source.closed == 2


async def test_a_reader_that_is_cancelled_leaves_nothing_running() -> None:
    source, before = Source(), asyncio.all_tasks()

    async def read() -> None:
        async for _ in side_by_side([source.part(10**9)], parallel=1):
            pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert asyncio.all_tasks() <= before
    assert source.closed == 1
