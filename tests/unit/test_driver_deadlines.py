import asyncio
import time

import pytest

from cassorm.driver.deadlines import Deadlines


async def test_things_fall_due_in_the_order_of_their_deadlines_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    due: list[tuple[str, float]] = []
    deadlines: Deadlines[str] = Deadlines(loop, lambda thing: due.append((thing, loop.time())), tick_s=0.01)
    begun = loop.time()
    deadlines.add("late", 0.09)
    deadlines.add("early", 0.02)
    deadlines.add("middle", 0.05)
    await asyncio.sleep(0.15)
    assert [thing for thing, _ in due] == ["early", "middle", "late"]
    for (_, at), timeout_s in zip(due, (0.02, 0.05, 0.09), strict=True):
        assert at - begun >= timeout_s - 0.001


async def test_what_was_dropped_never_falls_due_and_leaves_nothing_behind() -> None:
    due: list[int] = []
    deadlines: Deadlines[int] = Deadlines(asyncio.get_running_loop(), due.append, tick_s=0.01)
    for thing in range(1000):
        deadlines.add(thing, 0.03).discard(thing)
    deadlines.add(-1, 0.03)
    assert deadlines.pending() == [-1]
    await asyncio.sleep(0.08)
    assert due == [-1]
    assert deadlines._buckets == {}
    assert deadlines._timer is None


async def test_the_loop_is_woken_once_for_all_that_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    wakes: list[float] = []
    tick = Deadlines._on_tick

    def counted(deadlines: Deadlines[int]) -> None:
        wakes.append(time.monotonic())
        tick(deadlines)

    monkeypatch.setattr(Deadlines, "_on_tick", counted)
    deadlines: Deadlines[int] = Deadlines(asyncio.get_running_loop(), lambda thing: None, tick_s=0.002)
    for thing in range(40):
        deadlines.add(thing, 0.15).discard(thing)
        await asyncio.sleep(0.002)
    assert len(deadlines._buckets) > 10
    await asyncio.sleep(0.25)
    assert deadlines._buckets == {}
    assert len(wakes) <= 3  # a loop's timers may come a little early


async def test_a_thousand_deadlines_wait_on_one_timer() -> None:
    loop = asyncio.get_running_loop()
    deadlines: Deadlines[int] = Deadlines(loop, lambda thing: None)
    for thing in range(1000):
        deadlines.add(thing, 10.0)
    assert len(deadlines._buckets) <= 2
    assert deadlines._timer is not None
    deadlines.close()
    assert deadlines.pending() == []


async def test_a_deadline_added_while_others_expire_is_kept() -> None:
    due: list[str] = []

    def again(thing: str) -> None:
        due.append(thing)
        if len(due) < 3:
            deadlines.add(thing + "'", 0.01)

    deadlines: Deadlines[str] = Deadlines(asyncio.get_running_loop(), again, tick_s=0.01)
    deadlines.add("a", 0.01)
    await asyncio.sleep(0.15)
    assert due == ["a", "a'", "a''"]
