"""What a cluster is asked to be: how many nodes, which profile, which settings."""

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cassorm.errors import ConfigurationError

MOST_NODES = 9
HEAP = re.compile(r"[1-9][0-9]*[mMgG]")


@dataclass(frozen=True)
class Profile:
    """A purpose: the JVM options and cassandra.yaml settings that serve it."""

    purpose: str
    heap: str
    jvm: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


# C1 alone compiles at once and lightly: the first seconds are what a test sees. A benchmark waits for C2.
FAST_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "test": Profile("starts fastest", "512m", FAST_START),
        "durable": Profile(
            "as test, and every write is on disk before it is acknowledged",
            "512m",
            FAST_START,
            {"commitlog_sync": "batch", "commitlog_sync_period": None},
        ),
        "bench": Profile(
            "runs fastest once warm",
            "1g",
            ("-XX:+UseSerialGC",),
            {
                "memtable_heap_space": "192MiB",
                "memtable_offheap_space": "256MiB",
                "concurrent_reads": 16,
                "concurrent_writes": 16,
                "native_transport_max_threads": 32,
                "key_cache_size": "16MiB",
                "file_cache_size": "128MiB",
            },
        ),
    }
)


@dataclass(frozen=True)
class Spec:
    """A cluster as asked for; the same for every start of it."""

    nodes: int = 1
    profile: str = "test"
    auth: bool = False
    tls: bool = False
    heap: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """cassandra.yaml settings over those of the profile; None removes one."""
    jvm: tuple[str, ...] = ()
    """JVM options behind those of the profile."""

    def __post_init__(self) -> None:
        if isinstance(self.nodes, bool) or not isinstance(self.nodes, int) or not 1 <= self.nodes <= MOST_NODES:
            raise ConfigurationError(
                f"a development cluster has 1 to {MOST_NODES} nodes, not {self.nodes!r}",
                where="nodes",
                remedy="Most questions need 1 or 3",
            )
        if self.profile not in PROFILES:
            raise ConfigurationError(
                f"there is no profile {self.profile!r}", where="profile", remedy=f"Take one of {', '.join(PROFILES)}"
            )
        if self.heap is not None and not HEAP.fullmatch(self.heap):
            raise ConfigurationError(
                f"{self.heap!r} is no heap size", where="heap", remedy="Write it as the JVM does: 512m, 1g"
            )

    @property
    def heap_size(self) -> str:
        """The largest heap of each node, as the JVM writes it."""
        return self.heap or PROFILES[self.profile].heap

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def load(cls, text: str) -> "Spec":
        """From the JSON text of `dump`."""
        facts = json.loads(text)
        return cls(**facts | {"jvm": tuple(facts["jvm"])})
