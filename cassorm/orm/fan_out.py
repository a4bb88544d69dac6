"""Many partitions by a query for each, a bounded number at once: what `in_()` over many keys becomes."""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from cassorm.driver.paging import Pages, Row
from cassorm.errors import QueryError
from cassorm.orm.expressions import Condition
from cassorm.orm.model_plan import ModelPlan

MOST_TOGETHER = 16
"""Up to so many partitions are one statement: one node gathers them all."""
MOST_KEYS = 10_000
"""Beyond so many a list of keys is refused."""

# Queries whose first page is under way or waits to be used.
_AHEAD = 16


class Partitions:
    """The conditions of a query over several partitions, for each of them alone, in the order of the keys given."""

    def __init__(self, plan: ModelPlan, conditions: Sequence[Condition]) -> None:
        self._conditions = conditions
        self._values = [
            _distinct(condition.params[0]) if _is_keys(condition) else [condition.params] for condition in conditions
        ]
        self.count = prod(len(v) for v, c in zip(self._values, conditions, strict=True) if _is_keys(c))
        if self.count > MOST_KEYS:
            raise QueryError(
                f"in_() over {self.count:,} partitions",
                where=plan.where,
                remedy=f"Give at most {MOST_KEYS:,} keys at a time, or use {plan.where}.scan() to read the whole table",
            )

    def alone(self) -> list[Condition]:
        """The conditions with `=` where several keys were given: their texts are those of every partition."""
        return [
            replace(each, operator="=", text=f"{each.field.quoted} = ?", params=(None,)) if _is_keys(each) else each
            for each in self._conditions
        ]

    def params(self) -> Iterator[list[Any]]:
        """The parameters of the conditions, for one partition after the other."""
        keys = [_is_keys(condition) for condition in self._conditions]
        for chosen in product(*self._values):
            yield [value for values, key in zip(chosen, keys, strict=True) for value in ((values,) if key else values)]


def partitions_of(plan: ModelPlan, conditions: Sequence[Condition]) -> Partitions | None:
    """The partitions that are named, when they are more than one.

    Raises:
        QueryError: they are too many.
    """
    return Partitions(plan, conditions) if any(_is_keys(condition) for condition in conditions) else None


class JoinedPages(AsyncIterator[list[Row]]):
    """The pages of many results, one after the other; the first pages of the next results are fetched meanwhile."""

    def __init__(self, results: Iterable[Pages], *, ahead: int = _AHEAD) -> None:
        self._results = iter(results)
        self._ahead = ahead
        self._open: deque[Pages] = deque()

    def __aiter__(self) -> "JoinedPages":
        return self

    async def __anext__(self) -> list[Row]:
        while True:
            while len(self._open) < self._ahead and (result := next(self._results, None)) is not None:
                result.begin()
                self._open.append(result)
            if not self._open:
                raise StopAsyncIteration
            async for page in self._open[0]:
                return page
            self._open.popleft()

    def close(self) -> None:
        """Give up what is under way; further iteration ends."""
        self._results = iter(())
        for result in self._open:
            result.close()
        self._open.clear()


def _is_keys(condition: Condition) -> bool:
    return condition.operator == "IN" and condition.field.kind == "partition"


def _distinct(values: Iterable[Any]) -> list[Any]:
    # By what they are written as: values that are equal may be keys of different partitions, as 1.0 and 1.00 are.
    return list({repr(value): value for value in values}.values())
