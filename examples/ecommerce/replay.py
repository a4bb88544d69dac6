"""Replay a file into the shop's streams: as often as wished, from wherever the last run stopped."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar
from uuid import UUID

from examples.ecommerce import names
from examples.ecommerce.customers import Customer, Purchase
from examples.ecommerce.imports import CHUNK, Catalogue, Import, Names
from examples.ecommerce.invoices import InvoiceLine, LineKey, key_of
from examples.ecommerce.money import total
from examples.ecommerce.orders import Order, Return
from examples.ecommerce.rows import Checked, Row, SetAside, chunks
from examples.ecommerce.shop import Shop, for_each
from examples.ecommerce.stock import Movement, Stock

T = TypeVar("T")

_APPEND = 500
"""Lines in one append at most."""


async def replay(
    shop: Shop,
    checked: Checked,
    *,
    chunk: int = CHUNK,
    at_once: int = 64,
    progress: Callable[[float], None] = lambda _: None,
) -> bool:
    """Apply every row of a file that was checked; return False when all of it was there already.

    What stands in the streams decides what is still to be done, so it may be interrupted at any point and run again,
    by two processes at once even: nothing is doubled. `progress` is called with the rows applied since its last call.

    Raises:
        DataFileError: the file was changed since it was checked.
        ClusterError: the cluster does not answer; run it again.

    Source: docs/tutorial/shop.md.
    """
    stream = names.import_id(checked.digest)
    await shop.catalogue.execute(names.CATALOGUE, partial(Catalogue.add, digest=checked.digest), create=True)
    await shop.imports.execute(stream, partial(Import.start, checked=checked, chunk=chunk), create=True)
    this = await shop.imports.get(stream)
    if this.finished:
        progress(checked.rows)
        return False
    seen: dict[str, Counter[LineKey]] = defaultdict(Counter)
    for number, rows in enumerate(chunks(checked, this.chunk), 1):
        applied = [row for row in rows if isinstance(row, Row)]
        for row in applied:
            seen[row.number][key_of(row)] += 1
        if number < this.begun:
            progress(len(rows))
        else:
            aside = [row for row in rows if isinstance(row, SetAside)]
            await _begin(shop, stream, number, applied, aside)
            progress(len(aside))
            part = _Chunk(shop, source=checked.digest[:16], rows=applied, seen=seen, at_once=at_once, progress=progress)
            await part.apply()
        for row in applied:
            if checked.last[row.number] <= rows[-1].file_line:
                seen.pop(row.number, None)
    await shop.imports.execute(stream, Import.finish)
    return True


async def _begin(shop: Shop, stream: UUID, number: int, rows: Sequence[Row], aside: Sequence[SetAside]) -> None:
    """Write down what a chunk speaks of before any other stream is touched: a report finds whatever there is."""
    for portion in _portions(aside):
        await shop.imports.execute(stream, partial(Import.keep_aside, rows=portion))
    listed = Names(
        orders={row.number for row in rows if not row.is_return},
        returns={row.number for row in rows if row.is_return},
        products={row.code for row in rows},
        customers={row.customer for row in rows if row.customer is not None},
    )
    await shop.imports.execute(stream, partial(Import.begin, chunk=number, names=listed))


class _Taken(NamedTuple):
    """A line that an invoice took from the chunk, in this run or in one that was interrupted."""

    invoice: str
    returned: bool
    line: InvoiceLine


class _Chunk:
    """One chunk of a file: first its invoices, then what they mean to stock and customers."""

    def __init__(
        self,
        shop: Shop,
        *,
        source: str,
        rows: Sequence[Row],
        seen: Mapping[str, Mapping[LineKey, int]],
        at_once: int,
        progress: Callable[[float], None],
    ) -> None:
        self._shop = shop
        self._source = source
        self._rows = rows
        self._seen = seen
        self._at_once = at_once
        self._progress = progress
        self._taken: list[_Taken] = []

    async def apply(self) -> None:
        """Bring every stream to where the chunk leaves it.

        The invoices are the truth: stock and customers move by the lines that the invoices took from this chunk,
        also when an earlier run was interrupted in between. So nothing moves before all invoices are through.
        """
        await for_each(_grouped(self._rows, lambda row: row.number), self._invoice, at_once=self._at_once)
        self._taken.sort(key=lambda taken: taken.line.file_line)
        await for_each(_grouped(self._taken, lambda taken: taken.line.code), self._stock, at_once=self._at_once)
        named = [taken for taken in self._taken if taken.line.customer is not None]
        await for_each(_grouped(named, lambda taken: taken.line.customer or ""), self._customer, at_once=self._at_once)
        self._progress((len(self._rows) - len(self._taken)) / 2)

    async def _invoice(self, group: tuple[str, list[Row]]) -> None:
        number, rows = group
        chunk = range(rows[0].file_line, rows[-1].file_line + 1)
        there: list[InvoiceLine] = []

        def take(invoice: Order | Return, portion: Sequence[Row]) -> None:
            invoice.take(number, self._source, portion, self._seen[number])
            there[:] = invoice.lines_from(self._source, chunk)

        returned = rows[0].is_return
        for portion in _portions(rows):
            if returned:
                await self._shop.returns.execute(names.return_id(number), partial(take, portion=portion), create=True)
            else:
                await self._shop.orders.execute(names.order_id(number), partial(take, portion=portion), create=True)
        self._taken += [_Taken(number, returned, line) for line in there]
        self._progress(len(rows) / 2)

    async def _stock(self, group: tuple[str, list[_Taken]]) -> None:
        code, taken = group
        movements = [
            Movement(line.file_line, invoice, line.number, line.units, returned) for invoice, returned, line in taken
        ]
        for portion in _portions(movements):
            move = partial(
                Stock.move,
                code=code,
                description=taken[0].line.description,
                source=self._source,
                movements=portion,
            )
            await self._shop.stock.execute(names.stock_id(code), move, create=True)
        self._progress(len(taken) / 2)

    async def _customer(self, group: tuple[str, list[_Taken]]) -> None:
        customer, taken = group
        purchases = []
        for invoice, bought in _grouped(taken, lambda one: one.invoice):
            amount = total(one.line.amount for one in bought)
            last = bought[-1]
            purchases.append(Purchase(last.line.file_line, invoice, bought[0].line.at, amount, last.returned))
        purchases.sort()
        for portion in _portions(purchases):
            buy = partial(
                Customer.buy,
                customer=customer,
                country=taken[0].line.country,
                source=self._source,
                purchases=portion,
            )
            await self._shop.customers.execute(names.customer_id(customer), buy, create=True)


def _grouped(items: Iterable[T], key: Callable[[T], str]) -> list[tuple[str, list[T]]]:
    """Return the items by key, in the order of their coming."""
    groups: dict[str, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.items())


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _APPEND):
        yield items[start : start + _APPEND]
