"""Rows of the table of events: what an append writes, and what a reader gets."""

from typing import Any, Final

from cassorm.driver.prepared import UNSET
from cassorm.events import payload
from cassorm.events.event import Recorded
from cassorm.events.intent import Intent
from cassorm.events.metadata import Metadata
from cassorm.events.store import Stream

_PAGE_BYTES: Final = 4 * 1024 * 1024
_DATA: Final = 6
"""Where the payload stands in a row of an event."""


def rows_of(intent: Intent, base: int, pos: int) -> list[tuple[object, ...]]:
    """Return the parameters of the insert of each event, behind version `base`, from position `pos` on."""
    stream, append_id, timestamp_ms = intent.stream, intent.append_id, intent.timestamp_ms
    # Not NULL: that would be a tombstone in each row, and readers count them.
    metadata = UNSET if intent.metadata is None else intent.metadata
    return [
        (
            stream,
            base + index,
            event_id,
            append_id,
            event_type,
            schema_version,
            payload.JSON,
            data,
            metadata,
            timestamp_ms,
            pos + index - 1,
        )
        for index, (event_id, event_type, schema_version, data) in enumerate(intent.events, 1)
    ]


def next_size(rows: list[tuple[Any, ...]], page_size: int) -> int:
    """Return how many events the next page may hold, by the bytes of this one."""
    average = sum(len(row[_DATA]) for row in rows) // len(rows) + 200
    return max(1, min(page_size, _PAGE_BYTES // average))


def recorded_of(stream: Stream, aggregate_type: str | None, row: tuple[Any, ...]) -> Recorded:
    """Return a row of an event with its payload decoded."""
    version, event_id, append_id, event_type, schema_version, encoding, data, metadata, timestamp, pos = row
    return Recorded(
        stream,
        aggregate_type,
        version,
        payload.load(event_type, schema_version, encoding, data),
        event_id,
        append_id,
        event_type,
        schema_version,
        timestamp,
        Metadata.decode(metadata),
        pos,
    )
