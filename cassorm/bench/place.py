"""Where a benchmark runs: a cluster, and a keyspace that lives as long as the benchmark."""

import asyncio
import importlib
import importlib.util
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from cassorm.bench.machine import Engine, engine
from cassorm.cql.identifiers import quote_keyspace
from cassorm.driver.settings import Settings
from cassorm.orm.database import Database, connect
from cassorm.schema.apply import ensure_keyspace


@dataclass(frozen=True)
class Place:
    """A session, and a keyspace of its own."""

    session: Database
    keyspace: str
    engine: Engine
    settings: Settings


@asynccontextmanager
async def open_place(settings: Settings, *, local: bool, replication: int = 1) -> AsyncIterator[Place]:
    """Connect, create a keyspace of a name that nobody else has, and drop it in the end.

    Raises:
        UnavailableError: no host answered.
        ConfigurationError: a setting does not fit the cluster.
    """
    keyspace = f"cassorm_bench_{uuid4().hex[:12]}"
    async with connect(settings=settings) as session:
        found = await engine(session, local=local or all(_is_here(host) for host, _ in settings.contact_points()))
        await ensure_keyspace(session, keyspace, replication)
        try:
            yield Place(session, keyspace, found, settings)
        finally:
            await session.ddl(f"DROP KEYSPACE IF EXISTS {quote_keyspace(keyspace)}")


def _is_here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop that production runs on, where it is installed."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory
