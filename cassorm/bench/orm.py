"""What models cost: insert, get and pages of 100 rows as instances, beside the bare driver with tuples."""

import asyncio
import gc
import random
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from cassorm.bench.cases import Case, Counted, any_answer, sample_value
from cassorm.bench.workload import BenchColumn, Workload
from cassorm.cql.identifiers import quote
from cassorm.driver.session import Session
from cassorm.events.ids import new_id
from cassorm.orm.database import Database
from cassorm.orm.fields import CK, PK
from cassorm.orm.markers import Marker
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.values import Float32, Int

if TYPE_CHECKING:
    from cassorm.bench.baseline import Bare

PAGE = 100
"""How many rows a page of the case `page` has."""
NUMBER = "number"
"""The clustering column of tables with more than a row in a partition."""
_LOADERS = 32
_PYTHON: Mapping[str, Any] = {
    "uuid": UUID,
    "text": str,
    "blob": bytes,
    "int": Int,
    "bigint": int,
    "double": float,
    "float": Float32,
    "boolean": bool,
    "timestamp": datetime,
    "date": date,
    "decimal": Decimal,
}


def row_model(name: str, columns: Mapping[str, BenchColumn], keyspace: str, *, numbered: bool = False) -> type[Model]:
    """A model with these columns, the first its key; `numbered` puts many rows into a partition."""
    key, *others = columns
    fields: dict[str, Any] = {key: Annotated[_PYTHON[columns[key].type], PK()]}
    if numbered:
        fields[NUMBER] = Annotated[Int, CK()]
    fields |= {column: Annotated[_PYTHON[columns[column].type], Marker()] for column in others}
    options = {"keyspace": keyspace, "table": name}
    made: type[Model] = types.new_class(
        "BenchRow", (Model,), options, lambda namespace: namespace.update(__annotations__=fields, __module__=__name__)
    )
    return made


async def orm_cases(db: Database, bare: "Bare", workload: Workload, keyspace: str) -> list[Case]:
    """Create and fill the tables, and return what is measured."""
    made = [
        await _insert(db, bare, workload, keyspace),
        await _get(db, bare, workload, keyspace),
        await _page(db, bare, workload, keyspace),
    ]
    set_aside()
    return made


def set_aside() -> None:
    """Keep the garbage collector from what is there already.

    It looks through all that is old whenever enough new has come, and the bare driver leaves most that is new: it shall
    not pay for the modules that cassorm brings into its process.
    """
    gc.collect()
    gc.freeze()


async def _insert(db: Database, bare: "Bare", workload: Workload, keyspace: str) -> Case:
    ours = row_model("inserted", workload.columns, keyspace)
    theirs = row_model("inserted_bare", workload.columns, keyspace)
    await db.create(ours, theirs)
    key, *others = workload.columns
    rest = {column: sample_value(workload.columns[column]) for column in others}
    values = tuple(rest.values())

    def params() -> tuple[object, ...]:
        return (new_id(), *values)

    return Case(
        name="insert",
        rows=1,
        prepared=await asyncio.to_thread(bare.prepare, insert_text(theirs)),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=any_answer,
        worker=lambda: lambda: db.insert(ours(**{key: new_id()}, **rest)),
        accepts=bool,
        tables={"bare": Counted("inserted_bare", key), "cassorm": Counted("inserted", key)},
    )


async def _get(db: Database, bare: "Bare", workload: Workload, keyspace: str) -> Case:
    model = row_model("rows", workload.columns, keyspace)
    await db.create(model)
    key = next(iter(workload.columns))
    ids = [new_id() for _ in range(workload.rows)]
    await fill(db, model, ((one,) for one in ids), workload.columns)
    choice = partial(random.choice, ids)

    def params() -> tuple[object, ...]:
        return (choice(),)

    return Case(
        name="get",
        rows=0,
        prepared=await asyncio.to_thread(bare.prepare, select_text(model, f"{quote(key)} = ?")),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=lambda rows: len(rows) == 1,
        worker=lambda: lambda: model.get(choice()),
        accepts=lambda found: type(found) is model,
        tables={"cassorm": Counted("rows", key, rows=workload.rows)},
    )


async def _page(db: Database, bare: "Bare", workload: Workload, keyspace: str) -> Case:
    model: Any = row_model("pages", workload.columns, keyspace, numbered=True)
    await db.create(model)
    key = next(iter(workload.columns))
    ids = [new_id() for _ in range(max(1, workload.rows // PAGE))]
    await fill(db, model, ((one, number) for one in ids for number in range(PAGE)), workload.columns)
    choice, field = partial(random.choice, ids), getattr(model, key)

    def params() -> tuple[object, ...]:
        return (choice(),)

    return Case(
        name=f"page of {PAGE}",
        rows=0,
        prepared=await asyncio.to_thread(bare.prepare, select_text(model, f"{quote(key)} = ?")),
        once=params,
        bare_worker=lambda: params,
        bare_accepts=lambda rows: len(rows) == PAGE,
        worker=lambda: lambda: model.where(field == choice()).all(),
        accepts=lambda found: len(found) == PAGE and type(found[-1]) is model,
        tables={"cassorm": Counted("pages", key, rows=len(ids) * PAGE)},
    )


def insert_text(model: type[Model]) -> str:
    """The INSERT that writes what the model does."""
    plan = plan_of(model)
    markers = ", ".join("?" * len(plan.fields))
    return f"INSERT INTO {plan.target(None)} ({plan.columns_text}) VALUES ({markers})"  # noqa: S608 - quoted


def select_text(model: type[Model], condition: str = "") -> str:
    """The SELECT that reads what the model does, named column by named column."""
    plan = plan_of(model)
    where = f" WHERE {condition}" if condition else ""
    return f"SELECT {plan.columns_text} FROM {plan.target(None)}{where}"  # noqa: S608 - quoted


async def fill(
    session: Session, model: type[Model], keys: Iterable[Sequence[object]], columns: Mapping[str, BenchColumn]
) -> None:
    """Write a row for each key."""
    insert = await session.prepare(insert_text(model))
    rest = [sample_value(column) for column in list(columns.values())[1:]]
    left = iter(keys)

    async def work() -> None:
        for key in left:
            await session.execute(insert, [*key, *rest])

    await asyncio.gather(*(work() for _ in range(_LOADERS)))
