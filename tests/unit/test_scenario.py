"""given / when / then: each assertion holds, and fails with a message that tells the difference."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from cassorm import Event
from cassorm.aggregates.aggregate import Aggregate
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.handlers import apply
from cassorm.errors import AggregateError, CatalogError
from cassorm.testing.scenario import given


class Opened(Event, name="ScenarioOpened"):
    owner: str


class Deposited(Event, name="ScenarioDeposited"):
    amount: Decimal
    note: Any = None


class Listed(Event, name="ScenarioListed"):
    tags: list[str]


class NotEnoughMoneyError(Exception):
    pass


class Account(Aggregate):
    owner: str = ""
    balance: Decimal = Decimal(0)
    tags: list[str] = []

    def deposit(self, amount: int, note: Any = None) -> None:
        if amount:
            self.emit(Deposited(amount=Decimal(amount), note=note))

    def withdraw(self, amount: int) -> None:
        if amount > self.balance:
            raise NotEnoughMoneyError(f"{self.owner} has {self.balance}")
        self.emit(Deposited(amount=Decimal(-amount)))

    @apply
    def _(self, event: Opened) -> None:
        self.owner = event.owner

    @apply
    def _(self, event: Deposited) -> None:
        self.balance += event.amount

    @apply
    def _(self, event: Listed) -> None:
        self.tags = event.tags


HISTORY = [Opened(owner="zoe"), Deposited(amount=Decimal(10))]
counter: Decider[int, int] = Decider(
    name="Counter",
    initial=int,
    decide=lambda command, _: [Deposited(amount=Decimal(command))] if command else [],
    evolve=lambda state, event: state + int(event.amount),
)


def test_the_events_that_follow_are_asserted() -> None:
    given(Account, HISTORY).when(lambda account: account.deposit(5)).then([Deposited(amount=Decimal(5))])
    given(Account).when(lambda account: account.deposit(5)).then([Deposited(amount=Decimal(5))])
    with pytest.raises(AssertionError, match=r"expected events\n.*Decimal\('6'\).*\ngot\n.*Decimal\('5'\)"):
        given(Account, HISTORY).when(lambda account: account.deposit(5)).then([Deposited(amount=Decimal(6))])
    with pytest.raises(AssertionError, match=r"expected events\n  none\ngot"):
        given(Account, HISTORY).when(lambda account: account.deposit(5)).then_nothing()


def test_a_command_that_changes_nothing_is_asserted() -> None:
    given(Account, HISTORY).when(lambda account: account.deposit(0)).then_nothing()
    with pytest.raises(AssertionError, match=r"got\n  none"):
        given(Account, HISTORY).when(lambda account: account.deposit(0)).then(HISTORY)


def test_a_refusal_is_asserted() -> None:
    refused = given(Account, HISTORY).when(lambda account: account.withdraw(11))
    refused.then_raises(NotEnoughMoneyError).then_raises(NotEnoughMoneyError, match=r"zoe has 10")
    with pytest.raises(AssertionError, match="expected text that matches"):
        refused.then_raises(NotEnoughMoneyError, match="max")
    with pytest.raises(AssertionError, match="expected KeyError, got NotEnoughMoneyError"):
        refused.then_raises(KeyError)
    for claim in (refused.then_nothing, refused.then_state, lambda: refused.then(HISTORY)):
        with pytest.raises(AssertionError, match="the command raised NotEnoughMoneyError"):
            claim()
    with pytest.raises(AssertionError, match="expected NotEnoughMoneyError, got events"):
        given(Account, HISTORY).when(lambda account: account.withdraw(1)).then_raises(NotEnoughMoneyError)


def test_the_state_behind_it_is_asserted() -> None:
    outcome = given(Account, HISTORY).when(lambda account: account.deposit(5))
    outcome.then_state(balance=Decimal(15), owner="zoe").then_state(lambda account: account.version == 3)
    with pytest.raises(AssertionError, match=r"expected balance Decimal\('16'\), got Decimal\('15'\)"):
        outcome.then_state(balance=Decimal(16))
    with pytest.raises(AssertionError, match="the check fails for Account"):
        outcome.then_state(lambda account: account.balance < 0)


def test_one_history_serves_many_commands() -> None:
    account = given(Account, HISTORY)
    account.when(lambda account: account.withdraw(10)).then_state(balance=Decimal(0))
    account.when(lambda account: account.withdraw(10)).then_state(balance=Decimal(0))


def test_the_id_is_the_one_given() -> None:
    id_ = uuid4()
    given(Account, HISTORY, id=id_).when(lambda account: account.deposit(1)).then_state(id=id_)


async def test_async_commands_are_awaited() -> None:
    async def slow(account: Account) -> None:
        await asyncio.sleep(0)
        account.deposit(5)

    async def quick(account: Account) -> None:
        account.deposit(5)

    (await given(Account).when_async(slow)).then([Deposited(amount=Decimal(5))])
    given(Account).when(quick).then([Deposited(amount=Decimal(5))])
    with pytest.raises(AggregateError, match=r"waits for something.*when_async"):
        given(Account).when(slow)


def test_deciders_are_tested_alike() -> None:
    given(counter, [Deposited(amount=Decimal(1))]).when(4).then([Deposited(amount=Decimal(4))]).then_state(
        lambda state: state == 5
    )
    given(counter).when(0).then_nothing()


def test_a_payload_that_a_store_would_refuse_fails_the_test() -> None:
    with pytest.raises(CatalogError, match="would come back from JSON as"):
        given(Account, HISTORY).when(lambda account: account.deposit(1, note=("a", "tuple")))
    with pytest.raises(CatalogError):
        given(Account, [Deposited(amount=Decimal(1), note=object())])


def test_state_that_changes_without_an_event_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="lost at the next load"):
        given(Account, HISTORY).when(lambda account: account.tags.append("x"))
    with pytest.raises(AggregateError, match="outside an @apply method"):
        given(Account, HISTORY).when(lambda account: setattr(account, "balance", Decimal(1)))


def test_an_event_that_shares_its_list_with_the_state_is_not_changed_by_the_test() -> None:
    event = Listed(tags=["a"])
    given(Account, [event]).when(lambda account: account.deposit(1))
    assert event.tags == ["a"]


@pytest.mark.parametrize("kind", [None, Event, "Account", Account(uuid4())])
def test_only_aggregate_classes_and_deciders_have_scenarios(kind: Any) -> None:
    with pytest.raises(AggregateError, match="is neither an aggregate class nor a decider"):
        given(kind)


def test_a_history_is_a_list_of_events() -> None:
    with pytest.raises(AggregateError, match="Pass a list of events"):
        given(Account, Opened(owner="zoe"))  # type: ignore[call-overload]
    with pytest.raises(CatalogError, match="is no event"):
        given(Account, ["opened"])  # type: ignore[list-item]
