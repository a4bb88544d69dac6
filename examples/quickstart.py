"""An account in event streams: `cassorm node run -- python examples/quickstart.py`."""
# ruff: noqa: D101, D103 - forty lines whose names say it

import asyncio
from decimal import Decimal
from uuid import uuid4

from cassorm import Aggregate, AggregateRepository, CassandraEventStore, Event, apply, connect


class AccountOpened(Event):
    owner: str


class Deposited(Event):
    amount: Decimal


class Account(Aggregate):
    owner: str = ""
    balance: Decimal = Decimal(0)

    @apply
    def _(self, event: AccountOpened) -> None:
        self.owner = event.owner

    @apply
    def _(self, event: Deposited) -> None:
        self.balance += event.amount


async def main() -> None:
    async with connect() as db, CassandraEventStore(db, keyspace="quickstart") as store:
        accounts, zoe = AggregateRepository(store, Account), uuid4()
        await accounts.execute(zoe, lambda account: account.emit(AccountOpened(owner="Zoë")), create=True)
        await accounts.execute(zoe, lambda account: account.emit(Deposited(amount=Decimal("12.50"))))
        print(await accounts.get(zoe))


asyncio.run(main())
