"""Columns that can be asked for, and changed, in part: sets, lists, maps and counters."""

from builtins import set as builtin_set
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cassorm.errors import QueryError
from cassorm.orm.expressions import RANGES, Assignment, Comparable, Condition, Expression, Operator
from cassorm.orm.field_plan import FieldPlan

T = TypeVar("T")
E = TypeVar("E")
K = TypeVar("K")
V = TypeVar("V")


class _Collection(Expression[T], Generic[T, E]):
    __slots__ = ()

    def contains(self, value: E) -> Condition:
        """The collection holds `value`: an item of a list or set, a value of a map.

        Raises:
            QueryError: the column is a vector, or the value does not fit.
        """
        part = _part(self.field, at=-1)
        return Condition(self.field, "CONTAINS", f"{self.field.quoted} CONTAINS ?", (self.field.encode(value, part),))


class SetExpression(_Collection[T, E]):
    """A column that holds a set."""

    __slots__ = ()

    def add(self, *items: E) -> Assignment:
        """The set holds `items` as well."""
        return _changed(self.field, "+", _distinct(self.field, items))

    def remove(self, *items: E) -> Assignment:
        """None of `items` is left in the set."""
        return _changed(self.field, "-", _distinct(self.field, items))


def _distinct(field: FieldPlan, items: tuple[Any, ...]) -> builtin_set[Any]:
    made: builtin_set[Any] = field.encode(items, builtin_set)
    return made


class ListExpression(_Collection[T, E]):
    """A column that holds a list."""

    __slots__ = ()

    def append(self, *items: E) -> Assignment:
        """The list ends with `items`."""
        return _changed(self.field, "+", list(items), once=True)

    def prepend(self, *items: E) -> Assignment:
        """The list begins with `items`."""
        field = self.field
        _check_unfrozen(field)
        return Assignment(field, f"{field.quoted} = ? + {field.quoted}", (field.encode(list(items)),), once=True)

    def remove(self, *items: E) -> Assignment:
        """None of `items` is left in the list."""
        return _changed(self.field, "-", list(items))


class MapExpression(_Collection[T, V], Generic[T, K, V]):
    """A column that holds a map."""

    __slots__ = ()

    def contains_key(self, key: K) -> Condition:
        """The map has `key`.

        Raises:
            QueryError: the key does not fit.
        """
        text = f"{self.field.quoted} CONTAINS KEY ?"
        return Condition(self.field, "CONTAINS KEY", text, (self.field.encode(key, _part(self.field, at=0)),))

    def __getitem__(self, key: K) -> "Entry[V]":
        return Entry(self.field, self.field.encode(key, _part(self.field, at=0)))

    def put(self, entries: dict[K, V]) -> Assignment:
        """The map holds `entries` as well."""
        return _changed(self.field, "+", entries)

    def drop(self, *keys: K) -> Assignment:
        """The map has none of `keys` any more."""
        field = self.field
        _check_unfrozen(field)
        encoded = [field.encode(key, _part(field, at=0)) for key in keys]
        return Assignment(field, f"{field.quoted} = {field.quoted} - ?", (encoded,))


class Entry(Comparable[V]):
    """The value of one key of a map: `Reading.labels["room"]`."""

    __slots__ = ("field", "key")

    def __init__(self, field: FieldPlan, key: Any) -> None:
        self.field = field
        self.key = key

    def compared(self, operator: Operator, other: Any) -> Condition:
        """The condition that an operator stands for; see the base."""
        if other is None and operator in RANGES:
            raise QueryError(f"{operator} None", where=self.field.where, remedy="Compare with a value")
        value = None if other is None else self.field.encode(other, _part(self.field, at=1))
        return Condition(self.field, operator, f"{self.field.quoted}[?] {operator} ?", (self.key, value), "entry")

    def set(self, value: V) -> Assignment:
        """The key holds `value` afterwards; None removes the key."""
        _check_unfrozen(self.field)
        encoded = None if value is None else self.field.encode(value, _part(self.field, at=1))
        return Assignment(self.field, f"{self.field.quoted}[?] = ?", (self.key, encoded))


class CounterExpression(Expression[int]):
    """A column that counts."""

    __slots__ = ()

    def __add__(self, by: int) -> Assignment:
        return self._counted("+", by)

    def __sub__(self, by: int) -> Assignment:
        return self._counted("-", by)

    def _counted(self, sign: str, by: int) -> Assignment:
        field = self.field
        return Assignment(field, f"{field.quoted} = {field.quoted} {sign} ?", (field.encode(by),), once=True)


_OF_TYPES: dict[str, Callable[[FieldPlan], Expression[Any]]] = {
    "counter": CounterExpression,
    "list": ListExpression,
    "map": MapExpression,
    "set": SetExpression,
    "vector": ListExpression,
}


def expression_of(field: FieldPlan) -> Expression[Any]:
    """What the class's attribute of this field is."""
    return _OF_TYPES.get(field.codec.cql.name, Expression)(field)


def _changed(field: FieldPlan, sign: str, value: Any, *, once: bool = False) -> Assignment:
    _check_unfrozen(field)
    return Assignment(field, f"{field.quoted} = {field.quoted} {sign} ?", (field.encode(value),), once)


def _part(field: FieldPlan, *, at: int) -> Callable[[Any], Any]:
    if field.codec.cql.name == "vector":
        raise QueryError("is a vector, which has no parts", where=field.where, remedy="Use nearest(), or a list")
    return field.codec.parts[at].encode


def _check_unfrozen(field: FieldPlan) -> None:
    if not field.codec.cql.is_multicell:
        raise QueryError(
            f"is a {field.codec.cql}, whose parts cannot change",
            where=field.where,
            remedy="Replace it as a whole with set()",
        )
