"""Orders and returns: one stream for each invoice number."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from cassorm import Event, aggregate, apply
from examples.ecommerce.invoices import Invoice, InvoiceLine, LineKey
from examples.ecommerce.rows import Row


class OrderPlaced(Event, name="shop.OrderPlaced"):
    """A customer ordered; a guest has no number."""

    number: str
    at: datetime
    customer: str | None
    country: str


class LineSold(Event, name="shop.LineSold"):
    """A line of an order."""

    line: InvoiceLine


class ReturnReceived(Event, name="shop.ReturnReceived"):
    """A customer sent goods back."""

    number: str
    at: datetime
    customer: str | None
    country: str


class LineReturned(Event, name="shop.LineReturned"):
    """A line of a return."""

    line: InvoiceLine


@aggregate("Order")
class Order(Invoice):
    """An order; its lines are sales."""

    def take(self, number: str, source: str, rows: Sequence[Row], seen: Mapping[LineKey, int]) -> None:
        """Add the lines that are missing, and place the order when it is new."""
        for line in self.missing(source, rows, seen):
            if not self.number:
                self.emit(OrderPlaced(number=number, at=line.at, customer=line.customer, country=line.country))
            self.emit(LineSold(line=line))

    @apply
    def _(self, event: OrderPlaced) -> None:
        self.number = event.number

    @apply
    def _(self, event: LineSold) -> None:
        self.lines.append(event.line)


@aggregate("Return")
class Return(Invoice):
    """A return: an invoice of its own, whose number begins with C. The data do not tell which order it belongs to."""

    def take(self, number: str, source: str, rows: Sequence[Row], seen: Mapping[LineKey, int]) -> None:
        """Add the lines that are missing, and receive the return when it is new."""
        for line in self.missing(source, rows, seen):
            if not self.number:
                self.emit(ReturnReceived(number=number, at=line.at, customer=line.customer, country=line.country))
            self.emit(LineReturned(line=line))

    @apply
    def _(self, event: ReturnReceived) -> None:
        self.number = event.number

    @apply
    def _(self, event: LineReturned) -> None:
        self.lines.append(event.line)
