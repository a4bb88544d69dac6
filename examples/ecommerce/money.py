"""Money, exactly: never a float, never rounded, never shown with an exponent."""

from collections.abc import Iterable
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""A sum that would have to be rounded is an error; a hundred digits leave room for any shop."""


def amount_of(units: int, price: Decimal) -> Decimal:
    """Return what so many units cost."""
    return EXACT.multiply(Decimal(units), price)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum."""
    result = Decimal(0)
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def plain(amount: Decimal) -> str:
    """Return the amount as digits, such as "15.30"."""
    return format(amount, "f")
