"""Read models and totals without tables: folded from all streams at the moment they are asked for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any, Protocol

from cassorm.events.event import Recorded
from cassorm.events.store import EventStore, Stream
from cassorm.projections.every_stream import check_parallel, every_stream, side_by_side
from cassorm.projections.fold import NOTHING, Folding, fold
from cassorm.projections.sums import Adder, Adding, Amounts, Key, Slot, plus_all, set_key

_ROWS_TOGETHER = 50

_Sums = dict[Slot, tuple[Key, Amounts]]


class FoldingAll(Folding, Protocol):
    """What of a read model a fold of all streams needs."""

    @property
    def aggregates(self) -> frozenset[str] | None:
        """The types of the streams that have a row; None for all."""


async def live_rows(kind: FoldingAll, store: EventStore, parallel: int) -> AsyncGenerator[Any]:
    """Yield the row of each stream that has one, in no order."""
    check_parallel(parallel, f"{kind.model.__name__}.live_all")
    parts = [_rows(kind, part) for part in every_stream(store, kind.rules.names, kind.aggregates)]
    async with aclosing(side_by_side(parts, parallel=parallel)) as found:
        async for rows in found:
            for row in rows:
                yield row


async def _rows(kind: Folding, part: AsyncGenerator[list[Recorded]]) -> AsyncGenerator[list[Any]]:
    """Yield the rows of a part in lists: a stream's is done when the next one begins."""
    rows: list[Any] = []
    stream: Stream | None = None
    standing = NOTHING
    async with aclosing(part):
        async for events in part:
            if events[0].stream != stream:
                if standing.row is not None:
                    rows.append(standing.row)
                stream, standing = events[0].stream, NOTHING
                if len(rows) >= _ROWS_TOGETHER:
                    yield rows
                    rows = []
            standing = fold(kind, standing, events).standing
    if standing.row is not None:
        rows.append(standing.row)
    if rows:
        yield rows


async def live_totals(kind: Adding, store: EventStore, parallel: int) -> list[Any]:
    """The rows that the events of all streams add up to, in no order."""
    check_parallel(parallel, f"{kind.model.__name__}.live")
    adder = Adder(kind)
    parts = [_sums(adder, part) for part in every_stream(store, kind.names, kind.aggregates)]
    whole: _Sums = {}
    async with aclosing(side_by_side(parts, parallel=parallel)) as found:
        async for sums in found:
            for slot, (key, amounts) in sums.items():
                known = whole.get(slot)
                whole[slot] = key, amounts if known is None else plus_all(known[1], amounts)
    return [adder.row(key, amounts) for key, amounts in whole.values()]


async def _sums(adder: Adder, part: AsyncGenerator[list[Recorded]]) -> AsyncGenerator[_Sums]:
    """Yield what a part adds up to, once."""
    sums: _Sums = {}
    stream: Stream | None = None
    said = SimpleNamespace()
    async with aclosing(part):
        async for events in part:
            if events[0].stream != stream:
                stream, said = events[0].stream, SimpleNamespace()
            for recorded in events:
                set_key(said, adder.key_steps(recorded.event), recorded)
                steps = adder.sum_steps(recorded.event)
                if steps:
                    slot, key, amounts = adder.amounts(steps, said, recorded)
                    known = sums.get(slot)
                    sums[slot] = key, amounts if known is None else plus_all(known[1], amounts)
    yield sums
