"""`store.subscribe`: what memory and Cassandra promise alike."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID, uuid4

from cassorm import CassandraEventStore, Event, EventStore, MemoryEventStore, Recorded
from cassorm.events.subscription import Start
from tests.cluster.test_feed_worker import QUICK


class Rung(Event, name="subscribe.Rung"):
    number: int


class Muted(Event, name="subscribe.Muted"):
    number: int


def subscribe(store: EventStore, name: str, **options: Any) -> AsyncGenerator[Recorded]:
    assert isinstance(store, CassandraEventStore | MemoryEventStore)
    return store.subscribe(name, pace=QUICK, **options)


async def take(events: AsyncGenerator[Recorded], wanted: dict[UUID | str, int]) -> list[tuple[UUID | str, int]]:
    """Streams and versions as they come, until each of these streams has come to its version; then it is left."""
    told: list[tuple[UUID | str, int]] = []
    async with asyncio.timeout(30):
        async for recorded in events:
            told.append((recorded.stream, recorded.version))
            if wanted.items() <= dict(told).items():
                break
    await events.aclose()
    return told


async def ring(store: EventStore, kind: str, *, streams: int = 3, events: int = 4) -> set[UUID | str]:
    ids: set[UUID | str] = {uuid4() for _ in range(streams)}
    for number in range(events):
        for stream in ids:
            await store.append(stream, [Rung(number=number)], aggregate_type=kind)
    return ids


async def test_a_subscription_begins_at_the_beginning_and_goes_on_where_it_was_left(store: EventStore) -> None:
    name, kind = f"bell-{uuid4().hex[:8]}", uuid4().hex
    before = await ring(store, kind)
    only = {"aggregate_types": [kind]}
    told = await take(subscribe(store, name, from_=Start.BEGINNING, **only), dict.fromkeys(before, 4))
    assert len(told) == 12
    for stream in before:
        assert [version for one, version in told if one == stream] == [1, 2, 3, 4]
    (after,) = await ring(store, kind, streams=1, events=2)
    again = await take(subscribe(store, name, **only), {after: 2, told[-1][0]: 4})
    assert told[-1] in again, "what was left before it was handled comes again"
    assert [version for one, version in again if one == after] == [1, 2]
    if isinstance(store, MemoryEventStore):  # elsewhere what others have yet to resolve comes again as well
        assert again == [told[-1], (after, 1), (after, 2)]


async def test_one_that_begins_now_is_told_of_what_comes(store: EventStore) -> None:
    kind = uuid4().hex
    (before,) = await ring(store, kind, streams=1)
    if not isinstance(store, MemoryEventStore):
        await asyncio.sleep(1)  # what is not resolved yet counts as coming
    events = subscribe(store, f"late-{kind[:8]}", from_=Start.NOW, event_types=[Rung], aggregate_types=[kind])
    coming = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(30):
        while not coming.done():  # it begins at some moment that nobody tells
            await ring(store, kind, streams=1, events=1)
            await asyncio.sleep(0.1)
        told = (await coming).stream
    await events.aclose()
    assert told != before


async def test_only_what_is_wanted_is_told(store: EventStore) -> None:
    kind, stream, other = uuid4().hex, uuid4(), uuid4()
    await store.append(stream, [Muted(number=1), Rung(number=2), Muted(number=3), Rung(number=4)], aggregate_type=kind)
    await store.append(other, [Rung(number=1)], aggregate_type=f"other {kind}")
    events = subscribe(store, f"few-{kind[:8]}", event_types=[Rung], aggregate_types=[kind])
    assert await take(events, {stream: 4}) == [(stream, 2), (stream, 4)]


async def test_two_of_one_name_share_the_streams_and_keep_their_order(store: EventStore) -> None:
    name, kind = f"pair-{uuid4().hex[:8]}", uuid4().hex
    streams = await ring(store, kind, streams=6, events=3)
    told: dict[UUID | str, list[int]] = defaultdict(list)
    done = asyncio.Event()

    async def carry() -> None:
        async for recorded in subscribe(store, name, aggregate_types=[kind]):
            await asyncio.sleep(0.001)
            told[recorded.stream].append(recorded.version)
            if sum(len(set(versions)) for versions in told.values()) == 18:
                done.set()

    tasks = [asyncio.create_task(carry()) for _ in range(2)]
    async with asyncio.timeout(30):
        await done.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert told.keys() == streams
    for versions in told.values():
        assert list(dict.fromkeys(versions)) == [1, 2, 3]
