"""The stores that the contract suites run over.

One keyspace serves the whole run; tests keep apart by using streams of their own. ScyllaDB takes part when
CASSORM_SCYLLA_HOSTS names a cluster of it.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, EventStore, MemoryEventStore, Session, connect

SCYLLA_HOSTS = os.environ.get("CASSORM_SCYLLA_HOSTS")


@pytest.fixture
def memory_store() -> EventStore:
    return MemoryEventStore()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cassandra_store(cassorm_session: Session) -> AsyncIterator[EventStore]:
    async with _store_on(cassorm_session) as store:
        yield store


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scylla_store() -> AsyncIterator[EventStore]:
    async with connect(SCYLLA_HOSTS) as session, _store_on(session) as store:
        yield store


_STORES = ["memory", pytest.param("cassandra", marks=pytest.mark.cluster)]
if SCYLLA_HOSTS:
    _STORES.append(pytest.param("scylla", marks=pytest.mark.cluster))


@pytest.fixture(params=_STORES)
def store(request: pytest.FixtureRequest) -> EventStore:
    """Each store in turn; only the one asked for is opened."""
    chosen: EventStore = request.getfixturevalue(f"{request.param}_store")
    return chosen


@asynccontextmanager
async def _store_on(session: Session) -> AsyncIterator[EventStore]:
    keyspace = f"cassorm_contract_{uuid4().hex[:12]}"
    async with CassandraEventStore(session, keyspace=keyspace) as store:
        yield store
    await session.ddl(f"DROP KEYSPACE {keyspace}")
