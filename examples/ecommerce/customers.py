"""Customers: one stream for each customer number; guests have none."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from cassorm import Aggregate, Event, aggregate, apply
from examples.ecommerce.money import EXACT


class Purchase(NamedTuple):
    """What a customer bought by one invoice, or sent back; `file_line` is the last of its lines in the file."""

    file_line: int
    invoice: str
    at: datetime
    amount: Decimal
    returned: bool


class CustomerSeen(Event, name="shop.CustomerSeen"):
    """A customer bought or returned for the first time."""

    customer: str
    country: str
    at: datetime


class PurchaseMade(Event, name="shop.PurchaseMade"):
    """An order of the customer, or further lines of it."""

    invoice: str
    at: datetime
    amount: Decimal
    source: str
    file_line: int


class PurchaseReturned(Event, name="shop.PurchaseReturned"):
    """A return of the customer, or further lines of it."""

    invoice: str
    at: datetime
    amount: Decimal
    source: str
    file_line: int


@aggregate("Customer")
class Customer(Aggregate):
    """When a customer was first seen, and the orders and returns since; `done` says how far each file was taken in."""

    customer: str = ""
    country: str = ""
    first_seen: datetime | None = None
    orders: list[str] = Field(default_factory=list)
    returns: list[str] = Field(default_factory=list)
    spent: Decimal = Decimal(0)
    refunded: Decimal = Decimal(0)
    done: dict[str, int] = Field(default_factory=dict)

    def buy(self, customer: str, country: str, source: str, purchases: Sequence[Purchase]) -> None:
        """Take in purchases of one file, in the order of its lines; those taken in before are passed over."""
        done = self.done.get(source, 0)
        for purchase in purchases:
            if purchase.file_line <= done:
                continue
            if not self.customer:
                self.emit(CustomerSeen(customer=customer, country=country, at=purchase.at))
            event = PurchaseReturned if purchase.returned else PurchaseMade
            self.emit(
                event(
                    invoice=purchase.invoice,
                    at=purchase.at,
                    amount=purchase.amount,
                    source=source,
                    file_line=purchase.file_line,
                )
            )

    @apply
    def _(self, event: CustomerSeen) -> None:
        self.customer = event.customer
        self.country = event.country
        self.first_seen = event.at

    @apply
    def _(self, event: PurchaseMade) -> None:
        if event.invoice not in self.orders:
            self.orders.append(event.invoice)
        self.spent = EXACT.add(self.spent, event.amount)
        self.done[event.source] = event.file_line

    @apply
    def _(self, event: PurchaseReturned) -> None:
        if event.invoice not in self.returns:
            self.returns.append(event.invoice)
        self.refunded = EXACT.add(self.refunded, event.amount)
        self.done[event.source] = event.file_line
