"""Open the driver's cluster: policies, keyspace, engine; what goes wrong on the way, as our errors.

All of it blocks and runs in a thread.
"""

import logging
import ssl
from dataclasses import dataclass
from statistics import mode
from typing import Any

from cassandra import DriverException, UnresolvableContactPoints
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable
from cassandra.connection import ProtocolVersionUnsupported, locally_supported_compressions
from cassandra.policies import ConstantReconnectionPolicy

from cassorm.driver.connection import patient_connection
from cassorm.driver.failures import is_authentication
from cassorm.driver.installed import THREAD_PREFIX
from cassorm.driver.policies import NEVER, LocalReplicasFirst
from cassorm.driver.rows import as_decoded
from cassorm.driver.settings import Settings
from cassorm.driver.wire import PROFILE, Wire
from cassorm.errors import CassormError, ConfigurationError, UnavailableError

# A connection that is quiet this long is asked whether it lives, and given up when it does not say so in time.
_HEARTBEAT_S = 10
_RECONNECT_S = 1.0

_log = logging.getLogger("cassandra.cluster")


class _RaisedInstead(logging.Filter):
    """Drops what the driver logs while a call of ours is failing: the same error is raised to the caller."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.threadName or "").startswith(THREAD_PREFIX)


_log.addFilter(_RaisedInstead())


@dataclass(frozen=True, slots=True)
class Opened:
    """A cluster that answers: engine ("cassandra" or "scylla"), its version, and the local data centre."""

    wire: Wire
    engine: str
    version: str
    datacenter: str


def open_cluster(settings: Settings, ssl_context: ssl.SSLContext | None) -> Opened:
    """Connect, check the keyspace and see which engine it is.

    Raises:
        ConfigurationError: a setting does not fit the cluster.
        UnavailableError: no host answered.
    """
    policy = LocalReplicasFirst(settings.datacenter)
    cluster = _cluster(settings, ssl_context, policy)
    try:
        session = cluster.connect()
        wire = Wire(cluster, session)
        release = _one(session, "SELECT release_version FROM system.local WHERE key='local'")
        engine, version = "cassandra", release
        if any(option.startswith("SCYLLA_") for option in wire.options()):
            # ScyllaDB gives the Cassandra release that it resembles as `release_version`.
            engine, version = "scylla", _one(session, "SELECT version FROM system.versions WHERE key='local'")
        if settings.keyspace is not None:
            _use(session, cluster, settings.keyspace)
        return Opened(wire, engine, version, policy.datacenter)
    except Exception as error:
        cluster.shutdown()
        if isinstance(error, (DriverException, NoHostAvailable, OSError)):
            raise _explained(error, settings, cluster) from error
        raise


def _cluster(settings: Settings, ssl_context: ssl.SSLContext | None, policy: LocalReplicasFirst) -> Any:
    if settings.compression and not locally_supported_compressions:
        raise ConfigurationError(
            "compression is on, but no library for it is installed",
            where="setting CASSORM_COMPRESSION",
            remedy="Run `pip install lz4`, or switch it off",
        )
    points = settings.contact_points()
    connect_timeout_s = settings.connect_timeout.total_seconds()
    auth = None
    if settings.user is not None and settings.password is not None:
        auth = PlainTextAuthProvider(settings.user, settings.password.get_secret_value())
    try:
        return Cluster(
            points,
            # For nodes that do not tell their port: that of most contact points.
            port=mode(port for _, port in points),
            auth_provider=auth,
            connection_class=patient_connection(),
            # The driver runs queries of its own under the default profile and expects its own rows.
            execution_profiles={
                EXEC_PROFILE_DEFAULT: _profile(settings, policy),
                PROFILE: _profile(settings, policy, row_factory=as_decoded),
            },
            ssl_context=ssl_context or settings.tls_context(),
            compression=settings.compression,
            protocol_version=settings.protocol_version,
            connect_timeout=connect_timeout_s,
            control_connection_timeout=connect_timeout_s,
            reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
            idle_heartbeat_interval=_HEARTBEAT_S,
            idle_heartbeat_timeout=_HEARTBEAT_S,
        )
    except UnresolvableContactPoints as error:
        raise ConfigurationError(
            f"no host of {', '.join(settings.hosts)} has an address",
            where="setting CASSORM_HOSTS",
            remedy="Check the spelling, or name a host that DNS knows",
        ) from error


def _profile(settings: Settings, policy: LocalReplicasFirst, **options: Any) -> Any:
    return ExecutionProfile(
        load_balancing_policy=policy,
        retry_policy=NEVER,
        consistency_level=settings.consistency.value,
        serial_consistency_level=settings.serial_consistency.value,
        request_timeout=settings.request_timeout.total_seconds(),
        **options,
    )


def _one(session: Any, query: str) -> str:
    return str(session.execute(query).one()[0])


def _use(session: Any, cluster: Any, keyspace: str) -> None:
    known = cluster.metadata.keyspaces
    if keyspace not in known:
        own = sorted(name for name in known if not name.startswith("system"))
        raise ConfigurationError(
            f"keyspace {keyspace!r} does not exist; there are {', '.join(own) or 'none but system keyspaces'}",
            where="setting CASSORM_KEYSPACE",
            remedy="Check the name, or connect without it and create it",
        )
    session.set_keyspace(keyspace)


def _explained(error: Exception, settings: Settings, cluster: Any) -> CassormError:
    tried = ", ".join(settings.hosts)
    causes = [error, *_causes(error)]
    if any(is_authentication(cause) for cause in causes):
        who = f"user {settings.user!r} is not accepted" if settings.user else "the cluster asks for a user"
        return ConfigurationError(
            who, where=f"cluster at {tried}", remedy="Check CASSORM_USER and CASSORM_PASSWORD, or the arguments"
        )
    if any(isinstance(cause, ProtocolVersionUnsupported) for cause in causes):
        return ConfigurationError(
            f"native protocol version {settings.protocol_version} is not supported",
            where=f"cluster at {tried}",
            remedy="Set CASSORM_PROTOCOL_VERSION=4",
        )
    # The driver makes a plain OSError of TLS errors; what stays is OpenSSL's name of the reason.
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes):
        return ConfigurationError(
            f"the certificate is not trusted: {causes[-1]}",
            where=f"cluster at {tried}",
            remedy="Set CASSORM_TLS_CA to the authority that signed it",
        )
    elsewhere = sorted({str(host.datacenter) for host in cluster.metadata.all_hosts() if host.datacenter})
    if settings.datacenter is not None and elsewhere and settings.datacenter not in elsewhere:
        return ConfigurationError(
            f"there is no data centre {settings.datacenter!r}; there are {', '.join(elsewhere)}",
            where="setting CASSORM_DATACENTER",
            remedy="Name one of these, or leave it out to take that of the first host",
        )
    reasons = "; ".join(dict.fromkeys(str(cause) for cause in causes[1:])) or str(error)
    return UnavailableError(
        f"no host answered: tried {tried} ({reasons})",
        where="connect",
        remedy="Check that CASSORM_HOSTS is right, the cluster is up, and CASSORM_TLS is set if it encrypts",
    )


def _causes(error: Exception) -> list[Exception]:
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        return [cause for cause in error.errors.values() if isinstance(cause, Exception)]
    return []
