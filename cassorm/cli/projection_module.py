"""What a module offers to workers: projections, subscriptions, and the event store that feeds them."""

import importlib
import inspect
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType
from typing import Any

from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import ClusterError, ConfigurationError, OutcomeUnknownError, QueryError, UnavailableError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.feed_status import subscribed
from cassorm.events.settings import existing_settings
from cassorm.events.subscription import Subscription
from cassorm.events.tables import TableNames
from cassorm.orm.database import connect
from cassorm.projections.projections import Projections

_FUNCTION = "subscriptions"
_PATTERN = frozenset("*?[")


@dataclass(slots=True)
class Offered:
    """Projections and subscriptions, as modules hold them."""

    projections: list[Any] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    functions: list[Any] = field(default_factory=list)

    async def others(self, store: CassandraEventStore) -> list[Subscription]:
        """The subscriptions that belong to no projection; that of the store's index is among them once it exists."""
        found = list(self.subscriptions)
        for function in self.functions:
            made = function(store)
            found += await made if inspect.isawaitable(made) else made
        if await store.index.exists():
            found.append(store.index.subscription())
        return found

    async def all(self, store: CassandraEventStore) -> list[Subscription]:
        """All subscriptions: of projections those that a worker has to carry now."""
        found: list[Subscription] = []
        if self.projections:
            try:
                found = await Projections(store, self.projections).subscriptions()
            except (UnavailableError, OutcomeUnknownError):
                raise
            except ClusterError:  # they were never created: there is no table of them
                found = []
        return [*found, *await self.others(store)]


def offered(names: Sequence[str]) -> Offered:
    """What these modules offer: read models, totals, handlers, subscriptions, and what `subscriptions(store)` gives.

    Raises:
        ConfigurationError: one cannot be imported, or offers nothing.
    """
    # As `python -m` has it: an installed command does not look where it was called.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    found = Offered()
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"cannot be imported: {error}",
                where=f"module {name}",
                remedy="Give the dotted name of a module, and run the command where Python finds it",
            ) from error
        if not _gather(module, found):
            raise ConfigurationError(
                "has no projections and no subscriptions",
                where=f"module {name}",
                remedy="Name the module that holds read models, totals, handlers or `Subscription` objects",
            )
    return found


def _gather(module: ModuleType, found: Offered) -> bool:
    before = len(found.projections) + len(found.subscriptions) + len(found.functions)
    for name, thing in vars(module).items():
        if isinstance(thing, Subscription):
            kept: list[Any] = found.subscriptions
        elif name == _FUNCTION and inspect.isfunction(thing):
            kept = found.functions
        elif _is_projection(thing):
            kept = found.projections
        else:
            continue
        if all(thing is not known for known in kept):
            kept.append(thing)
    return len(found.projections) + len(found.subscriptions) + len(found.functions) > before


def _is_projection(thing: Any) -> bool:
    if isinstance(thing, type):
        return not {"__declared__", "__declared_totals__", "__declared_handlers__"}.isdisjoint(vars(thing))
    return inspect.isfunction(thing) and hasattr(thing, "__declared_handlers__")


@asynccontextmanager
async def open_store(settings: Settings, keyspace: str | None, events: str) -> AsyncIterator[CassandraEventStore]:
    """The event store of a keyspace; what the cluster's settings mean is left to `cassorm doctor`.

    Raises:
        ConfigurationError: no keyspace is given, or there is no such store: it is never created here.
    """
    if keyspace and _PATTERN & set(keyspace):
        raise ConfigurationError(
            f"{keyspace} may stand for several", where="--keyspace", remedy="Name one keyspace; only `run` takes more"
        )
    logging.getLogger("cassorm.events").setLevel(logging.ERROR)
    async with open_stores(settings, [keyspace] if keyspace else [], events) as stores:
        yield stores[0]


@asynccontextmanager
async def open_stores(
    settings: Settings, keyspaces: Sequence[str], events: str
) -> AsyncIterator[list[CassandraEventStore]]:
    """The event stores of some keyspaces, one at least; `tenant_*` stands for those that begin so and hold a store.

    Raises:
        ConfigurationError: no keyspace is given, or there is no such store: it is never created here.
    """
    wanted = list(keyspaces) or ([settings.keyspace] if settings.keyspace else [])
    if not wanted:
        raise ConfigurationError("no keyspace", where="arguments", remedy="Add --keyspace, or set CASSORM_KEYSPACE")
    names = TableNames(events=events)
    async with connect(settings=settings.model_copy(update={"keyspace": None})) as db, AsyncExitStack() as stack:
        stores = []
        for keyspace in await _keyspaces(db, wanted, names):
            if await existing_settings(db, keyspace, names) is None:
                raise ConfigurationError(
                    "is no event store",
                    where=f"{keyspace}.{events}",
                    remedy="Check --keyspace and --events; an application makes the store by `await store.initialize()`",
                )
            stores.append(await stack.enter_async_context(CassandraEventStore(db, keyspace=keyspace, tables=names)))
        yield stores


async def _keyspaces(db: Session, wanted: Sequence[str], names: TableNames) -> list[str]:
    """The keyspaces that names and patterns stand for, each once."""
    found: dict[str, None] = {}
    for name in wanted:
        if not _PATTERN & set(name):
            found[name] = None
            continue
        rows = await db.execute("SELECT keyspace_name, table_name FROM system_schema.tables")
        here = sorted(one for one, table in rows.rows if table == names.events and fnmatchcase(one, name))
        if not here:
            raise ConfigurationError(
                f"no keyspace like {name} holds a table {names.events}",
                where="--keyspace",
                remedy="Check --keyspace and --events; an application makes a store by `await store.initialize()`",
            )
        found |= dict.fromkeys(here)
    return list(found)


async def names_of(store: CassandraEventStore, name: str) -> list[str]:
    """The subscriptions that a name stands for: itself, or the generations of the projection of that name.

    Raises:
        QueryError: no subscription of that name has checkpoints.
    """
    known = await subscribed(store)
    if name in known:
        return [name]
    found = [one for one in known if one.rpartition("@")[0] == name]
    if not found:
        raise QueryError(
            f"there is no subscription {name!r}",
            where=f"{store.keyspace}.{store.tables.events}",
            remedy=f"Known are {', '.join(known)}" if known else "None was ever carried here",
        )
    return found
