"""The read models of CassandraORM's guide: loaded from their definitions, written and read as the guide does."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import Database, connect, count_rows, now, table_of
from cassorm.errors import ClusterError, QueryError

pytestmark = pytest.mark.cluster

# As the guide has it, and indexes for what it asks by ALLOW FILTERING and by LIKE '%@domain', which CQL has not.
USERS: dict[str, Any] = {
    "fields": {
        "id": "uuid",
        "email": "text",
        "name": "text",
        "is_active": "boolean",
        "created_at": "timestamp",
        "last_login_at": "timestamp",
        "total_orders": "int",
        "total_spent": "decimal",
        "email_domain": "text",
    },
    "key": ["id"],
    "indexes": ["email", "is_active", "email_domain"],
}
ORDERS: dict[str, Any] = {
    "fields": {
        "customer_id": "uuid",
        "placed_at": "timestamp",
        "id": "uuid",
        "status": "text",
        "total": "decimal",
        "lines": "map<text, int>",
    },
    "key": [["customer_id"], "placed_at", "id"],
    "clustering_order": {"placed_at": "desc"},
    "materialized_views": {"order_by_id": {"select": ["*"], "key": ["id", "customer_id", "placed_at"]}},
}
# The guide's statistics count and average over all users: the server reads them all for it, a table of counters does not.
STATISTICS: dict[str, Any] = {
    "fields": {"day": "text", "total_users": "counter", "active_users": "counter", "verified_users": "counter"},
    "key": ["day"],
}


@dataclass
class ReadModels:
    db: Database
    users: Any
    orders: Any
    statistics: Any


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def models(cassandra_hosts: list[str]) -> AsyncIterator[ReadModels]:
    keyspace = f"read_models_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with connect(cassandra_hosts, keyspace=keyspace) as db:
                yield ReadModels(
                    db,
                    await db.load_schema("user_read_model", USERS),
                    await db.load_schema("order_read_model", ORDERS),
                    await db.load_schema("rm_user_stats", STATISTICS),
                )
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


def user(models: ReadModels, name: str, **said: object) -> Any:
    email = f"{name}@example.com"
    return models.users(id=uuid4(), email=email, name=name, email_domain="example.com", created_at=now(), **said)


async def test_the_user_read_model_is_created_changed_and_found(models: ReadModels) -> None:
    db, users = models.db, models.users
    ada = user(models, "ada", is_active=False, total_orders=0, total_spent=Decimal(0))
    await db.insert(ada)
    row = users.id == ada.id
    await users.update(users.email.set("ada@other.org"), users.email_domain.set("other.org")).where(row).using(db)
    await users.update(users.is_active.set(True)).where(row).using(db)
    found = await users.get(ada.id).using(db)
    assert (found.email, found.is_active, found.last_login_at) == ("ada@other.org", True, None)
    assert found.model_dump(exclude={"email", "is_active", "email_domain"}) == ada.model_dump(
        exclude={"email", "is_active", "email_domain"}
    )
    active = await users.where(users.is_active == True).limit(50).using(db).all()  # noqa: E712 - a condition
    assert [each.id for each in active] == [ada.id]
    assert (await users.where(users.email_domain == "other.org").using(db).one()).id == ada.id
    with pytest.raises(QueryError, match="neither key nor index"):
        await users.where(users.name == "ada").using(db).all()


async def test_statistics_over_all_users_are_asked_for_by_name_and_kept_as_counters(models: ReadModels) -> None:
    db, users, statistics = models.db, models.users, models.statistics
    await db.insert_many(
        user(models, f"u{n}", is_active=n % 2 == 0, total_orders=n, total_spent=Decimal(f"{n}.50")) for n in range(4)
    )
    numbers = users.where(users.email_domain == "example.com").using(db)
    asked = numbers.values(count_rows(), users.total_orders.sum(), users.total_spent.avg())
    assert await asked.one() == (4, 6, Decimal("2.0"))
    assert await numbers.where(users.is_active == True).allow_filtering().count() == 2  # noqa: E712 - a condition
    with pytest.raises(ClusterError, match="CASE"):
        await db.cql("SELECT COUNT(CASE WHEN is_active = true THEN 1 END) FROM user_read_model")
    day = statistics.day == "2026-01-01"
    for _ in range(3):
        await statistics.update(statistics.total_users + 1).where(day).using(db)
    await statistics.update(statistics.active_users + 2, statistics.total_users - 1).where(day).using(db)
    found = await statistics.get("2026-01-01").using(db)
    assert (found.total_users, found.active_users, found.verified_users) == (2, 2, 0)


async def test_the_order_read_model_gives_a_customers_history_and_an_order_by_its_id(models: ReadModels) -> None:
    db, orders = models.db, models.orders
    customer, first = uuid4(), now()
    placed = [
        orders(
            customer_id=customer,
            placed_at=first + timedelta(minutes=n),
            id=uuid4(),
            status="new",
            total=Decimal(n),
            lines={"85123A": n},
        )
        for n in range(5)
    ]
    assert all(each.outcome for each in await db.insert_many(placed))
    history = await orders.where(orders.customer_id == customer).using(db).all()
    assert history == placed[::-1]
    changed = placed[2]
    changed.status, changed.lines["71053"] = "shipped", 1
    assert await db.save(changed)
    view = table_of(orders).views[0]
    (found,) = await db.cql(f"SELECT * FROM {view.name} WHERE id = ?", [changed.id], into=orders)
    assert found == changed
