"""Rows of the Online Retail data: what each says, or why it is set aside."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from examples.ecommerce.datafile import DataFile, DataFileError, Record

COLUMNS = ("InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country")

_QUANTITY = re.compile(r"[+-]?[0-9]{1,12}")
_PRICE = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,2})?")
_FLOAT = re.compile(r"([0-9]+)\.0*")
_LONGEST = {"InvoiceNo": 64, "StockCode": 64, "Description": 1_000, "CustomerID": 64, "Country": 64}
_DIGITS = 30
_SHOWN = 20


class Reason(StrEnum):
    """Why a row is set aside; where several hold, the first of them here is the one."""

    BROKEN = "does not parse"
    ADJUSTMENT = "adjustment number"
    PRICE = "price not above zero"
    QUANTITY = "quantity of the wrong sign"


class Row(NamedTuple):
    """One line of an invoice, as the file has it; `quantity` is below zero on a return."""

    file_line: int
    number: str
    code: str
    description: str
    quantity: int
    at: datetime
    price: Decimal
    customer: str | None
    country: str

    @property
    def is_return(self) -> bool:
        """Whether the invoice is a return: its number begins with C."""
        return self.number.startswith("C")


class SetAside(NamedTuple):
    """A row that is not applied: where it stands, why, and how it reads."""

    file_line: int
    reason: Reason
    detail: str
    text: str


class Checked(NamedTuple):
    """A file that was read to its end: `digest` knows its content, `last` tells each invoice's last line in it.

    `broken` holds the first rows that do not parse, of `broken_count`.
    """

    path: Path
    digest: str
    rows: int
    last: Mapping[str, int]
    broken: Sequence[SetAside]
    broken_count: int


class _UnparsableError(Exception):
    """Says why a record is no row."""


def check(path: Path, progress: Callable[[float], None] = lambda _: None) -> Checked:
    """Read the whole file and return what is to be known before anything of it is applied.

    `progress` is called with the bytes of the file read since its last call.

    Raises:
        DataFileError: a column is missing, or the file cannot be read to its end.
    """
    file = DataFile(path, progress, so_far="Nothing was written")
    last: dict[str, int] = {}
    broken: list[SetAside] = []
    count = broken_count = 0
    for row in _rows(file):
        count += 1
        if isinstance(row, Row):
            last[row.number] = row.file_line
        elif row.reason is Reason.BROKEN:
            broken_count += 1
            if broken_count <= _SHOWN:
                broken.append(row)
    return Checked(path, file.digest, count, last, broken, broken_count)


def chunks(checked: Checked, size: int) -> Iterator[list[Row | SetAside]]:
    """Yield all rows of a file that was checked, `size` at a time.

    Raises:
        DataFileError: it is no longer the file that was checked, or can no longer be read.
    """
    file = DataFile(checked.path, so_far="What was applied stays")
    chunk: list[Row | SetAside] = []
    for row in _rows(file):
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if file.digest != checked.digest:
        raise DataFileError(
            "was changed while it was replayed",
            where=str(checked.path),
            remedy="Run the same command again: it continues with whatever is not there yet",
        )
    if chunk:
        yield chunk


def _rows(file: DataFile) -> Iterator[Row | SetAside]:
    records = file.records()
    header = next(records, None)
    places = _places(file.path, header)
    for record in records:
        yield _row(record, places)


def _places(path: Path, header: Record | None) -> Sequence[int]:
    """Return where each of `COLUMNS` stands."""
    found = [] if header is None else [name.strip() for name in header.fields]
    missing = [name for name in COLUMNS if name not in found]
    twice = [name for name in COLUMNS if found.count(name) > 1]
    if missing or twice:
        problem = f"the header has {', '.join(twice)} twice"
        if missing:
            columns = "column" if len(missing) == 1 else "columns"
            verb = "is" if len(missing) == 1 else "are"
            there = ", ".join(found)[:300] or "nothing"
            problem = f"the {columns} {', '.join(missing)} {verb} missing; the header has {there}"
        raise DataFileError(
            problem,
            where=str(path),
            remedy=f"Nothing was written. Give the first line the columns {', '.join(COLUMNS)}, each once, in any "
            "order, and run the same command again",
        )
    return [found.index(name) for name in COLUMNS]


def _row(record: Record, places: Sequence[int]) -> Row | SetAside:
    try:
        if record.problem is not None:
            raise _UnparsableError(record.problem)
        row = _parsed(record.line, [record.fields[place] for place in places])
    except _UnparsableError as error:
        return SetAside(record.line, Reason.BROKEN, str(error), record.text)
    reason, detail = _unwanted(row)
    return row if reason is None else SetAside(record.line, reason, detail, record.text)


def _unwanted(row: Row) -> tuple[Reason | None, str]:
    if row.number.startswith("A"):
        return Reason.ADJUSTMENT, f"InvoiceNo {row.number} begins with A"
    if row.price <= 0:
        return Reason.PRICE, f"UnitPrice is {row.price}"
    if row.is_return and row.quantity >= 0:
        return Reason.QUANTITY, f"Quantity is {row.quantity} on a return"
    if not row.is_return and row.quantity <= 0:
        return Reason.QUANTITY, f"Quantity is {row.quantity} on a sale"
    return None, ""


def _parsed(line: int, values: Sequence[str]) -> Row:
    for name, value in zip(COLUMNS, values, strict=True):
        if len(value) > _LONGEST.get(name, 64):
            raise _UnparsableError(
                f"{name} has {len(value):,} characters, at most {_LONGEST.get(name, 64):,} are taken"
            )
    number, code, description, quantity, at, price, customer, country = values
    if not number.strip() or not code.strip():
        raise _UnparsableError(f"{'StockCode' if number.strip() else 'InvoiceNo'} is empty")
    return Row(
        line, number, code, description, _quantity(quantity), _time(at), _price(price), _customer(customer), country
    )


def _quantity(text: str) -> int:
    if not _QUANTITY.fullmatch(text.strip()):
        raise _UnparsableError(f"Quantity {text!r} is no whole number of at most 12 digits")
    return int(text)


def _price(text: str) -> Decimal:
    if not _PRICE.fullmatch(text.strip()):
        raise _UnparsableError(f"UnitPrice {text!r} is no decimal number")
    price = Decimal(text.strip())
    exponent = price.as_tuple().exponent
    if price.adjusted() > _DIGITS or not isinstance(exponent, int) or exponent < -_DIGITS:
        raise _UnparsableError(f"UnitPrice {text!r} has more than {_DIGITS} digits before or behind the point")
    return price


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = _american(text.strip())
    return at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)


def _american(text: str) -> datetime:
    """Return the time as the set's spreadsheet edition writes it: 12/1/2010 8:26, the month first."""
    try:
        return datetime.strptime(text, "%m/%d/%Y %H:%M")  # noqa: DTZ007 - the shop's own time, as in every row
    except ValueError:
        raise _UnparsableError(f"InvoiceDate {text!r} is no date such as 2010-12-01 08:26:00") from None


def _customer(text: str) -> str | None:
    """Return the customer's number without the ".0" that a spreadsheet gave it; None for a guest."""
    text = text.strip()
    as_float = _FLOAT.fullmatch(text)
    return as_float[1] if as_float else text or None
