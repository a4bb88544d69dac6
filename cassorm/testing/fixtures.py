"""The async fixtures, made for the event loop that a project's tests run on."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import pytest

from cassorm.events.cassandra import CassandraEventStore
from cassorm.orm.database import Database, connect
from cassorm.schema.apply import ensure_keyspace

with contextlib.suppress(ImportError):  # said to whoever asks for one of the fixtures
    import pytest_asyncio

_NAMES = ("cassorm_session", "cassorm_keyspace", "event_store")


def session_fixtures(config: pytest.Config) -> ModuleType:
    """A plugin with `cassorm_session`, `cassorm_keyspace` and `event_store`.

    A session belongs to one event loop. So it lives as long as the loop of the tests does: the whole run where
    `asyncio_default_test_loop_scope = "session"`, one test where nothing is set.
    """
    plugin = ModuleType("cassorm.testing.session")
    scope = _loop_scope(config)
    if scope is None:
        for name in _NAMES:
            setattr(plugin, name, pytest.fixture(name=name)(_missing))
        return plugin

    @pytest_asyncio.fixture(scope=scope, loop_scope=scope)
    async def cassorm_session(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
        """A database: the cluster of the test run."""
        async with connect(cassandra_hosts) as db:
            yield db

    @pytest_asyncio.fixture(loop_scope=scope)
    async def cassorm_keyspace(cassorm_session: Database) -> AsyncIterator[str]:
        """The name of a new, empty keyspace; dropped after the test."""
        name = f"cassorm_test_{uuid.uuid4().hex[:12]}"
        await ensure_keyspace(cassorm_session, name)
        yield name
        await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")

    @pytest_asyncio.fixture(loop_scope=scope)
    async def event_store(cassorm_session: Database, cassorm_keyspace: str) -> AsyncIterator[CassandraEventStore]:
        """An event store in a keyspace of its own."""
        async with CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace) as store:
            yield store

    for name, fixture in zip(_NAMES, (cassorm_session, cassorm_keyspace, event_store), strict=True):
        setattr(plugin, name, fixture)
    return plugin


def _loop_scope(config: pytest.Config) -> Any:
    """How long the loop of a test lives unless the test says otherwise; None without pytest-asyncio."""
    try:
        return config.getini("asyncio_default_test_loop_scope") or "function"
    except ValueError:
        return None


def _missing(request: pytest.FixtureRequest) -> None:
    pytest.fail(f"{request.fixturename} needs pytest-asyncio: run `pip install 'cassorm[testing]'`", pytrace=False)
