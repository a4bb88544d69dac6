"""The database that queries run on when they name none: that of the innermost block, each task its own."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from cassorm.errors import QueryError
from cassorm.orm import context
from cassorm.orm.context import enter, leave, session_for

ONE: Any = "one"
TWO: Any = "two"


@pytest.fixture(autouse=True)
def in_no_block() -> Iterator[None]:
    """Outside of every block, whatever the run's own session has entered."""
    session, outside = context.current_session.set(None), context._outside.set(())
    yield
    context._outside.reset(outside)
    context.current_session.reset(session)


def current() -> Any:
    return session_for(None, "here")


async def test_the_innermost_block_decides_and_the_outer_one_again_behind_it() -> None:
    enter(ONE)
    enter(TWO)
    assert current() == TWO
    leave()
    assert current() == ONE
    leave()
    with pytest.raises(QueryError, match="no database to run on"):
        current()


async def test_tasks_that_enter_and_leave_across_each_other_keep_their_own() -> None:
    both_in, one_out = asyncio.Event(), asyncio.Event()

    async def first() -> Any:
        enter(ONE)
        await both_in.wait()
        enter(TWO)
        leave()
        one_out.set()
        return current()

    async def second() -> Any:
        enter(TWO)
        enter(ONE)
        both_in.set()
        await one_out.wait()
        leave()
        return current()

    one, two = await asyncio.gather(first(), second())
    assert (one, two) == (ONE, TWO)


async def test_a_block_that_ends_in_another_context_leaves_no_database_behind() -> None:
    async def opened() -> None:
        enter(ONE)

    await asyncio.create_task(opened())
    leave()
    with pytest.raises(QueryError, match="using"):
        current()
