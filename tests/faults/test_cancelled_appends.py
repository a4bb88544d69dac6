"""Callers that give up at random moments, through a network that delays and loses: every append is settled by its id."""

import asyncio
import contextlib
import random
from functools import partial
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, Aggregate, AggregateRepository, Appended, CassandraEventStore, aggregate, apply
from tests.faults.conftest import SOAK, Through
from tests.faults.history import Histories, Noted, notes
from tests.faults.proxy import LOSE_ANSWER, LOSE_REQUEST, Proxy

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800 if SOAK else 120)]

ROUNDS = 20 if SOAK else 1
APPENDS, STREAMS, CALLERS = (1_000, 40, 80) if SOAK else (400, 20, 40)


async def usual(store: CassandraEventStore) -> float:
    """How long an append takes here and now, in seconds."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.gather(*(store.append(uuid4(), notes(1), append_id=uuid4()) for _ in range(CALLERS)))
    return loop.time() - begun


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_appends_under_random_timeouts_are_all_settled_by_their_ids(
    proxy: Proxy, through: Through, direct: CassandraEventStore, seed: int
) -> None:
    chance = random.Random(seed)
    streams = [uuid4() for _ in range(STREAMS)]
    appends = [(uuid4(), chance.choice(streams), notes(chance.choice((1, 1, 1, 3)), n)) for n in range(APPENDS)]
    told: dict[UUID, Appended] = {}
    cancelled = 0

    async with through(proxy, request_s=0.5) as store:
        proxy.jitter(seed, 0.02)
        usual_s = await usual(store)
        proxy.inflict(LOSE_ANSWER, on=lambda seen: seen.conditional and chance.random() < 0.01)
        proxy.inflict(LOSE_REQUEST, on=lambda seen: seen.conditional and chance.random() < 0.01)

        async def caller(mine: list[tuple[UUID, UUID, list[Noted]]]) -> None:
            nonlocal cancelled
            for append_id, stream, events in mine:
                try:
                    async with asyncio.timeout(chance.uniform(0, 3 * usual_s)):
                        told[append_id] = await store.append(stream, events, expected=ANY, append_id=append_id)
                except TimeoutError:
                    cancelled += 1

        await asyncio.gather(*(caller(appends[n::CALLERS]) for n in range(CALLERS)))
        proxy.heal()
        assert min(cancelled, len(told)) > APPENDS // 10, "some of both, or this test shows nothing"

        # Every queue moves on, whatever was cancelled in it.
        async with asyncio.timeout(20):
            for stream in streams:
                await store.append(stream, notes(1, -1))
        for append_id, stream, events in appends:
            again = await store.append(stream, events, expected=ANY, append_id=append_id)
            assert told.setdefault(append_id, again) == again

    history = await Histories().read(direct, streams)
    for append_id, _, events in appends:
        assert history.ends[append_id] == told[append_id].version
        assert history.sizes[append_id] == len(events)
    assert len(history.ends) == APPENDS + STREAMS


@aggregate("FaultTally")
class Tally(Aggregate):
    total: int = 0

    def note(self, number: int) -> None:
        self.emit(Noted(number=number))

    @apply
    def _(self, event: Noted) -> None:
        self.total += event.number


async def test_a_cached_aggregate_never_shows_what_a_cancelled_command_left_behind(
    proxy: Proxy, through: Through, direct: CassandraEventStore
) -> None:
    chance = random.Random(1)
    streams = [uuid4() for _ in range(5)]
    async with through(proxy, request_s=0.5) as store, AggregateRepository(store, Tally, cache=100) as tallies:
        proxy.jitter(1, 0.02)
        usual_s = await usual(store)
        proxy.inflict(LOSE_ANSWER, on=lambda seen: seen.conditional and chance.random() < 0.02)

        async def caller(numbers: range) -> None:
            for number in numbers:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0, 3 * usual_s)):
                        await tallies.execute(
                            chance.choice(streams), partial(Tally.note, number=1 << number), create=True
                        )

        await asyncio.gather(*(caller(range(40 if SOAK else 20)) for _ in range(8)))
        proxy.heal()
        for stream in streams:
            # What the next command decides on is what stands in the stream.
            await tallies.execute(stream, lambda tally: tally.note(0), create=True)
            shown = await tallies.get(stream)
            history = await Histories().read(direct, [stream])
            assert (shown.total, shown.version) == (sum(history.numbers), len(history.numbers))
