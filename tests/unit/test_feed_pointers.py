"""Pointers of concurrent appends go out together, and nobody waits long for a message that is not answered."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from cassorm.events import pointers
from cassorm.events.intent import Encoded, Expect, Intent
from cassorm.events.pointers import ENOUGH, POINTERS_TOGETHER, Mark, Pointer, PointerTables, PointerWriter

NOW = 1_000_000


class Tables:
    """Notes what it is asked, and answers a message when it is let go."""

    def __init__(self) -> None:
        self.written: list[list[Pointer]] = []
        self.answers: list[asyncio.Future[None]] = []
        self.steps: list[str] = []

    async def write(self, group: Sequence[Pointer]) -> None:
        self.written.append([*group])
        self.steps.append("pointers")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        await answer
        self.steps.append("acknowledged")

    async def read_marks(self, shards: Sequence[int]) -> dict[int, Mark]:
        self.steps.append("marks")
        return {shard: Mark(0, NOW) for shard in shards}


def intent() -> Intent:
    """An append of one event to a new stream."""
    event = Encoded(uuid4(), "Placed", 1, b"{}")
    return Intent(uuid4(), "Order", Expect.NO_STREAM, UUID(int=1, version=4), False, (event,), None, 0)


@pytest.fixture
def tables() -> Tables:
    return Tables()


@pytest.fixture
def writer(tables: Tables) -> PointerWriter:
    # One lane.
    made = PointerTables(tables.write, tables.read_marks)
    return PointerWriter(made, shards=4, clock=lambda: NOW, most_ahead=1000)


def announced(writer: PointerWriter, count: int) -> list[asyncio.Task[int]]:
    loop = asyncio.get_running_loop()
    return [loop.create_task(writer.announce(intent(), 0, 0, "Order", loop.time() + 5)) for _ in range(count)]


async def settled() -> None:
    """Return when the loop has nothing more to do at once."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_appends_of_one_turn_go_out_in_one_message_and_the_mark_is_read_behind_its_answer(
    tables: Tables, writer: PointerWriter
) -> None:
    tasks = announced(writer, 5)
    await settled()
    assert [len(group) for group in tables.written] == [5]
    assert tables.steps == ["pointers"]
    tables.answers[0].set_result(None)
    assert await asyncio.gather(*tasks) == [NOW] * 5
    assert tables.steps == ["pointers", "acknowledged", "marks"]


async def test_pointers_gather_while_others_are_under_way_until_they_are_enough(
    tables: Tables, writer: PointerWriter
) -> None:
    tasks = announced(writer, 1)
    await settled()
    tasks += announced(writer, ENOUGH - 1)
    await settled()
    assert [len(group) for group in tables.written] == [1]
    tasks += announced(writer, 1)
    await settled()
    assert [len(group) for group in tables.written] == [1, ENOUGH]
    tasks += announced(writer, 3)
    await settled()
    for answer in tables.answers[:2]:
        answer.set_result(None)
    await settled()
    assert [len(group) for group in tables.written] == [1, ENOUGH, 3]
    tables.answers[2].set_result(None)
    await asyncio.gather(*tasks)


async def test_no_message_holds_more_than_the_server_takes_without_a_warning(
    tables: Tables, writer: PointerWriter
) -> None:
    tasks = announced(writer, POINTERS_TOGETHER * 3)
    while not all(task.done() for task in tasks):
        await settled()
        for answer in tables.answers:
            if not answer.done():
                answer.set_result(None)
    assert sum(len(group) for group in tables.written) == len(tasks)
    assert max(len(group) for group in tables.written) <= POINTERS_TOGETHER


async def test_a_message_that_is_not_answered_holds_the_others_up_for_a_moment_only(
    tables: Tables, writer: PointerWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pointers, "PATIENCE_S", 0.01)
    stuck = announced(writer, 1)
    await settled()
    later = announced(writer, 2)
    await asyncio.sleep(0.05)
    assert [len(group) for group in tables.written] == [1, 2]
    tables.answers[1].set_result(None)
    assert await asyncio.gather(*later) == [NOW] * 2
    assert not stuck[0].done()
    tables.answers[0].set_result(None)
    await stuck[0]
