"""Which column of a new table takes what from the old one, and what stands in the way: a comparison of two values."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from cassorm.cql.types import CqlType
from cassorm.errors import SchemaError
from cassorm.schema.table import Column, Table

# Every value of the first type is one of the others.
_WIDER: dict[str, tuple[str, ...]] = {
    "tinyint": ("smallint", "int", "bigint", "varint"),
    "smallint": ("int", "bigint", "varint"),
    "int": ("bigint", "varint"),
    "bigint": ("varint",),
    "float": ("double",),
    "ascii": ("text",),
    "timeuuid": ("uuid",),
}


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A copy that can be made: `cells` are the columns outside the target's key, `statics` those for a partition."""

    source: Table
    target: Table
    cells: tuple[str, ...]
    statics: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the copy is remembered by."""
        return f"{self.source.keyspace}.{self.source.name} > {self.target.keyspace}.{self.target.name}"


def plan_copy(source: Table, target: Table, *, lose: Collection[str] = ()) -> CopyPlan:
    """The copy of every row of `source` into `target`; columns that only the source has are those in `lose`.

    Raises:
        SchemaError: a row could not be placed, would be merged with another, or would lose a value.
    """
    where = f"copy of {source.keyspace}.{source.name} to {target.keyspace}.{target.name}"
    problem = _obstacle(source, target, lose)
    if problem is not None:
        raise SchemaError(problem[0], where=where, remedy=problem[1])
    shared = [column for column in target.columns if source.column(column.name) and column.name not in target.key]
    return CopyPlan(
        source,
        target,
        tuple(column.name for column in shared if not column.static),
        tuple(column.name for column in shared if column.static),
    )


def _obstacle(source: Table, target: Table, lose: Collection[str]) -> tuple[str, str] | None:
    if (source.keyspace, source.name) == (target.keyspace, target.name):
        return "the table onto itself", "Name the new table second"
    if source.has_counters or target.has_counters:
        return "counters", "Counters cannot be written, and added twice they count twice: sum them up anew"
    for name in target.key:
        if source.column(name) is None:
            return f"key column {name} is not in the source", "Fill it in a .py migration of your own"
    for name in source.key:
        if name not in target.key:
            return f"{name} is not in the new key", "Rows that differ in it alone would become one: add it to the key"
    for column in source.columns:
        found = target.column(column.name)
        if found is None:
            if column.name not in lose:
                return f"column {column.name} is not in the target", f"Add it there, or say --lose {column.name}"
            continue
        if (obstacle := _column_obstacle(column, found, source, target)) is not None:
            return obstacle
    return None


def _column_obstacle(column: Column, found: Column, source: Table, target: Table) -> tuple[str, str] | None:
    if not _holds(column.cql_type, found.cql_type):
        remedy = "Convert the values in a .py migration of your own"
        return f"column {column.name} is {column.type}, and {found.type} in the target", remedy
    if found.static and not column.static:
        return f"column {column.name} becomes static", "The rows of a partition have a value each: keep it as it is"
    if found.static and set(source.partition_key) != set(target.partition_key):
        return f"static column {column.name} of other partitions", "Make it a regular column in the target"
    if column.static and found.name in target.key:
        return f"static column {column.name} becomes part of the key", "Fill it in a .py migration of your own"
    return None


def _holds(kind: CqlType, other: CqlType) -> bool:
    # The values are the same whether frozen or not.
    if replace(kind, frozen=False) == replace(other, frozen=False):
        return True
    return kind == other or other.name in _WIDER.get(kind.name, ())
