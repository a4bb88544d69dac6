"""Writers and workers as processes that are killed, or stopped for longer than the lease, at each point of an event's way."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session
from cassorm.faults import POINTS
from tests.faults.feed_account import account, heads_of
from tests.faults.feed_process import Member, Told, work, write
from tests.faults.feeding import Entered, stream_in, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

SHARDS = 40
"""One at least for each of the workers, so that each comes to its point."""
ORDERS = (
    # First: each shard is scanned once, by whoever comes to it.
    "kill scan.after-page 1",
    "stop scan.after-page 1",
    *(f"{deed} {point}" for deed in ("kill", "stop") for point in POINTS if point != "scan.after-page"),
    # While the batch is on its way.
    "kill writer.before-batch 1 +1",
    "kill writer.before-batch 1 +4",
    "kill writer.after-mark 1 +2",
)
SCANS = 2
PASSINGS = 3
"""Each strikes at the third passing, unless its order says otherwise."""


@dataclass
class Shown:
    """What became of all processes, and of all events."""

    members: dict[str, Member]
    told: Told
    heads: dict[UUID, int]
    streams: dict[str, list[UUID]]
    """The streams of each order's writer."""
    problem: str | None


@pytest_asyncio.fixture(scope="module")
async def shown(
    cassorm_session: Session, cassandra_hosts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shown]:
    name, folder = f"cassorm_points_{uuid4().hex[:8]}", tmp_path_factory.mktemp("points")
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=SHARDS, replication=1) as store:
        yield await show(store, cassandra_hosts, folder)
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


async def show(store: CassandraEventStore, hosts: list[str], folder: Path) -> Shown:
    """Let every order be carried out at once, in one store and one subscription; a worker without one survives."""
    told = Told(folder / "told")
    everywhere = [stream_in(shard, SHARDS) for shard in range(SHARDS)]
    await asyncio.gather(*(store.append(stream, [Entered(number=1), Entered(number=2)]) for stream in everywhere))
    streams = {order: [uuid4() for _ in range(3)] for order in ORDERS if " writer." in order}
    members: dict[str, Member] = {}
    for number, order in enumerate(ORDERS):
        if number == SCANS:
            with suppress(TimeoutError):
                await until(lambda: all(member.struck for member in members.values()), 20)
        armed = order if len(order.split()) > 2 else f"{order} {PASSINGS}"
        log = folder / order.replace(" ", "-")
        if order in streams:
            members[order] = Member(write, hosts, store.keyspace, streams[order], log=log, order=armed)
        else:
            members[order] = Member(work, hosts, store.keyspace, told.path, log=log, order=armed)
    survivor = Member(work, hosts, store.keyspace, told.path, log=folder / "survivor")
    writing = asyncio.create_task(go_on(store, everywhere))
    heads: dict[UUID, int] = {}
    problem = None
    try:
        stopped = {order: member for order, member in members.items() if order.startswith("stop")}
        await until(lambda: all(member.struck for member in members.values()), 40)
        await asyncio.sleep(1.2)  # longer than the lease
        for member in stopped.values():
            member.go_on()
        await asyncio.sleep(0.5)
        for order in stopped.keys() & streams.keys():
            await members[order].kill()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        heads = await heads_of(store, [*everywhere, *(one for some in streams.values() for one in some)])
        await until(lambda: told.reaches(heads), 30)
    except TimeoutError:
        waiting = [order for order, member in members.items() if not member.struck]
        survivor.explain()
        await asyncio.sleep(0.5)
        problem = f"never came to its point: {waiting}\n{await account(store, told, heads)}\n{survivor.log.read_text()}"
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        for member in (*members.values(), survivor):
            await member.kill()
    return Shown(members, told, heads, streams, problem)


async def go_on(store: CassandraEventStore, streams: list[UUID]) -> None:
    """Append here and there until cancelled."""
    while True:
        await asyncio.gather(
            *(store.append(stream, [Entered(number=n) for n in range(random.randint(1, 2))]) for stream in streams)
        )
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("order", ORDERS)
def test_every_event_is_delivered_although_a_process_was_struck_there(shown: Shown, order: str) -> None:
    if shown.problem is not None:
        pytest.fail("not everything was delivered: see the last test", pytrace=False)
    assert shown.members[order].struck
    of_its_own = {stream: shown.heads[stream] for stream in shown.streams.get(order, [])}
    assert shown.told.disorder(of_its_own or shown.heads) == []


def test_all_processes_together_lost_nothing_and_disturbed_no_order(shown: Shown) -> None:
    if shown.problem is not None:
        pytest.fail(shown.problem, pytrace=False)
    assert shown.told.disorder(shown.heads) == []
    assert sum(shown.heads.values()) > 1_000, "too little happened to show anything"
