"""What a live table lacks, or has otherwise than wanted: a comparison of two values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from cassorm.schema.options import without_defaults
from cassorm.schema.table import ALL_COLUMNS, Clustering, Column, Index, Table, UserType, View

Kind = Literal[
    "missing keyspace",
    "missing type",
    "missing field",
    "missing table",
    "missing column",
    "missing key column",
    "missing index",
    "missing view",
    "wrong replication",
    "wrong field",
    "wrong type",
    "wrong static",
    "wrong key",
    "wrong order",
    "wrong index",
    "wrong view",
    "wrong option",
    "extra type",
    "extra field",
    "extra table",
    "extra column",
    "extra index",
    "extra view",
]
ADDABLE: tuple[Kind, ...] = ("missing column", "missing index", "missing view")


@dataclass(frozen=True, slots=True)
class Setting:
    """An option of a table and its value; the comment is one of them."""

    name: str
    value: object


Part = Column | Index | View | Setting


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: `text` says it in a sentence, `kind` and `detail` in two columns of a table.

    `wanted` and `live` are the part of the table that differs, where it is one that statements can name.
    """

    kind: Kind
    text: str
    detail: str
    wanted: Part | None = None
    live: Part | None = None

    @property
    def missing(self) -> Column | Index | View | None:
        """The part that is missing, when adding it is all that it takes."""
        return None if self.kind not in ADDABLE or isinstance(self.wanted, Setting) else self.wanted


def differences(wanted: Table, live: Table, *, options: bool = False) -> list[str]:
    """Every difference in words, in the order of the table's parts; empty when `live` can be used as `wanted`.

    What the live table has besides does not count: later releases add columns, and operators indexes. Options count
    when they are asked for, and of them those that `wanted` sets itself.
    """
    return [difference.text for difference in compare(wanted, live, options=options)]


def compare(wanted: Table, live: Table, *, options: bool = False, extra: bool = False) -> Iterator[Difference]:
    """Every difference, with the parts that differ; see `differences`. With `extra`, what the live table has besides."""
    yield from _columns(wanted, live)
    yield from _key(wanted, live)
    for index in wanted.indexes:
        yield from _index(index, live)
    for view in wanted.views:
        yield from _view(view, live)
    if extra:
        yield from _extras(wanted, live)
    if options:
        if wanted.comment and wanted.comment != live.comment:
            text = f"comment is {live.comment!r}, expected {wanted.comment!r}"
            yield Difference("wrong option", text, text, Setting("comment", wanted.comment))
        yield from _options(wanted.options, live.options)


def type_differences(wanted: UserType, live: UserType) -> list[str]:
    """Every difference between two user types in words; the order of the fields counts, it is that of the values."""
    return [difference.text for difference in compare_types(wanted, live)]


def compare_types(wanted: UserType, live: UserType, *, extra: bool = False) -> Iterator[Difference]:
    """Every difference between two user types, with the fields that differ; see `type_differences`."""
    fields = {column.name: column for column in live.fields}
    same = True
    for column in wanted.fields:
        found = fields.get(column.name)
        if found is None:
            same, shown = False, f"{column.name} {column.type}"
            yield Difference("missing field", f"missing field {shown}", shown, column)
        elif found.type != column.type:
            same, shown = False, f"{column.name} is {found.type}, expected {column.type}"
            yield Difference("wrong field", f"field {shown}", shown, column, found)
    names = [column.name for column in wanted.fields]
    if same and list(fields)[: len(names)] != names:
        text = f"fields are in the order {', '.join(fields)}, expected {', '.join(names)}"
        yield Difference("wrong field", text, text)
    for column in live.fields if extra else ():
        if column.name not in names:
            shown = f"{column.name} {column.type}"
            yield Difference("extra field", f"extra field {shown}", shown, live=column)


def _columns(wanted: Table, live: Table) -> Iterator[Difference]:
    for column in wanted.columns:
        found = live.column(column.name)
        if found is None:
            kind: Kind = "missing key column" if column.name in wanted.key else "missing column"
            shown = _column_text(column)
            yield Difference(kind, f"missing column {shown}", shown, column)
            continue
        if found.type != column.type:
            shown = f"{column.name} is {found.type}, expected {column.type}"
            yield Difference("wrong type", f"column {shown}", shown, column, found)
        if found.static != column.static:
            now, expected = ("static", "not static") if found.static else ("not static", "static")
            shown = f"{column.name} is {now}, expected {expected}"
            yield Difference("wrong static", f"column {shown}", shown, column, found)


def _column_text(column: Column) -> str:
    return f"{column.name} {column.type}{' static' if column.static else ''}"


def _key(wanted: Table, live: Table) -> Iterator[Difference]:
    expected, found = (key_text(table.partition_key, table.clustering) for table in (wanted, live))
    if expected != found:
        yield Difference("wrong key", f"key is {found}, expected {expected}", f"{found}, expected {expected}")
        return
    for (name, order), (_, now) in zip(wanted.clustering, live.clustering, strict=True):
        if order != now:
            text = f"clustering order of {name} is {now}, expected {order}"
            yield Difference("wrong order", text, f"{name} {now.upper()}, expected {order.upper()}")


def key_text(partition_key: tuple[str, ...], clustering: Clustering) -> str:
    """A primary key in words, without the orders: `((id), created_at)`."""
    partition = f"({', '.join(partition_key)})"
    return f"({', '.join([partition, *(name for name, _ in clustering)])})"


def _index(index: Index, live: Table) -> Iterator[Difference]:
    if any(_same_index(index, found) for found in live.indexes):
        return
    named = next((found for found in live.indexes if found.name == index.name), None)
    if named is None:
        shown = f"{index.name} on {index_text(index)}"
        yield Difference("missing index", f"missing index {shown}", shown, index)
    else:
        shown = f"{index.name} is on {index_text(named)}, expected {index_text(index)}"
        yield Difference("wrong index", f"index {shown}", shown, index, named)


def _same_index(wanted: Index, live: Index) -> bool:
    same_kind = wanted.kind is None or wanted.kind == live.kind
    return same_kind and (wanted.column, wanted.target, wanted.options) == (live.column, live.target, live.options)


def index_text(index: Index) -> str:
    """What is indexed and how, in words: `keys(tags) (sai)`."""
    target = f"{index.target}({index.column})" if index.target else index.column
    notes = [index.kind or "", *(f"{key}={value}" for key, value in index.options.items())]
    shown = ", ".join(filter(None, notes))
    return f"{target} ({shown})" if shown else target


def _view(view: View, live: Table) -> Iterator[Difference]:
    found = next((found for found in live.views if found.name == view.name), None)
    if found is None:
        shown = f"{view.name} by {key_text(view.partition_key, view.clustering)}"
        yield Difference("missing view", f"missing view {shown}", shown, view)
        return
    for problem in _view_problems(view, found, live):
        shown = f"{view.name} {problem}"
        yield Difference("wrong view", f"view {shown}", shown, view, found)


def _view_problems(view: View, found: View, live: Table) -> Iterator[str]:
    expected, now = (key_text(one.partition_key, one.clustering) for one in (view, found))
    if (view.partition_key, view.clustering) != (found.partition_key, found.clustering):
        if expected == now:
            expected, now = (_orders(one.clustering) for one in (view, found))
        yield f"has the key {now}, expected {expected}"
    if _selected(view, live) != _selected(found, live):
        yield f"selects {', '.join(found.columns)}, expected {', '.join(view.columns)}"
    if found.filter:
        yield f"filters: {found.filter}"


def _extras(wanted: Table, live: Table) -> Iterator[Difference]:
    for column in live.columns:
        if wanted.column(column.name) is None:
            shown = _column_text(column)
            yield Difference("extra column", f"extra column {shown}", shown, live=column)
    for index in live.indexes:
        known = any(_same_index(one, index) or one.name == index.name for one in wanted.indexes)
        if not known:
            shown = f"{index.name} on {index_text(index)}"
            yield Difference("extra index", f"extra index {shown}", shown, live=index)
    names = {view.name for view in wanted.views}
    for view in live.views:
        if view.name not in names:
            shown = f"{view.name} by {key_text(view.partition_key, view.clustering)}"
            yield Difference("extra view", f"extra view {shown}", shown, live=view)


def _orders(clustering: Clustering) -> str:
    return ", ".join(f"{name} {order}" for name, order in clustering)


def _selected(view: View, live: Table) -> set[str]:
    return {column.name for column in live.columns} if view.columns == ALL_COLUMNS else set(view.columns)


def _options(wanted: Mapping[str, object], live: Mapping[str, object]) -> Iterator[Difference]:
    for name, value in without_defaults(wanted).items():
        now = live.get(name)
        if isinstance(value, Mapping) and isinstance(now, Mapping):
            # The server fills in what was left out.
            now = {key: now[key] for key in value if key in now}
        if now != value:
            yield _option(name, now, value)
    for name, now in live.items():
        if name in wanted and name not in without_defaults(wanted):
            yield _option(name, now, wanted[name])


def _option(name: str, now: object, expected: object) -> Difference:
    shown = f"{name} is {'not set' if now is None else now}, expected {expected}"
    return Difference("wrong option", f"option {shown}", shown, Setting(name, expected))
