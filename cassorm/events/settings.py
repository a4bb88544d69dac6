"""The settings that every client of a store shares: written once, read at every connect, used instead of local ones."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from uuid import UUID, uuid4

from cassorm.cql import statements
from cassorm.cql.identifiers import quote_keyspace
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, ConfigurationError, StoreSettingsError, UnavailableError
from cassorm.events.position import HASH
from cassorm.events.tables import FEED_TTL_S, LAYOUT, TableNames

_REMEDIES: Mapping[str, str] = {
    "layout": "Use the cassorm version that made this store, or a newer one that knows its layout",
    "home_dc": "Connect with datacenter= set to the home data centre, where all writers of this store live",
}


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What all clients of a store must agree on.

    `serial` is SERIAL, or LOCAL_SERIAL together with the `home_dc` in which all writers live. `shards` and `hash`
    say where a stream stands in the feed; `bucket_s` is the length of a feed partition in seconds, `feed_ttl_s` is how
    long a pointer is kept. Without `feed` no pointers are written, and nobody can subscribe. Workers give their signs of
    life in the keyspace `workers_in`, which stores that are served together share; else in the store's own.
    """

    store_id: UUID
    layout: int = LAYOUT
    shards: int = 16
    hash: str = HASH
    bucket_s: int = 600
    feed: bool = True
    serial: str = "SERIAL"
    home_dc: str | None = None
    id_type: str = "uuid"
    feed_ttl_s: int = FEED_TTL_S
    workers_in: str | None = None

    @property
    def serial_consistency(self) -> Consistency:
        """The consistency of the Paxos rounds."""
        return Consistency[self.serial]

    @property
    def consistency(self) -> Consistency:
        """The consistency of commits and reads that goes with `serial`."""
        return Consistency.QUORUM if self.serial == "SERIAL" else Consistency.LOCAL_QUORUM


def wanted_settings(local: Mapping[str, object]) -> StoreSettings:
    """Return the settings of a new store; `local` holds what this process asked for.

    Raises:
        ConfigurationError: a value that no store can have.
        QueryError: `workers_in` is no name of a keyspace.
    """
    given: dict[str, Any] = {name: value for name, value in local.items() if value is not None}
    settings = replace(StoreSettings(uuid4()), **given)
    if settings.workers_in is not None:
        quote_keyspace(settings.workers_in)
    checks = (
        ("id_type", settings.id_type in ("uuid", "text"), "Use 'uuid' or 'text'"),
        ("serial", settings.serial in ("SERIAL", "LOCAL_SERIAL"), "Use 'SERIAL' or 'LOCAL_SERIAL'"),
        (
            "home_dc",
            (settings.home_dc is not None) == (settings.serial == "LOCAL_SERIAL"),
            "Give home_dc together with serial='LOCAL_SERIAL', the data centre in which all writers live",
        ),
        ("feed", isinstance(settings.feed, bool), "Use True or False"),
        ("feed_ttl_s", isinstance(settings.feed_ttl_s, int) and settings.feed_ttl_s >= 5, "Use at least 5 seconds"),
        ("bucket_s", isinstance(settings.bucket_s, int) and 1 <= settings.bucket_s <= 86_400, "Use 1 to 86400"),
        ("shards", isinstance(settings.shards, int) and 1 <= settings.shards <= 1024, "Use 1 to 1024"),
    )
    for name, right, remedy in checks:
        if not right:
            raise ConfigurationError(f"{name} {getattr(settings, name)!r}", where="event store", remedy=remedy)
    return settings


async def settle_settings(
    session: Session, keyspace: str, names: TableNames, local: Mapping[str, object]
) -> StoreSettings:
    """Return the store's settings: those that stand there, else `local` and defaults, written by an LWT.

    Raises:
        StoreSettingsError: what stands there does not fit this process; see `check_settings`.
    """
    store = await read_settings(session, keyspace, names)
    if store is None:
        await _write(session, keyspace, names, wanted_settings(local))
        store = await read_settings(session, keyspace, names)
        if store is None:
            raise ConfigurationError(
                "the settings row vanished after it was written", where=_where(keyspace, names), remedy="Call again"
            )
    check_settings(store, local, session.datacenter, _where(keyspace, names))
    return store


def check_settings(store: StoreSettings, local: Mapping[str, object], datacenter: str, where: str) -> None:
    """Refuse to work with a store whose settings differ from those of this process.

    Raises:
        StoreSettingsError: a setting in `local`, the layout or the hash differs, or this is another data centre.
    """
    required = {"layout": LAYOUT, "hash": HASH, **local}
    if store.home_dc is not None:
        required["home_dc"] = datacenter
    for name, value in required.items():
        if value is not None and getattr(store, name) != value:
            raise StoreSettingsError(
                name,
                store=getattr(store, name),
                local=value,
                where=where,
                remedy=_REMEDIES.get(name, f"Leave {name} out: it is fixed when the store is made and read from there"),
            )


async def existing_settings(session: Session, keyspace: str, names: TableNames) -> StoreSettings | None:
    """Return the settings of a store; None when it, or its table of settings, is not there yet."""
    try:
        return await read_settings(session, keyspace, names)
    except UnavailableError:
        raise
    except ClusterError:  # no such keyspace or table; whatever else it is, creating them will say so
        return None


async def read_settings(session: Session, keyspace: str, names: TableNames) -> StoreSettings | None:
    """Return the settings of a store; None when it has none yet."""
    columns = [field.name for field in fields(StoreSettings)]
    query = statements.select(names.settings, columns, keyspace=keyspace, where=[("id", "=", names.events)])
    # SERIAL sees a row that another process is writing at this moment.
    row = (await session.execute(query, consistency=Consistency.SERIAL)).one()
    return None if row is None else StoreSettings(*row)


async def _write(session: Session, keyspace: str, names: TableNames, settings: StoreSettings) -> None:
    values: dict[str, object] = {"id": names.events, **asdict(settings)}
    query = statements.insert(names.settings, values, keyspace=keyspace, if_not_exists=True)
    await session.execute(query, consistency=Consistency.QUORUM, serial_consistency=Consistency.SERIAL)


def _where(keyspace: str, names: TableNames) -> str:
    return f"event store {keyspace}.{names.events}"
