"""cassorm: typed tables, event sourcing and CQRS on Apache Cassandra and ScyllaDB, for asyncio and pydantic."""

from cassorm.aggregates.aggregate import Aggregate, aggregate
from cassorm.aggregates.decider import Decider, Folded
from cassorm.aggregates.handlers import apply
from cassorm.aggregates.repository import AggregateRepository
from cassorm.aggregates.resends import Saved
from cassorm.driver.connect import connect
from cassorm.driver.consistency import Consistency
from cassorm.driver.session import Session
from cassorm.driver.settings import Settings
from cassorm.errors import CassormError, Retry
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Event, Recorded, Value, caused_by
from cassorm.events.intent import Expect
from cassorm.events.memory import MemoryEventStore
from cassorm.events.metadata import Metadata, event_context
from cassorm.events.position import Position
from cassorm.events.store import Appended, EventStore, Snapshot, StreamHead
from cassorm.events.tables import TableNames

ANY = Expect.ANY
EXISTS = Expect.EXISTS
NO_STREAM = Expect.NO_STREAM

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "Aggregate",
    "AggregateRepository",
    "Appended",
    "CassandraEventStore",
    "CassormError",
    "Consistency",
    "Decider",
    "Event",
    "EventStore",
    "Expect",
    "Folded",
    "MemoryEventStore",
    "Metadata",
    "Position",
    "Recorded",
    "Retry",
    "Saved",
    "Session",
    "Settings",
    "Snapshot",
    "StreamHead",
    "TableNames",
    "Value",
    "__version__",
    "aggregate",
    "apply",
    "caused_by",
    "connect",
    "event_context",
]
