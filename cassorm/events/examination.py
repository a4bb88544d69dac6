"""Ask a live cluster what `health` judges."""

import asyncio
import logging
import time
from collections.abc import Mapping
from uuid import UUID
from weakref import WeakKeyDictionary

from cassorm.cql.statements import Statement
from cassorm.driver.session import Session
from cassorm.errors import CassormError
from cassorm.events.health import (
    SETTINGS,
    ClockFacts,
    Finding,
    KeyspaceFacts,
    Level,
    NodeFacts,
    Settings,
    judge_clocks,
    judge_keyspace,
    judge_nodes,
    judge_settings,
)

_log = logging.getLogger("cassorm.events")
_said: WeakKeyDictionary[Session, set[str]] = WeakKeyDictionary()

_MOST_ASKED = 100
_ASKED_PER_NODE = 5
_UUID_EPOCH = 0x01B21DD213814000
"""1970 as a version 1 UUID counts: 100 ns since October 1582."""
_CLOCK_STEP_S = 0.001
_SYSTEM = "system"


async def examine(session: Session, keyspace: str | None = None) -> list[Finding]:
    """Look at everything that `cassorm doctor` reports: of one keyspace, or of all that are not the system's.

    Raises:
        UnavailableError: no node answers.
    """
    nodes = await _nodes(session)
    asked = min(_MOST_ASKED, _ASKED_PER_NODE * len(nodes))
    found = judge_nodes(nodes)
    found += await _examine_settings(session, asked)
    keyspaces = await _keyspaces(session, keyspace)
    for facts in keyspaces:
        found += judge_keyspace(facts, nodes, datacenter=session.datacenter)
    if keyspace is not None and not keyspaces:
        found.append(
            Finding(
                Level.ERROR,
                "replication",
                f"keyspace {keyspace}",
                "it does not exist",
                "Check the name; `store.initialize()` creates the keyspace of an event store",
            )
        )
    clocks = await _clocks(session, asked)
    return found + judge_clocks(clocks, unseen=len(nodes) - len(clocks))


async def log_findings(session: Session, keyspace: str) -> None:
    """Log what an event store should not be run with; cheap, and without a word when it cannot be found out.

    A single node is taken for a development node, whose one copy is meant. What all stores of a session share is said
    once.
    """
    try:
        settings, keyspaces, nodes = await asyncio.gather(
            _settings(session, 1), _keyspaces(session, keyspace), _nodes(session)
        )
    except CassormError as error:
        _log.debug("the cluster's settings were not looked at: %s", error)
        return
    found = judge_settings(settings, request_timeout=session.settings.request_timeout)
    if len(nodes) > 1:
        for facts in keyspaces:
            found += judge_keyspace(facts, nodes, datacenter=session.datacenter)
    said = _said.setdefault(session, set())
    for finding in found:
        if finding.level is not Level.OK and str(finding) not in said:
            said.add(str(finding))
            _log.warning("%s", finding)


async def _nodes(session: Session) -> list[NodeFacts]:
    columns = "host_id, rpc_address, data_center, release_version, schema_version"
    local, peers = await asyncio.gather(
        session.execute(f"SELECT {columns} FROM system.local"),  # noqa: S608 - constants
        session.execute(f"SELECT {columns} FROM system.peers"),  # noqa: S608 - constants
    )
    # Two nodes may have answered: one of them then stands in both.
    nodes = {row[0]: NodeFacts(row[0], str(row[1]), str(row[2]), str(row[3]), row[4]) for row in (*peers, *local)}
    return list(nodes.values())


async def _examine_settings(session: Session, asked: int) -> list[Finding]:
    try:
        settings = await _settings(session, asked)
    except CassormError as error:
        return [
            Finding(
                Level.WARNING,
                "settings",
                "cluster",
                f"the settings cannot be read: {error.problem}",
                "Run it as a user who may read system tables",
            )
        ]
    return judge_settings(settings, request_timeout=session.settings.request_timeout)


async def _settings(session: Session, asked: int) -> Settings:
    """The settings of the nodes that answer: each tells of itself only, so that more nodes have to be asked more often."""
    table = "system_views.settings" if session.dialect.name == "cassandra" else "system.config"
    names = ", ".join(f"'{name}'" for name in SETTINGS)
    query = f"SELECT name, value FROM {table} WHERE name IN ({names})"  # noqa: S608 - constants
    found: dict[str, set[str]] = {}
    for _ in range(asked):
        for name, value in await session.execute(query):
            if value is not None:
                found.setdefault(name, set()).add(str(value).strip('"').lower())
    return {name: frozenset(values) for name, values in found.items()}


async def _keyspaces(session: Session, keyspace: str | None) -> list[KeyspaceFacts]:
    query = "SELECT keyspace_name, replication, durable_writes FROM system_schema.keyspaces"
    statement = Statement(query)
    if keyspace is not None:
        statement = Statement(f"{query} WHERE keyspace_name = ?", (keyspace,))
    return [
        KeyspaceFacts(name, _plain(replication), bool(durable_writes))
        for name, replication, durable_writes in await session.execute(statement)
        if keyspace is not None or not name.startswith(_SYSTEM)
    ]


def _plain(replication: Mapping[str, str]) -> dict[str, str]:
    return {str(name): str(value) for name, value in replication.items()}


async def _clocks(session: Session, asked: int) -> list[ClockFacts]:
    """Each answering node's clock against ours: its time lies between the moments of asking and of hearing."""
    bounds: dict[UUID, ClockFacts] = {}
    for _ in range(asked):
        sent = time.time()
        row = (await session.execute("SELECT host_id, rpc_address, now() FROM system.local")).one()
        heard = time.time()
        if row is None:
            continue
        host_id, address, now = row
        theirs = (now.time - _UUID_EPOCH) / 1e7
        low, high = theirs - heard, theirs + _CLOCK_STEP_S - sent
        known = bounds.get(host_id, ClockFacts(str(address), low, high))
        bounds[host_id] = ClockFacts(known.address, max(known.low_s, low), min(known.high_s, high))
    return list(bounds.values())
