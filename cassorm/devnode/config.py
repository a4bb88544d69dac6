"""The files and the command line of one node: cassandra.yaml, logback.xml, the JVM's arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cassorm.devnode.java import Java
from cassorm.devnode.ports import addresses
from cassorm.devnode.spec import PROFILES, Spec

TOKENS = 2**64
MAIN_CLASS = "org.apache.cassandra.service.CassandraDaemon"
KEYSTORE_PASSWORD = "cassorm"  # noqa: S105  (it protects a throw-away key on this machine)

# What Cassandra 5.0 reaches for inside the JDK; a module that the runtime lacks is left out.
EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.base/java.lang.ref",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.management/com.sun.jmx.remote.security",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
)
OPENS = (
    *(
        f"java.base/{package}"
        for package in (
            "java.io",
            "java.lang",
            "java.lang.module",
            "java.lang.reflect",
            "java.nio",
            "java.util",
            "jdk.internal.loader",
            "jdk.internal.math",
            "jdk.internal.module",
            "jdk.internal.ref",
            "jdk.internal.reflect",
            "jdk.internal.util.jar",
            "sun.nio.ch",
        )
    ),
    "jdk.management/com.sun.management.internal",
    "jdk.compiler/com.sun.tools.javac",
)

LOGBACK = """\
<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
  <logger name="org.apache.cassandra" level="INFO"/>
  <logger name="org.apache.cassandra.service.StorageService" level="DEBUG"/>
</configuration>
"""


@dataclass(frozen=True)
class Place:
    """Where one node of a cluster lives: its number from 0, its folder, and the ports that all nodes share."""

    index: int
    folder: Path
    cql_port: int
    storage_port: int
    tls_folder: Path

    @property
    def address(self) -> str:
        """The node's own loopback address."""
        return addresses(self.index + 1)[-1]

    @property
    def log(self) -> Path:
        """Everything the process writes."""
        return self.folder / "cassandra.log"


def cassandra_settings(spec: Spec, place: Place) -> dict[str, Any]:
    """The content of cassandra.yaml: ours, then the profile's, then the user's."""
    data = place.folder / "data"
    settings: dict[str, Any] = {
        "cluster_name": f"cassorm {place.storage_port}",
        # Evenly spaced tokens by hand: no bootstrap, no streaming, and nodes can join together.
        "num_tokens": 1,
        "initial_token": str(TOKENS * (2 * place.index + 1) // (2 * spec.nodes) - TOKENS // 2),
        "auto_bootstrap": False,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "endpoint_snitch": "SimpleSnitch",
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": f"{addresses(1)[0]}:{place.storage_port}"}],
            }
        ],
        "listen_address": place.address,
        "rpc_address": place.address,
        "storage_port": place.storage_port,
        "native_transport_port": place.cql_port,
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(data / "commitlog"),
        "hints_directory": str(data / "hints"),
        "saved_caches_directory": str(data / "saved_caches"),
        "cdc_raw_directory": str(data / "cdc_raw"),
        "cdc_enabled": False,
        "commitlog_sync": "periodic",
        "commitlog_sync_period": "10000ms",
        "commitlog_segment_size": "32MiB",
        "authenticator": "AllowAllAuthenticator",
        "authorizer": "AllowAllAuthorizer",
        "role_manager": "CassandraRoleManager",
        "paxos_variant": "v2",
        "cas_contention_timeout": "5000ms",
        "write_request_timeout": "4000ms",
        "read_request_timeout": "8000ms",
        "materialized_views_enabled": True,
        "sasi_indexes_enabled": False,
        "storage_compatibility_mode": "NONE",
        "sstable": {"selected_format": "bti"},
        "uuid_sstable_identifiers_enabled": True,
        "memtable": {
            "configurations": {"trie": {"class_name": "TrieMemtable"}, "default": {"inherits": "trie"}},
        },
        "memtable_allocation_type": "offheap_objects",
        "memtable_heap_space": "64MiB",
        "memtable_offheap_space": "64MiB",
        "concurrent_reads": 4,
        "concurrent_writes": 4,
        "concurrent_counter_writes": 2,
        "concurrent_materialized_view_writes": 2,
        "concurrent_compactors": 1,
        "memtable_flush_writers": 1,
        "native_transport_max_threads": 16,
        "key_cache_size": "0MiB",
        "counter_cache_size": "0MiB",
        "file_cache_size": "32MiB",
        "prepared_statements_cache_size": "8MiB",
        "auto_snapshot": False,
        "hinted_handoff_enabled": True,
    }
    if spec.auth:
        settings |= {"authenticator": "PasswordAuthenticator", "authorizer": "CassandraAuthorizer"}
    if spec.tls:
        settings["client_encryption_options"] = {
            "enabled": True,
            "optional": False,
            "keystore": str(place.tls_folder / "keystore.p12"),
            "keystore_password": KEYSTORE_PASSWORD,
            "store_type": "PKCS12",
        }
    settings |= dict(PROFILES[spec.profile].settings) | dict(spec.settings)
    return {name: value for name, value in settings.items() if value is not None}


def write_files(spec: Spec, place: Place) -> None:
    """Write the node's folder, cassandra.yaml and logback.xml; data that is there stays."""
    (place.folder / "tmp").mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(cassandra_settings(spec, place), sort_keys=False)
    (place.folder / "cassandra.yaml").write_text(text, encoding="utf-8")
    (place.folder / "logback.xml").write_text(LOGBACK, encoding="utf-8")


def command(spec: Spec, place: Place, java: Java, jars: Sequence[Path], extra: Sequence[str] = ()) -> tuple[str, ...]:
    """The command line that runs the node; `extra` are JVM options of this start alone."""
    jamm = next(jar for jar in jars if jar.name.startswith("jamm-"))
    properties: Mapping[str, object] = {
        "java.net.preferIPv4Stack": "true",
        # Natives that libraries unpack go with the node.
        "java.io.tmpdir": place.folder / "tmp",
        "jna.tmpdir": place.folder / "tmp",
        "jdk.attach.allowAttachSelf": "true",
        "chronicle.analytics.disable": "true",
        "io.netty.tryReflectionSetAccessible": "true",
        "io.netty.allocator.useCacheForAllThreads": "true",
        "io.netty.allocator.maxOrder": "11",
        "logback.configurationFile": place.folder / "logback.xml",
        "cassandra.config": (place.folder / "cassandra.yaml").as_uri(),
        "cassandra.storagedir": place.folder / "data",
        "cassandra.logdir": place.folder / "logs",
        "cassandra.triggers_dir": place.folder / "triggers",
        "cassandra-foreground": "yes",
        "cassandra.libjemalloc": "-",
        "cassandra.skip_wait_for_gossip_to_settle": "0",
        "cassandra.ring_delay_ms": "10000",
        "cassandra.superuser_setup_delay_ms": "0",
        "cassandra.shutdown_announce_in_ms": "0",
        # The cheapest bcrypt there is: the one password is `cassandra`.
        "cassandra.auth_bcrypt_gensalt_log2_rounds": "4",
    }
    return (
        str(java.executable),
        f"-javaagent:{jamm}",
        "-Xms128m",
        f"-Xmx{spec.heap_size}",
        "-Xss256k",
        *PROFILES[spec.profile].jvm,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:+PerfDisableSharedMem",
        *extra,
        *module_options(java),
        *(f"-D{name}={value}" for name, value in properties.items()),
        *spec.jvm,
        "-cp",
        ":".join(map(str, jars)),
        MAIN_CLASS,
    )


def module_options(java: Java) -> tuple[str, ...]:
    """The exports and opens that Cassandra needs, of the modules that this runtime has."""
    options = [("--add-exports", name) for name in EXPORTS] + [("--add-opens", name) for name in OPENS]
    return tuple(
        part
        for option, name in options
        if name.partition("/")[0] in java.modules
        for part in (option, f"{name}=ALL-UNNAMED")
    )
