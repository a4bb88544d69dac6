"""Stock: one stream for each product, the hot ones of this shop; snapshots keep loading them cheap."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import Field

from cassorm import Aggregate, Event, aggregate, apply


class Movement(NamedTuple):
    """Units that one line of an invoice moved: out of stock when sold, back when returned."""

    file_line: int
    invoice: str
    line: int
    units: int
    returned: bool


class ProductListed(Event, name="shop.ProductListed"):
    """A product was sold or returned for the first time."""

    code: str
    description: str


class UnitsSold(Event, name="shop.UnitsSold"):
    """Units left the stock by line `line` of an order."""

    invoice: str
    line: int
    units: int
    source: str
    file_line: int


class UnitsReturned(Event, name="shop.UnitsReturned"):
    """Units came back by line `line` of a return."""

    invoice: str
    line: int
    units: int
    source: str
    file_line: int


@aggregate("Stock")
class Stock(Aggregate):
    """How many units of a product were sold and returned; `done` says how far each file was taken in."""

    code: str = ""
    description: str = ""
    sold: int = 0
    returned: int = 0
    done: dict[str, int] = Field(default_factory=dict)

    def move(self, code: str, description: str, source: str, movements: Sequence[Movement]) -> None:
        """Take in movements of one file, in the order of its lines; those taken in before are passed over."""
        done = self.done.get(source, 0)
        for moved in movements:
            if moved.file_line <= done:
                continue
            if not self.code:
                self.emit(ProductListed(code=code, description=description))
            event = UnitsReturned if moved.returned else UnitsSold
            self.emit(
                event(
                    invoice=moved.invoice,
                    line=moved.line,
                    units=moved.units,
                    source=source,
                    file_line=moved.file_line,
                )
            )

    @apply
    def _(self, event: ProductListed) -> None:
        self.code = event.code
        self.description = event.description

    @apply
    def _(self, event: UnitsSold) -> None:
        self.sold += event.units
        self.done[event.source] = event.file_line

    @apply
    def _(self, event: UnitsReturned) -> None:
        self.returned += event.units
        self.done[event.source] = event.file_line
