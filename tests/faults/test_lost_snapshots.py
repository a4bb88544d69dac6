"""A snapshot that cannot be written fails no save and changes no load."""

from functools import partial
from uuid import uuid4

import pytest

from cassorm import Aggregate, AggregateRepository, CassandraEventStore, aggregate, apply
from tests.faults.conftest import Through
from tests.faults.frames import Opcode
from tests.faults.history import Noted
from tests.faults.proxy import CUT_AFTER, LOSE_REQUEST, Fate, Proxy, Seen

pytestmark = pytest.mark.cluster


@aggregate("FaultCounter")
class Counter(Aggregate):
    total: int = 0

    def add(self, number: int) -> None:
        self.emit(Noted(number=number))

    @apply
    def _(self, event: Noted) -> None:
        self.total += event.number


def writes_a_snapshot(seen: Seen) -> bool:
    return seen.opcode is Opcode.EXECUTE and seen.text.startswith("INSERT") and "snapshots" in seen.text


@pytest.mark.parametrize("fate", [LOSE_REQUEST, CUT_AFTER], ids=str)
@pytest.mark.parametrize("background", [True, False], ids=["background", "at once"])
async def test_a_snapshot_that_fails_does_not_fail_the_save(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate, background: bool
) -> None:
    id_ = uuid4()
    async with through(proxy, session_s=1.0) as store:
        proxy.inflict(fate, on=writes_a_snapshot, times=1)
        async with AggregateRepository(
            store, Counter, snapshot_frequency=3, snapshots_in_background=background
        ) as counters:
            counter = Counter(id_)
            for number in (1, 2, 3):
                counter.add(number)
            saved = await counters.save(counter)
            assert saved.version == 3
            await proxy.until(fate)
        assert (counters.snapshots.written, counters.snapshots.failed) == (0, 1)

    # What was cut off may have been written all the same.
    assert await direct.snapshots(id_) == [] or fate == CUT_AFTER
    counters = AggregateRepository(direct, Counter, snapshot_frequency=3, snapshots_in_background=False)
    assert (await counters.get(id_)).total == 6
    # The next one that is due is written as if nothing had been.
    for number in (4, 5, 6):
        await counters.execute(id_, partial(Counter.add, number=number))
    assert (await direct.snapshots(id_))[0].version == 6
    assert (await AggregateRepository(direct, Counter).get(id_)).total == 21
