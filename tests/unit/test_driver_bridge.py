import asyncio
import random
import threading
from typing import Any

import pytest

from cassorm.driver.bridge import PENDING, Abandoned, Bridge, Expired, Request


def _bridge(limit: int = 4) -> Bridge:
    return Bridge(asyncio.get_running_loop(), limit=limit)


async def _begin(bridge: Bridge, timeout_s: float = 5.0) -> Request:
    if not bridge.take_turn():
        waiter = bridge.queue_up()
        try:
            await waiter
        except asyncio.CancelledError:
            bridge.leave_queue(waiter)
            raise
    request = Request(asyncio.get_running_loop().create_future())
    bridge.watch(request, timeout_s)
    return request


async def test_an_answer_from_another_thread_reaches_the_loop() -> None:
    bridge = _bridge()
    request = await _begin(bridge)
    threading.Thread(target=bridge.succeed, args=("answer", request)).start()
    await request.future
    assert (request.answer, request.error, bridge.in_flight) == ("answer", None, 0)


async def test_thousands_of_answers_from_many_threads_all_arrive() -> None:
    bridge = _bridge(limit=16)
    failures: list[Any] = []

    async def one(number: int) -> None:
        request = await _begin(bridge)
        threading.Thread(target=bridge.succeed, args=(number, request)).start() if number % 50 == 0 else (
            asyncio.get_running_loop().run_in_executor(None, bridge.succeed, number, request)
        )
        await request.future
        if request.answer != number:
            failures.append(number)

    await asyncio.gather(*map(one, range(2000)))
    assert failures == []
    assert bridge.in_flight == 0


async def test_no_more_than_the_limit_are_in_flight_and_turns_come_in_order() -> None:
    bridge = _bridge(limit=3)
    order: list[int] = []
    requests: list[Request] = []
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        requests.append(await _begin(bridge))
        order.append(number)
        most = max(most, bridge.in_flight)

    tasks = [asyncio.create_task(one(number)) for number in range(12)]
    while len(order) < 12:
        await asyncio.sleep(0)
        for request in [request for request in requests if request.answer is PENDING][:1]:
            bridge.succeed(None, request)
    await asyncio.gather(*tasks)
    assert order == list(range(12))
    assert most == 3


async def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    bridge = _bridge(limit=1)
    first = await _begin(bridge)
    second, third = asyncio.create_task(_begin(bridge)), asyncio.create_task(_begin(bridge))
    await asyncio.sleep(0)
    # The answer hands the turn to `second` in the same step in which it is cancelled.
    bridge.succeed(None, first)
    bridge._drain()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    request = await asyncio.wait_for(third, 1)
    bridge.succeed(None, request)
    await request.future
    assert bridge.in_flight == 0


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_answered_late_or_cancelled_no_turn_is_ever_lost(seed: int) -> None:
    choose = random.Random(seed)
    bridge = _bridge(limit=choose.choice([1, 3, 31, 32, 33, 64, 100]))

    async def one() -> None:
        request = await _begin(bridge, timeout_s=choose.choice([0.001, 5]))
        asyncio.get_running_loop().call_later(choose.choice([0, 0, 0.002]), bridge.succeed, None, request)
        await request.future

    for _ in range(10):
        tasks = [asyncio.create_task(one()) for _ in range(choose.choice([1, 31, 32, 33, 200]))]
        await asyncio.sleep(choose.choice([0, 0, 0.001]))
        for task in choose.sample(tasks, len(tasks) // 3):
            task.cancel()
        done, pending = await asyncio.wait(tasks, timeout=5)
        assert not pending
        assert len(done) == len(tasks)
    await asyncio.sleep(0.05)
    assert bridge.in_flight == 0
    assert bridge._overdue == 0


async def test_a_request_without_an_answer_expires_and_its_late_answer_is_dropped() -> None:
    bridge = _bridge(limit=1)
    request = await _begin(bridge, timeout_s=0.02)
    await request.future
    assert isinstance(request.error, Expired)
    assert bridge.in_flight == 0
    assert bridge._overdue == 1
    bridge.succeed("late", request)
    await asyncio.sleep(0.01)
    assert bridge._overdue == 0
    assert bridge.in_flight == 0
    assert bridge.take_turn()


async def test_a_cancelled_caller_leaves_its_turn_taken_until_the_answer() -> None:
    bridge = _bridge(limit=1)
    request = await _begin(bridge)
    request.future.cancel()
    assert bridge.in_flight == 1
    bridge.succeed("unwanted", request)
    await asyncio.sleep(0.01)
    assert bridge.in_flight == 0


async def test_an_answer_that_waits_when_its_deadline_passes_counts() -> None:
    bridge = _bridge()
    request = await _begin(bridge, timeout_s=0.01)
    bridge._waking = True  # as when the loop is too busy to drain
    bridge.succeed("in time", request)
    await asyncio.sleep(0.06)
    assert not request.future.done()
    bridge._drain()
    assert request.answer == "in time"
    assert request.error is None
    assert bridge.in_flight == 0


async def test_overdue_answers_hold_their_turns_before_stream_ids_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cassorm.driver.bridge._MOST_OVERDUE", 2)
    bridge = _bridge(limit=1)
    overdue = []
    for _ in range(3):
        request = await _begin(bridge, timeout_s=0.001)
        await request.future
        overdue.append(request)
    assert not bridge.take_turn()
    bridge.succeed(None, overdue[-1])
    await asyncio.sleep(0.01)
    assert bridge.take_turn()


async def test_a_burst_lets_other_tasks_run_in_between() -> None:
    bridge = _bridge(limit=1000)
    taken = 0
    while bridge.take_turn():
        taken += 1
    assert 0 < taken < 1000
    await asyncio.sleep(0)
    assert bridge.take_turn()


async def test_closing_waits_for_what_is_in_flight() -> None:
    bridge = _bridge()
    request = await _begin(bridge)
    asyncio.get_running_loop().call_later(0.02, bridge.succeed, "answer", request)
    await bridge.close(grace_s=5)
    assert request.answer == "answer"
    assert bridge.in_flight == 0


async def test_closing_ends_what_is_not_answered_and_who_still_waits() -> None:
    bridge = _bridge(limit=1)
    request = await _begin(bridge)
    waiting = asyncio.create_task(_begin(bridge))
    await asyncio.sleep(0)
    await bridge.close(grace_s=0.01)
    assert isinstance(request.error, Abandoned)
    with pytest.raises(Abandoned):
        await waiting


def test_an_answer_after_the_loop_was_closed_is_dropped_in_silence() -> None:
    async def begin() -> tuple[Bridge, Request]:
        bridge = _bridge()
        return bridge, await _begin(bridge)

    bridge, request = asyncio.run(begin())
    bridge.succeed("nobody listens", request)
