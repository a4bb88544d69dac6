"""cassorm: typed tables, event sourcing and CQRS on Apache Cassandra and ScyllaDB, for asyncio and pydantic.

A name is imported when it is first asked for: who uses tables alone does not wait for event sourcing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cassorm.aggregates.aggregate import Aggregate, aggregate
    from cassorm.aggregates.decider import Decider, Folded
    from cassorm.aggregates.handlers import apply
    from cassorm.aggregates.repository import AggregateRepository
    from cassorm.aggregates.resends import Saved
    from cassorm.driver.consistency import Consistency
    from cassorm.driver.session import Session
    from cassorm.driver.settings import Settings
    from cassorm.driver.tracing import Trace, TraceEvent
    from cassorm.errors import CassormError, Retry
    from cassorm.events.cassandra import CassandraEventStore
    from cassorm.events.event import Event, Recorded, Value, caused_by
    from cassorm.events.intent import ANY, EXISTS, NO_STREAM, Expect
    from cassorm.events.memory import MemoryEventStore
    from cassorm.events.metadata import Metadata, event_context
    from cassorm.events.position import Position
    from cassorm.events.store import Appended, EventStore, Snapshot, StreamHead
    from cassorm.events.subscription import BEGINNING, NOW, Placed, Start, Subscription, Unfit, Window
    from cassorm.events.tables import TableNames
    from cassorm.events.worker import Crew, Pace, Worker
    from cassorm.orm.batch import Batch
    from cassorm.orm.cache import RowCache
    from cassorm.orm.database import Database, Written, connect
    from cassorm.orm.expressions import Condition, count_rows
    from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col, pk
    from cassorm.orm.hooks import after_delete, after_save, before_delete, before_save
    from cassorm.orm.markers import SAI, Frozen, Secondary
    from cassorm.orm.model import Model, table_of
    from cassorm.orm.page_tokens import Page, PageSecrets
    from cassorm.orm.query import Query
    from cassorm.orm.ring import token
    from cassorm.orm.scan import Scan, ScanProgress
    from cassorm.orm.user_types import Udt
    from cassorm.orm.values import (
        Ascii,
        BigInt,
        Duration,
        Float32,
        Int,
        SmallInt,
        TimeUUID,
        TinyInt,
        VarInt,
        Vector,
        now,
    )
    from cassorm.orm.writes import Outcome
    from cassorm.projections.handlers import Tx, on, projection
    from cassorm.projections.mapping import map_from_event
    from cassorm.projections.projections import Projections
    from cassorm.projections.read_model import ReadModel
    from cassorm.projections.rebuild import RebuildProgress
    from cassorm.projections.status import ProjectionStatus
    from cassorm.projections.totals import Total, Totals, add_from_event, count_events
    from cassorm.projections.views import ReadView
    from cassorm.schema.table import View

__version__ = "0.1.0"

_HOMES = {
    "aggregates.aggregate": "Aggregate aggregate",
    "aggregates.decider": "Decider Folded",
    "aggregates.handlers": "apply",
    "aggregates.repository": "AggregateRepository",
    "aggregates.resends": "Saved",
    "driver.consistency": "Consistency",
    "driver.session": "Session",
    "driver.settings": "Settings",
    "driver.tracing": "Trace TraceEvent",
    "errors": "CassormError Retry",
    "events.cassandra": "CassandraEventStore",
    "events.event": "Event Recorded Value caused_by",
    "events.intent": "ANY EXISTS NO_STREAM Expect",
    "events.memory": "MemoryEventStore",
    "events.metadata": "Metadata event_context",
    "events.position": "Position",
    "events.store": "Appended EventStore Snapshot StreamHead",
    "events.subscription": "BEGINNING NOW Placed Start Subscription Unfit Window",
    "events.tables": "TableNames",
    "events.worker": "Crew Pace Worker",
    "orm.batch": "Batch",
    "orm.cache": "RowCache",
    "orm.database": "Database Written connect",
    "orm.expressions": "Condition count_rows",
    "orm.fields": "CK PK Col Counter Static Version ck col pk",
    "orm.hooks": "after_delete after_save before_delete before_save",
    "orm.markers": "SAI Frozen Secondary",
    "orm.model": "Model table_of",
    "orm.page_tokens": "Page PageSecrets",
    "orm.query": "Query",
    "orm.ring": "token",
    "orm.scan": "Scan ScanProgress",
    "orm.user_types": "Udt",
    "orm.values": "Ascii BigInt Duration Float32 Int SmallInt TimeUUID TinyInt VarInt Vector now",
    "orm.writes": "Outcome",
    "projections.handlers": "Tx on projection",
    "projections.mapping": "map_from_event",
    "projections.projections": "Projections",
    "projections.read_model": "ReadModel",
    "projections.rebuild": "RebuildProgress",
    "projections.status": "ProjectionStatus",
    "projections.totals": "Total Totals add_from_event count_events",
    "projections.views": "ReadView",
    "schema.table": "View",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_HOME_OF]


__all__ = [
    "ANY",
    "BEGINNING",
    "CK",
    "EXISTS",
    "NOW",
    "NO_STREAM",
    "PK",
    "SAI",
    "Aggregate",
    "AggregateRepository",
    "Appended",
    "Ascii",
    "Batch",
    "BigInt",
    "CassandraEventStore",
    "CassormError",
    "Col",
    "Condition",
    "Consistency",
    "Counter",
    "Crew",
    "Database",
    "Decider",
    "Duration",
    "Event",
    "EventStore",
    "Expect",
    "Float32",
    "Folded",
    "Frozen",
    "Int",
    "MemoryEventStore",
    "Metadata",
    "Model",
    "Outcome",
    "Pace",
    "Page",
    "PageSecrets",
    "Placed",
    "Position",
    "ProjectionStatus",
    "Projections",
    "Query",
    "ReadModel",
    "ReadView",
    "RebuildProgress",
    "Recorded",
    "Retry",
    "RowCache",
    "Saved",
    "Scan",
    "ScanProgress",
    "Secondary",
    "Session",
    "Settings",
    "SmallInt",
    "Snapshot",
    "Start",
    "Static",
    "StreamHead",
    "Subscription",
    "TableNames",
    "TimeUUID",
    "TinyInt",
    "Total",
    "Totals",
    "Trace",
    "TraceEvent",
    "Tx",
    "Udt",
    "Unfit",
    "Value",
    "VarInt",
    "Vector",
    "Version",
    "View",
    "Window",
    "Worker",
    "Written",
    "__version__",
    "add_from_event",
    "after_delete",
    "after_save",
    "aggregate",
    "apply",
    "before_delete",
    "before_save",
    "caused_by",
    "ck",
    "col",
    "connect",
    "count_events",
    "count_rows",
    "event_context",
    "map_from_event",
    "now",
    "on",
    "pk",
    "projection",
    "table_of",
    "token",
]
