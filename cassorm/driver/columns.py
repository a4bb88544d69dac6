"""Values of many rows at once: what the driver's compiled parser leaves as numbers and bytes, made Python's by column.

The compiled parser calls back into Python for each value of a type that is ours, at twice the price of the value.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from cassorm.cql.uuids import uuids_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
# Dates come as numbers without a sign, the first of 1970 in their middle; read with a sign, that turns their first bit.
_DAY_BIT = -(2**31)

Convert = Callable[[Sequence[Any]], Sequence[Any]]


def moment_of(milliseconds: int) -> datetime | int:
    """The moment in UTC; the number where Python has none so far away."""
    try:
        return _EPOCH + milliseconds * _MILLISECOND
    except OverflowError:
        return milliseconds


def day_of(days: int) -> date | int:
    """The day so many days after the first of 1970; the number where Python has none so far away."""
    try:
        return date.fromordinal(_EPOCH_DAY + days)
    except (OverflowError, ValueError):
        return days


def moments(column: Sequence[int | None]) -> Sequence[datetime | int | None]:
    """Milliseconds as moments."""
    try:
        return [_EPOCH + value * _MILLISECOND if value is not None else None for value in column]
    except OverflowError:
        return [moment_of(value) if value is not None else None for value in column]


def days(column: Sequence[int | None]) -> Sequence[date | int | None]:
    """Days, read as numbers with a sign, as dates."""
    return [day_of(value ^ _DAY_BIT) if value is not None else None for value in column]


def uuids(column: Sequence[bytes | None]) -> Sequence[Any]:
    """Sixteen bytes each as UUIDs; no bytes at all are no value."""
    if all(column):
        return uuids_of(column)  # type: ignore[arg-type]
    made = iter(uuids_of([value for value in column if value]))
    return [next(made) if value else None for value in column]


def by_column(rows: Sequence[Sequence[Any]], converts: Sequence[tuple[int, Convert]]) -> list[tuple[Any, ...]]:
    """The rows, with these columns converted."""
    columns: list[Any] = list(zip(*rows, strict=True))
    for index, convert in converts:
        columns[index] = convert(columns[index])
    return list(zip(*columns, strict=True))
