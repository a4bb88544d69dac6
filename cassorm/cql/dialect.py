"""What each engine and version can do, and how it spells what the others spell differently."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cassorm.errors import ConfigurationError

Engine = Literal["cassandra", "scylla"]
IndexKind = Literal["sai", "secondary"]

Profile = Literal["append-only", "latest-few", "time-window", "lwt-only"]
"""How a table is used, which decides its compaction on every engine.

append-only: rows are written once and stay; latest-few: the newest rows of a partition are read, old ones go;
time-window: rows expire together by TTL, none is updated or deleted; lwt-only: few rows, each changed by LWT alone.
"""
PROFILES: tuple[Profile, ...] = get_args(Profile)

# TWCS opens the sstables of every window for a read that cannot be bounded: more windows than this are slow.
_WINDOWS = 50
_WINDOW_UNITS = (("DAYS", 86_400), ("HOURS", 3_600), ("MINUTES", 60))


@dataclass(frozen=True, slots=True)
class Dialect:
    """An engine and its version; what it can do follows from the two.

    `version` is the engine's own: for ScyllaDB not the Cassandra release that it claims to be.
    """

    name: Engine
    version: tuple[int, ...]

    def __str__(self) -> str:
        return f"{'Cassandra' if self.name == 'cassandra' else 'ScyllaDB'} {'.'.join(map(str, self.version))}"

    @property
    def sai(self) -> bool:
        """Whether storage-attached indexes exist."""
        return self.name == "cassandra" and self.version >= (5, 0)

    @property
    def ucs(self) -> bool:
        """Whether the unified compaction strategy exists."""
        return self.name == "cassandra" and self.version >= (5, 0)

    @property
    def vectors(self) -> bool:
        """Whether columns of type `vector<...>` exist."""
        return self.version >= ((5, 0) if self.name == "cassandra" else (2025, 4))

    @property
    def views_default_on(self) -> bool:
        """Whether materialized views work without a change to the server's configuration."""
        return self.name == "scylla"

    @property
    def tablets(self) -> bool:
        """Whether a new keyspace may be kept in tablets instead of vnodes."""
        return self.name == "scylla" and self.version >= (6, 0)

    @property
    def lwt_on_tablets(self) -> bool:
        """Whether lightweight transactions work in a keyspace that is kept in tablets."""
        return self.tablets and self.version >= (2025, 4)

    @property
    def default_index(self) -> IndexKind:
        """The kind of an index whose kind was left open."""
        return "sai" if self.sai else "secondary"

    def keyspace_options(self) -> dict[str, object]:
        """The options, besides replication, that a new keyspace needs for lightweight transactions to work in it."""
        return {"tablets": {"enabled": False}} if self.tablets and not self.lwt_on_tablets else {}

    def profile_options(self, profile: Profile, *, ttl_s: int = 0) -> dict[str, dict[str, str]]:
        """Compaction and compression of a table of this profile, as table options.

        A time window is the fiftieth part of `ttl_s`, rounded up to whole minutes, hours or days; without a TTL
        it is one day.
        """
        options = {"compaction": self._compaction(profile, ttl_s)}
        if profile == "append-only":
            # Written once and read for years: worth the processor time, once.
            options["compression"] = {"class": "ZstdCompressor"}
        return options

    @property
    def compressor_key(self) -> str:
        """The key that names the compressor in the CQL of a table's `compression`; "class" everywhere else."""
        return "class" if self.name == "cassandra" else "sstable_compression"

    def _compaction(self, profile: Profile, ttl_s: int) -> dict[str, str]:
        if profile == "time-window":
            size, unit = _window(ttl_s)
            return {
                "class": "TimeWindowCompactionStrategy",
                "compaction_window_size": str(size),
                "compaction_window_unit": unit,
            }
        if self.ucs:
            scaling = "T4" if profile == "append-only" else "L10"
            return {"class": "UnifiedCompactionStrategy", "scaling_parameters": scaling}
        tiered = profile == "append-only"
        return {"class": "SizeTieredCompactionStrategy" if tiered else "LeveledCompactionStrategy"}


def for_engine(name: str, version: str) -> Dialect:
    """The dialect of an engine; `version` is the text that the engine gives, such as "5.0.9" or "2025.4.0-rc1".

    Raises:
        ConfigurationError: the engine is neither, or older than cassorm supports; connect to another cluster.
    """
    where = f"{name} {version}"
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    if name not in get_args(Engine) or numbers is None:
        raise ConfigurationError(
            "is no engine that cassorm knows", where=where, remedy="Use Apache Cassandra 4.0+ or ScyllaDB 5.0+"
        )
    parsed = tuple(map(int, numbers.group().split(".")))
    oldest: Mapping[str, tuple[int, ...]] = {"cassandra": (4, 0), "scylla": (5, 0)}
    if parsed < oldest[name]:
        raise ConfigurationError(
            "is older than cassorm supports", where=where, remedy="Use Apache Cassandra 4.0+ or ScyllaDB 5.0+"
        )
    return Dialect("scylla" if name == "scylla" else "cassandra", parsed)


def _window(ttl_s: int) -> tuple[int, str]:
    if ttl_s <= 0:
        return 1, "DAYS"
    shortest = -(-ttl_s // _WINDOWS)
    for unit, seconds in _WINDOW_UNITS:
        if shortest >= seconds:
            return -(-shortest // seconds), unit
    return 1, "MINUTES"
