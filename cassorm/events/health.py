"""What the live settings of a cluster mean for an event store: facts in, findings out. No I/O; `examination` asks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from cassorm.cql.identifiers import quote_keyspace

CLOCK_WARNING_S = 0.5
CLOCK_ERROR_S = 10.0

Settings = Mapping[str, frozenset[str]]
"""Setting -> the values that the nodes have, more than one where they differ."""

SETTINGS = (
    "commitlog_sync",
    "paxos_variant",
    "materialized_views_enabled",
    "enable_materialized_views",
    "cas_contention_timeout",
    "cas_contention_timeout_in_ms",
    "write_request_timeout",
    "write_request_timeout_in_ms",
    "read_request_timeout",
    "read_request_timeout_in_ms",
)
"""Those that matter here, as Cassandra 4.0 to 6 and ScyllaDB call them."""

_UNITS_S = {"": 0.001, "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `check` names it; `remedy` is empty when nothing has to be done."""

    level: Level
    check: str
    where: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}".rstrip()


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node as the cluster's own tables describe it."""

    host_id: UUID
    address: str
    datacenter: str
    release: str
    schema_version: UUID | None


@dataclass(frozen=True, slots=True)
class KeyspaceFacts:
    """A keyspace's replication, as `system_schema.keyspaces` has it."""

    name: str
    replication: Mapping[str, str]
    durable_writes: bool = True


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """How far a node's clock is ahead of this machine's, in seconds: somewhere between `low_s` and `high_s`."""

    address: str
    low_s: float
    high_s: float


def judge_settings(settings: Settings, *, request_timeout: timedelta) -> list[Finding]:
    """Commit log, Paxos, timeouts, views; what the engine does not tell is passed over."""
    found = []
    if "commitlog_sync" in settings:
        found.append(_commit_log(settings["commitlog_sync"]))
    if "paxos_variant" in settings:
        found.append(_paxos(settings["paxos_variant"]))
    for name in ("materialized_views_enabled", "enable_materialized_views"):
        if name in settings:
            found.append(_views(settings[name]))
            break
    return [*found, *_timeouts(settings, request_timeout)]


def _commit_log(values: frozenset[str]) -> Finding:
    if "periodic" in values:
        return Finding(
            Level.WARNING,
            "commitlog_sync",
            _some_nodes(values),
            "commitlog_sync is periodic: what was acknowledged since the last sync is lost when the power fails",
            "Set commitlog_sync: group (or batch) in cassandra.yaml and restart the nodes one by one, or make sure "
            "that the copies of a partition never lose power together",
        )
    return Finding(
        Level.OK, "commitlog_sync", "all nodes", f"commitlog_sync is {_or(values)}: acknowledged writes are on disk"
    )


def _paxos(values: frozenset[str]) -> Finding:
    if values != {"v2"}:
        return Finding(
            Level.WARNING,
            "paxos_variant",
            _some_nodes(values),
            f"paxos_variant is {_or(values)}: a lightweight transaction takes four round trips between nodes",
            "Set paxos_variant: v2 in cassandra.yaml of all nodes: it takes two",
        )
    return Finding(Level.OK, "paxos_variant", "all nodes", "paxos_variant is v2")


def _views(values: frozenset[str]) -> Finding:
    what = "materialized views are switched off: creating one is refused"
    if "true" in values:
        what = "materialized views can be created; nothing repairs one that differs from its table"
    return Finding(Level.OK, "materialized_views", _some_nodes(values), what)


def _timeouts(settings: Settings, request_timeout: timedelta) -> list[Finding]:
    ours = request_timeout.total_seconds()
    write, contention, read = (
        longest_s(settings, name)
        for name in ("write_request_timeout", "cas_contention_timeout", "read_request_timeout")
    )
    found = []
    if write is not None and contention is not None:
        found.append(
            _timeout(
                ours,
                write + contention,
                f"cas_contention_timeout {contention:g} s + write_request_timeout {write:g} s",
                "appends are given up here while the server still works on them: their outcome is unknown",
            )
        )
    if read is not None:
        found.append(
            _timeout(
                ours, read, f"read_request_timeout {read:g} s", "reads are given up here before the server has said why"
            )
        )
    return found


def _timeout(ours: float, theirs: float, sum_: str, harm: str) -> Finding:
    if ours > theirs:
        return Finding(Level.OK, "timeouts", "this client", f"request_timeout {ours:g} s exceeds {sum_}")
    return Finding(
        Level.WARNING,
        "timeouts",
        "this client",
        f"request_timeout {ours:g} s does not exceed {sum_}: {harm}",
        f"Set CASSORM_REQUEST_TIMEOUT above {theirs:g}, or lower the server's timeouts",
    )


def judge_keyspace(keyspace: KeyspaceFacts, nodes: Sequence[NodeFacts], *, datacenter: str) -> list[Finding]:
    """Replication: strategy, copies, and copies against nodes, in each data centre."""
    where = f"keyspace {keyspace.name}"
    strategy = keyspace.replication.get("class", "").rpartition(".")[2]
    found = []
    if not keyspace.durable_writes:
        found.append(
            Finding(
                Level.ERROR,
                "durable_writes",
                where,
                "durable_writes is off: what is not flushed yet is lost when a node stops",
                f"ALTER KEYSPACE {quote_keyspace(keyspace.name)} WITH durable_writes = true",
            )
        )
    copies = {name: _number(value) for name, value in keyspace.replication.items() if name != "class"}
    if strategy == "NetworkTopologyStrategy":
        by_dc = copies
        if datacenter not in by_dc:
            found.append(
                Finding(
                    Level.ERROR,
                    "replication",
                    where,
                    f"no copies in {datacenter}, the data centre of this client: LOCAL_QUORUM cannot be reached",
                    f"Connect to one of {', '.join(by_dc)}, or add {datacenter} to its replication",
                )
            )
        for name, count in by_dc.items():
            found.append(_copies(keyspace.name, name, count, sum(node.datacenter == name for node in nodes)))
    elif "replication_factor" in copies:
        count = copies["replication_factor"]
        found.append(
            Finding(
                Level.WARNING,
                "replication",
                where,
                f"{strategy} knows neither data centres nor racks",
                f"ALTER KEYSPACE {quote_keyspace(keyspace.name)} WITH replication = "
                f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': {count}}}, then repair it",
            )
        )
        found.append(_copies(keyspace.name, "the cluster", count, len(nodes)))
    else:
        found.append(
            Finding(
                Level.WARNING,
                "replication",
                where,
                f"{strategy} is not for data that has to stay",
                f"Create it with NetworkTopologyStrategy and 3 copies in {datacenter}",
            )
        )
    return found


def _copies(keyspace: str, place: str, copies: int, nodes: int) -> Finding:
    where, quorum = f"keyspace {keyspace}, {place}", copies // 2 + 1
    counted = f"{copies} cop{'y' if copies == 1 else 'ies'} on {nodes} node{'' if nodes == 1 else 's'}"
    three = f"Keep 3 copies, on 3 nodes or more: ALTER KEYSPACE {quote_keyspace(keyspace)} ..., then repair it"
    if quorum > nodes:
        return Finding(
            Level.ERROR, "replication", where, f"{counted}: a quorum of {quorum} can never be reached", three
        )
    if copies > nodes:
        return Finding(
            Level.WARNING, "replication", where, f"{counted}: with one node down there is no quorum of {quorum}", three
        )
    if copies == 1:
        remedy = "Fine for development; else keep 3 copies" if nodes == 1 else three
        return Finding(
            Level.WARNING, "replication", where, f"{counted}: what a lost disk held is lost for good", remedy
        )
    if copies == 2:
        return Finding(
            Level.WARNING, "replication", where, f"{counted}: every node that is down stops the writes it shares", three
        )
    return Finding(Level.OK, "replication", where, counted)


def judge_nodes(nodes: Sequence[NodeFacts]) -> list[Finding]:
    """Versions and schema: the same on all nodes."""
    releases = sorted({node.release for node in nodes})
    schemas = {node.schema_version for node in nodes if node.schema_version is not None}
    found = []
    if len(releases) > 1:
        found.append(
            Finding(
                Level.WARNING,
                "versions",
                "cluster",
                f"nodes run {' and '.join(releases)}",
                "Finish the upgrade before the schema is changed",
            )
        )
    else:
        found.append(
            Finding(
                Level.OK, "versions", "cluster", f"{len(nodes)} node{'s' * (len(nodes) > 1)}, version {releases[0]}"
            )
        )
    if len(schemas) > 1:
        found.append(
            Finding(
                Level.WARNING,
                "schema",
                "cluster",
                f"nodes have {len(schemas)} different schemas",
                "Look at `nodetool describecluster`; a node that stays behind wants a restart",
            )
        )
    return found


def judge_clocks(clocks: Iterable[ClockFacts], *, unseen: int = 0) -> list[Finding]:
    """Clocks of nodes against this machine's; `unseen` nodes could not be asked."""
    found, fine, doubt = [], 0, 0.0
    for clock in clocks:
        # The least that it can be off, whatever share of the round trip the way there took.
        off = max(clock.low_s, -clock.high_s, 0.0)
        if off < CLOCK_WARNING_S:
            fine += 1
            doubt = max(doubt, abs(clock.low_s), abs(clock.high_s))
            continue
        way = "ahead of" if clock.low_s > 0 else "behind"
        found.append(
            Finding(
                Level.ERROR if off >= CLOCK_ERROR_S else Level.WARNING,
                "clocks",
                f"node {clock.address}",
                f"its clock is at least {off:.1f} s {way} this machine's",
                "Let chrony or another NTP client run on every node and client: the newest timestamp wins in plain "
                "writes, and positions are made from clocks",
            )
        )
    if fine:
        text = f"{fine} node{'s' * (fine > 1)} within {max(doubt, 0.001) * 1000:.0f} ms of this machine"
        text += f"; {unseen} in other data centres not asked" if unseen else ""
        found.append(Finding(Level.OK, "clocks", "cluster", text))
    return found


def longest_s(settings: Settings, name: str) -> float | None:
    """The longest time that a node has for a setting, in seconds; None when no node tells."""
    values = settings.get(name) or settings.get(f"{name}_in_ms") or frozenset()
    times = [time for time in map(seconds, values) if time is not None]
    return max(times) if times else None


def seconds(text: str) -> float | None:
    """The seconds of a setting such as "5000ms", "2s" or "5000" (milliseconds); None when it is no time."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zµ]*)\s*", text)
    if match is None or match[2] not in _UNITS_S:
        return None
    return float(match[1]) * _UNITS_S[match[2]]


def _number(text: str) -> int:
    # "3", or "3/1" with a transient one.
    digits = text.partition("/")[0]
    return int(digits) if digits.isdecimal() else 0


def _or(values: Iterable[str]) -> str:
    return " or ".join(sorted(values))


def _some_nodes(values: frozenset[str]) -> str:
    return "all nodes" if len(values) == 1 else "some nodes"
