"""Negative controls: with a protection switched off, the scenarios of this folder go red; here that is asserted."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from cassandra.policies import RetryPolicy

from cassorm import ANY, CassandraEventStore, MemoryEventStore, Recorded
from cassorm.driver import wire
from cassorm.driver.result import APPLIED, Result
from cassorm.errors import ConflictError, UnavailableError
from cassorm.events import append
from cassorm.events.append import State
from cassorm.events.event_rows import rows_of
from cassorm.events.intent import Intent
from tests.faults.conftest import Through
from tests.faults.history import Histories, notes
from tests.faults.proxy import CUT_AFTER, LOSE_ANSWER, Proxy
from tests.faults.test_races import race, rivals

__all__ = ["rivals"]


@pytest.mark.cluster
class TestResolutionSwitchedOff:
    """A store that sends again, and does not look whose row it met."""

    @pytest.fixture(autouse=True)
    def blind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seeing = append._refusal
        monkeypatch.setattr(append, "_refusal", lambda *answer: seeing(*answer)._replace(taken_by=None))

    async def test_an_append_whose_answer_is_lost_conflicts_with_itself(
        self, proxy: Proxy, through: Through, direct: CassandraEventStore
    ) -> None:
        stream = uuid4()
        async with through(proxy) as store:
            proxy.inflict(LOSE_ANSWER, times=1)
            with pytest.raises(ConflictError):
                await store.append(stream, notes(1), expected=0)
        assert (await Histories().read(direct, [stream])).numbers == [0], "it is there all the same"

    async def test_an_append_at_any_version_is_there_twice(
        self, proxy: Proxy, through: Through, direct: CassandraEventStore
    ) -> None:
        stream = uuid4()
        async with through(proxy) as store:
            proxy.inflict(LOSE_ANSWER, times=1)
            assert (await store.append(stream, notes(1), expected=ANY)).version == 2
        with pytest.raises(AssertionError):
            await Histories().read(direct, [stream])


@pytest.mark.cluster
async def test_with_the_drivers_own_retry_policy_an_append_that_landed_is_called_unsent(
    proxy: Proxy, through: Through, direct: CassandraEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "NEVER", RetryPolicy())
    stream = uuid4()
    async with through(proxy) as store:
        proxy.inflict(CUT_AFTER, times=1)
        with pytest.raises(UnavailableError, match="no node could take the statement"):
            await store.append(stream, notes(1), expected=0)
    assert (await Histories().read(direct, [stream])).numbers == [0], "it is there all the same"


@pytest.mark.cluster
async def test_without_conditions_every_writer_wins_and_events_are_lost(
    rivals: list[CassandraEventStore], direct: CassandraEventStore
) -> None:
    for store in rivals:
        store._appender._tables = store._appender._tables._replace(send=without_conditions(store))
    stream = uuid4()
    won, lost = await race(rivals, stream, 0)
    assert (len(won), len(lost)) == (len(rivals), 0)
    history = await Histories().read(direct, [stream])
    assert len(history.ends) < len(won)


def without_conditions(store: CassandraEventStore) -> Callable[..., Awaitable[Result]]:
    """What sends an append of `store` as a plain batch, and believes that it won."""

    async def send(intent: Intent, base: int, state: State, pos: int, timeout: timedelta) -> Result:
        session, stream = store._session, intent.stream
        advance = await session.prepare(f"UPDATE {store.keyspace}.events SET head = ? WHERE aggregate_id = ?")
        insert = await session.prepare(store._queries.insert)
        rows = [(insert, row) for row in rows_of(intent, base, pos)]
        await session.execute_batch([(advance, (base + len(rows), stream)), *rows], timeout=timeout)
        return Result([(True,)], (APPLIED,))

    return send


class Falsified(MemoryEventStore):
    """A store whose streams were tampered with."""

    def __init__(self, falsify: Callable[[list[Recorded]], list[Recorded]]) -> None:
        super().__init__()
        self._falsify = falsify

    async def get_events(self, *args: Any, **bounds: Any) -> list[Recorded]:
        return self._falsify(await super().get_events(*args, **bounds))


@pytest.mark.parametrize(
    "falsify",
    [
        lambda history: history[:2] + history[3:],
        lambda history: history[:-1],
        lambda history: [*history, history[-1]],
        lambda history: history[1:],
        lambda history: [history[1], history[0], *history[2:]],
    ],
    ids=["a version is missing", "the last is missing", "an event is there twice", "the first is missing", "disorder"],
)
async def test_what_reads_the_histories_sees_a_false_one(
    falsify: Callable[[list[Recorded]], list[Recorded]],
) -> None:
    store, stream = Falsified(falsify), uuid4()
    await asyncio.gather(*(store.append(stream, notes(2, n)) for n in range(3)))
    with pytest.raises(AssertionError):
        await Histories().read(store, [stream])
