"""What a live table lacks, or has otherwise than wanted: a comparison of two values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cassorm.schema.options import without_defaults
from cassorm.schema.table import ALL_COLUMNS, Clustering, Column, Index, Table, UserType, View


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference in words, and the part that is missing, when adding it is all that it takes."""

    text: str
    missing: Column | Index | View | None = None


def differences(wanted: Table, live: Table, *, options: bool = False) -> list[str]:
    """Every difference in words, in the order of the table's parts; empty when `live` can be used as `wanted`.

    What the live table has besides does not count: later releases add columns, and operators indexes. Options count
    when they are asked for, and of them those that `wanted` sets itself.
    """
    return [difference.text for difference in compare(wanted, live, options=options)]


def compare(wanted: Table, live: Table, *, options: bool = False) -> Iterator[Difference]:
    """Every difference, with what is missing; see `differences`."""
    yield from _columns(wanted, live)
    yield from _key(wanted, live)
    for index in wanted.indexes:
        yield from _index(index, live)
    for view in wanted.views:
        yield from _view(view, live)
    if options:
        if wanted.comment and wanted.comment != live.comment:
            yield Difference(f"comment is {live.comment!r}, expected {wanted.comment!r}")
        yield from _options(wanted.options, live.options)


def type_differences(wanted: UserType, live: UserType) -> list[str]:
    """Every difference between two user types in words; the order of the fields counts, it is that of the values."""
    fields = {column.name: column.type for column in live.fields}
    found = []
    for column in wanted.fields:
        if column.name not in fields:
            found.append(f"missing field {column.name} {column.type}")
        elif fields[column.name] != column.type:
            found.append(f"field {column.name} is {fields[column.name]}, expected {column.type}")
    names = [column.name for column in wanted.fields]
    if not found and list(fields)[: len(names)] != names:
        found.append(f"fields are in the order {', '.join(fields)}, expected {', '.join(names)}")
    return found


def _columns(wanted: Table, live: Table) -> Iterator[Difference]:
    for column in wanted.columns:
        found = live.column(column.name)
        if found is None:
            static = " static" if column.static else ""
            addable = None if column.name in wanted.key else column
            yield Difference(f"missing column {column.name} {column.type}{static}", addable)
            continue
        if found.type != column.type:
            yield Difference(f"column {column.name} is {found.type}, expected {column.type}")
        if found.static != column.static:
            now, expected = ("static", "not static") if found.static else ("not static", "static")
            yield Difference(f"column {column.name} is {now}, expected {expected}")


def _key(wanted: Table, live: Table) -> Iterator[Difference]:
    expected, found = (key_text(table.partition_key, table.clustering) for table in (wanted, live))
    if expected != found:
        yield Difference(f"key is {found}, expected {expected}")
        return
    for (name, order), (_, now) in zip(wanted.clustering, live.clustering, strict=True):
        if order != now:
            yield Difference(f"clustering order of {name} is {now}, expected {order}")


def key_text(partition_key: tuple[str, ...], clustering: Clustering) -> str:
    """A primary key in words, without the orders: `((id), created_at)`."""
    partition = f"({', '.join(partition_key)})"
    return f"({', '.join([partition, *(name for name, _ in clustering)])})"


def _index(index: Index, live: Table) -> Iterator[Difference]:
    if any(_same_index(index, found) for found in live.indexes):
        return
    named = next((found for found in live.indexes if found.name == index.name), None)
    if named is None:
        yield Difference(f"missing index {index.name} on {index_text(index)}", index)
    else:
        yield Difference(f"index {index.name} is on {index_text(named)}, expected {index_text(index)}")


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
        yield Difference(f"missing view {view.name} by {key_text(view.partition_key, view.clustering)}", view)
        return
    expected, now = (key_text(one.partition_key, one.clustering) for one in (view, found))
    if (view.partition_key, view.clustering) != (found.partition_key, found.clustering):
        if expected == now:
            expected, now = (_orders(one.clustering) for one in (view, found))
        yield Difference(f"view {view.name} has the key {now}, expected {expected}")
    if _selected(view, live) != _selected(found, live):
        yield Difference(f"view {view.name} selects {', '.join(found.columns)}, expected {', '.join(view.columns)}")
    if found.filter:
        yield Difference(f"view {view.name} filters: {found.filter}")


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
            yield Difference(f"option {name} is {'not set' if now is None else now}, expected {value}")
    for name, now in live.items():
        if name in wanted and name not in without_defaults(wanted):
            yield Difference(f"option {name} is {now}, expected {wanted[name]}")
