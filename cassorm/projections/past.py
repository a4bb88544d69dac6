"""The events of one stream, of some types alone: none of the others is decoded, known or not."""

from collections.abc import AsyncGenerator, Collection

from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded
from cassorm.events.store import EventStore, Stream

_TOGETHER = 500
MOST_VERSION = 2**31 - 1


async def past_events(
    store: EventStore,
    stream: Stream,
    names: Collection[str],
    *,
    from_version: int = 1,
    to_version: int = MOST_VERSION,
    aggregate_type: str | None = None,
) -> AsyncGenerator[list[Recorded]]:
    """Yield the events of a stream that have these names, oldest first, in lists that are not empty.

    Raises:
        CatalogError: one of them has no class here, or its payload no longer fits the class.
    """
    if not isinstance(store, CassandraEventStore) or not store.settings.feed:
        async for page in store.pages(stream, from_version=from_version, to_version=to_version):
            found = [recorded for recorded in page if recorded.event_type in names]
            if found:
                yield found
        return
    if to_version == MOST_VERSION or aggregate_type is None:
        head = await store.head(stream)
        if head is None:
            return
        to_version, aggregate_type = min(to_version, head.version), head.aggregate_type
    for low in range(from_version, to_version + 1, _TOGETHER):
        rows = await store.feed.events(stream, low, min(to_version, low + _TOGETHER - 1))
        found = [store.decode(stream, aggregate_type, row) for row in rows if row.event_type in names]
        if found:
            yield found
