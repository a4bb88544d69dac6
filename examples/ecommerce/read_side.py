"""Carry the read side beside the streams, and answer the report from it: some queries, however many streams there are."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from cassorm import CassandraEventStore, CassormError, Projections, ProjectionStatus
from cassorm.errors import ClusterError
from examples.ecommerce.money import EXACT, total
from examples.ecommerce.read_models import (
    READ_SIDE,
    SHOP,
    CountryTotals,
    ImportRow,
    ProductRow,
    Replays,
    RowAside,
)
from examples.ecommerce.report import TOP, ProductSold, Report
from examples.ecommerce.rows import Reason

_EVERY_S = 3.0
_LOOK_S = 0.5


class ReadSideError(CassormError):
    """The read side cannot show all that was appended."""


@asynccontextmanager
async def carried(
    store: CassandraEventStore, say: Callable[[str], None]
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Carry the read side within the block; yield what returns when it shows all that was appended.

    How far it is behind is said every few seconds. Any number of processes may do this at once: they share the work.

    Raises:
        ReadSideError: some of it was parked or paused.
    """
    projections = Projections(store, READ_SIDE)
    for name in await projections.create():
        say(f"read side: {name} is built anew, its mapping has changed")
        await projections.rebuild(name)
    running = asyncio.create_task(projections.run())
    telling = asyncio.create_task(_tell(projections, say))

    async def caught_up() -> None:
        begun = time.monotonic()
        while any(map(is_behind, statuses := await projections.status())):
            _check(statuses)
            if running.done():
                await running  # raises what has ended it
            await asyncio.sleep(_LOOK_S)
        _check(statuses)
        telling.cancel()
        say(f"read side: shows everything, {time.monotonic() - begun:.1f} s after the last append")

    try:
        yield caught_up
    finally:
        telling.cancel()
        projections.stop()
        await running


async def statuses(store: CassandraEventStore) -> list[ProjectionStatus]:
    """Return where each part of the read side stands.

    Raises:
        ProjectionError: nothing has carried the read side in this keyspace yet.
    """
    return await Projections(store, READ_SIDE).status()


def is_behind(status: ProjectionStatus) -> bool:
    """Tell whether there is something appended that it does not show."""
    return status.scanned < 1 or status.behind_events > 0


def lag(statuses: list[ProjectionStatus]) -> str:
    """Return in words how far the read side is behind: as far as that part of it that is furthest."""
    last = max(statuses, key=lambda each: (each.scanned < 1, each.behind_events, each.behind))
    if last.scanned < 1:
        return f"read side: {last.name} reads the streams, {last.scanned:.0%} done"
    return (
        f"read side: {last.behind_events:,} events and {last.behind / timedelta(seconds=1):.1f} s behind ({last.name})"
    )


async def _tell(projections: Projections, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        try:
            say(lag(await projections.status()))
        except ClusterError:  # busy: the next look may say more
            continue


def _check(statuses: list[ProjectionStatus]) -> None:
    for status in statuses:
        if status.parked or status.paused:
            raise ReadSideError(
                "is paused" if status.paused else f"could not take events of {status.parked} streams",
                where=f"projection {status.name}",
                remedy="Look at `cassorm projections status`, and `resume` or `replay-parked` it",
            )


async def read_report() -> Report:
    """Return the report as the read side has it now; a part of it that is behind shows less than the streams."""
    countries = await CountryTotals.find(shop=SHOP)
    products = await ProductRow.find_by(shop=SHOP)
    imports = await ImportRow.find_by(shop=SHOP)
    replays = await Replays.find_by_id(SHOP)
    aside = {}
    for reason in Reason:
        rows = await RowAside.where(RowAside.reason == reason.value).all()
        if rows:
            aside[reason.value] = _most(rows)
    orders, returns = sum(each.orders for each in countries), sum(each.returns for each in countries)
    customers, lines = sum(each.customers for each in countries), sum(each.lines for each in countries)
    gross, refunded = total(each.gross for each in countries), total(each.refunded for each in countries)
    net = {each.country: EXACT.subtract(each.gross, each.refunded) for each in countries if each.lines}
    sold = sorted((each for each in products if each.sold), key=lambda each: (-each.sold, each.code))
    events = orders + returns + lines + customers + sum(each.purchases for each in countries)
    events += sum(1 + each.movements for each in products) + (replays.events if replays else 0)
    return Report(
        rows=lines + sum(aside.values()),
        invoices=orders,
        returns=returns,
        lines=lines,
        gross=gross,
        refunded=refunded,
        net=EXACT.subtract(gross, refunded),
        customers=customers,
        by_country=dict(sorted(net.items(), key=lambda item: (-item[1], item[0]))),
        top_products=tuple(ProductSold(each.code, each.sold, each.description) for each in sold[:TOP]),
        events=events,
        set_aside=aside,
        unfinished=tuple(each.file for each in imports if not each.finished),
        contradictions=(),
    )


def _most(rows: list[RowAside]) -> int:
    """Return how many rows these are: one that several files hold is there as often as the file has it most often."""
    times: Counter[str] = Counter()
    for (_, text), count in Counter((row.import_id, row.text) for row in rows).items():
        times[text] = max(times[text], count)
    return times.total()
