"""The answer to an append is lost, late or cut off, or the request never arrives: success, once, and never a conflict."""

import asyncio
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, EXISTS, NO_STREAM, CassandraEventStore
from cassorm.errors import ConflictError
from cassorm.events.intent import Expected
from tests.faults.conftest import Through
from tests.faults.history import Histories, notes
from tests.faults.proxy import CUT_AFTER, CUT_BEFORE, CUT_MIDWAY, LOSE_ANSWER, LOSE_REQUEST, Fate, Proxy, Seen, late

pytestmark = pytest.mark.cluster

SIZES = (1, 10, 50)
EXPECTATIONS: tuple[Expected, ...] = (3, ANY)
REQUEST_S = 0.4


def append_to(stream: UUID, seen: Seen) -> bool:
    return seen.conditional and stream.bytes in seen.body


def same_batch(seen: Seen) -> bytes:
    """All of a request but the time of sending, which ends it; Paxos gives the row a time of its own."""
    return seen.body[:-8]


@pytest.mark.parametrize(
    ("fate", "times"),
    [
        (LOSE_ANSWER, 1),
        (LOSE_ANSWER, 3),
        (late(REQUEST_S * 1.5), 1),
        (late(REQUEST_S * 1.5), 3),
        (LOSE_REQUEST, 1),
        (LOSE_REQUEST, 3),
        (CUT_AFTER, 1),
        (CUT_MIDWAY, 1),
        (CUT_BEFORE, 1),
    ],
    ids=str,
)
async def test_an_append_without_an_answer_succeeds_once(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate, times: int
) -> None:
    async def one(size: int, expected: Expected) -> None:
        # A session for each: a connection that is cut takes along all that is under way on it.
        async with through(proxy, request_s=REQUEST_S) as store:
            stream, append_id = uuid4(), uuid4()
            await store.append(stream, notes(3), expected=0)
            sent = len(proxy.appends(stream.bytes))
            proxy.inflict(fate, on=lambda seen: append_to(stream, seen), times=times)

            appended = await store.append(stream, notes(size, 3), expected=expected, append_id=append_id)

            assert appended.version == 3 + size
            attempts = proxy.appends(stream.bytes)[sent:]
            assert [seen.fate for seen in attempts[:times]] == [fate] * times
            assert len({same_batch(seen) for seen in attempts}) == 1
            # The store goes on from there, and nothing that comes late disturbs it.
            assert (await store.append(stream, notes(1, 3 + size), expected=3 + size)).version == 4 + size
            assert await store.append(stream, notes(size, 3), expected=expected, append_id=append_id) == appended
        history = await Histories().read(direct, [stream])
        assert (history.ends[append_id], history.sizes[append_id]) == (3 + size, size)
        assert history.numbers == list(range(4 + size))

    async with asyncio.TaskGroup() as cases:
        for size in SIZES:
            for expected in EXPECTATIONS:
                cases.create_task(one(size, expected))


@pytest.mark.parametrize("expected", [0, ANY, NO_STREAM])
async def test_the_first_append_to_a_stream_is_resolved_as_well(
    proxy: Proxy, through: Through, direct: CassandraEventStore, expected: Expected
) -> None:
    stream = uuid4()
    async with through(proxy) as store:
        proxy.inflict(LOSE_ANSWER, times=1)
        assert (await store.append(stream, notes(2), expected=expected)).version == 2
    assert (await Histories().read(direct, [stream])).numbers == [0, 1]


class TestOvertaken:
    """Another writer takes the version while a request of ours is lost."""

    @pytest.mark.parametrize("expected", [ANY, EXISTS])
    async def test_without_an_exact_version_the_append_goes_behind(
        self, proxy: Proxy, through: Through, direct: CassandraEventStore, expected: Expected
    ) -> None:
        stream = await overtaken(proxy, through, direct, expected)
        assert (await Histories().read(direct, [stream])).numbers == [0, 1, 2]

    async def test_at_an_exact_version_it_is_a_true_conflict(
        self, proxy: Proxy, through: Through, direct: CassandraEventStore
    ) -> None:
        with pytest.raises(ConflictError, match="expected version 1, found 2") as raised:
            await overtaken(proxy, through, direct, 1)
        stream = raised.value.stream
        assert isinstance(stream, UUID)
        assert (await Histories().read(direct, [stream])).numbers == [0, 1]


async def overtaken(proxy: Proxy, through: Through, direct: CassandraEventStore, expected: Expected) -> UUID:
    """A stream of 0, then 1 by another writer, then 2 by an append whose first request was lost."""
    stream = uuid4()
    async with through(proxy, request_s=1.0) as store:
        await store.append(stream, notes(1), expected=0)
        proxy.inflict(LOSE_REQUEST, times=1)
        sending = asyncio.create_task(store.append(stream, notes(1, 2), expected=expected))
        await proxy.until(LOSE_REQUEST)
        await direct.append(stream, notes(1, 1), expected=1)
        assert (await sending).version == 3
    return stream
