"""How the fields of a model say what they are: `PK[UUID]`, `Col[str] = col(index=True)`, or `Annotated[UUID, PK()]`.

Type checkers see descriptors, which give an expression on the class and the value on an instance. At run time each is
an `Annotated[T, marker]`, which is all that pydantic needs to see.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, overload

from pydantic import Field
from pydantic_core import PydanticUndefined

from cassorm.orm.markers import IndexOn, Marker, Options, index_on
from cassorm.schema.table import Order

if TYPE_CHECKING:
    from cassorm.orm.expressions import Expression
    from cassorm.orm.parts import CounterExpression, ListExpression, MapExpression, SetExpression

T = TypeVar("T")
E = TypeVar("E")
K = TypeVar("K")
V = TypeVar("V")

if TYPE_CHECKING:

    class Col(Marker, Generic[T]):
        """A column: `kind: Col[str] = col(default="")`."""

        @overload
        def __get__(self: "Col[set[E]]", instance: None, owner: Any) -> "SetExpression[set[E], E]": ...
        @overload
        def __get__(self: "Col[set[E] | None]", instance: None, owner: Any) -> "SetExpression[set[E] | None, E]": ...
        @overload
        def __get__(self: "Col[frozenset[E]]", instance: None, owner: Any) -> "SetExpression[frozenset[E], E]": ...
        @overload
        def __get__(
            self: "Col[frozenset[E] | None]", instance: None, owner: Any
        ) -> "SetExpression[frozenset[E] | None, E]": ...
        @overload
        def __get__(self: "Col[list[E]]", instance: None, owner: Any) -> "ListExpression[list[E], E]": ...
        @overload
        def __get__(self: "Col[list[E] | None]", instance: None, owner: Any) -> "ListExpression[list[E] | None, E]": ...
        @overload
        def __get__(self: "Col[tuple[E, ...]]", instance: None, owner: Any) -> "ListExpression[tuple[E, ...], E]": ...
        @overload
        def __get__(
            self: "Col[tuple[E, ...] | None]", instance: None, owner: Any
        ) -> "ListExpression[tuple[E, ...] | None, E]": ...
        @overload
        def __get__(self: "Col[dict[K, V]]", instance: None, owner: Any) -> "MapExpression[dict[K, V], K, V]": ...
        @overload
        def __get__(
            self: "Col[dict[K, V] | None]", instance: None, owner: Any
        ) -> "MapExpression[dict[K, V] | None, K, V]": ...
        @overload
        def __get__(self, instance: None, owner: Any) -> "Expression[T]": ...
        @overload
        def __get__(self, instance: object, owner: Any) -> T: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __set__(self, instance: Any, value: T) -> None: ...

    class PK(Col[T]):
        """A column of the partition key; several make it composite, in the order of the fields."""

    class CK(Col[T]):
        """A clustering column: it orders the rows of a partition; several order within each other."""

    class Static(Col[T]):
        """A column with one value for the whole partition."""

    class Version(Col[T]):
        """A number that `db.save` compares and advances: who read an older one is told, and overwrites nothing."""

    class Counter(Col[int]):
        """A counter, changed by `Model.update(Model.hits + 1)` alone."""

        @overload
        def __get__(self, instance: None, owner: Any) -> CounterExpression: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> int: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...

else:

    class Col(Marker):
        """A column: `kind: Col[str] = col(default="")`."""

    class PK(Marker):
        """A column of the partition key; several make it composite, in the order of the fields."""

        kind = "partition"

    class CK(Marker):
        """A clustering column: it orders the rows of a partition; several order within each other."""

        kind = "clustering"

    class Static(Marker):
        """A column with one value for the whole partition."""

        kind = "static"

    class Version(Marker):
        """A number that `db.save` compares and advances: who read an older one is told, and overwrites nothing."""

        kind = "version"

    class _Counter(Marker):
        kind = "counter"

    Counter = Annotated[int, _Counter()]
    """A counter, changed by `Model.update(Model.hits + 1)` alone."""


def col(
    *,
    default: Any = PydanticUndefined,
    default_factory: Callable[[], Any] | None = None,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - the word of CQL
    index: bool | IndexOn = False,
    truncate: bool = False,
    unique: bool = False,
    **field_options: Any,
) -> Any:
    """What a column has beyond its type; `field_options` are those of `pydantic.Field`, such as `ge=0` or `alias=`.

    `name` is the column's where it is not the attribute's; `type` its CQL type where it is not that of the Python
    type; `truncate` lets a timestamp lose what is below the millisecond; `unique` keeps two rows from holding one value.
    """
    return _field(Options(name, type, None, index_on(index), truncate, unique), default, default_factory, field_options)


def pk(
    *,
    default: Any = PydanticUndefined,
    default_factory: Callable[[], Any] | None = None,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - the word of CQL
    index: bool | IndexOn = False,
    **field_options: Any,
) -> Any:
    """What a partition key column has beyond its type; see `col`."""
    return _field(Options(name, type, None, index_on(index)), default, default_factory, field_options)


def ck(
    *,
    order: Order = "asc",
    default: Any = PydanticUndefined,
    default_factory: Callable[[], Any] | None = None,
    name: str | None = None,
    type: str | None = None,  # noqa: A002 - the word of CQL
    index: bool | IndexOn = False,
    **field_options: Any,
) -> Any:
    """What a clustering column has beyond its type: the order in which rows are kept; see `col`."""
    return _field(Options(name, type, order, index_on(index)), default, default_factory, field_options)


def _field(options: Options, default: Any, default_factory: Any, field_options: dict[str, Any]) -> Any:
    if default_factory is not None:
        field_options["default_factory"] = default_factory
    elif default is not PydanticUndefined:
        field_options["default"] = default
    made: Any = Field(**field_options)
    made.metadata.append(options)
    return made
