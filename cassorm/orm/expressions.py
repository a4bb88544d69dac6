"""Conditions, orders and assignments as values: what `Reading.ts > since` and `Reading.tags.add("x")` are."""

from builtins import set as builtin_set
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, NoReturn, TypeVar

from cassorm.errors import QueryError
from cassorm.orm.field_plan import FieldPlan

T = TypeVar("T")
E = TypeVar("E")
K = TypeVar("K")
V = TypeVar("V")

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "IN", "CONTAINS", "CONTAINS KEY", "ENTRY"]
RANGES = ("<", "<=", ">", ">=")


def _no_truth(what: str, remedy: str) -> NoReturn:
    raise QueryError(f"{what} has no truth value", remedy=remedy)


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One restriction of a column; `params` are what the driver takes. Several are joined by AND."""

    field: FieldPlan
    operator: Operator
    text: str
    params: tuple[Any, ...]

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


class _Comparable(Generic[T]):
    """What stands left of an operator."""

    __slots__ = ()

    def _compared(self, operator: Operator, other: Any) -> Condition:
        raise NotImplementedError

    def __eq__(self, other: T) -> Condition:  # type: ignore[override]
        return self._compared("=", other)

    def __ne__(self, other: T) -> Condition:  # type: ignore[override]
        return self._compared("!=", other)

    def __lt__(self, other: T) -> Condition:
        return self._compared("<", other)

    def __le__(self, other: T) -> Condition:
        return self._compared("<=", other)

    def __gt__(self, other: T) -> Condition:
        return self._compared(">", other)

    def __ge__(self, other: T) -> Condition:
        return self._compared(">=", other)

    __hash__ = None  # type: ignore[assignment]


class Expression(_Comparable[T]):
    """A column of a model, as the class's attribute: compare it, order by it, assign to it."""

    __slots__ = ("field",)

    def __init__(self, field: FieldPlan) -> None:
        self.field = field

    def __repr__(self) -> str:
        return self.field.where

    def __bool__(self) -> bool:  # noqa: PLE0304 - it only refuses
        _no_truth(self.field.where, "Compare it, or read the value from an instance")

    def _compared(self, operator: Operator, other: Any) -> Condition:
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
        if isinstance(values, str | bytes):
            raise QueryError(f"in_({values!r})", where=self.field.where, remedy="Give a list of values")
        return Condition(
            self.field, "IN", f"{self.field.quoted} IN ?", ([self.field.encode(value) for value in values],)
        )

    def contains(
        self: "Expression[list[E]] | Expression[builtin_set[E]] | Expression[frozenset[E]] | Expression[dict[K, E]]",
        value: E,
    ) -> Condition:
        """The collection holds `value`: an item of a list or set, a value of a map.

        Raises:
            QueryError: the column is no collection, or the value does not fit.
        """
        part = _part(self.field, "list", "set", "map", at=-1)
        return Condition(self.field, "CONTAINS", f"{self.field.quoted} CONTAINS ?", (self.field.encode(value, part),))

    def contains_key(self: "Expression[dict[K, V]]", key: K) -> Condition:
        """The map has `key`.

        Raises:
            QueryError: the column is no map, or the key does not fit.
        """
        part = _part(self.field, "map", at=0)
        text = f"{self.field.quoted} CONTAINS KEY ?"
        return Condition(self.field, "CONTAINS KEY", text, (self.field.encode(key, part),))

    def __getitem__(self: "Expression[dict[K, V]]", key: K) -> "Entry[V]":
        return Entry(self.field, self.field.encode(key, _part(self.field, "map", at=0)))

    def __iter__(self) -> NoReturn:
        raise TypeError(f"{self.field.where} is a column: read the value from an instance")

    def asc(self) -> Ordering:
        """The rows with the smallest value first."""
        return Ordering(self.field, descending=False)

    def desc(self) -> Ordering:
        """The rows with the greatest value first."""
        return Ordering(self.field, descending=True)

    # -- assignments ---------------------------------------------------------------------------------------------

    def set(self, value: T) -> Assignment:
        """The column holds `value` afterwards; None removes what stands there."""
        encoded = None if value is None else self.field.encode(value)
        return Assignment(self.field, f"{self.field.quoted} = ?", (encoded,))

    def add(self: "Expression[builtin_set[E]] | Expression[frozenset[E]]", *items: E) -> Assignment:
        """The set holds `items` as well."""
        return self._changed("+", ("set",), builtin_set(items))

    def remove(
        self: "Expression[builtin_set[E]] | Expression[frozenset[E]] | Expression[list[E]]", *items: E
    ) -> Assignment:
        """None of `items` is left in the set or list."""
        field = self.field
        kind = field.codec.cql.name
        return self._changed("-", ("set", "list"), list(items) if kind == "list" else builtin_set(items))

    def append(self: "Expression[list[E]]", *items: E) -> Assignment:
        """The list ends with `items`."""
        return self._changed("+", ("list",), list(items), once=True)

    def prepend(self: "Expression[list[E]]", *items: E) -> Assignment:
        """The list begins with `items`."""
        field = self.field
        _unfrozen(field, "list")
        return Assignment(field, f"{field.quoted} = ? + {field.quoted}", (field.encode(list(items)),), once=True)

    def put(self: "Expression[dict[K, V]]", entries: dict[K, V]) -> Assignment:
        """The map holds `entries` as well."""
        return self._changed("+", ("map",), entries)

    def drop(self: "Expression[dict[K, V]]", *keys: K) -> Assignment:
        """The map has none of `keys` any more."""
        field = self.field
        _unfrozen(field, "map")
        part = _part(field, "map", at=0)
        return Assignment(field, f"{field.quoted} = {field.quoted} - ?", ([field.encode(key, part) for key in keys],))

    def __add__(self: "Expression[int]", by: int) -> Assignment:
        return _counted(self.field, "+", by)

    def __sub__(self: "Expression[int]", by: int) -> Assignment:
        return _counted(self.field, "-", by)

    def _changed(self, sign: str, kinds: tuple[str, ...], value: Any, *, once: bool = False) -> Assignment:
        field = self.field
        _unfrozen(field, *kinds)
        return Assignment(field, f"{field.quoted} = {field.quoted} {sign} ?", (field.encode(value),), once)

    # -- functions of the server ---------------------------------------------------------------------------------

    def max(self) -> Aggregate:
        """The greatest value."""
        return Aggregate(f"MAX({self.field.quoted})", self.field.codec.decoded)

    def min(self) -> Aggregate:
        """The smallest value."""
        return Aggregate(f"MIN({self.field.quoted})", self.field.codec.decoded)

    def sum(self) -> Aggregate:
        """The sum, as the server computes it: in the type of the column, which may overflow."""
        return Aggregate(f"SUM({self.field.quoted})")

    def avg(self) -> Aggregate:
        """The average, as the server computes it: in the type of the column, whole for whole numbers."""
        return Aggregate(f"AVG({self.field.quoted})")


class Entry(_Comparable[V]):
    """The value of one key of a map: `Reading.labels["room"]`."""

    __slots__ = ("field", "key")

    def __init__(self, field: FieldPlan, key: Any) -> None:
        self.field = field
        self.key = key

    def _compared(self, operator: Operator, other: Any) -> Condition:
        if operator in RANGES or operator == "!=":
            raise QueryError(f"{operator} of a map's entry", where=self.field.where, remedy="Compare with ==")
        value = self.field.encode(other, _part(self.field, "map", at=1))
        return Condition(self.field, "ENTRY", f"{self.field.quoted}[?] = ?", (self.key, value))

    def set(self, value: V) -> Assignment:
        """The key holds `value` afterwards; None removes the key."""
        _unfrozen(self.field, "map")
        encoded = None if value is None else self.field.encode(value, _part(self.field, "map", at=1))
        return Assignment(self.field, f"{self.field.quoted}[?] = ?", (self.key, encoded))


def _part(field: FieldPlan, *kinds: str, at: int) -> Callable[[Any], Any]:
    if field.codec.cql.name not in kinds:
        raise QueryError(
            f"is a {field.codec.cql}, no {' or '.join(kinds)}", where=field.where, remedy="Compare it with == or in_()"
        )
    return field.codec.parts[at].encode


def _unfrozen(field: FieldPlan, *kinds: str) -> None:
    cql = field.codec.cql
    if cql.name not in kinds or not cql.is_multicell:
        raise QueryError(
            f"is a {cql}, no {' or '.join(kinds)} whose parts can change",
            where=field.where,
            remedy="Replace it as a whole with set()",
        )


def _counted(field: FieldPlan, sign: str, by: int) -> Assignment:
    if field.kind != "counter":
        raise QueryError(
            f"{sign} of a {field.codec.cql}", where=field.where, remedy="Only counters count: use set(), or Counter"
        )
    return Assignment(field, f"{field.quoted} = {field.quoted} {sign} ?", (field.encode(by),), once=True)
