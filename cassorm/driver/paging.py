"""Pages of a result, the next one fetched while this one is used."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from cassorm.driver.result import Result

Row = tuple[Any, ...]
Fetch = Callable[[bytes | None], Awaitable[Result]]


class Pages(AsyncIterator[list[Row]]):
    """Pages of rows, none of them empty; may be left at any point, with `close()` or without.

    After an error the iteration goes on with the page that failed.
    """

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._state: bytes | None = None
        self._more = True
        self._coming: asyncio.Future[Result] | None = None

    def __aiter__(self) -> "Pages":
        return self

    async def __anext__(self) -> list[Row]:
        while self._more:
            coming, self._coming = self._coming, None
            # The first page, and one that failed before, are waited for right here: that needs no task.
            page = await (coming or self._fetch(self._state))
            self._state = page.page_state
            self._more = self._more and page.page_state is not None
            if self._more:
                self._coming = self._start()
            if page.rows:
                return page.rows
        raise StopAsyncIteration

    def begin(self) -> None:
        """Fetch the first page before it is asked for."""
        if self._coming is None and self._more and self._state is None:
            self._coming = self._start()

    def _start(self) -> "asyncio.Future[Result]":
        coming = asyncio.ensure_future(self._fetch(self._state))
        coming.add_done_callback(_seen)
        return coming

    def close(self) -> None:
        """Give up what is under way; further iteration ends."""
        self._more = False
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None


def _seen(page: "asyncio.Future[Result]") -> None:
    # A page that nobody came to fetch may have failed: that is nobody's concern.
    if not page.cancelled():
        page.exception()


async def rows_of(pages: Pages) -> AsyncIterator[Row]:
    """The rows of `pages`, one by one."""
    try:
        async for page in pages:
            for row in page:
                yield row
    finally:
        pages.close()
