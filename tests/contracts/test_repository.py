"""What a repository promises over every store."""

import asyncio
import copy
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, Event, EventStore, event_context
from cassorm.aggregates.aggregate import Aggregate, aggregate
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.handlers import apply
from cassorm.aggregates.repository import AggregateRepository
from cassorm.errors import (
    AggregateError,
    ConfigurationError,
    ConflictError,
    QueryError,
    Retry,
    StreamNotFoundError,
    StreamTypeError,
)


class Opened(Event, name="RepositoryOpened"):
    owner: str


class Deposited(Event, name="RepositoryDeposited"):
    amount: Decimal


class Withdrawn(Event, name="RepositoryWithdrawn"):
    amount: Decimal


class NotEnoughMoneyError(Exception):
    pass


@aggregate("Account")
class Account(Aggregate):
    owner: str | None = None
    balance: Decimal = Decimal(0)
    movements: list[Decimal] = []

    def open(self, owner: str) -> None:
        if self.owner is None:
            self.emit(Opened(owner=owner))

    def deposit(self, *amounts: int) -> None:
        for amount in amounts:
            self.emit(Deposited(amount=Decimal(amount)))

    def withdraw(self, amount: int) -> None:
        if amount > self.balance:
            raise NotEnoughMoneyError(f"{self.balance} < {amount}")
        self.emit(Withdrawn(amount=Decimal(amount)))

    @apply
    def _(self, event: Opened) -> None:
        self.owner = event.owner

    @apply
    def _(self, event: Deposited) -> None:
        self.balance += event.amount
        self.movements.append(event.amount)

    @apply
    def _(self, event: Withdrawn) -> None:
        self.balance -= event.amount
        self.movements.append(-event.amount)


@aggregate("Person")
class Person(Aggregate):
    name: str = ""

    @apply
    def _(self, event: Opened) -> None:
        self.name = event.owner


def decide(command: int, state: Decimal) -> list[Event]:
    if state + command < 0:
        raise NotEnoughMoneyError
    if command == 0:
        return []
    amount = Decimal(abs(command))
    return [Deposited(amount=amount) if command > 0 else Withdrawn(amount=amount)]


def evolve(state: Decimal, event: Deposited | Withdrawn) -> Decimal:
    return state + event.amount if isinstance(event, Deposited) else state - event.amount


ledger = Decider(name="Ledger", initial=lambda: Decimal(0), decide=decide, evolve=evolve, state=Decimal)


@pytest.fixture(params=[0, 100], ids=["uncached", "cached"])
async def accounts(request: pytest.FixtureRequest, store: EventStore) -> AsyncIterator[AggregateRepository[Account]]:
    async with AggregateRepository(store, Account, cache=request.param) as repository:
        yield repository


async def opened(accounts: AggregateRepository[Account], *amounts: int) -> UUID:
    id_ = uuid4()

    def command(account: Account) -> None:
        account.open("zoe")
        account.deposit(*amounts)

    await accounts.execute(id_, command, create=True)
    return id_


async def balance(accounts: AggregateRepository[Account], id_: UUID) -> int:
    return int((await accounts.get(id_)).balance)


async def test_what_was_saved_is_got_again(accounts: AggregateRepository[Account]) -> None:
    id_ = uuid4()
    account = Account(id_)
    account.open("zoe")
    account.deposit(5, 6)
    saved = await accounts.save(account)
    assert (saved.stream, saved.version, saved.changed) == (id_, 3, True)
    assert (account.version, account.uncommitted_events, account.append_id) == (3, (), None)

    again = await accounts.get(id_)
    assert again == account
    again.withdraw(4)
    assert (await accounts.save(again)).version == 4
    assert (await accounts.get(id_)).movements == [5, 6, -4]


async def test_saved_names_position_and_append_of_the_last_event(
    accounts: AggregateRepository[Account], store: EventStore
) -> None:
    id_ = await opened(accounts)
    saved = await accounts.execute(id_, lambda account: account.deposit(1, 2))
    *_, last = await store.get_events(id_)
    assert saved.position is not None
    assert (saved.version, saved.position.micros, saved.append_id) == (3, last.position, last.append_id)


async def test_a_stream_carries_its_aggregate_type_and_the_commands_context(
    accounts: AggregateRepository[Account], store: EventStore
) -> None:
    with event_context(user_id="zoe", correlation_id="story"):
        id_ = await opened(accounts)
    (recorded,) = await store.get_events(id_)
    assert (recorded.aggregate_type, recorded.user_id, recorded.correlation_id) == ("Account", "zoe", "story")


async def test_saving_without_new_events_sends_nothing(accounts: AggregateRepository[Account]) -> None:
    id_ = await opened(accounts)
    saved = await accounts.save(await accounts.get(id_))
    assert (saved.version, saved.position, saved.append_id, saved.changed) == (1, None, None, False)
    nobody = uuid4()
    assert (await accounts.save(Account(nobody))).version == 0
    assert not await accounts.exists(nobody)


async def test_a_command_that_emits_nothing_appends_nothing(
    accounts: AggregateRepository[Account], store: EventStore
) -> None:
    id_ = await opened(accounts)
    for _ in range(2):
        saved = await accounts.execute(id_, lambda account: account.open("max"))
        assert (saved.version, saved.changed) == (1, False)
    assert len(await store.get_events(id_)) == 1
    nobody = uuid4()
    assert (await accounts.execute(nobody, lambda _: None, create=True)).version == 0
    assert not await store.exists(nobody)


async def test_a_command_that_raises_writes_nothing_and_leaves_nothing_behind(
    accounts: AggregateRepository[Account], store: EventStore
) -> None:
    id_ = await opened(accounts, 10)

    def half_done(account: Account) -> None:
        account.deposit(1)
        account.withdraw(100)

    for _ in range(2):
        with pytest.raises(NotEnoughMoneyError, match="11 < 100"):
            await accounts.execute(id_, half_done)
    assert await balance(accounts, id_) == 10
    await accounts.execute(id_, lambda account: account.deposit(1))
    assert await balance(accounts, id_) == 11
    assert (await store.head(id_)).version == 3  # type: ignore[union-attr]


async def test_an_async_command_is_awaited(accounts: AggregateRepository[Account]) -> None:
    id_ = await opened(accounts)

    async def deposit(account: Account) -> None:
        await asyncio.sleep(0)
        account.deposit(7)

    await accounts.execute(id_, deposit)
    await accounts.execute(id_, lambda account: asyncio.create_task(deposit(account)))
    assert await balance(accounts, id_) == 14


async def test_a_stream_that_does_not_exist_is_not_found(accounts: AggregateRepository[Account]) -> None:
    id_ = uuid4()
    with pytest.raises(StreamNotFoundError, match=f"Account {id_}: does not exist") as caught:
        await accounts.get(id_)
    assert (caught.value.stream, caught.value.aggregate_type) == (id_, "Account")
    with pytest.raises(StreamNotFoundError, match="create=True"):
        await accounts.execute(id_, lambda account: account.open("zoe"))
    with pytest.raises(StreamNotFoundError):
        await accounts.snapshot(id_)
    assert await accounts.exists(id_) is False
    await accounts.execute(id_, lambda account: account.open("zoe"), create=True)
    assert await accounts.exists(id_) is True


async def test_a_stream_of_another_type_is_refused(accounts: AggregateRepository[Account], store: EventStore) -> None:
    people = AggregateRepository(store, Person)
    id_ = await opened(accounts)
    for call in (
        lambda: people.get(id_),
        lambda: people.exists(id_),
        lambda: people.snapshot(id_),
        lambda: people.execute(id_, lambda person: person.emit(Opened(owner="x"))),
        lambda: people.execute(id_, lambda person: person.emit(Opened(owner="x")), create=True),
    ):
        with pytest.raises(StreamTypeError, match="is a stream of Account, not of Person"):
            await call()
    fresh = Person(id_)
    fresh.emit(Opened(owner="x"))
    with pytest.raises((StreamTypeError, ConflictError)):
        await people.save(fresh)
    assert (await accounts.get(id_)).version == 1


async def test_the_second_of_two_savers_conflicts_and_writes_nothing(accounts: AggregateRepository[Account]) -> None:
    id_ = await opened(accounts, 10)
    first, second = await accounts.get(id_), await accounts.get(id_)
    first.deposit(1)
    second.deposit(2)
    await accounts.save(first)
    with pytest.raises(ConflictError, match="expected version 2, found 3") as caught:
        await accounts.save(second)
    assert caught.value.retry is Retry.RELOAD
    assert second.uncommitted_events == (Deposited(amount=Decimal(2)),)
    assert await balance(accounts, id_) == 11


async def test_two_copies_that_went_apart_conflict_and_one_that_did_not_is_the_same_append(
    accounts: AggregateRepository[Account],
) -> None:
    id_ = await opened(accounts, 10)
    account = await accounts.get(id_)
    account.deposit(1)
    same, other = copy.deepcopy(account), copy.deepcopy(account)
    account.deposit(2)
    other.deposit(3)
    assert (await accounts.save(account)).version == 4
    for twin in (other, same):
        with pytest.raises(ConflictError):
            await accounts.save(twin)
    assert await balance(accounts, id_) == 13

    account.deposit(4)
    same = copy.deepcopy(account)
    assert await accounts.save(account) == await accounts.save(same)
    assert await balance(accounts, id_) == 17


async def test_creating_twice_conflicts_or_goes_on_with_what_is_there(accounts: AggregateRepository[Account]) -> None:
    id_ = await opened(accounts)
    twin = Account(id_)
    twin.open("max")
    with pytest.raises(ConflictError):
        await accounts.save(twin)
    await accounts.execute(id_, lambda account: account.open("max"), create=True)
    assert (await accounts.get(id_)).owner == "zoe"


@pytest.mark.parametrize("cache", [0, 100])
async def test_commands_of_rival_repositories_all_take_effect_once(store: EventStore, cache: int) -> None:
    rivals = [AggregateRepository(store, Account, cache=cache, attempts=100) for _ in range(4)]
    id_ = await opened(rivals[0])
    await asyncio.gather(
        *(rival.execute(id_, lambda account: account.deposit(1)) for rival in rivals for _ in range(6))
    )
    for rival in rivals:
        account = await rival.get(id_)
        assert account.balance == 24
        assert account.version == 25
        await rival.close()


async def test_of_many_withdrawals_only_those_the_balance_allows_happen(
    accounts: AggregateRepository[Account],
) -> None:
    id_ = await opened(accounts, 30)
    outcomes = await asyncio.gather(
        *(accounts.execute(id_, lambda account: account.withdraw(10)) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(outcome, NotEnoughMoneyError) for outcome in outcomes) == 5
    assert await balance(accounts, id_) == 0


async def test_commands_to_one_id_run_in_the_order_of_their_calls(
    accounts: AggregateRepository[Account], store: EventStore
) -> None:
    id_ = await opened(accounts)
    await asyncio.gather(*(accounts.execute(id_, lambda account, n=n: account.deposit(n)) for n in range(1, 21)))  # type: ignore[misc]
    assert (await accounts.get(id_)).movements == list(range(1, 21))


async def test_after_all_attempts_the_conflict_is_raised(store: EventStore) -> None:
    accounts = AggregateRepository(store, Account, attempts=3)
    id_ = await opened(accounts)
    runs = 0

    async def outrun(account: Account) -> None:
        nonlocal runs
        runs += 1
        account.deposit(1)
        await store.append(id_, [Deposited(amount=Decimal(100))], expected=ANY, aggregate_type="Account")

    with pytest.raises(ConflictError):
        await accounts.execute(id_, outrun)
    assert runs == 3
    assert await balance(accounts, id_) == 300


async def test_a_command_sees_what_another_writer_did_even_when_it_then_does_nothing(store: EventStore) -> None:
    accounts = AggregateRepository(store, Account, cache=10)
    id_ = await opened(accounts, 10)
    await store.append(id_, [Deposited(amount=Decimal(90))], aggregate_type="Account")

    seen: list[Decimal] = []
    await accounts.execute(id_, lambda account: seen.append(account.balance))
    assert seen[-1] == 100

    await store.append(id_, [Deposited(amount=Decimal(100))], aggregate_type="Account")
    await accounts.execute(id_, lambda account: account.withdraw(200))
    assert await balance(accounts, id_) == 0


async def test_get_sees_what_another_writer_did(accounts: AggregateRepository[Account], store: EventStore) -> None:
    id_ = await opened(accounts, 10)
    await accounts.execute(id_, lambda account: account.deposit(1))
    await store.append(id_, [Deposited(amount=Decimal(5))], aggregate_type="Account")
    assert (await accounts.get(id_)).movements == [10, 1, 5]


async def test_what_a_user_does_to_an_aggregate_that_was_got_changes_no_other(
    accounts: AggregateRepository[Account],
) -> None:
    id_ = await opened(accounts, 10)
    mine = await accounts.get(id_)
    mine.deposit(1)
    mine.movements.clear()
    assert (await accounts.get(id_)).movements == [10]
    await accounts.execute(id_, lambda account: account.deposit(2))
    assert (await accounts.get(id_)).movements == [10, 2]


class TestAppendId:
    async def test_a_command_sent_again_under_its_id_takes_effect_once(
        self, accounts: AggregateRepository[Account]
    ) -> None:
        id_, command_id = await opened(accounts, 10), uuid4()
        runs = 0

        def deposit(account: Account) -> None:
            nonlocal runs
            runs += 1
            account.deposit(5, 6)

        first = await accounts.execute(id_, deposit, append_id=command_id)
        assert (first.version, first.append_id) == (4, command_id)
        for _ in range(2):
            assert await accounts.execute(id_, deposit, append_id=command_id) == first
            await accounts.execute(id_, lambda account: account.deposit(1))
        assert runs == 1
        assert await balance(accounts, id_) == 23

    async def test_it_is_found_behind_a_snapshot_too(self, store: EventStore) -> None:
        async with AggregateRepository(store, Account, snapshots_in_background=False) as accounts:
            id_, command_id = await opened(accounts, 1), uuid4()
            first = await accounts.execute(id_, lambda account: account.deposit(100), append_id=command_id)
            for _ in range(30):
                await accounts.execute(id_, lambda account: account.deposit(1))
            assert accounts.snapshots.written >= 3
            assert await accounts.execute(id_, lambda account: account.withdraw(131), append_id=command_id) == first
            assert await balance(accounts, id_) == 131

    async def test_a_command_that_would_be_refused_by_now_is_recognised_before_it_runs(
        self, accounts: AggregateRepository[Account]
    ) -> None:
        id_, command_id = await opened(accounts, 10), uuid4()
        first = await accounts.execute(id_, lambda account: account.withdraw(10), append_id=command_id)
        assert await accounts.execute(id_, lambda account: account.withdraw(10), append_id=command_id) == first

    async def test_an_id_sent_by_another_process_is_recognised_by_a_cached_state(self, store: EventStore) -> None:
        mine, theirs = (AggregateRepository(store, Account, cache=10) for _ in range(2))
        id_, command_id = await opened(mine, 10), uuid4()
        first = await theirs.execute(id_, lambda account: account.withdraw(10), append_id=command_id)
        assert await mine.execute(id_, lambda account: account.withdraw(10), append_id=command_id) == first
        await theirs.execute(id_, lambda account: account.deposit(1))
        assert await mine.execute(id_, lambda account: account.withdraw(10), append_id=command_id) == first
        assert await balance(mine, id_) == 1

    async def test_a_state_that_another_sending_decided_is_never_kept(self, store: EventStore) -> None:
        """The same id, decided with another amount by a process that was faster: only its amount counts."""
        mine = AggregateRepository(store, Account, cache=10, snapshot_frequency=1, snapshots_in_background=False)
        id_, command_id = await opened(mine, 10), uuid4()

        async def beaten(account: Account) -> None:
            account.deposit(5)
            await store.append(
                id_,
                [Deposited(amount=Decimal(7))],
                expected=account.version - 1,
                aggregate_type="Account",
                append_id=command_id,
            )

        saved = await mine.execute(id_, beaten, append_id=command_id)
        assert saved.version == 3
        for _ in range(2):
            assert await balance(mine, id_) == 17
            await mine.execute(id_, lambda account: account.deposit(0))
        fresh = AggregateRepository(store, Account)
        assert await balance(fresh, id_) == 17

    async def test_nor_one_decided_with_another_number_of_events(self, store: EventStore) -> None:
        mine = AggregateRepository(store, Account, cache=10, snapshot_frequency=1, snapshots_in_background=False)
        id_, command_id = await opened(mine, 10), uuid4()

        async def beaten(account: Account) -> None:
            account.deposit(5)
            await store.append(
                id_,
                [Deposited(amount=Decimal(7)), Deposited(amount=Decimal(8))],
                expected=account.version - 1,
                aggregate_type="Account",
                append_id=command_id,
            )

        saved = await mine.execute(id_, beaten, append_id=command_id)
        assert saved.version == 4
        assert await balance(mine, id_) == 25
        assert await balance(AggregateRepository(store, Account), id_) == 25

    async def test_it_creates_once(self, accounts: AggregateRepository[Account]) -> None:
        id_, command_id = uuid4(), uuid4()
        for _ in range(3):
            saved = await accounts.execute(id_, lambda account: account.deposit(5), create=True, append_id=command_id)
            assert saved.version == 1
        assert await balance(accounts, id_) == 5

    async def test_a_refused_append_with_an_id_stays_refused(self, accounts: AggregateRepository[Account]) -> None:
        def too_large(account: Account) -> None:
            account.emit(Opened(owner="x" * 2_000_000))

        for create in (True, False):
            with pytest.raises((QueryError, StreamNotFoundError)):
                await accounts.execute(uuid4(), too_large, create=create, append_id=uuid4())


class TestDecider:
    async def test_it_is_executed_and_got(self, store: EventStore) -> None:
        ledgers = AggregateRepository(store, ledger)
        id_ = uuid4()
        assert (await ledgers.execute(id_, 10, create=True)).version == 1
        assert (await ledgers.execute(id_, -4)).version == 2
        assert (await ledgers.execute(id_, 0)).changed is False
        with pytest.raises(NotEnoughMoneyError):
            await ledgers.execute(id_, -7)
        folded = await ledgers.get(id_)
        assert (folded.id, folded.version, folded.state) == (id_, 2, Decimal(6))
        with pytest.raises(StreamNotFoundError, match="Ledger"):
            await ledgers.get(uuid4())

    @pytest.mark.parametrize("cache", [0, 10])
    async def test_rival_commands_all_take_effect_and_snapshots_are_used(self, store: EventStore, cache: int) -> None:
        rivals = [AggregateRepository(store, ledger, cache=cache, attempts=100) for _ in range(3)]
        id_ = uuid4()
        await rivals[0].execute(id_, 1, create=True)
        await asyncio.gather(*(rival.execute(id_, 1) for rival in rivals for _ in range(8)))
        for rival in rivals:
            await rival.close()
        assert (await rivals[0].get(id_)).state == 25
        assert await store.snapshots(id_)


class TestBadInput:
    @pytest.mark.parametrize("id_", [None, 3, "text", b"bytes"])
    async def test_an_id_of_the_wrong_type(self, accounts: AggregateRepository[Account], id_: Any) -> None:
        for call in (
            lambda: accounts.get(id_),
            lambda: accounts.exists(id_),
            lambda: accounts.execute(id_, lambda _: None),
            lambda: accounts.execute(id_, lambda account: account.deposit(1), create=True),
            lambda: accounts.snapshot(id_),
        ):
            with pytest.raises(QueryError, match="stream id"):
                await call()

    @pytest.mark.parametrize("command", [None, 3, "deposit", Deposited(amount=Decimal(3)), [Deposited]])
    async def test_a_command_that_cannot_be_called(self, accounts: AggregateRepository[Account], command: Any) -> None:
        with pytest.raises(AggregateError, match=r"cannot be called.*Pass a function"):
            await accounts.execute(uuid4(), command, create=True)

    async def test_a_command_that_is_a_generator(self, accounts: AggregateRepository[Account]) -> None:
        def command(account: Account) -> Any:
            account.deposit(1)
            yield

        with pytest.raises(AggregateError, match="is a generator and did not run"):
            await accounts.execute(uuid4(), command, create=True)

    async def test_an_append_id_that_is_none(self, accounts: AggregateRepository[Account]) -> None:
        with pytest.raises(AggregateError, match="append id 'x' is no UUID"):
            await accounts.execute(uuid4(), lambda _: None, append_id="x")  # type: ignore[arg-type]

    async def test_an_aggregate_of_another_class(self, accounts: AggregateRepository[Account]) -> None:
        class Savings(Account, name="Savings"):
            pass

        for value in (Person(uuid4()), Savings(uuid4()), Account, None, 3):
            with pytest.raises(AggregateError, match="is no Account"):
                await accounts.save(value)  # type: ignore[arg-type]

    async def test_a_decider_has_no_save(self, store: EventStore) -> None:
        with pytest.raises(AggregateError, match=r"is no Ledger.*a decider has only execute"):
            await AggregateRepository(store, ledger).save(3)  # type: ignore[arg-type]

    @pytest.mark.parametrize("kind", [Aggregate, Event, "Account", None, 3, Account(uuid4()), decide])
    def test_a_class_that_is_no_aggregate(self, store: EventStore, kind: Any) -> None:
        with pytest.raises(AggregateError, match="is neither an aggregate class nor a decider"):
            AggregateRepository(store, kind)

    @pytest.mark.parametrize("other", [None, "store", {}, Account])
    def test_a_store_that_is_none(self, other: Any) -> None:
        with pytest.raises(AggregateError, match="is no event store"):
            AggregateRepository(other, Account)

    @pytest.mark.parametrize(
        "settings",
        [
            {"snapshot_frequency": -1},
            {"snapshot_frequency": 0},
            {"snapshot_frequency": 1.5},
            {"snapshot_frequency": True},
            {"max_events_before_snapshot": -1},
            {"snapshot_slower_than": 3},
            {"snapshots_kept": 0},
            {"cache": -1},
            {"cache": "many"},
            {"attempts": 0},
        ],
        ids=repr,
    )
    def test_a_number_that_cannot_be(self, store: EventStore, settings: dict[str, Any]) -> None:
        (name,) = settings
        with pytest.raises(ConfigurationError, match=f"AggregateRepository: {name} is"):
            AggregateRepository(store, Account, **settings)
