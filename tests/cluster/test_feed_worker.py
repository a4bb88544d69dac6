"""Workers on a real node: every committed event reaches every subscription, in order within its stream."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Recorded, Session
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
async def working(store: CassandraEventStore, *subscriptions: Subscription) -> AsyncIterator[Worker]:
    worker = Worker(store, subscriptions, pace=QUICK)
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


async def test_a_worker_that_died_is_replaced_and_nothing_is_skipped(store: CassandraEventStore) -> None:
    told = Told()
    subscription = Subscription("heirs", told, begin=Start.NOW)
    dead = Worker(store, [subscription], pace=QUICK)
    running = asyncio.create_task(dead.run())
    await until(lambda: len(dead.carried) == 4)
    first = await write(store, 10, 3)
    running.cancel()  # as far as the tables can tell: it does not hand over
    dead._hand_over = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    await asyncio.gather(running, return_exceptions=True)
    for carried in dead._running.values():
        carried.task.cancel()
        await asyncio.gather(carried.task, return_exceptions=True)
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
                    break
    await events.aclose()
    assert told == {stream: [1, 2, 3, 4] for stream in wanted}
    more = await write(store, 1, 2)
    again: list[tuple[UUID | str, int]] = []
    async with asyncio.timeout(20):
        async for recorded in store.subscribe("reader", pace=QUICK):
            again.append((recorded.stream, recorded.version))
            if recorded.stream in more and recorded.version == 2:
                break
    assert [version for stream, version in again if stream in more] == [1, 2]
    assert len({stream for stream, _ in again} & wanted.keys()) <= 1, "the append that was being looked at comes again"
