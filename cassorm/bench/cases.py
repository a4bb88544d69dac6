"""What is measured: one statement, on the bare driver's side and through the public API."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from cassorm.bench.workload import BenchColumn, Workload
from cassorm.cql import statements
from cassorm.driver.session import Session
from cassorm.events import payload
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Event
from cassorm.events.ids import new_id
from cassorm.events.queries import Queries
from cassorm.events.tables import TableNames
from cassorm.schema.apply import ensure_tables
from cassorm.schema.table import Column, Table

if TYPE_CHECKING:
    from cassorm.bench.baseline import Bare, Params

Side = Literal["bare", "cassorm"]

_NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
_WORDS = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. "
_LOADERS = 32
_AGGREGATE_TYPE = "Order"


class LineAdded(Event, name="cassorm.bench.LineAdded"):
    """What `append` appends: a line of an order."""

    sku: str
    quantity: int
    unit_price: Decimal
    customer: int
    country: str


def line_added() -> LineAdded:
    """A new event."""
    return LineAdded(sku="85123A", quantity=6, unit_price=Decimal("2.55"), customer=17850, country="United Kingdom")


class Counted(NamedTuple):
    """Where the rows of a side stand, to be counted afterwards; `rows` are there before the first operation."""

    table: str
    key: str
    rows: int = 0


@dataclass(frozen=True)
class Case:
    """One statement on both sides; `rows` are those that one operation writes.

    `once` gives parameters that depend on no operation before, for the yardstick.
    """

    name: str
    rows: int
    prepared: Any
    once: "Params"
    bare_worker: "Callable[[], Params]"
    bare_accepts: Callable[[Any], bool]
    worker: Callable[[], Callable[[], Awaitable[Any]]]
    accepts: Callable[[Any], bool]
    tables: Mapping[Side, Counted]


def any_answer(_: object) -> bool:
    """Whether an operation counts whose answer holds nothing to look at."""
    return True


# -- rows ------------------------------------------------------------------------------------------------------------


def _table(name: str, workload: Workload, keyspace: str) -> Table:
    columns = tuple(Column(column, form.type) for column, form in workload.columns.items())
    return Table(keyspace=keyspace, name=name, columns=columns, partition_key=(columns[0].name,), clustering=())


def row_maker(columns: Mapping[str, BenchColumn]) -> Callable[[UUID], tuple[object, ...]]:
    """What makes a row with a given key; the other values are always the same."""
    rest = tuple(sample_value(column) for column in list(columns.values())[1:])
    return lambda key: (key, *rest)


def sample_value(column: BenchColumn) -> object:
    """A value that fits the column."""
    text = (_WORDS * (column.length // len(_WORDS) + 1))[: column.length]
    values: Mapping[str, object] = {
        "uuid": UUID(int=0x0123456789AB4DEF8123456789ABCDEF),
        "text": text,
        "blob": text.encode(),
        "int": 42,
        "bigint": 123_456_789_012,
        "double": 1234.5,
        "float": 0.5,
        "boolean": True,
        "timestamp": _NOW,
        "date": date(2026, 1, 2),
        "decimal": Decimal("2.55"),
    }
    return values[column.type]


async def write_cases(session: Session, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Rows, one by one."""
    tables = {"bare": _table("written_bare", workload, keyspace), "cassorm": _table("written", workload, keyspace)}
    await ensure_tables(session, tables.values())
    make = row_maker(workload.columns)
    texts = {
        side: statements.insert(table.name, dict.fromkeys(workload.columns), keyspace=keyspace).text
        for side, table in tables.items()
    }
    ours = await session.prepare(texts["cassorm"])
    execute = session.execute

    def params() -> tuple[object, ...]:
        return make(new_id())

    key = next(iter(workload.columns))
    case = Case(
        name="write",
        rows=1,
        prepared=await asyncio.to_thread(bare.prepare, texts["bare"]),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=any_answer,
        worker=lambda: lambda: execute(ours, make(new_id())),
        accepts=any_answer,
        tables={"bare": Counted("written_bare", key), "cassorm": Counted("written", key)},
    )
    return [case]


async def read_cases(session: Session, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Rows by their keys."""
    table = _table("rows", workload, keyspace)
    await ensure_tables(session, [table])
    key = next(iter(workload.columns))
    insert = await session.prepare(
        statements.insert(table.name, dict.fromkeys(workload.columns), keyspace=keyspace).text
    )
    make = row_maker(workload.columns)
    ids = [new_id() for _ in range(workload.rows)]
    left: Iterator[UUID] = iter(ids)

    async def fill() -> None:
        for one in left:
            await session.execute(insert, make(one))

    await asyncio.gather(*(fill() for _ in range(_LOADERS)))
    text = statements.select(table.name, list(workload.columns), keyspace=keyspace, where=[(key, "=", None)]).text
    ours = await session.prepare(text)
    execute, choice = session.execute, partial(random.choice, ids)

    def params() -> tuple[object, ...]:
        return (choice(),)

    case = Case(
        name="read",
        rows=0,
        prepared=await asyncio.to_thread(bare.prepare, text),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=lambda rows: len(rows) == 1,
        worker=lambda: lambda: execute(ours, (choice(),)),
        accepts=lambda result: len(result.rows) == 1,
        tables={"cassorm": Counted(table.name, key, rows=workload.rows)},
    )
    return [case]


# -- events ----------------------------------------------------------------------------------------------------------


async def append_cases(session: Session, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Events, appended to streams."""
    names = {
        "bare": TableNames(events="events_bare", snapshots="snapshots_bare"),
        "cassorm": TableNames(),
    }
    # The batch beside the same batch: what a feed costs is for `feed append`.
    stores = {
        side: CassandraEventStore(session, keyspace=keyspace, tables=tables, feed=False)
        for side, tables in names.items()
    }
    for store in stores.values():
        await store.initialize()
    store, settings = stores["cassorm"], stores["cassorm"].settings
    queries = Queries(keyspace, names["bare"])
    counted: Mapping[Side, Counted] = {
        "bare": Counted(names["bare"].events, "aggregate_id"),
        "cassorm": Counted(names["cassorm"].events, "aggregate_id"),
    }
    found = []
    for count in dict.fromkeys(workload.events_per_append):
        prepared = await asyncio.to_thread(
            bare.prepare,
            queries.append(count),
            consistency=settings.consistency,
            serial_consistency=settings.serial_consistency,
        )
        found.append(
            Case(
                name=f"append {count}",
                rows=count,
                prepared=prepared,
                once=partial(_first_batch, bare.unset, count),
                bare_worker=partial(_bare_appends, bare.unset, count, workload.appends_per_stream),
                bare_accepts=lambda rows: rows[0][0] is True,
                worker=partial(appends, store, count, workload.appends_per_stream),
                accepts=any_answer,
                tables=counted,
            )
        )
    return found


_DATA = payload.dump(line_added())


def _bare_batch(unset: object, stream: UUID, head: int, count: int) -> list[object]:
    """The parameters of the store's own batch for `count` events behind `head`, encoded beforehand where it can be."""
    pos = time.time_ns() // 1000
    append_id = new_id()
    params: list[object] = [head + count, pos + count - 1, _AGGREGATE_TYPE, stream, head or None, None, None]
    for index in range(1, count + 1):
        params += (
            stream,
            head + index,
            new_id(),
            append_id,
            "cassorm.bench.LineAdded",
            1,
            payload.JSON,
            _DATA,
            unset,
            _NOW,
            pos + index - 1,
        )
    return params


def _first_batch(unset: object, count: int) -> list[object]:
    return _bare_batch(unset, new_id(), 0, count)


def _bare_appends(unset: object, count: int, most: int) -> "Params":
    """One worker's appends: to one stream after the other, `most` to each."""
    stream, head, left = new_id(), 0, most

    def params() -> list[object]:
        nonlocal stream, head, left
        if not left:
            stream, head, left = new_id(), 0, most
        made = _bare_batch(unset, stream, head, count)
        head += count
        left -= 1
        return made

    return params


def appends(store: CassandraEventStore, count: int, most: int) -> Callable[[], Awaitable[object]]:
    """The same through the store."""
    stream, head, left = new_id(), 0, most

    def append() -> Awaitable[object]:
        nonlocal stream, head, left
        if not left:
            stream, head, left = new_id(), 0, most
        expected = head
        head += count
        left -= 1
        events = [line_added() for _ in range(count)]
        return store.append(stream, events, expected=expected, aggregate_type=_AGGREGATE_TYPE)

    return append
