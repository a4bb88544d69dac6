"""The feed's protections, one by one: a writer or resolver is held where it hurts, and the event is delivered all the same.

Each scenario is run twice: as the code is, when the event is found once, and with that one protection off, when it is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Session
from cassorm.events.append import State
from cassorm.events.intent import Intent
from cassorm.events.pointers import Mark, Pointer
from cassorm.events.resolver import MOST, Resolver
from tests.faults.feeding import Entered, Held, ahead, found_of, owner_of, stream_in, tables_of, written

pytestmark = pytest.mark.cluster

SHARDS = 4
ON_AND_OFF = pytest.mark.parametrize("protected", [True, False], ids=["on", "off"])


@pytest_asyncio.fixture(scope="module")
async def keyspace(cassorm_session: Session) -> AsyncIterator[str]:
    name = f"cassorm_order_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=SHARDS, replication=1):
        yield name
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


@pytest_asyncio.fixture
async def store(cassorm_session: Session, keyspace: str) -> AsyncIterator[CassandraEventStore]:
    async with CassandraEventStore(cassorm_session, keyspace=keyspace) as store:
        yield store


def writer_step(store: CassandraEventStore, step: str) -> Held:
    """Hold the writer before a step: `write` (its pointer), `read_marks`, or `send` (its batch)."""
    if step == "send":
        held = Held(store._appender._tables.send)
        store._appender._tables = store._appender._tables._replace(send=held)
    else:
        assert store._pointers is not None
        held = Held(getattr(store._pointers._tables, step))
        store._pointers._tables = store._pointers._tables._replace(**{step: held})
    return held


async def append(store: CassandraEventStore, stream: UUID) -> None:
    await store.append(stream, [Entered(number=1)], expected=0)


async def shown(store: CassandraEventStore, stream: UUID, *rounds: list[Pointer], protected: bool) -> None:
    """The event stands in its stream; it was found exactly once, or, with the protection off, never."""
    stands = await written(store, stream)
    assert [version for version, _ in stands] == [1]
    assert found_of(stream, *rounds) == (stands if protected else [])


@ON_AND_OFF
async def test_the_fence_stops_a_writer_that_is_held_before_its_batch(
    store: CassandraEventStore, protected: bool
) -> None:
    feed, stream = store.feed, stream_in(0, SHARDS)
    tables = tables_of(feed)
    if not protected:

        async def seem_to_raise(stream: object, state: State) -> bool:
            return True

        tables = tables._replace(raise_fence=seem_to_raise)
    resolver = await owner_of(feed, 0, tables)
    held = writer_step(store, "send")
    writing = asyncio.create_task(append(store, stream))
    await held.reached.wait()
    before = await resolver.round(await ahead(feed))
    held.go_on.set()
    await writing
    await shown(store, stream, before, await resolver.round(await ahead(feed)), protected=protected)


@pytest.mark.parametrize(("step", "protected"), [("write", True), ("write", False), ("read_marks", True)])
async def test_the_mark_sends_back_a_writer_whose_pointer_comes_late(
    store: CassandraEventStore, protected: bool, step: str
) -> None:
    feed, stream = store.feed, stream_in(1, SHARDS)
    resolver = await owner_of(feed, 1)
    assert store._pointers is not None
    if not protected:

        async def see_no_mark(shards: object) -> dict[int, Mark]:
            return {}

        store._pointers._tables = store._pointers._tables._replace(read_marks=see_no_mark)
    held = writer_step(store, step)
    writing = asyncio.create_task(append(store, stream))
    await held.reached.wait()
    before = await resolver.round(await ahead(feed))
    held.go_on.set()
    await writing
    await shown(store, stream, before, await resolver.round(await ahead(feed)), protected=protected)


class ReadsFirst(Resolver):
    """Reads the pointers, and publishes the mark afterwards."""

    async def round(self, upto: int, is_settled: Callable[[Pointer], bool] | None = None) -> list[Pointer]:
        tables = self._tables
        pointers = await tables.pointers(self.shard, self.resolved_upto, upto, MOST)

        async def those(*_: Any) -> tuple[list[Pointer], int]:
            return pointers

        self._tables = tables._replace(pointers=those)
        try:
            return await super().round(upto, is_settled)
        finally:
            self._tables = tables


@ON_AND_OFF
async def test_pointers_are_read_after_the_mark_is_published(store: CassandraEventStore, protected: bool) -> None:
    feed, stream = store.feed, stream_in(2, SHARDS)
    publishing = Held(feed.close)
    resolver = (Resolver if protected else ReadsFirst)(tables_of(feed)._replace(close=publishing), 2, uuid4())
    assert await resolver.claim(await feed.standing(2))
    closing = asyncio.create_task(resolver.round(await ahead(feed)))
    await publishing.reached.wait()
    await append(store, stream)
    publishing.go_on.set()
    await shown(store, stream, await closing, await resolver.round(await ahead(feed)), protected=protected)


@ON_AND_OFF
async def test_a_position_is_not_taken_up_again_under_a_new_fence(store: CassandraEventStore, protected: bool) -> None:
    feed, stream = store.feed, stream_in(3, SHARDS)
    resolver = await owner_of(feed, 3)
    tables = store._appender._tables
    if not protected:
        first: list[int] = []

        async def announce_once(intent: Intent, state: State, deadline: float) -> int:
            if not first:
                first.append(await tables.announce(intent, state, deadline))
            return first[0]

        store._appender._tables = tables._replace(announce=announce_once)
    held = writer_step(store, "send")
    writing = asyncio.create_task(append(store, stream))
    await held.reached.wait()
    before = await resolver.round(await ahead(feed))
    held.go_on.set()
    await writing
    await shown(store, stream, before, await resolver.round(await ahead(feed)), protected=protected)


@ON_AND_OFF
async def test_the_pointer_is_there_before_the_events(store: CassandraEventStore, protected: bool) -> None:
    feed, stream = store.feed, stream_in(0, SHARDS)
    resolver = await owner_of(feed, 0)
    tables = store._appender._tables
    held: Held
    if protected:
        held = writer_step(store, "send")
    else:
        chosen: dict[str, Any] = {}

        async def only_choose(intent: Intent, state: State, deadline: float) -> int:
            chosen.update(intent=intent, state=state, deadline=deadline)
            return await feed.node_clock()

        async def announce_afterwards(*args: Any) -> Any:
            result = await tables.send(*args)
            await gate.pass_through()
            await tables.announce(chosen["intent"], chosen["state"], chosen["deadline"])
            return result

        held = gate = _Gate()
        store._appender._tables = tables._replace(announce=only_choose, send=announce_afterwards)
    writing = asyncio.create_task(append(store, stream))
    await held.reached.wait()
    before = await resolver.round(await ahead(feed))
    held.go_on.set()
    await writing
    await shown(store, stream, before, await resolver.round(await ahead(feed)), protected=protected)


class _Gate(Held):
    """A place to be held at that is no step."""

    def __init__(self) -> None:
        super().__init__(asyncio.sleep)

    async def pass_through(self) -> None:
        self.reached.set()
        await self.go_on.wait()
