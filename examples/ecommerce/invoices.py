"""Lines of invoices, and how an invoice takes them from files: each once, whatever is read again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import Field

from cassorm import Aggregate, Value
from examples.ecommerce.money import amount_of
from examples.ecommerce.rows import Row


class LineKey(NamedTuple):
    """What makes two lines of one invoice alike. Not the description: it is often edited, and names the code."""

    code: str
    units: int
    price: Decimal
    at: datetime
    customer: str | None
    country: str


class InvoiceLine(Value):
    """One line: `units` count from above zero, on returns as well; `source` and `file_line` tell where it was read."""

    number: int
    code: str
    description: str
    units: int
    price: Decimal
    at: datetime
    customer: str | None
    country: str
    source: str
    file_line: int

    @property
    def amount(self) -> Decimal:
        """Units times price."""
        return amount_of(self.units, self.price)

    @property
    def key(self) -> LineKey:
        """What makes it alike others."""
        return LineKey(self.code, self.units, self.price, self.at, self.customer, self.country)


def key_of(row: Row) -> LineKey:
    """Return what makes the row's line alike others."""
    return LineKey(row.code, abs(row.quantity), row.price, row.at, row.customer, row.country)


class Invoice(Aggregate, name="Invoice"):
    """What orders and returns have in common: a number, and lines in the order of their coming."""

    number: str = ""
    lines: list[InvoiceLine] = Field(default_factory=list)

    def lines_from(self, source: str, file_lines: range) -> list[InvoiceLine]:
        """Return the lines that were read from one part of one file."""
        return [line for line in self.lines if line.source == source and line.file_line in file_lines]

    def missing(self, source: str, rows: Sequence[Row], seen: Mapping[LineKey, int]) -> list[InvoiceLine]:
        """Return the lines that the invoice lacks of the `rows` of a file, numbered behind those it has.

        `seen` counts like lines in the file from its beginning to behind these rows. The invoice is to hold each line
        as often as the file does: one that an earlier run, or another file, brought already is not added again.
        """
        have = Counter(line.key for line in self.lines)
        read = {line.file_line for line in self.lines if line.source == source}
        lines: list[InvoiceLine] = []
        for row in rows:
            key = key_of(row)
            if row.file_line in read or have[key] >= seen[key]:
                continue
            have[key] += 1
            lines.append(
                InvoiceLine(
                    number=len(self.lines) + len(lines) + 1,
                    description=row.description,
                    source=source,
                    file_line=row.file_line,
                    **key._asdict(),
                )
            )
        return lines
