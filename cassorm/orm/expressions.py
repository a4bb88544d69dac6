"""Conditions, orders and assignments as values: what `Reading.ts > since` and `Reading.tags.add("x")` are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

from cassorm.errors import QueryError
from cassorm.orm.field_plan import FieldPlan

T = TypeVar("T")

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "IN", "CONTAINS", "CONTAINS KEY"]
Place = Literal["column", "entry", "token"]
RANGES = ("<", "<=", ">", ">=")
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "varint", "float", "double", "decimal", "counter")
_COUNTERS = "Only counters count: use set(), or declare the field as Counter"


def _no_truth(what: str, remedy: str) -> NoReturn:
    raise QueryError(f"{what} has no truth value", remedy=remedy)


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One restriction; `params` are what the driver takes. Several are joined by AND.

    `on` tells what of `field` is restricted: the column, an entry of its map, or the token of the key it begins.
    """

    field: FieldPlan
    operator: Operator
    text: str
    params: tuple[Any, ...]
    on: Place = "column"

    def __repr__(self) -> str:
        return f"Condition({self.text!r}, {self.params!r})"

    def __bool__(self) -> bool:  # noqa: PLE0304 - it only refuses
        _no_truth(f"the condition {self.text}", "Give several conditions to where(), separated by commas")

    def __and__(self, other: object) -> NoReturn:
        raise QueryError(f"& after the condition {self.text}", remedy="Give several conditions to where(): all hold")

    def __or__(self, other: object) -> NoReturn:
        raise QueryError(f"| after the condition {self.text}", remedy="CQL has no OR: use in_(), or run two queries")


@dataclass(frozen=True, slots=True)
class Ordering:
    """A column and the direction in which its rows are wanted."""

    field: FieldPlan
    descending: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """One change of a column, for `Model.update(...)`; `once` when doing it twice is not the same as once."""

    field: FieldPlan
    text: str
    params: tuple[Any, ...]
    once: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A function of the server over the rows of a query, or of each group."""

    text: str
    decode: Callable[[Any], Any] | None = None


def count_rows() -> Aggregate:
    """How many rows there are, for `Query.values`."""
    return Aggregate("COUNT(*)")


class _MissingPartError(QueryError, AttributeError):
    """An attribute that columns of this type have not, found missing as Python expects it."""


class Comparable(Generic[T]):
    """What stands left of an operator."""

    __slots__ = ()

    def compared(self, operator: Operator, other: Any) -> Condition:
        """The condition that an operator stands for.

        Raises:
            QueryError: `other` does not fit, or cannot be compared so.
        """
        raise NotImplementedError

    def __eq__(self, other: T) -> Condition:  # type: ignore[override]
        return self.compared("=", other)

    def __ne__(self, other: T) -> Condition:  # type: ignore[override]
        return self.compared("!=", other)

    def __lt__(self, other: T) -> Condition:
        return self.compared("<", other)

    def __le__(self, other: T) -> Condition:
        return self.compared("<=", other)

    def __gt__(self, other: T) -> Condition:
        return self.compared(">", other)

    def __ge__(self, other: T) -> Condition:
        return self.compared(">=", other)

    __hash__ = None  # type: ignore[assignment]


def listed(values: Iterable[T], what: str, *, where: str) -> list[T]:
    """The values of `what`.

    Raises:
        QueryError: it is given one value, or none that has an order.
    """
    if isinstance(values, str | bytes | Expression) or not isinstance(values, Iterable):
        raise QueryError(f"{what} of {values!r}", where=where, remedy="Give a list of values")
    return list(values)


class Expression(Comparable[T]):
    """A column of a model, as the class's attribute: compare it, order by it, assign to it."""

    __slots__ = ("field",)

    def __init__(self, field: FieldPlan) -> None:
        self.field = field

    def __repr__(self) -> str:
        return self.field.where

    def __bool__(self) -> bool:  # noqa: PLE0304 - it only refuses
        _no_truth(self.field.where, "Compare it, or read the value from an instance")

    def compared(self, operator: Operator, other: Any) -> Condition:
        """The condition that an operator stands for; see the base."""
        field = self.field
        if other is None:
            if operator not in ("=", "!="):
                raise QueryError(f"{operator} None", where=field.where, remedy="Compare with a value")
            return Condition(field, operator, f"{field.quoted} {operator} ?", (None,))
        floor = field.codec.floor
        if floor is not None and operator in RANGES:
            low = field.encode(other, floor)
            try:
                field.codec.encode(other)
            except ValueError:
                # Finer than what is stored: what is below the next storable value is not above the one before.
                operator = ">" if operator in (">", ">=") else "<="
            return Condition(field, operator, f"{field.quoted} {operator} ?", (low,))
        if operator in RANGES and field.codec.cql.is_multicell:
            raise QueryError(f"{operator} of a {field.codec.cql}", where=field.where, remedy="Use contains()")
        return Condition(field, operator, f"{field.quoted} {operator} ?", (field.encode(other),))

    def in_(self, values: Iterable[T]) -> Condition:
        """The column is one of `values`; none of them finds nothing.

        Raises:
            QueryError: a value does not fit the column.
        """
        field = self.field
        encoded = [field.encode(value) for value in listed(values, "in_()", where=field.where)]
        if len(encoded) == 1:
            # Servers do with one value what they refuse with several.
            return Condition(field, "=", f"{field.quoted} = ?", (encoded[0],))
        return Condition(field, "IN", f"{field.quoted} IN ?", (encoded,))

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self.field.where} is a column: read the value from an instance")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise _MissingPartError(
                f"has no {name}: it is a {self.field.codec.cql}",
                where=self.field.where,
                remedy="Compare it with == or in_(), or assign to it with set()",
            )

        def __add__(self, by: object) -> NoReturn:
            raise QueryError(f"{by!r} is added to a {self.field.codec.cql}", where=self.field.where, remedy=_COUNTERS)

        def __sub__(self, by: object) -> NoReturn:
            raise QueryError(f"{by!r} is taken from a {self.field.codec.cql}", where=self.field.where, remedy=_COUNTERS)

        def __getitem__(self, key: object) -> NoReturn:
            raise QueryError(
                f"[{key!r}] of a {self.field.codec.cql}", where=self.field.where, remedy="Only maps have keys"
            )

    def asc(self) -> Ordering:
        """The rows with the smallest value first."""
        return Ordering(self.field, descending=False)

    def desc(self) -> Ordering:
        """The rows with the greatest value first."""
        return Ordering(self.field, descending=True)

    def set(self, value: T) -> Assignment:
        """The column holds `value` afterwards; None removes what stands there."""
        encoded = None if value is None else self.field.encode(value)
        return Assignment(self.field, f"{self.field.quoted} = ?", (encoded,))

    def max(self) -> Aggregate:
        """The greatest value."""
        return Aggregate(f"MAX({self.field.quoted})", self.field.codec.decoded)

    def min(self) -> Aggregate:
        """The smallest value."""
        return Aggregate(f"MIN({self.field.quoted})", self.field.codec.decoded)

    def sum(self) -> Aggregate:
        """The sum, as the server computes it: in the type of the column, which may overflow.

        Raises:
            QueryError: the column holds no numbers.
        """
        return self._of_numbers("SUM")

    def avg(self) -> Aggregate:
        """The average, as the server computes it: in the type of the column, whole for whole numbers.

        Raises:
            QueryError: the column holds no numbers.
        """
        return self._of_numbers("AVG")

    def _of_numbers(self, function: str) -> Aggregate:
        field = self.field
        if field.codec.cql.name not in _NUMBERS:
            raise QueryError(
                f"{function} of a {field.codec.cql}",
                where=field.where,
                remedy="Only numbers have one: use max() or min()",
            )
        return Aggregate(f"{function}({field.quoted})")
