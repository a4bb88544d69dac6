"""A command or a save whose answer nobody hears: sent again as the error says, it takes effect once."""

import asyncio
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from cassorm import Aggregate, AggregateRepository, CassandraEventStore, Decider, Event, aggregate, apply
from cassorm.errors import AggregateError, ConflictError, OutcomeUnknownError
from tests.faults.conftest import Through
from tests.faults.proxy import LOSE_ANSWER, LOSE_REQUEST, Fate, Proxy

pytestmark = pytest.mark.cluster

REQUEST_S, APPEND_S = 0.3, 1.0
FATES = pytest.mark.parametrize("fate", [LOSE_ANSWER, LOSE_REQUEST], ids=str)


class Paid(Event, name="FaultPaid"):
    amount: Decimal


class NotEnoughMoneyError(Exception):
    pass


@aggregate("FaultPurse")
class Purse(Aggregate):
    balance: Decimal = Decimal(0)

    def pay(self, amount: int) -> None:
        if self.balance + amount < 0:
            raise NotEnoughMoneyError
        self.emit(Paid(amount=Decimal(amount)))

    @apply
    def _(self, event: Paid) -> None:
        self.balance += event.amount


purse = Decider[int, Decimal](
    name="FaultPurse",
    initial=lambda: Decimal(0),
    decide=lambda amount, _: [Paid(amount=Decimal(amount))],
    evolve=lambda balance, event: balance + event.amount,
)


async def filled(store: CassandraEventStore) -> UUID:
    id_ = uuid4()
    await AggregateRepository(store, Purse).execute(id_, lambda purse: purse.pay(100), create=True)
    return id_


@FATES
@pytest.mark.parametrize("cache", [0, 10], ids=["uncached", "cached"])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same process", "another process"])
async def test_a_command_sent_again_under_the_errors_id_takes_effect_once(
    *, proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate, cache: int, elsewhere: bool
) -> None:
    id_ = await filled(direct)
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:
        purses = AggregateRepository(store, Purse, cache=cache)
        await purses.execute(id_, lambda purse: purse.pay(1))
        proxy.inflict(fate)
        with pytest.raises(OutcomeUnknownError) as raised:
            await purses.execute(id_, lambda purse: purse.pay(-101))
        proxy.heal()
        append_id = raised.value.append_id
        assert isinstance(append_id, UUID)
        again = AggregateRepository(direct, Purse) if elsewhere else purses
        # Where it landed the command would be refused by now, if it ran once more.
        saved = await again.execute(id_, lambda purse: purse.pay(-101), append_id=append_id)
        assert (saved.version, saved.append_id) == (3, append_id)
        await again.execute(id_, lambda purse: purse.pay(7))
        assert await again.execute(id_, lambda purse: purse.pay(-101), append_id=append_id) == saved
        assert (await purses.get(id_)).balance == 7
    assert [recorded.version for recorded in await direct.get_events(id_)] == [1, 2, 3, 4]


@FATES
async def test_others_may_go_on_meanwhile_and_the_command_still_takes_effect_once(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate
) -> None:
    id_, append_id = await filled(direct), uuid4()
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:
        purses = AggregateRepository(store, purse)
        proxy.inflict(fate)
        with pytest.raises(OutcomeUnknownError):
            await purses.execute(id_, -10, append_id=append_id)
    others = AggregateRepository(direct, Purse)
    for _ in range(15):
        await others.execute(id_, lambda purse: purse.pay(1))
    for _ in range(3):
        await AggregateRepository(direct, purse).execute(id_, -10, append_id=append_id)
    assert (await others.get(id_)).balance == 105
    await others.close()


@FATES
async def test_an_aggregate_saved_again_is_saved_once_and_takes_no_event_in_between(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate
) -> None:
    id_ = await filled(direct)
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:
        purses = AggregateRepository(store, Purse, snapshot_frequency=1, snapshots_in_background=False)
        mine = await purses.get(id_)
        mine.pay(5)
        proxy.inflict(fate)
        with pytest.raises(OutcomeUnknownError) as raised:
            await purses.save(mine)
        assert raised.value.append_id == mine.append_id
        with pytest.raises(AggregateError, match="is not settled"):
            mine.pay(6)
        assert purses.snapshots.written == 0
        proxy.heal()
        saved = await purses.save(mine)
        assert (saved.version, mine.append_id, purses.snapshots.written) == (2, None, 1)
        mine.pay(6)
        assert (await purses.save(mine)).version == 3
    assert (await AggregateRepository(direct, Purse).get(id_)).balance == 111


@FATES
async def test_an_aggregate_saved_again_after_another_writer_is_saved_or_conflicts_truly(
    proxy: Proxy, through: Through, direct: CassandraEventStore, fate: Fate
) -> None:
    id_ = await filled(direct)
    async with through(proxy, request_s=REQUEST_S, append_s=APPEND_S) as store:
        purses = AggregateRepository(store, Purse)
        mine = await purses.get(id_)
        mine.pay(5)
        proxy.inflict(fate)
        with pytest.raises(OutcomeUnknownError):
            await purses.save(mine)
        proxy.heal()
        await AggregateRepository(direct, Purse).execute(id_, lambda purse: purse.pay(1))
        if fate == LOSE_ANSWER:
            assert (await purses.save(mine)).version == 2
        else:
            with pytest.raises(ConflictError, match="expected version 1, found 2"):
                await purses.save(mine)
    balance = (await AggregateRepository(direct, Purse).get(id_)).balance
    assert balance == (106 if fate == LOSE_ANSWER else 101)


@pytest.mark.parametrize("cache", [0, 10], ids=["uncached", "cached"])
async def test_commands_cancelled_at_random_moments_take_effect_once_when_sent_again(
    direct: CassandraEventStore, cache: int
) -> None:
    id_ = await filled(direct)
    async with AggregateRepository(direct, Purse, cache=cache) as purses:

        async def one(number: int) -> None:
            append_id = uuid4()
            try:
                async with asyncio.timeout(0.0005 * (number % 40)):
                    await purses.execute(id_, lambda purse: purse.pay(1), append_id=append_id)
            except TimeoutError:
                await purses.execute(id_, lambda purse: purse.pay(1), append_id=append_id)

        for start in range(0, 80, 8):
            await asyncio.gather(*(one(number) for number in range(start, start + 8)))
        assert (await purses.get(id_)).version == 81
    assert (await AggregateRepository(direct, Purse).get(id_)).balance == 180
