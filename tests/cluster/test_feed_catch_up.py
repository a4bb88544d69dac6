"""Catching up by scanning the streams of a shard, then following the feed without a gap: on a real node."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Recorded, Session
from cassorm.events.pointers import Pointer
from cassorm.events.position import shard_of
from cassorm.events.subscription import Placed, Start, Subscription, Unfit, Window
from tests.cluster.test_feed_worker import Told, until, working, write

pytestmark = pytest.mark.cluster


class Poured(Event, name="tests.catch_up.Poured"):
    amount: int


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_catch_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=3, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


async def test_the_token_of_a_stream_is_the_server_s(store: CassandraEventStore, cassorm_session: Session) -> None:
    streams = [uuid4() for _ in range(20)]
    for stream in streams:
        await store.append(stream, [Poured(amount=1)])
    found = {part.stream: shard for shard in range(3) async for part in store.feed.scan(shard, -(2**63))}
    assert {stream: found[stream] for stream in streams} == {stream: shard_of(stream, 3) for stream in streams}


async def test_what_stands_is_scanned_and_what_comes_meanwhile_follows(store: CassandraEventStore) -> None:
    told = Told()
    first = await write(store, 60, 9)
    more: dict[UUID, int] = {}

    async def go_on() -> None:
        for stream, version in first.items():
            await store.append(stream, [Poured(amount=1)])
            more[stream] = version + 1

    async with working(store, Subscription("late", told)) as worker:
        await asyncio.gather(go_on(), until(lambda: len(worker.carried) == 3))
        await told.of(more)
    told.in_order(more)


async def test_a_scan_goes_on_where_another_worker_left_it(store: CassandraEventStore) -> None:
    wanted = await write(store, 80, 2)
    seen: Counter[UUID | str] = Counter()

    async def slow(recorded: Recorded) -> None:
        await asyncio.sleep(0.02)
        seen[recorded.stream] += 1

    subscription = Subscription("in parts", slow, concurrency=2, most_ahead=8)
    for _ in range(3):
        async with working(store, subscription):
            before = len(seen)
            await until(lambda: len(seen) > before + 20)  # noqa: B023 - called within the turn
    assert len(seen) < 200
    async with working(store, subscription):
        await until(lambda: wanted.keys() <= seen.keys())
    twice = [stream for stream in wanted if seen[stream] > 2]
    assert len(twice) < len(wanted) / 2, "begins anew each time"


async def test_streams_are_handed_over_whole_as_far_as_they_wait(store: CassandraEventStore) -> None:
    stream = uuid4()
    for amount in range(30):
        await store.append(stream, [Poured(amount=amount)] * 3)
    parts: list[list[int]] = []

    async def take(events: list[Recorded]) -> None:
        if events[0].stream == stream:
            parts.append([recorded.version for recorded in events])

    async with working(
        store, Subscription("folding", take, takes="streams", event_types=frozenset({"tests.catch_up.Poured"}))
    ):
        await until(lambda: sum(map(len, parts)) >= 90)
        await store.append(stream, [Poured(amount=1)] * 2)
        await until(lambda: sum(map(len, parts)) >= 92)
    assert parts == [[*range(1, 91)], [91, 92]]


async def test_windows_bring_every_append_once_behind_the_mark(store: CassandraEventStore) -> None:
    wanted = await write(store, 20, 5)
    windows: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
    brought: Counter[tuple[UUID | str, int]] = Counter()
    positions: dict[int, list[int]] = defaultdict(list)

    async def take(window: Window) -> None:
        found = [placed async for placed in window.events()]
        assert [placed async for placed in window.events()] == found
        windows[window.shard].append((window.low, window.high, window.whole))
        for placed in found:
            assert window.low < placed.position <= window.high
            brought[placed.recorded.stream, placed.recorded.version] += 1
        if not window.whole:
            positions[window.shard] += [placed.position for placed in found]

    async with working(store, Subscription("sums", take, takes="windows")):
        await until(lambda: all(brought[stream, 5] for stream in wanted))
        more = await write(store, 20, 5)
        await until(lambda: all(brought[stream, 5] for stream in more))
    both = wanted | more
    assert {key: count for key, count in brought.items() if key[0] in both} == {
        (stream, version): 1 for stream in both for version in range(1, 6)
    }
    for shard in range(3):
        assert windows[shard][0][2]
        assert not any(whole for _, _, whole in windows[shard][1:])
        assert all(before[1] <= after[0] for before, after in zip(windows[shard], windows[shard][1:], strict=False))
        assert positions[shard] == sorted(positions[shard])


async def test_an_event_that_a_window_cannot_take_is_parked_and_the_others_go_on(store: CassandraEventStore) -> None:
    bad = uuid4()
    taken: set[tuple[UUID | str, int]] = set()

    async def take(window: Window) -> None:
        found = [placed async for placed in window.events()]
        for placed in found:
            refuse(placed)
        taken.update((placed.recorded.stream, placed.recorded.version) for placed in found)

    def refuse(placed: Placed) -> None:
        if placed.recorded.stream == bad and placed.recorded.version == 2:
            raise Unfit(placed, ValueError("too much"))

    await store.append(bad, [Poured(amount=amount) for amount in range(3)])
    subscription = Subscription("picky", take, takes="windows", attempts=2, first_pause=timedelta(milliseconds=5))
    async with working(store, subscription):
        await until(lambda: (bad, 3) in taken)
        await store.append(bad, [Poured(amount=9)])
        await until(lambda: (bad, 4) in taken)
    assert {version for stream, version in taken if stream == bad} == {1, 3, 4}
    assert await store.feed.parked("picky", shard_of(bad, 3), bad) == 2


async def test_a_subscription_that_is_paused_rests_and_goes_on_where_it_was(store: CassandraEventStore) -> None:
    told = Told()
    async with working(store, Subscription("resting", told, begin=Start.NOW)) as worker:
        await until(lambda: len(worker.carried) == 3)
        await store.feed.pause("resting")
        async with asyncio.timeout(20):
            # What is waited for has no event.
            while any(one.owner for one in (await store.feed.checkpoints("resting", range(3))).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        wanted = await write(store, 5, 3)
        assert not set(wanted) & set(told.versions)
        await store.feed.resume("resting")
        await told.of(wanted)
        told.in_order(wanted)


async def test_a_subscription_that_is_reset_begins_again(store: CassandraEventStore) -> None:
    told = Told()
    wanted = await write(store, 5, 3)
    async with working(store, Subscription("again", told, begin=Start.BEGINNING)):
        await told.of(wanted)
        await asyncio.sleep(1)  # all is saved: nothing is refused to the owner from now on
        told.versions.clear()
        await store.feed.reset("again")
        await told.of(wanted)
        told.in_order(wanted)


async def test_away_for_longer_than_the_feed_keeps_its_pointers(cassorm_session: Session) -> None:
    name = f"cassorm_ttl_{uuid4().hex[:8]}"
    told = Told()
    subscription = Subscription("traveller", told, begin=Start.NOW)
    async with CassandraEventStore(
        cassorm_session, keyspace=name, shards=2, replication=1, feed_ttl=timedelta(seconds=5)
    ) as store:
        async with working(store, subscription) as worker:
            await until(lambda: len(worker.carried) == 2)
            known = await write(store, 6, 2)
            await told.of(known)
        away = await write(store, 6, 4)
        for stream in known:
            await store.append(stream, [Poured(amount=1)])
        await asyncio.sleep(5.5)
        now = await store.feed.node_clock()
        assert not any([await store.feed.pointers(shard, now - 60_000_000, now) for shard in range(2)])
        told.versions.clear()
        async with working(store, subscription):
            await told.of(away | dict.fromkeys(known, 3))
            fresh = await write(store, 2, 2)
            await told.of(fresh)
    told.in_order(away | fresh)
    assert all(told.versions[stream] == [3] for stream in known), "what was handled before is not handled again"
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


async def test_what_lies_days_back_is_found_by_few_queries(
    cassorm_session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"cassorm_old_{uuid4().hex[:8]}"
    now = time.time_ns() // 1000
    begun = now - 6 * 86_400_000_000
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=1, replication=1) as store:
        pointers = [
            Pointer(0, pos, uuid4(), uuid4(), 1, 1, 0, None, "x")
            for pos in (begun + 1, begun + 2, begun + 90_000_000_000, begun + 90_000_000_001, now)
        ]
        for pointer in pointers:
            await store.feed.write_pointers([pointer])
        asked: list[object] = []
        execute = Session.execute

        async def counting(session: Session, *args: Any, **kwargs: Any) -> Any:
            asked.append(args[0])
            return await execute(session, *args, **kwargs)

        monkeypatch.setattr(Session, "execute", counting)
        assert await store.feed.pointers(0, begun, now) == pointers
        assert await store.feed.pointers(0, 0, now) == pointers
        assert await store.feed.history(0, begun + 2, now - 1) == pointers[2:4]
        assert await store.feed.history(0, now, now) == []
        in_parts, upto = [], begun
        while upto < now:
            found, upto = await store.feed.next_pointers(0, upto, now, 2)
            in_parts += found
        assert in_parts == pointers
        monkeypatch.undo()
        assert len(asked) < 120
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


async def test_a_store_that_nobody_has_followed_is_closed_before_it_is_scanned(cassorm_session: Session) -> None:
    name = f"cassorm_alone_{uuid4().hex[:8]}"
    told = Told()
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=2, replication=1) as store:
        wanted = await write(store, 6, 3)
        long_ago = await store.feed.node_clock() - 3_600_000_000
        for shard in range(2):
            await cassorm_session.execute(
                f"UPDATE {name}.feed_watermark SET begun = ?, closing = ?, resolved_upto = ? WHERE shard = ?",
                [long_ago, long_ago, long_ago, shard],
            )
        async with working(store, Subscription("first", told)):
            await told.of(wanted)
            found = await store.feed.checkpoints("first", range(2))
        told.in_order(wanted)
        assert all(max(one.pos, one.scan_upto or 0) > long_ago + 3_000_000_000 for one in found.values())
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")
