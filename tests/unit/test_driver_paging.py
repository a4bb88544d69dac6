import asyncio

import pytest

from cassorm.driver.paging import Pages, rows_of
from cassorm.driver.result import Result
from cassorm.errors import UnavailableError


class _Table:
    """Serves `pages` one after the other; a page state is the number of the next one."""

    def __init__(self, *pages: list[int]) -> None:
        self.pages = pages
        self.fetched: list[int] = []
        self.fail_at: int | None = None

    async def fetch(self, page_state: bytes | None) -> Result:
        number = 0 if page_state is None else int(page_state)
        self.fetched.append(number)
        await asyncio.sleep(0)
        if number == self.fail_at:
            self.fail_at = None
            raise UnavailableError("no node")
        more = str(number + 1).encode() if number + 1 < len(self.pages) else None
        return Result([(value,) for value in self.pages[number]], ("value",), more)


async def test_every_page_comes_once_and_empty_ones_are_passed_over() -> None:
    table = _Table([1, 2], [], [3], [])
    assert [page async for page in Pages(table.fetch)] == [[(1,), (2,)], [(3,)]]
    assert table.fetched == [0, 1, 2, 3]


async def test_an_empty_result_has_no_pages() -> None:
    assert [page async for page in Pages(_Table([]).fetch)] == []


async def test_the_next_page_is_fetched_while_this_one_is_used() -> None:
    table = _Table([1], [2], [3])
    pages = Pages(table.fetch)
    assert await anext(pages) == [(1,)]
    await asyncio.sleep(0)
    assert table.fetched == [0, 1]
    pages.close()


async def test_going_on_after_an_error_fetches_the_page_that_failed() -> None:
    table = _Table([1], [2], [3])
    table.fail_at = 1
    pages = Pages(table.fetch)
    assert await anext(pages) == [(1,)]
    with pytest.raises(UnavailableError):
        await anext(pages)
    assert [page async for page in pages] == [[(2,)], [(3,)]]


async def test_pages_may_be_left_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    table = _Table([1], [2], [3])
    table.fail_at = 1
    async for page in Pages(table.fetch):
        assert page == [(1,)]
        break
    await asyncio.sleep(0.01)
    assert table.fetched == [0, 1]
    # Workers of other tests may have something to say.
    assert [record for record in caplog.records if record.name != "cassorm.events"] == []


async def test_closed_pages_end() -> None:
    pages = Pages(_Table([1], [2]).fetch)
    await anext(pages)
    pages.close()
    assert [page async for page in pages] == []


async def test_rows_come_one_by_one() -> None:
    assert [row async for row in rows_of(Pages(_Table([1, 2], [], [3]).fetch))] == [(1,), (2,), (3,)]
