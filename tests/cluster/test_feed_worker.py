"""Workers on a real node: every committed event reaches every subscription, in order within its stream."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Recorded, Session
from cassorm.events import shard_feed
from cassorm.events.pointers import Pointer
from cassorm.events.subscription import Start, Subscription
from cassorm.events.worker import Pace, Worker

pytestmark = pytest.mark.cluster

QUICK = Pace(
    beat=timedelta(milliseconds=150),
    lease=timedelta(seconds=1),
    trail=timedelta(milliseconds=200),
    closing=timedelta(milliseconds=250),
    idle=timedelta(milliseconds=100),
    checkpoint=timedelta(milliseconds=250),
)


class Jotted(Event):
    number: int


class Told:
    """What a handler was told, in order."""

    def __init__(self) -> None:
        self.versions: dict[UUID | str, list[int]] = defaultdict(list)

    async def __call__(self, recorded: Recorded) -> None:
        self.versions[recorded.stream].append(recorded.version)

    async def of(self, wanted: dict[UUID, int], *, timeout_s: float = 30) -> None:
        """Return when all these streams have been told up to their versions."""
        await until(
            lambda: all(max(self.versions[stream], default=0) >= version for stream, version in wanted.items()),
            timeout_s,
        )

    def in_order(self, wanted: dict[UUID, int]) -> None:
        for stream, version in wanted.items():
            first = list(dict.fromkeys(self.versions[stream]))
            assert first == list(range(1, version + 1))


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_work_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=4, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


@asynccontextmanager
async def working(
    store: CassandraEventStore, *subscriptions: Subscription, pace: Pace = QUICK
) -> AsyncIterator[Worker]:
    worker = Worker(store, subscriptions, pace=pace)
    running = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await running


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def write(store: CassandraEventStore, streams: int, events: int) -> dict[UUID, int]:
    """Append to so many streams at once, one to three events a time."""

    async def fill(stream: UUID) -> int:
        version = 0
        while version < events:
            count = min(random.randint(1, 3), events - version)
            await store.append(stream, [Jotted(number=version + n) for n in range(count)], expected=version)
            version += count
            await asyncio.sleep(random.uniform(0, 0.02))
        return version

    ids = [uuid4() for _ in range(streams)]
    return dict(zip(ids, await asyncio.gather(*map(fill, ids)), strict=True))


async def test_events_before_and_after_the_start_reach_the_handler_in_order(store: CassandraEventStore) -> None:
    told = Told()
    before = await write(store, 5, 7)
    async with working(store, Subscription("first", told)):
        during = await write(store, 20, 10)
        await told.of(before | during)
    told.in_order(before | during)
    again = Told()
    async with working(store, Subscription("first", again)):
        after = await write(store, 3, 4)
        await again.of(after)
    again.in_order(after)
    assert again.versions.keys() == after.keys(), "what was handled before the stop is not handled again"


async def test_two_workers_share_the_shards_and_one_takes_over_from_the_other(store: CassandraEventStore) -> None:
    told = Told()
    subscription = Subscription("shared", told, begin=Start.NOW)
    async with working(store, subscription) as first:
        await until(lambda: len(first.carried) == 4)
        async with working(store, subscription) as second:
            await until(lambda: len(first.carried) == len(second.carried) == 2)
            during = await write(store, 10, 5)
            await told.of(during)
        await until(lambda: len(first.carried) == 4)
        after = await write(store, 10, 5)
        await told.of(after)
    told.in_order(during | after)


async def test_what_a_handler_is_at_is_finished_before_its_shard_is_handed_over(store: CassandraEventStore) -> None:
    told, begun = Told(), asyncio.Event()

    async def slowly(recorded: Recorded) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        await told(recorded)

    subscription = Subscription("slow", slowly, begin=Start.NOW)
    # Who is late with its sign of life, on a busy machine, lets go of all, and it is handled again.
    pace = replace(QUICK, lease=timedelta(seconds=10))
    async with working(store, subscription, pace=pace) as first:
        await until(lambda: len(first.carried) == 4)
        streams = await write(store, 12, 1)
        await begun.wait()
        async with working(store, subscription, pace=pace) as second:
            await until(lambda: len(first.carried) == len(second.carried) == 2)
            await told.of(streams)
    assert {stream: told.versions[stream] for stream in streams} == {stream: [1] for stream in streams}, (
        "each event once"
    )


async def test_a_worker_that_died_is_replaced_and_nothing_is_skipped(store: CassandraEventStore) -> None:
    told = Told()
    subscription = Subscription("heirs", told, begin=Start.NOW)
    dead = Worker(store, [subscription], pace=QUICK)
    running = asyncio.create_task(dead.run())
    await until(lambda: len(dead.carried) == 4)
    first = await write(store, 10, 3)
    running.cancel()  # as far as the tables can tell: it does not hand over
    dead._hand_over = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    dead._presence._depart = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    await asyncio.gather(running, return_exceptions=True)
    for task in [*dead._presence._tasks, *(carried.task for carried in dead._running.values())]:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    second = await write(store, 10, 3)
    async with working(store, subscription) as heir:
        await until(lambda: len(heir.carried) == 4)
        third = await write(store, 5, 3)
        await told.of(first | second | third)
    told.in_order(first | second | third)


async def test_an_iterator_hands_out_each_event_until_the_next_is_asked_for(store: CassandraEventStore) -> None:
    wanted = await write(store, 3, 4)
    told: dict[UUID | str, list[int]] = defaultdict(list)
    events = store.subscribe("reader", from_=Start.BEGINNING, event_types=[Jotted], pace=QUICK)
    async with asyncio.timeout(20):
        async for recorded in events:
            if recorded.stream in wanted:
                told[recorded.stream].append(recorded.version)
                if sum(map(len, told.values())) == 12:
                    looked_at = (recorded.stream, recorded.version)
                    break
    await events.aclose()
    assert told == {stream: [1, 2, 3, 4] for stream in wanted}
    more = await write(store, 1, 2)
    again: list[tuple[UUID | str, int]] = []
    async with asyncio.timeout(20):
        async for recorded in store.subscribe("reader", pace=QUICK):
            again.append((recorded.stream, recorded.version))
            if {looked_at, *((stream, 2) for stream in more)} <= {*again}:
                break
    assert [version for stream, version in again if stream in more] == [1, 2]
    assert looked_at not in more, "what was being looked at came again"


async def test_a_pointer_that_comes_late_where_nothing_else_happens_is_found_all_the_same(
    store: CassandraEventStore,
) -> None:
    told = Told()
    assert store._pointers is not None
    tables, write, may_write = store._pointers._tables, store._pointers._tables.write, asyncio.Event()

    async def write_late(pointers: Sequence[Pointer]) -> None:
        await may_write.wait()
        await write(pointers)

    async with working(store, Subscription("late", told, begin=Start.NOW)) as worker:
        await until(lambda: len(worker.carried) == 4)
        store._pointers._tables = tables._replace(write=write_late)
        try:
            stream = uuid4()
            writing = asyncio.create_task(store.append(stream, [Jotted(number=1)]))
            await asyncio.sleep(0.6)  # the worker has looked beyond the position that the writer has chosen
            may_write.set()
            await writing
        finally:
            store._pointers._tables = tables
        await told.of({stream: 1}, timeout_s=5)


@pytest.mark.parametrize("ahead_s", [-300, -2, 9])
async def test_wherever_a_writers_clock_stands_its_events_are_delivered_soon(
    store: CassandraEventStore, ahead_s: int
) -> None:
    told = Told()
    streams = [uuid4() for _ in range(8)]
    async with (
        working(store, Subscription(f"clock{ahead_s}", told, begin=Start.NOW)) as worker,
        CassandraEventStore(
            store._session, keyspace=store.keyspace, clock=lambda: time.time_ns() // 1000 + ahead_s * 1_000_000
        ) as wrong,
    ):
        await until(lambda: len(worker.carried) == 4)
        for stream in streams:
            await wrong.append(stream, [Jotted(number=1)])
            await store.append(stream, [Jotted(number=2)])
        await told.of(dict.fromkeys(streams, 2), timeout_s=5)
    told.in_order(dict.fromkeys(streams, 2))


@pytest.mark.parametrize("ahead_s", [-300, 5])
async def test_wherever_the_workers_clock_stands_events_are_delivered(store: CassandraEventStore, ahead_s: int) -> None:
    told = Told()
    worker = Worker(store, [Subscription(f"worker{ahead_s}", told, begin=Start.NOW)], pace=QUICK)
    right = worker._watch.now
    worker._watch.now = lambda: right() + ahead_s * 1_000_000
    running = asyncio.create_task(worker.run())
    try:
        await until(lambda: len(worker.carried) == 4)
        await told.of(await write(store, 5, 4))
    finally:
        worker.stop()
        await running


async def test_events_are_delivered_across_the_edges_of_buckets(cassorm_session: Session) -> None:
    name = f"cassorm_edge_{uuid4().hex[:8]}"
    made = CassandraEventStore(cassorm_session, keyspace=name, shards=2, replication=1)
    made._local["bucket_s"] = 1
    async with made as store:
        told = Told()
        async with working(store, Subscription("edges", told)) as worker:
            wanted: dict[UUID, int] = {}
            for _ in range(4):
                wanted |= await write(store, 3, 6)
                await asyncio.sleep(0.5)
            await told.of(wanted)
            assert {one.subscription for one in worker.status()} == {"edges"}
            await until(lambda: all(one.behind_s == 0 for one in worker.status()), timeout_s=5)
        told.in_order(wanted)
        assert all(len(versions) == len(set(versions)) for versions in told.versions.values()), "each event once"
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


async def test_a_slow_subscription_neither_keeps_events_in_memory_nor_holds_up_another(
    store: CassandraEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_feed, "_MOST_KEPT", 10)
    quick, slow, gate = Told(), Told(), asyncio.Event()

    async def wait(recorded: Recorded) -> None:
        await gate.wait()
        await slow(recorded)

    subscriptions = (
        Subscription("quick", quick, begin=Start.NOW),
        Subscription("held up", wait, begin=Start.NOW, most_ahead=4, concurrency=2),
    )
    async with working(store, *subscriptions) as worker:
        await until(lambda: len(worker.carried) == 8)
        wanted = await write(store, 12, 12)
        await quick.of(wanted)
        await until(lambda: all(feed.kept <= 10 for feed in worker._watch.feeds.values()))
        assert not slow.versions
        gate.set()
        await slow.of(wanted)
    quick.in_order(wanted)
    slow.in_order(wanted)
