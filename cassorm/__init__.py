"""cassorm: typed tables, event sourcing and CQRS on Apache Cassandra and ScyllaDB, for asyncio and pydantic."""

from cassorm.errors import CassormError, Retry
from cassorm.events.event import Event, Recorded, Value
from cassorm.events.intent import Expect
from cassorm.events.memory import MemoryEventStore
from cassorm.events.metadata import Metadata, caused_by, event_context
from cassorm.events.position import Position
from cassorm.events.store import Appended, EventStore, Snapshot, StreamHead

ANY = Expect.ANY
EXISTS = Expect.EXISTS
NO_STREAM = Expect.NO_STREAM

__version__ = "0.1.0"

__all__ = [
    "ANY",
    "EXISTS",
    "NO_STREAM",
    "Appended",
    "CassormError",
    "Event",
    "EventStore",
    "Expect",
    "MemoryEventStore",
    "Metadata",
    "Position",
    "Recorded",
    "Retry",
    "Snapshot",
    "StreamHead",
    "Value",
    "__version__",
    "caused_by",
    "event_context",
]
