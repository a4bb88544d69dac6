"""Events that subscriptions could not handle: which they are, and how they are handled after all.

A parked event stays where it is until its handler has taken it. Replaying goes through a stream from its lowest parked
version on, one event after the other, and forgets each only when it is handled; so it may be interrupted, and begun
again. Workers that carry the subscription meanwhile hold the stream's later events back, by parking them, until none
is left.

Source: docs/how-to/operate-the-feed.md.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple

from cassorm.cql.identifiers import quote_table
from cassorm.errors import EventStoreError, OutcomeUnknownError, SubscriptionError, UnavailableError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded
from cassorm.events.inquiry import moment_of
from cassorm.events.position import shard_of
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream
from cassorm.events.subscription import Parked, Subscription
from cassorm.schema.token_ranges import each

_AT_ONCE = 8


class ParkedEvent(NamedTuple):
    """An event that its subscription could not handle; `attempts` is 0 when it is held back behind another."""

    subscription: str
    shard: int
    stream: Stream
    version: int
    event_type: str
    position: int
    error: str
    attempts: int
    parked_at: datetime


@dataclass(slots=True)
class Replayed:
    """How many events a replay has handled; and of each stream that stays parked the first event, with its new error."""

    handled: int = 0
    failed: list[ParkedEvent] = field(default_factory=list)


class Parking:
    """The parked events of one store."""

    def __init__(self, store: CassandraEventStore) -> None:
        self._store = store
        self._feed = store.feed
        self._settings = store.settings
        table = quote_table(store.tables.parked, store.keyspace)
        self._list = (
            f"SELECT aggregate_id, version, event_type, pos, error, attempts, writetime(error) FROM {table} "
            "WHERE subscription = ? AND shard = ?"
        )
        self._list_stream = f"{self._list} AND aggregate_id = ?"

    async def parked(self, subscription: str, stream: Stream | None = None) -> AsyncGenerator[ParkedEvent]:
        """Yield what is parked of a subscription, shard by shard and stream by stream, each in the order of versions."""
        shards = self._settings.shards
        for shard in range(shards) if stream is None else [shard_of(stream, shards)]:
            text, params = (
                (self._list, (subscription, shard))
                if stream is None
                else (self._list_stream, (subscription, shard, stream))
            )
            prepared = await self._store.session.prepare(text)
            rows = self._store.session.stream(prepared, params, consistency=self._settings.consistency)
            async for one, version, event_type, pos, error, attempts, written in rows:
                yield ParkedEvent(
                    subscription, shard, one, version, event_type, pos, error, attempts, moment_of(written)
                )

    async def replay(
        self,
        subscription: Subscription,
        stream: Stream | None = None,
        *,
        progress: Callable[[Replayed], None] = lambda _: None,
    ) -> Replayed:
        """Handle what is parked of a subscription, or of one stream of it, and forget what was handled.

        In each stream it ends at the first event that still cannot be handled.

        Raises:
            SubscriptionError: the subscription takes windows: what was left out of a total cannot be added later.
            UnavailableError: the cluster does not answer; what was handled is forgotten, the rest stays parked.
        """
        if subscription.takes == "windows":
            raise SubscriptionError(
                "takes many streams together, and has gone on without what is parked",
                subscription=subscription.name,
                remedy="Correct what failed, then build it anew: cassorm projections rebuild NAME",
            )
        done = Replayed()
        firsts: dict[Stream, ParkedEvent] = {}
        async for event in self.parked(subscription.name, stream):
            firsts.setdefault(event.stream, event)
        replay = partial(self._replay_stream, subscription, done)
        async for failed in each(firsts.values(), replay, parallel=_AT_ONCE):
            if failed is not None:
                done.failed.append(failed)
            progress(done)
        return done

    async def _replay_stream(
        self, subscription: Subscription, done: Replayed, first: ParkedEvent
    ) -> ParkedEvent | None:
        """Handle a stream's parked events until none is left; return the first that cannot be handled."""
        event, stream = first, first.stream
        head = await self._store.head(stream)
        aggregate_type = None if head is None else head.aggregate_type
        while True:
            try:
                recorded = await self._recorded(subscription, event, aggregate_type)
                async with asyncio.timeout(subscription.handler_timeout.total_seconds()):
                    await subscription.handler([recorded] if subscription.takes == "streams" else recorded)
            except (UnavailableError, OutcomeUnknownError):
                raise
            except Exception as error:  # whatever a handler raises
                failed = event._replace(error=f"{type(error).__name__}: {error}", attempts=event.attempts + 1)
                name, shard, _, version, event_type, pos, text, attempts, _ = failed
                await self._feed.park(shard, Parked(name, stream, version, event_type, pos, text, attempts))
                return failed
            await self._feed.unpark(subscription.name, event.shard, stream, event.version)
            done.handled += 1
            # Looked at anew each time: a worker may have parked later events behind this one.
            following = await self._lowest(subscription.name, stream)
            if following is None:
                return None
            event = following

    async def _lowest(self, subscription: str, stream: Stream) -> ParkedEvent | None:
        async for event in self.parked(subscription, stream):
            return event
        return None

    async def _recorded(self, subscription: Subscription, event: ParkedEvent, aggregate_type: str | None) -> Recorded:
        found: list[Stored] = await self._feed.events(event.stream, event.version, event.version)
        if not found:
            raise EventStoreError(
                "is not there any more",
                where=f"stream {event.stream}, version {event.version}",
                remedy="See what is missing: cassorm events audit",
            )
        decode = subscription.decode or self._store.decode
        return decode(event.stream, aggregate_type, found[0])
