"""A whole table by ranges of tokens, several at once, resumable, in memory for a few pages."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

from cassorm.driver.consistency import Consistency
from cassorm.driver.prepared import WHOLE, Prepared
from cassorm.driver.session import Session
from cassorm.errors import QueryError
from cassorm.orm.context import current_keyspace, given_session, session_for
from cassorm.orm.expressions import Expression
from cassorm.orm.hydration import Hydrate
from cassorm.orm.model_plan import ModelPlan
from cassorm.orm.ring import FIRST_TOKEN, LAST_TOKEN, token_text
from cassorm.orm.selection import values_of
from cassorm.orm.sending import read_options

M = TypeVar("M")

_MOST_PARALLEL = 256
# More ranges than workers: a checkpoint repeats at most one of them for each worker.
_RANGES_EACH = 8


@dataclass(frozen=True, slots=True)
class ScanProgress:
    """How far a scan is: ranges of the ring done, and rows given so far."""

    done: int
    ranges: int
    rows: int


class Scan(Generic[M]):
    """Every row of a table: iterate over it; each row comes once, and at least once when a scan is resumed."""

    def __init__(self, plan: ModelPlan, *, parallel: int, page_size: int, resume: str | None) -> None:
        if not isinstance(parallel, int) or not 0 < parallel <= _MOST_PARALLEL:
            raise QueryError(
                f"a scan of {parallel} ranges at once", where=plan.where, remedy=f"Give 1 to {_MOST_PARALLEL}"
            )
        self._plan = plan
        self._parallel = parallel
        self._page_size = page_size
        self._session: Session | None = None
        self._options: dict[str, Any] = dict(plan.reading)
        self._report: Callable[[ScanProgress], None] | None = None
        self._columns = plan.columns_text
        self._hydrate: Hydrate = plan.hydrate
        self._rows = 0
        self._ranges = parallel * _RANGES_EACH
        self._done: set[int] = set()
        # That of now, not of when it is iterated over: a checkpoint is good for one keyspace.
        self._keyspace = current_keyspace.get()
        if resume is not None:
            self._ranges, self._done = _read(resume, plan, plan.target(self._keyspace))

    def using(
        self,
        session: Session | None = None,
        *,
        consistency: Consistency | None = None,
        timeout: timedelta | None = None,
        progress: Callable[[ScanProgress], None] | None = None,
    ) -> Self:
        """The same, on this session; `progress` is called after each range."""
        self._session = given_session(session) or self._session
        self._options |= read_options(self._plan.where, consistency=consistency, timeout=timeout)
        self._report = progress or self._report
        return self

    def values(self, *columns: Expression[Any]) -> "Scan[tuple[Any, ...]]":
        """The same rows as tuples of these columns: no other column is read, and no instance made.

        Raises:
            QueryError: something is no column of the model.
        """
        self._columns, self._hydrate = values_of(self._plan, columns)
        made: Scan[Any] = self
        return made

    def checkpoint(self) -> str:
        """What `Model.scan(resume=...)` goes on from: ranges whose rows have all been given are not read again."""
        table = self._plan.target(self._keyspace)
        return json.dumps({"table": table, "ranges": self._ranges, "done": sorted(self._done)})

    async def __aiter__(self) -> AsyncIterator[M]:
        plan = self._plan
        session = session_for(self._session, plan.where)
        if plan.current is not None:
            plan = await plan.current(session)
        prepared = await session.prepare(self._text(plan), raw=WHOLE, check=plan.check)
        todo = iter([number for number in range(self._ranges) if number not in self._done])
        # One page waits for each worker: they read on while rows are used, and no further.
        pages: asyncio.Queue[tuple[int, object]] = asyncio.Queue(self._parallel)
        workers = [asyncio.ensure_future(self._work(session, prepared, todo, pages)) for _ in range(self._parallel)]
        left = self._ranges - len(self._done)
        try:
            while left:
                number, found = await pages.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    left -= 1
                    self._done.add(number)
                    if self._report is not None:
                        self._report(ScanProgress(len(self._done), self._ranges, self._rows))
                    continue
                # Only now, and a few at a time: what waits are bytes, and what was made is gone before more is.
                for rows in session.decoded(prepared, found):
                    made = self._hydrate(rows)
                    self._rows += len(made)
                    for row in made:
                        yield row
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, session: Session, prepared: Prepared, todo: Any, pages: "asyncio.Queue[Any]") -> None:
        for number in todo:
            try:
                rows = session.pages(prepared, self._bounds(number), page_size=self._page_size, **self._options)
                async for page in rows:
                    await pages.put((number, page))
            except Exception as error:  # given to whoever iterates
                await pages.put((number, error))
                return
            await pages.put((number, None))

    def _text(self, plan: ModelPlan) -> str:
        token, table = token_text(plan.partition), plan.target(self._keyspace)
        return f"SELECT {self._columns} FROM {table} WHERE {token} >= ? AND {token} <= ?"  # noqa: S608 - quoted

    def _bounds(self, number: int) -> tuple[int, int]:
        width = 2**64 // self._ranges
        low = FIRST_TOKEN + number * width
        return low, LAST_TOKEN if number == self._ranges - 1 else low + width - 1


def _read(checkpoint: str, plan: ModelPlan, table: str) -> tuple[int, set[int]]:
    try:
        data = json.loads(checkpoint)
        ranges, done = int(data["ranges"]), {int(number) for number in data["done"]}
        if data["table"] != table or not 0 < ranges < 2**20 or not done <= set(range(ranges)):
            raise ValueError
    except (ValueError, KeyError, TypeError) as error:
        raise QueryError(
            f"{str(checkpoint)[:80]!r} is no checkpoint of this table",
            where=plan.where,
            remedy="Give what Scan.checkpoint() gave, or leave it out to begin anew",
        ) from error
    return ranges, done
