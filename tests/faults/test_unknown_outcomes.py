"""Nobody answers within the store's timeout: the outcome is unknown, and the append's id settles it later."""

import asyncio
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, CassandraEventStore
from cassorm.errors import ConflictError, OutcomeUnknownError, Retry
from cassorm.events.intent import Expected
from tests.faults.conftest import Through
from tests.faults.history import Histories, notes
from tests.faults.proxy import LOSE_ANSWER, LOSE_REQUEST, Fate, Proxy

pytestmark = pytest.mark.cluster

REQUEST_S, APPEND_S = 0.3, 1.0


@pytest.mark.parametrize("fate", [LOSE_ANSWER, LOSE_REQUEST], ids=str)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same process", "another process"])
async def test_the_error_carries_the_id_under_which_the_same_append_succeeds_once(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate, elsewhere: bool
) -> None:
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:

        async def one(size: int, expected: Expected) -> tuple[UUID, UUID]:
            stream = uuid4()
            await direct.append(stream, notes(2), expected=0)
            begun = asyncio.get_running_loop().time()
            with pytest.raises(OutcomeUnknownError) as raised:
                await store.append(stream, notes(size, 2), expected=expected)
            assert APPEND_S * 0.5 < asyncio.get_running_loop().time() - begun < APPEND_S + 2
            assert raised.value.retry is Retry.SAME_IDS
            assert isinstance(raised.value.append_id, UUID)
            return stream, raised.value.append_id

        cases: list[tuple[int, Expected]] = [(1, 2), (1, ANY), (10, 2), (10, ANY), (50, 2), (50, ANY)]
        proxy.inflict(fate)
        unknown = await asyncio.gather(*(one(size, expected) for size, expected in cases))
        proxy.heal()
        again = direct if elsewhere else store
        for (size, expected), (stream, append_id) in zip(cases, unknown, strict=True):
            first = await again.append(stream, notes(size, 2), expected=expected, append_id=append_id)
            assert first.version == 2 + size
            assert await again.append(stream, notes(size, 2), expected=expected, append_id=append_id) == first
            # Nothing of the first attempts blocks the stream.
            assert (await store.append(stream, notes(1, 2 + size))).version == 3 + size

    for (size, _), (stream, append_id) in zip(cases, unknown, strict=True):
        history = await Histories().read(direct, [stream])
        assert history.numbers == list(range(3 + size))
        assert (history.ends[append_id], history.sizes[append_id]) == (2 + size, size)


async def test_another_writer_may_go_on_and_the_id_still_tells_how_the_append_ended(
    proxy: Proxy, through: Through, direct: CassandraEventStore
) -> None:
    landed, lost = uuid4(), uuid4()
    ids: dict[UUID, object] = {}
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:

        async def unknown(stream: UUID) -> None:
            with pytest.raises(OutcomeUnknownError) as raised:
                await store.append(stream, notes(1), expected=0)
            ids[stream] = raised.value.append_id

        proxy.inflict(LOSE_ANSWER, on=lambda seen: seen.conditional and landed.bytes in seen.body)
        proxy.inflict(LOSE_REQUEST, on=lambda seen: seen.conditional and lost.bytes in seen.body)
        await asyncio.gather(unknown(landed), unknown(lost))
    await direct.append(landed, notes(3, 1), expected=1)
    await direct.append(lost, notes(3, 1), expected=0)

    found = ids[landed]
    assert isinstance(found, UUID)
    assert (await direct.append(landed, notes(1), expected=0, append_id=found)).version == 1
    assert (await direct.append(landed, notes(1), expected=ANY, append_id=found)).version == 1
    missing = ids[lost]
    assert isinstance(missing, UUID)
    with pytest.raises(ConflictError, match="expected version 0, found 3"):
        await direct.append(lost, notes(1), expected=0, append_id=missing)
    assert (await Histories().read(direct, [landed])).numbers == [0, 1, 2, 3]
    assert (await Histories().read(direct, [lost])).numbers == [1, 2, 3]
