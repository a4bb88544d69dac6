"""The report, read back from the shop's streams, whatever files brought them; `read_side` gives the same from tables."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from cassorm import Aggregate, AggregateRepository
from cassorm.errors import StreamNotFoundError
from examples.ecommerce import names
from examples.ecommerce.customers import Customer
from examples.ecommerce.imports import Import
from examples.ecommerce.invoices import Invoice
from examples.ecommerce.money import EXACT, plain
from examples.ecommerce.rows import Reason
from examples.ecommerce.shop import Shop, for_each
from examples.ecommerce.stock import Stock

A = TypeVar("A", bound=Aggregate)

TOP = 10


class ProductSold(NamedTuple):
    """Units of a product on sale lines."""

    code: str
    units: int
    description: str


@dataclass(frozen=True)
class Report:
    """What the shop's streams hold; amounts are exact."""

    rows: int
    invoices: int
    returns: int
    lines: int
    gross: Decimal
    refunded: Decimal
    net: Decimal
    customers: int
    by_country: Mapping[str, Decimal]
    top_products: tuple[ProductSold, ...]
    events: int
    set_aside: Mapping[str, int]
    unfinished: tuple[str, ...]
    """Files whose replay was interrupted: the report covers what is there of them."""
    contradictions: tuple[str, ...]
    """Where stock or customers do not say what the invoices say; none unless a replay is under way or unfinished."""

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values, amounts as text."""
        document = asdict(self)
        for name in ("gross", "refunded", "net"):
            document[name] = plain(document[name])
        document["by_country"] = {country: plain(net) for country, net in self.by_country.items()}
        document["top_products"] = [{"code": sold.code, "units": sold.units} for sold in self.top_products]
        del document["unfinished"], document["contradictions"]
        return document


class Answer(NamedTuple):
    """A report, what it was read from, and how long that took."""

    source: str
    report: Report
    seconds: float


async def make_report(shop: Shop, *, at_once: int = 64, progress: Callable[[float], None] = lambda _: None) -> Report:
    """Return what the shop's streams hold; `progress` is called with the streams read since its last call."""
    imports = await files(shop)
    books = _Books(shop, at_once, progress)
    await books.read(imports)
    return books.report(imports)


async def files(shop: Shop) -> list[Import]:
    """Return every file that was replayed, in the order of their coming."""
    try:
        catalogue = await shop.catalogue.get(names.CATALOGUE)
    except StreamNotFoundError:
        return []
    found = []
    for digest in catalogue.digests:
        try:
            found.append(await shop.imports.get(names.import_id(digest)))
        except StreamNotFoundError:  # interrupted between the two
            continue
    return found


class _Books:
    """Sums over the streams, one stream after the other."""

    def __init__(self, shop: Shop, at_once: int, progress: Callable[[float], None]) -> None:
        self._shop = shop
        self._at_once = at_once
        self._progress = progress
        self._events = 0
        self._lines = 0
        self._numbers = {True: 0, False: 0}
        self._amounts = {True: Decimal(0), False: Decimal(0)}
        self._by_country: dict[str, Decimal] = defaultdict(Decimal)
        self._customers: set[str] = set()
        self._in_invoices: Counter[tuple[str, bool]] = Counter()
        """Units by product and whether they came back, as the invoices say."""
        self._in_stock: Counter[tuple[str, bool]] = Counter()
        self._names: dict[str, str] = {}
        self._spent: dict[str, Decimal] = defaultdict(Decimal)
        self._accounts: dict[str, Decimal] = {}

    async def read(self, imports: Iterable[Import]) -> None:
        """Read every stream that the imports speak of."""
        shop = self._shop
        orders: set[str] = set()
        returns: set[str] = set()
        products: set[str] = set()
        customers: set[str] = set()
        for one in imports:
            self._events += one.version
            orders |= one.orders
            returns |= one.returns
            products |= one.products
            customers |= one.customers
        await self._each(shop.catalogue, [names.CATALOGUE], lambda _: None)
        await self._each(shop.orders, map(names.order_id, orders), self._order)
        await self._each(shop.returns, map(names.return_id, returns), self._return)
        await self._each(shop.stock, map(names.stock_id, products), self._stock)
        await self._each(shop.customers, map(names.customer_id, customers), self._customer)

    async def _each(
        self, repository: AggregateRepository[A], streams: Iterable[UUID], note: Callable[[A], None]
    ) -> None:
        async def read(stream: UUID) -> None:
            try:
                one = await repository.get(stream)
            except StreamNotFoundError:  # listed by a replay that was interrupted before it came to it
                pass
            else:
                self._events += one.version
                note(one)
            self._progress(1)

        await for_each(streams, read, at_once=self._at_once)

    def _order(self, order: Invoice) -> None:
        self._invoice(order, returned=False)

    def _return(self, received: Invoice) -> None:
        self._invoice(received, returned=True)

    def _invoice(self, invoice: Invoice, *, returned: bool) -> None:
        self._numbers[returned] += 1
        self._lines += len(invoice.lines)
        for line in invoice.lines:
            amount = line.amount
            signed = amount.copy_negate() if returned else amount
            self._amounts[returned] = EXACT.add(self._amounts[returned], amount)
            self._by_country[line.country] = EXACT.add(self._by_country[line.country], signed)
            self._in_invoices[line.code, returned] += line.units
            if line.customer is not None:
                self._customers.add(line.customer)
                self._spent[line.customer] = EXACT.add(self._spent[line.customer], signed)

    def _stock(self, stock: Stock) -> None:
        self._names[stock.code] = stock.description
        self._in_stock[stock.code, False] = stock.sold
        self._in_stock[stock.code, True] = stock.returned

    def _customer(self, customer: Customer) -> None:
        self._accounts[customer.customer] = EXACT.subtract(customer.spent, customer.refunded)

    def report(self, imports: Iterable[Import]) -> Report:
        """Return the sums."""
        gross, refunded = self._amounts[False], self._amounts[True]
        sold = [(code, units) for (code, returned), units in self._in_invoices.items() if not returned]
        top = sorted(sold, key=lambda one: (-one[1], one[0]))[:TOP]
        aside: Counter[tuple[str, str]] = Counter()
        for one in imports:
            # A row that two files hold is one row: as often as the file has it that has it most often, as with lines.
            aside |= Counter((kept.reason, kept.text) for kept in one.set_aside)
        reasons: Counter[str] = Counter()
        for (reason, _), count in aside.items():
            reasons[reason] += count
        return Report(
            rows=self._lines + reasons.total(),
            invoices=self._numbers[False],
            returns=self._numbers[True],
            lines=self._lines,
            gross=gross,
            refunded=refunded,
            net=EXACT.subtract(gross, refunded),
            customers=len(self._customers),
            by_country=dict(sorted(self._by_country.items(), key=lambda item: (-item[1], item[0]))),
            top_products=tuple(ProductSold(code, units, self._names.get(code, "")) for code, units in top),
            events=self._events,
            set_aside={reason.value: reasons[reason] for reason in Reason if reasons[reason]},
            unfinished=tuple(one.file for one in imports if not one.finished),
            contradictions=tuple(self._contradictions()),
        )

    def _contradictions(self) -> Iterable[str]:
        for code, returned in sorted(self._in_invoices.keys() | self._in_stock.keys()):
            invoiced, moved = self._in_invoices[code, returned], self._in_stock[code, returned]
            if invoiced != moved:
                what = "returned" if returned else "sold"
                yield f"product {code}: {invoiced} units {what} by its invoices, {moved} by its stock"
        for customer in sorted(self._spent.keys() | self._accounts.keys()):
            invoiced_net, account = self._spent.get(customer, Decimal(0)), self._accounts.get(customer, Decimal(0))
            if invoiced_net != account:
                yield f"customer {customer}: {plain(invoiced_net)} by invoices, {plain(account)} by the account"
