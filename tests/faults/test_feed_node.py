"""A node that hangs, and is killed and started again, under writers and workers: every event is delivered, in order."""

import asyncio
from collections import defaultdict
from uuid import UUID, uuid4

import pytest

from cassorm import CassandraEventStore, Recorded, connect
from cassorm.devnode import DevNode
from cassorm.errors import CassormError
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Worker
from tests.faults.conftest import SOAK
from tests.faults.feed_account import heads_of
from tests.faults.feed_process import QUICK
from tests.faults.feeding import Entered, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800 if SOAK else 120)]

CRASHES = 10 if SOAK else 1
STREAMS = 12


class Storm:
    """Appends to some streams without end, and what two workers were told of them."""

    def __init__(self) -> None:
        self.streams = [uuid4() for _ in range(STREAMS)]
        self.told: dict[UUID | str, list[int]] = defaultdict(list)
        self.appended = 0

    async def tell(self, recorded: Recorded) -> None:
        self.told[recorded.stream].append(recorded.version)

    async def rage(self, store: CassandraEventStore, stream: UUID) -> None:
        while True:
            append_id = uuid4()
            while True:
                try:
                    await store.append(stream, [Entered(number=1)], append_id=append_id)
                    break
                except CassormError:
                    await asyncio.sleep(0.1)
            self.appended += 1
            await asyncio.sleep(0.02)

    def reaches(self, heads: dict[UUID, int]) -> bool:
        return all(set(range(1, head + 1)) <= set(self.told[stream]) for stream, head in heads.items())


async def test_a_feed_goes_on_over_a_node_that_hangs_and_one_that_crashes() -> None:
    storm = Storm()
    async with (
        DevNode(profile="durable") as node,
        connect(node.hosts) as session,
        CassandraEventStore(session, keyspace="feed_storm", shards=4) as store,
    ):
        workers = [Worker(store, [Subscription("all", storm.tell)], pace=QUICK) for _ in range(2)]
        running = [asyncio.create_task(worker.run()) for worker in workers]
        raging = [asyncio.create_task(storm.rage(store, stream)) for stream in storm.streams]
        for _ in range(CRASHES):
            await asyncio.sleep(1)
            await node.pause()
            await asyncio.sleep(1.5)
            await node.resume()
            await asyncio.sleep(1)
            before = storm.appended
            await node.kill()
            await node.start()
            await until(lambda: storm.appended > before + STREAMS)  # noqa: B023 - awaited within the turn
        for task in raging:
            task.cancel()
        await asyncio.gather(*raging, return_exceptions=True)
        heads = await heads_of(store, storm.streams)
        await until(lambda: storm.reaches(heads), 40)
        for worker in workers:
            worker.stop()
        await asyncio.gather(*running)
    for stream, head in heads.items():
        assert list(dict.fromkeys(storm.told[stream]))[:head] == list(range(1, head + 1))
    assert all(head > 2 for head in heads.values()), "too little happened to show anything"
