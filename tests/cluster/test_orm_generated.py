"""Models that are generated from a live keyspace, or loaded for it, with every type and the oddest names."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from ipaddress import IPv6Address
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm.cli.model_source import model_source
from cassorm.cql.types import NATIVE_TYPES
from cassorm.orm.database import Database, connect
from cassorm.orm.from_schema import models_of
from cassorm.orm.model import Model, table_of
from cassorm.orm.model_plan import plan_of
from cassorm.orm.values import Duration
from cassorm.schema.apply import apply
from cassorm.schema.introspect import introspect_schema
from cassorm.schema.keyspace import Schema
from tests.unit.test_schema_generate_models import COUNTS, ODD, WIDE
from tests.unit.test_schema_generate_models import TYPES as SHOP_TYPES

pytestmark = pytest.mark.cluster

TABLES = (*ODD.tables[:2], replace(WIDE, views=()), COUNTS)
TYPES = (*ODD.types, *SHOP_TYPES)
VALUES: dict[str, Any] = {
    "ascii": "a",
    "bigint": -(2**63),
    "blob": b"\0\xff",
    "boolean": True,
    "date": date(2026, 1, 1),
    "decimal": Decimal("1.50"),
    "double": 0.1,
    "duration": Duration(months=1, nanoseconds=5),
    "float": 0.5,
    "inet": IPv6Address("::1"),
    "int": -1,
    "smallint": 2,
    "text": "é",
    "time": time(1, 2, 3, 4),
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "timeuuid": UUID("d2177dd0-eaa2-11de-a572-001b779c76e3"),
    "tinyint": 3,
    "uuid": uuid4(),
    "varint": 2**70,
}


@pytest_asyncio.fixture
async def db(cassandra_hosts: list[str], cassorm_keyspace: str) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts, keyspace=cassorm_keyspace) as opened:
        tables = tuple(replace(table, keyspace=cassorm_keyspace) for table in TABLES)
        types = tuple(replace(kind, keyspace=cassorm_keyspace) for kind in TYPES)
        await apply(opened, Schema(tables, types))
        yield opened


async def test_a_generated_module_has_the_tables_of_the_keyspace_and_every_value_comes_back(db: Database) -> None:
    live = await introspect_schema(db, str(db.keyspace))
    module: dict[str, Any] = {"__name__": "generated"}
    exec(compile(model_source(live), "generated.py", "exec"), module)
    classes = [each for each in module.values() if getattr(each, "__module__", "") == "generated"]
    generated: dict[str, Any] = {table_of(each).name: each for each in classes if issubclass(each, Model)}
    loaded: dict[str, Any] = dict(models_of(live))
    tables = {table.name: table for table in live.tables}
    assert set(generated) == set(loaded) == {table.name for table in TABLES} == set(tables)
    for name, table in tables.items():
        made = table_of(generated[name])
        assert (made.columns, made.key, made.clustering, made.indexes) == (
            table.columns,
            table.key,
            table.clustering,
            table.indexes,
        )
        assert table_of(loaded[name]) == table
    assert await db.create(*generated.values()) == []
    for models in (generated, loaded):
        await check_wide(db, models["wide_rows"])
        await check_odd(db, models["model"])
        await models["counts"].update(models["counts"].hits + 1).where(models["counts"].id == 1).using(db)
    assert (await loaded["counts"].get(1).using(db)).hits == 2


async def check_wide(db: Database, model: Any) -> None:
    assert set(VALUES) == NATIVE_TYPES - {"counter"}
    by_type = {kind.name: kind for kind in plan_of(model).user_types}
    street = model.model_fields["m"].annotation.__args__[1]
    address = model.model_fields["a"].annotation.__args__[0]
    assert set(by_type) == {"street", "postal_address"}
    sent = model(
        p=uuid4(),
        q=[1, 2],
        c=datetime(2026, 1, 1, tzinfo=UTC),
        **{f"n_{name}": value for name, value in VALUES.items()},
        class_="c",
        Upper=1,
        l=[1],
        s={frozenset({"a"}), frozenset()},
        m={"x": street(name="n", no=1)},
        f={"k": 1},
        t=(1, None),
        a=address(street=street(name="n"), tags=frozenset({"t"})),
        v=[0.5, 1.0, -2.0],
        note="static",
    )
    await db.insert(sent)
    assert await model.get(sent.p, [1, 2], sent.c).using(db) == sent
    assert await model.where(model.n_text == "é").using(db).all() == [sent]
    await db.delete(sent)


async def check_odd(db: Database, model: Any) -> None:
    annotation = model.model_fields["a"].annotation
    odd = annotation.__args__[0]
    inner = odd.model_fields["in_"].annotation.__args__[0]
    others = {name: time(n % 24, n) for n, name in enumerate(odd.model_fields) if name != "in_"}
    value = odd(in_=inner(a=("x", "y"), b=frozenset({1, 2})), **others)
    days = {
        name: date(2026, 1, n + 1)
        for n, name in enumerate(name for name in model.model_fields if name not in ("id", "a", "b", "c", "d"))
    }
    sent = model(id=1, a={value}, d={((1, 2), "x")}, b={(inner(a=("k",)),): {"m": ["v"]}}, **days)
    await db.insert(sent)
    assert await model.get(1).using(db) == sent
    await db.delete(sent)
