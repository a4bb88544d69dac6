"""The read side: tables for what the shop's pages ask, kept from its events; every question is one partition.

`READ_SIDE` lists them. `replay` carries them; so does `cassorm projections run examples.ecommerce.read_models`.
"""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from cassorm import (
    CK,
    PK,
    Col,
    Model,
    ReadModel,
    ReadView,
    Total,
    Totals,
    Tx,
    add_from_event,
    count_events,
    map_from_event,
    on,
    projection,
)
from examples.ecommerce.customers import CustomerSeen, PurchaseMade, PurchaseReturned
from examples.ecommerce.imports import (
    ChunkBegun,
    CustomersListed,
    FileAdded,
    ImportFinished,
    ImportStarted,
    OrdersListed,
    ProductsListed,
    ReturnsListed,
    RowSetAside,
)
from examples.ecommerce.money import EXACT
from examples.ecommerce.orders import LineReturned, LineSold, OrderPlaced, ReturnReceived
from examples.ecommerce.stock import ProductListed, UnitsReturned, UnitsSold

SHOP = "shop"
"""The key of what the shop has one of: a list, a sum over everything."""
NO_COUNTRY = "Unspecified"
"""The data call it so; a partition key cannot be empty."""

_LINES = (LineSold, LineReturned)
_INVOICES = (OrderPlaced, ReturnReceived)
_SALES = (*_INVOICES, *_LINES)
_PURCHASES = (PurchaseMade, PurchaseReturned)
_MOVEMENTS = (UnitsSold, UnitsReturned)
_REPLAYS = (
    FileAdded,
    ImportStarted,
    RowSetAside,
    OrdersListed,
    ReturnsListed,
    ProductsListed,
    CustomersListed,
    ChunkBegun,
    ImportFinished,
)


def _utc(at: datetime) -> datetime:
    """Return a time of the shop, which has no zone, as a column holds it."""
    return at.replace(tzinfo=UTC)


def _said(event: Any) -> Any:
    """Return what tells where and when: the line in an event, or the event itself."""
    return getattr(event, "line", event)


class OrderRow(ReadModel, table="orders", aggregate=["Order", "Return"]):
    """An order or a return; the view is a customer's history, newest first."""

    order_id: PK[UUID]
    number: Col[str] = map_from_event(_INVOICES)
    returned: Col[bool] = map_from_event({OrderPlaced: False, ReturnReceived: True})
    placed_at: Col[datetime] = map_from_event(_INVOICES, "at", transform=_utc)
    customer: Col[str | None] = map_from_event(_INVOICES)
    country: Col[str] = map_from_event(_INVOICES)
    lines: Col[int] = map_from_event(_LINES, lambda e, row: row.lines + 1, default=0)
    amount: Col[Decimal] = map_from_event(
        _LINES, lambda e, row: EXACT.add(row.amount, e.line.amount), default=Decimal(0)
    )
    __views__ = (ReadView("orders_by_customer", key="customer", clustering=["placed_at desc", "order_id"]),)


class ProductRow(ReadModel, table="products", aggregate="Stock"):
    """A product: units sold and come back; the view is the price list, in the order of the codes."""

    product_id: PK[UUID]
    shop: Col[str] = map_from_event({ProductListed: SHOP})
    code: Col[str] = map_from_event(ProductListed)
    description: Col[str] = map_from_event(ProductListed)
    sold: Col[int] = map_from_event(UnitsSold, lambda e, row: row.sold + e.units, default=0)
    returned: Col[int] = map_from_event(UnitsReturned, lambda e, row: row.returned + e.units, default=0)
    movements: Col[int] = map_from_event(_MOVEMENTS, lambda e, row: row.movements + 1, default=0)
    __views__ = (ReadView("products_by_code", key="shop", clustering=["code", "product_id"]),)


class CustomerRow(ReadModel, table="customers", aggregate="Customer"):
    """A customer; the view lists those of a country."""

    customer_id: PK[UUID]
    customer: Col[str] = map_from_event(CustomerSeen)
    country: Col[str] = map_from_event({CustomerSeen: lambda e: e.country or NO_COUNTRY})
    first_seen: Col[datetime] = map_from_event(CustomerSeen, "at", transform=_utc)
    spent: Col[Decimal] = map_from_event(
        PurchaseMade, lambda e, row: EXACT.add(row.spent, e.amount), default=Decimal(0)
    )
    refunded: Col[Decimal] = map_from_event(
        PurchaseReturned, lambda e, row: EXACT.add(row.refunded, e.amount), default=Decimal(0)
    )
    __views__ = (ReadView("customers_by_country", key="country", clustering=["customer", "customer_id"]),)


class ImportRow(ReadModel, table="imports", aggregate="Import"):
    """A file that was replayed; the view lists them in the order of their coming."""

    import_id: PK[UUID]
    shop: Col[str] = map_from_event({ImportStarted: SHOP})
    file: Col[str] = map_from_event(ImportStarted)
    started_at: Col[datetime] = map_from_event({ImportStarted: lambda e, row, recorded: recorded.timestamp})
    finished: Col[bool] = map_from_event({ImportStarted: False, ImportFinished: True})
    __views__ = (ReadView("imports_by_start", key="shop", clustering=["started_at", "import_id"]),)


class Replays(Totals, table="replays", aggregate=["Import", "Catalogue"]):
    """How many events there are that tell of replays."""

    shop: PK[str] = map_from_event(dict.fromkeys(_REPLAYS, SHOP))
    events: Total[int] = count_events(*_REPLAYS)


class CountryTotals(Totals, table="country_totals", aggregate=["Order", "Return", "Customer"]):
    """What each country bought and sent back; a line counts for the country that stands in the line."""

    shop: PK[str] = map_from_event(dict.fromkeys((*_SALES, CustomerSeen), SHOP))
    country: CK[str] = map_from_event((*_SALES, CustomerSeen), lambda e: _said(e).country)
    orders: Total[int] = count_events(OrderPlaced)
    returns: Total[int] = count_events(ReturnReceived)
    customers: Total[int] = count_events(CustomerSeen)
    purchases: Total[int] = count_events(*_PURCHASES)
    lines: Total[int] = count_events(*_LINES)
    gross: Total[Decimal] = add_from_event(LineSold, "line.amount")
    refunded: Total[Decimal] = add_from_event(LineReturned, "line.amount")


class RevenueByDay(Totals, table="revenue_by_day", aggregate=["Order", "Return"]):
    """The same of a country day by day: `RevenueByDay.find(RevenueByDay.day >= day, country="France")`."""

    country: PK[str] = map_from_event(_SALES, lambda e: _said(e).country or NO_COUNTRY)
    day: CK[date] = map_from_event(_SALES, lambda e: _said(e).at.date())
    orders: Total[int] = count_events(OrderPlaced)
    returns: Total[int] = count_events(ReturnReceived)
    lines: Total[int] = count_events(*_LINES)
    gross: Total[Decimal] = add_from_event(LineSold, "line.amount")
    refunded: Total[Decimal] = add_from_event(LineReturned, "line.amount")


class ActiveCustomer(Model, table="active_customers"):
    """A customer that bought or returned in a period: a day, `2010-12-01`, or a month, `2010-12`.

    Saving a row twice leaves one, so a period has as many rows as customers, and counting them is counting a partition.
    """

    period: PK[str]
    customer_id: CK[UUID]


class RowAside(Model, table="rows_aside"):
    """A row that was set aside."""

    reason: PK[str]
    text: CK[str]
    import_id: CK[UUID]
    file_line: CK[int]
    detail: Col[str]


@projection("active_customers", writes=[ActiveCustomer])
class ActiveCustomers:
    """Who was active when."""

    @on(*_PURCHASES)
    def active(self, event: PurchaseMade | PurchaseReturned, tx: Tx) -> None:
        """Note the customer for the day and for the month."""
        day = event.at.date().isoformat()
        for period in (day, day[:7]):
            tx.save(ActiveCustomer(period=period, customer_id=UUID(str(tx.recorded.stream))))


@projection("rows_aside", writes=[RowAside])
class RowsAside:
    """The rows that were set aside, by the reason."""

    @on(RowSetAside)
    def aside(self, event: RowSetAside, tx: Tx) -> None:
        """Keep the row."""
        tx.save(RowAside(import_id=UUID(str(tx.recorded.stream)), **dict(event)))


READ_SIDE = (
    OrderRow,
    ProductRow,
    CustomerRow,
    ImportRow,
    CountryTotals,
    RevenueByDay,
    Replays,
    ActiveCustomers,
    RowsAside,
)
