"""What one file declares, and where: before the files of a schema are put together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cassorm.errors import QueryError, SchemaError, SchemaFileError
from cassorm.schema.keyspace import Keyspace
from cassorm.schema.table import Clustering, Index, Order, Table, UserType, View


@dataclass(frozen=True, slots=True)
class Place:
    """The file of a table, type or keyspace, and the line of each part: `("columns", "total")`, `("key",)`, `()`."""

    file: str | None = None
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def line(self, part: tuple[str, ...] = ()) -> int | None:
        """The line of `part`, or of what it belongs to; None in a dict."""
        for length in range(len(part), -1, -1):
            if part[:length] in self.lines:
                return self.lines[part[:length]]
        return None

    def error(self, problem: str, *, remedy: str, part: tuple[str, ...] = ()) -> SchemaFileError:
        """An error that names this place."""
        return SchemaFileError(problem, file=self.file, line=self.line(part), remedy=remedy)

    @contextmanager
    def named(self) -> Iterator[None]:
        """Give the errors of the block this place.

        Raises:
            SchemaFileError: in place of any other error about the schema.
        """
        try:
            yield
        except SchemaFileError:
            raise
        except (SchemaError, QueryError) as error:
            problem = f"{error.where}: {error.problem}" if error.where else error.problem
            part = getattr(error, "part", ())
            raise self.error(problem, remedy=error.remedy or "Correct it there", part=part) from error

    def __str__(self) -> str:
        return f"{self.file}:{self.line()}" if self.file else "the same schema"


@dataclass(frozen=True, slots=True)
class Attached:
    """An index or view that was declared by itself, and the table that it belongs to."""

    keyspace: str | None
    table: str
    part: Index | View


Declared = tuple[Keyspace | UserType | Table | Attached, Place]


def ordered(clustering: Sequence[str], orders: Mapping[str, Order]) -> Clustering:
    """The clustering columns with their orders, ascending where none is given.

    Raises:
        SchemaError: an order is given for something else.
    """
    for name in orders:
        if name not in clustering:
            raise SchemaError(
                f"clustering order of {name}, which is no clustering column",
                remedy=f"Order {', '.join(clustering)}"
                if clustering
                else "Remove it: the key has no clustering columns",
                part=("clustering_order", name),
            )
    return tuple((name, orders.get(name, "asc")) for name in clustering)
