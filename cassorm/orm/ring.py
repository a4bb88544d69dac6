"""Where partitions stand on the ring: `token(Reading.org, Reading.day) > 0`."""

from typing import Any

from cassorm.errors import QueryError
from cassorm.orm.expressions import Comparable, Condition, Expression, Operator
from cassorm.orm.field_plan import FieldPlan

FIRST_TOKEN, LAST_TOKEN = -(2**63), 2**63 - 1


class Token(Comparable[int | tuple[Any, ...]]):
    """The token of each row's partition, to compare with a number, or with a key as a tuple: with its token, then."""

    __slots__ = ("fields",)

    def __init__(self, fields: tuple[FieldPlan, ...]) -> None:
        self.fields = fields

    def __repr__(self) -> str:
        return f"token({', '.join(field.where for field in self.fields)})"

    def compared(self, operator: Operator, other: Any) -> Condition:
        """The condition that an operator stands for; see the base."""
        text = token_text(self.fields)
        if operator == "!=":
            raise QueryError("!= of a token", where=repr(self), remedy="CQL has no !=: use < and >")
        if isinstance(other, tuple) and len(other) == len(self.fields):
            values = tuple(field.encode(value) for field, value in zip(self.fields, other, strict=True))
            markers = ", ".join("?" * len(values))
            return Condition(self.fields[0], operator, f"{text} {operator} token({markers})", values, "token")
        if not isinstance(other, int) or isinstance(other, bool) or not FIRST_TOKEN <= other <= LAST_TOKEN:
            raise QueryError(
                f"{other!r} is no token",
                where=repr(self),
                remedy=f"Compare with a number of 64 bits, or with a key: a tuple of {len(self.fields)} values",
            )
        return Condition(self.fields[0], operator, f"{text} {operator} ?", (other,), "token")


def token(*columns: Expression[Any]) -> Token:
    """The token of each row's partition; `columns` are those of the partition key, in their order.

    Raises:
        QueryError: there are none, or something is no column.
    """
    if not columns or not all(isinstance(column, Expression) for column in columns):
        raise QueryError(
            f"token{columns!r}", remedy="Give the columns of the partition key, such as token(Reading.org)"
        )
    return Token(tuple(column.field for column in columns))


def token_text(fields: tuple[FieldPlan, ...]) -> str:
    """The token of these columns as CQL."""
    return f"token({', '.join(field.quoted for field in fields)})"
