"""An append that was checked and encoded: what a store has to write, or was refused before anything was sent."""

import time
from collections.abc import Sequence
from enum import Enum
from hashlib import sha1
from typing import NamedTuple
from uuid import UUID

from cassorm.cql.uuids import uuid_of_digest, uuid_of_int
from cassorm.errors import QueryError
from cassorm.events import payload
from cassorm.events.event import Event
from cassorm.events.ids import new_id
from cassorm.events.metadata import cause_position, current_metadata

MAX_EVENT_BYTES = 1024 * 1024
MAX_APPEND_BYTES = 8 * 1024 * 1024
MAX_VERSION = 2**31 - 1
"""Versions are a CQL int."""
LOOKBACK = 1_000
"""How many of a stream's last events are searched for an append id that is sent again without an exact version."""
_INDEX_ROOM = ~(2**24 - 1)
"""Leaves 98 random bits of an event id to its append, and more indices than an append has events."""


class Expect(Enum):
    """What an append expects of its stream when it names no exact version."""

    ANY = "any"
    """Whatever version stands there, none included."""
    NO_STREAM = "no stream"
    """The stream does not exist: version 0."""
    EXISTS = "exists"
    """At least one event."""


ANY = Expect.ANY
NO_STREAM = Expect.NO_STREAM
EXISTS = Expect.EXISTS

Expected = int | Expect


class Encoded(NamedTuple):
    """One event, ready to be written."""

    event_id: UUID
    event_type: str
    schema_version: int
    data: bytes


class Intent(NamedTuple):
    """One append: all of `events` behind version `expected`, or nothing.

    Event ids follow from the append id, so that the same append sent again carries the same ids. `resent` says that
    the caller named the append id: it may stand in the stream already. `metadata` and `timestamp_ms`, counted
    from 1970, are those of each event; payloads are `payload.JSON`. Positions are to lie behind `after`, that of the
    event which caused it.
    """

    stream: UUID | str
    aggregate_type: str | None
    expected: Expected
    append_id: UUID
    resent: bool
    events: tuple[Encoded, ...]
    metadata: str | None
    timestamp_ms: int
    after: int = 0

    @property
    def exact(self) -> int | None:
        """The exact version that is expected; None for ANY and EXISTS."""
        if isinstance(self.expected, int):
            return self.expected
        return 0 if self.expected is Expect.NO_STREAM else None

    @property
    def expectation(self) -> object:
        """What to name in a conflict."""
        return self.expected if isinstance(self.expected, int) else self.expected.name


class Limits(NamedTuple):
    """How large an event and all events of one append may be, in bytes of payload."""

    event_bytes: int = MAX_EVENT_BYTES
    append_bytes: int = MAX_APPEND_BYTES


def check_stream(stream: object, id_type: str) -> None:
    """Refuse a stream id that is not of the store's id type.

    Raises:
        QueryError: names the id and the type that the store takes.
    """
    wanted = UUID if id_type == "uuid" else str
    if not isinstance(stream, wanted):
        raise QueryError(
            f"{stream!r} is a {type(stream).__name__}; this store's stream ids are {id_type}",
            where="stream id",
            remedy="Pass a uuid.UUID" if id_type == "uuid" else "Pass a str, such as str(id)",
        )
    if isinstance(stream, str):
        check_text_id(stream)


def check_text_id(stream: str) -> None:
    """Refuse an empty or oversized text id, or one that UTF-8 cannot hold."""
    try:
        size = len(stream.encode())
    except UnicodeEncodeError:
        size = 0
    if not 1 <= size <= 1024:
        raise QueryError(
            f"{stream[:60]!r} is not UTF-8 text of 1 to 1,024 bytes",
            where="stream id",
            remedy="Pass a shorter, valid id",
        )


def check_expected(expected: object, count: int) -> None:
    """Refuse an expected version that no stream can have."""
    if isinstance(expected, Expect):
        return
    if isinstance(expected, bool) or not isinstance(expected, int) or not 0 <= expected <= MAX_VERSION - count:
        raise QueryError(
            f"expected version {expected!r} is not a whole number from 0 to {MAX_VERSION - count}",
            where="append",
            remedy="Pass the version that was loaded, or ANY, NO_STREAM or EXISTS",
        )


def other_events(intent: Intent, version: int) -> QueryError:
    """Return the error of an append id that stands at `version` for other events than these."""
    return QueryError(
        f"append id {intent.append_id} stands at version {version} for another number of events "
        f"than {len(intent.events)}",
        where=f"stream {intent.stream}",
        remedy="Send the very same events with an append id, or take a new id for other events",
    )


def plan(
    stream: UUID | str,
    events: Sequence[Event],
    *,
    expected: Expected,
    aggregate_type: str | None,
    append_id: UUID | None,
    id_type: str,
    limits: Limits,
) -> Intent:
    """Return the append as an intent: every check that needs no database, and the payloads encoded.

    Raises:
        QueryError: an id, an expected version, a number of events or a size that cannot be.
        CatalogError: an event that would not come back equal.
    """
    check_stream(stream, id_type)
    if not isinstance(events, list | tuple) and (isinstance(events, str | bytes) or not isinstance(events, Sequence)):
        raise QueryError(f"{events!r} is no sequence of events", where="append", remedy="Pass a list of events")
    if not events:
        raise QueryError(
            "no events to append", where=f"stream {stream}", remedy="Append at least one, or do not append"
        )
    check_expected(expected, len(events))
    if append_id is not None and not isinstance(append_id, UUID):
        raise QueryError(f"append id {append_id!r} is no UUID", where="append", remedy="Pass a uuid.UUID")
    if aggregate_type is not None and not (isinstance(aggregate_type, str) and 1 <= len(aggregate_type) <= 200):
        raise QueryError(
            f"aggregate type {aggregate_type!r} is no text of 1 to 200 characters",
            where="append",
            remedy="Pass a name such as 'Order'",
        )
    identity = append_id or new_id()
    metadata, now = current_metadata().encode(), time.time_ns() // 1_000_000
    first = _first_event_id(identity)
    encoded = tuple([_encode(event, first + index, limits.event_bytes) for index, event in enumerate(events)])
    size = sum([len(event.data) for event in encoded])
    if size > limits.append_bytes:
        raise QueryError(
            f"{len(encoded)} events of {size:,} bytes together exceed {limits.append_bytes:,} bytes an append",
            where=f"stream {stream}",
            remedy="Append them in several smaller appends",
        )
    return Intent(
        stream, aggregate_type, expected, identity, append_id is not None, encoded, metadata, now, cause_position()
    )


def event_id_of(append_id: UUID, index: int) -> UUID:
    """Return the id of one of an append's events, counted from 0: the same whenever that append is sent."""
    return uuid_of_int(_first_event_id(append_id) + index)


def index_of(event_id: UUID) -> int:
    """Return the place of an event in its append, counted from 0."""
    return event_id.int & ~_INDEX_ROOM


def _first_event_id(append_id: UUID) -> int:
    """Return the number of the id of an append's first event; those of the others follow it.

    It is the append id's `uuid5` with room for the index: one digest for an append of many events.
    """
    digest = sha1(append_id.bytes + b"events", usedforsecurity=False).digest()[:16]
    return uuid_of_digest(digest, 5).int & _INDEX_ROOM


def _encode(event: Event, event_id: int, most: int) -> Encoded:
    data = payload.dump(event)
    if len(data) > most:
        raise QueryError(
            f"a payload of {len(data):,} bytes exceeds {most:,} bytes an event",
            where=f"event {event.__event_type__}",
            remedy="Store the large part elsewhere and refer to it, or raise max_event_bytes",
        )
    return Encoded(uuid_of_int(event_id), event.__event_type__, event.__schema_version__, data)
