"""Whether the live columns that a statement names are those that the model declares."""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from cassorm.cql.types import CqlType, parse_type
from cassorm.driver.prepared import Check, Prepared
from cassorm.errors import QueryError, SchemaDriftError
from cassorm.orm.field_plan import FieldPlan
from cassorm.schema.table import Table, UserType

# What a marker in `x IN ?`, `x[?]` or `x CONTAINS ?` is called.
_PART = re.compile(r"(in|key|value)\((.+)\)")
# Within a group whatever is stored comes back as it is, or does not fit and is refused.
_ALIKE = (
    frozenset({"tinyint", "smallint", "int", "bigint", "varint"}),
    frozenset({"text", "ascii"}),
    frozenset({"uuid", "timeuuid"}),
)


class Declared(Protocol):
    """What of a model's plan is compared."""

    @property
    def where(self) -> str:
        """How errors name the model."""

    @property
    def table(self) -> Table:
        """Its table."""

    @property
    def user_types(self) -> tuple[UserType, ...]:
        """The user types that it uses."""

    @property
    def by_column(self) -> Mapping[str, FieldPlan]:
        """Its fields by the names of their columns."""


def check_of(plan: Declared) -> Check:
    """What refuses a statement whose columns have other types on the server than in the model.

    Raises:
        SchemaDriftError: when it is called: the statement would write or read values as what they are not.
    """

    def check(prepared: Prepared) -> None:
        differences = [*dict.fromkeys(_differences(plan, prepared))]
        if differences:
            raise SchemaDriftError(
                f"table {plan.table.name}",
                differences,
                remedy=f"Correct {plan.where}, or the table: `cassorm schema diff` tells all of it",
            )

    return check


def _differences(plan: Declared, prepared: Prepared) -> Iterator[str]:
    counts = "COUNT(*)" in prepared.text
    seen = [*zip(prepared.columns, prepared.types, strict=True), *prepared.returns]
    for name, live in seen:
        if name == "count" and counts:
            continue
        found = _PART.fullmatch(name)
        part, column = found.groups() if found and name not in plan.by_column else ("", name)
        field = plan.by_column.get(column)
        if field is not None and not _suits(part, live, field.codec.cql):
            yield f"column {column} is {_text(part, live)}, and {field.where} is {field.codec.cql}"
    for kind in plan.user_types:
        live_fields = dict(prepared.user_types.get(kind.name, ()))
        for field_ in kind.fields if live_fields else ():
            live = live_fields.get(field_.name, "")
            if not live:
                yield f"type {kind.name} has no field {field_.name}; there are {', '.join(live_fields)}"
            elif not _alike(live, field_.cql_type):
                yield f"field {field_.name} of type {kind.name} is {live}, and the model's is {field_.type}"


def _suits(part: str, live: str, own: CqlType) -> bool:
    if part == "in":
        return _alike(live.removeprefix("list<").removesuffix(">"), own)
    if part and own.args:
        return _alike(live, own.args[0 if part == "key" else -1])
    # The keys that are dropped from a map come as a set.
    dropped = own.name == "map" and _alike(live, CqlType("set", own.args[:1]))
    return dropped or _alike(live, own)


def _alike(live: str, own: CqlType) -> bool:
    try:
        return _same(parse_type(live), own)
    except QueryError:  # a class of the server's own, of which the model knows no more
        return True


def _same(live: CqlType, own: CqlType) -> bool:
    if live.name == own.name:
        sizes = live.size == own.size and len(live.args) == len(own.args)
        return sizes and all(map(_same, live.args, own.args))
    return any({live.name, own.name} <= group for group in _ALIKE) or (own.name, live.name) == ("float", "double")


def _text(part: str, live: str) -> str:
    return f"of {live} in its {part}s" if part in ("key", "value") else live
