"""Stores that reach the node through a proxy, and one beside it that sees what really stands there."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session, connect
from tests.faults.proxy import Proxy

SOAK = os.environ.get("CASSORM_SOAK") == "1"

Through = Callable[..., AbstractAsyncContextManager[CassandraEventStore]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def direct(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    """A store that no fault meets; all fault tests share its keyspace, each with streams of its own."""
    keyspace = f"cassorm_faults_{uuid4().hex[:12]}"
    async with CassandraEventStore(cassorm_session, keyspace=keyspace) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE {keyspace}")


@pytest_asyncio.fixture
async def proxy(cassandra_hosts: list[str]) -> AsyncIterator[Proxy]:
    async with Proxy(cassandra_hosts[0]) as proxy:
        yield proxy


@pytest.fixture
def through(direct: CassandraEventStore) -> Through:
    """Open another store on `direct`'s tables through a proxy, with a session and memories of its own."""

    @asynccontextmanager
    async def open_store(
        proxy: Proxy, *, request_s: float = 0.4, append_s: float = 20.0, session_s: float = 10.0
    ) -> AsyncIterator[CassandraEventStore]:
        async with connect(proxy.hosts, request_timeout=timedelta(seconds=session_s)) as session:
            made = CassandraEventStore(session, keyspace=direct.keyspace, append_timeout=timedelta(seconds=append_s))
            # Only what is lost on purpose shall be waited for briefly: all else may take its time on a busy machine.
            made._appender._request_timeout = timedelta(seconds=request_s)
            async with made as store:
                yield store

    return open_store
