"""A field of a model as what queries need of it: its column, its codec, its place in errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cassorm.errors import QueryError, RowError
from cassorm.orm.codec import Codec
from cassorm.orm.markers import IndexOn, Kind
from cassorm.schema.table import Order

_SHOWN = 80


@dataclass(frozen=True, slots=True, eq=False)
class FieldPlan:
    """One column of a model; `default` makes what stands for NULL where the type has no None, or is None."""

    owner: str
    attribute: str
    column: str
    quoted: str
    codec: Codec
    kind: Kind
    order: Order
    nullable: bool
    index: IndexOn | None
    default: Callable[[], Any] | None
    unique: bool = False

    @property
    def where(self) -> str:
        """How errors name the field."""
        return f"{self.owner}.{self.attribute}"

    @property
    def is_key(self) -> bool:
        """Whether it is a column of the primary key."""
        return self.kind in ("partition", "clustering")

    def encode(self, value: Any, by: Callable[[Any], Any] | None = None) -> Any:
        """The value as the driver takes it; `by` encodes a part of it.

        Raises:
            QueryError: it does not fit the column; nothing was sent.
        """
        try:
            return (by or self.codec.encode)(value)
        except (TypeError, ValueError, OverflowError) as error:
            shown = repr(value)
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            raise QueryError(
                f"{shown} does not fit {self.codec.cql}: {error}",
                where=self.where,
                remedy=f"Give a value that a {self.codec.cql} holds",
            ) from error

    def _made(self, default: Callable[[], Any]) -> Any:
        try:
            return default()
        except Exception as error:  # whatever a factory of the user's raises
            raise RowError(
                f"NULL in column {self.column}, and its default cannot be made: {error!r}",
                where=self.where,
                remedy="Let the factory take nothing, or let the type be `... | None`",
            ) from error

    def decoded(self, value: Any) -> Any:
        """The Python value of what the driver gave, the default for a NULL that the type has no None for.

        Raises:
            RowError: what is stored does not fit the field.
        """
        try:
            found = self.codec.decoded(value)
        except Exception as error:  # whatever a stored value makes a codec raise
            raise RowError(str(error), where=self.where, remedy="Correct the row, or the type of the field") from error
        if found is None or (value is None and self.nullable):
            if self.nullable:
                return None
            if self.default is not None:
                return self._made(self.default)
            raise RowError(
                f"NULL in column {self.column}, whose type has no None",
                where=self.where,
                remedy="Give the field a default, or let its type be `... | None`",
            )
        return found
