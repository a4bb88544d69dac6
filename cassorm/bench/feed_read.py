"""What reads of a read model cost: by id, from a cache, by an index and by a view, beside the bare driver's SELECT."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from cassorm.bench.cases import Case, Counted, Side
from cassorm.bench.orm import select_text, set_aside
from cassorm.bench.workload import Workload
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Event
from cassorm.events.ids import new_id
from cassorm.orm.cache import RowCache
from cassorm.orm.database import Database
from cassorm.orm.fields import PK, Col
from cassorm.projections.mapping import map_from_event
from cassorm.projections.projections import Projections
from cassorm.projections.read_model import ReadModel
from cassorm.projections.views import ReadView

if TYPE_CHECKING:
    from cassorm.bench.baseline import Bare

TOGETHER = 10
"""How many rows an index or a view finds."""
TABLE, VIEW = "bench_customers", "bench_customers_by_team"
_FILLERS = 64
_PATIENCE = timedelta(minutes=5)
_LONG = timedelta(hours=12)


class CustomerAdded(Event, name="cassorm.bench.CustomerAdded"):
    """What makes a row."""

    email: str
    name: str
    age: int
    team: int
    branch: int
    bio: str


class CustomerBought(Event, name="cassorm.bench.CustomerBought"):
    """What makes it grow."""

    amount: Decimal


class _Rows(NamedTuple):
    """A read model that is filled: its class, the ids of its rows, and how many groups of them there are."""

    model: Any
    ids: Sequence[UUID]
    groups: int


def read_model(keyspace: str) -> type[ReadModel]:
    """A row a customer: ten columns and the version applied, an index, a view."""

    class BenchCustomers(ReadModel, table=TABLE, keyspace=keyspace, aggregate="Customer"):
        customer_id: PK[UUID]
        email: Col[str] = map_from_event(CustomerAdded)
        name: Col[str] = map_from_event(CustomerAdded)
        age: Col[int] = map_from_event(CustomerAdded)
        branch: Col[int] = map_from_event(CustomerAdded)
        team: Col[int] = map_from_event(CustomerAdded)
        bio: Col[str] = map_from_event(CustomerAdded)
        created_at: Col[datetime] = map_from_event({CustomerAdded: lambda _, row, recorded: recorded.timestamp})
        orders: Col[int] = map_from_event(CustomerBought, lambda _, row: row.orders + 1, default=0)
        total: Col[Decimal] = map_from_event(
            CustomerBought, lambda event, row: row.total + event.amount, default=Decimal(0)
        )
        __indexes__ = ("branch",)
        __views__ = (ReadView(VIEW, key="team", clustering="customer_id"),)

    return BenchCustomers


async def feed_read_cases(db: Database, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Let a worker make the rows of events, and return what is measured."""
    rows = await _fill(db, read_model(keyspace), keyspace, workload.rows)
    cache = RowCache(db, rows.model, ttl=_LONG, most=len(rows.ids))
    left = iter(rows.ids)

    async def warm() -> None:
        for one in left:
            await cache.get(one)

    await asyncio.gather(*(warm() for _ in range(_FILLERS)))
    model, view = rows.model, rows.model.view(VIEW)
    one, group = partial(random.choice, rows.ids), partial(random.randrange, rows.groups)
    by_id = partial(_case, bare=bare, text=select_text(model, "customer_id = ?"), choose=one, rows=1)
    several = partial(_case, bare=bare, choose=group, rows=TOGETHER)
    by_index, by_view = select_text(model, "branch = ?"), select_text(view, "team = ?")
    counted: Mapping[Side, Counted] = {"cassorm": Counted(TABLE, "customer_id", rows=len(rows.ids))}
    made = [
        replace(await by_id("find_by_id", find=lambda: model.find_by_id(one())), tables=counted),
        await by_id("find_by_id from a cache", find=lambda: cache.get(one())),
        await several("find_by an index", text=by_index, find=lambda: model.find_by(branch=group())),
        await several("find_by a view", text=by_view, find=lambda: model.find_by(team=group())),
    ]
    set_aside()
    return made


async def _case(
    name: str, *, bare: "Bare", text: str, choose: Callable[[], object], find: Callable[[], Awaitable[Any]], rows: int
) -> Case:
    def params() -> tuple[object, ...]:
        return (choose(),)

    def all_there(found: Any) -> bool:
        return len(found) == rows if isinstance(found, list) else found is not None

    return Case(
        name=name,
        rows=0,
        prepared=await asyncio.to_thread(bare.prepare, text),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=lambda found: len(found) == rows,
        worker=lambda: find,
        accepts=all_there,
        tables={},
    )


async def _fill(db: Database, model: type[ReadModel], keyspace: str, count: int) -> _Rows:
    """Append what makes `count` rows, whole groups of them, and return when a worker has made them."""
    groups = max(1, count // TOGETHER)
    ids = [new_id() for _ in range(groups * TOGETHER)]
    async with CassandraEventStore(db, keyspace=keyspace) as store:
        projections = Projections(store, [model])
        await projections.create()
        running = asyncio.ensure_future(projections.run())
        left = iter(enumerate(ids))

        async def work() -> None:
            for number, one in left:
                done = await store.append(one, _events(number, groups), expected=0, aggregate_type="Customer")
                await projections.wait_for(done.position, TABLE, _PATIENCE)

        await asyncio.gather(*(work() for _ in range(_FILLERS)))
        projections.stop()
        await running
    return _Rows(model, ids, groups)


def _events(number: int, groups: int) -> list[Event]:
    added = CustomerAdded(
        email=f"customer{number}@example.com",
        name=f"Customer {number}",
        age=20 + number % 60,
        team=number % groups,
        branch=number % groups,
        bio="Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. ",
    )
    return [added, CustomerBought(amount=Decimal("2.55")), CustomerBought(amount=Decimal("7.20"))]
