"""Turns at a stream: in order, never two at once, and none lost by a cancellation."""

import asyncio
import random
from uuid import uuid4

import pytest

from cassorm.events.queues import Queues


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_turns_come_in_the_order_of_asking_and_one_at_a_time() -> None:
    queues, stream, order = Queues(), uuid4(), []
    assert queues.enter(stream)
    assert not queues.enter(stream)

    async def work(number: int) -> None:
        await queues.wait(stream)
        order.append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(3)]
    await settle()
    assert order == []
    for done in ([0], [0, 1], [0, 1, 2]):
        queues.leave(stream)
        await settle()
        assert order == done
    queues.leave(stream)
    assert len(queues) == 0
    await asyncio.gather(*tasks)


async def test_streams_do_not_wait_for_each_other() -> None:
    queues = Queues()
    assert queues.enter("a")
    assert queues.enter("b")


async def test_who_is_cancelled_while_waiting_is_passed_over() -> None:
    queues, served = Queues(), []
    queues.enter("s")

    async def work(name: str) -> None:
        await queues.wait("s")
        served.append(name)

    first, second = asyncio.create_task(work("first")), asyncio.create_task(work("second"))
    await settle()
    first.cancel()
    queues.leave("s")
    await settle()
    assert served == ["second"]
    with pytest.raises(asyncio.CancelledError):
        await first
    await second


async def test_a_turn_that_came_to_one_who_is_cancelled_goes_to_the_next() -> None:
    queues = Queues()
    queues.enter("s")
    first, second = asyncio.create_task(queues.wait("s")), asyncio.create_task(queues.wait("s"))
    await settle()
    queues.leave("s")  # the first has its turn, but has not run yet
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    queues.leave("s")
    assert len(queues) == 0


@pytest.mark.parametrize("seed", range(5))
async def test_any_mix_of_cancellations_leaves_nobody_waiting_and_nothing_behind(seed: int) -> None:
    queues, luck, inside = Queues(), random.Random(seed), [0]

    async def work(stream: str) -> None:
        if not queues.enter(stream):
            await queues.wait(stream)
        try:
            inside[0] += 1
            assert busy.setdefault(stream, 0) == 0
            busy[stream] += 1
            await asyncio.sleep(luck.random() / 1000)
            busy[stream] -= 1
        finally:
            busy[stream] = 0
            queues.leave(stream)

    busy: dict[str, int] = {}
    tasks = [asyncio.create_task(work(f"s{number % 3}")) for number in range(60)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.0005)
        luck.choice(tasks).cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(end is None or isinstance(end, asyncio.CancelledError) for end in ends), ends
    assert inside[0] > 0
    assert len(queues) == 0
