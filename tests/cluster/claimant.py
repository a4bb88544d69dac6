"""A process that writes a row with a unique value: `python -m tests.cluster.claimant HOSTS KEYSPACE ...`.

`race FIRST VALUE...` inserts a row for each value, from the id FIRST on, and prints as JSON which values it got.
`insert ID EMAIL AT`, `change ID EMAIL AT` and `delete ID AT` kill their process by SIGKILL before the statement AT, counted
from 0.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from cassorm.errors import UniqueError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import PK, Col, col
from cassorm.orm.model import Model


class Account(Model):
    id: PK[int]
    email: Col[str | None] = col(default=None, unique=True)
    name: Col[str] = col(default="")


def die_at(db: Database, step: int) -> None:
    execute, left = db.execute, step

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return await execute(*args, **options)

    db.execute = counted  # type: ignore[method-assign]  # that is the crash


async def race(db: Database, first: int, values: list[str]) -> list[str]:
    got = []
    for number, value in enumerate(values, first):
        try:
            await db.save(Account(id=number, email=value))
        except UniqueError:
            continue
        got.append(value)
    return got


async def main(hosts: str, keyspace: str, action: str, *rest: str) -> None:
    async with connect(hosts, keyspace=keyspace) as db:
        if action == "race":
            await db.execute("SELECT key FROM system.local")
            sys.stdout.write("ready\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.readline)
            sys.stdout.write(json.dumps(await race(db, int(rest[0]), list(rest[1:]))))
            return
        account = Account(id=int(rest[0]), email=rest[1]) if action == "insert" else await Account.get(int(rest[0]))
        assert account is not None
        die_at(db, int(rest[-1]))
        if action == "delete":
            await db.delete(account)
            return
        account.email = rest[1]
        await db.save(account)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
