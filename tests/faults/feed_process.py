"""A writer or a worker of the feed as a process of its own, to be killed or stopped at any moment."""

import argparse
import asyncio
import os
import random
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from cassorm import CassandraEventStore, Recorded, connect
from cassorm.errors import CassormError
from cassorm.events.subscription import Subscription
from cassorm.events.worker import Pace, Worker
from tests.faults.feeding import Entered

QUICK = Pace(
    beat=timedelta(milliseconds=150),
    lease=timedelta(seconds=1),
    trail=timedelta(milliseconds=150),
    closing=timedelta(milliseconds=200),
    idle=timedelta(milliseconds=100),
    checkpoint=timedelta(milliseconds=200),
)


async def write(keyspace: str, streams: list[UUID]) -> None:
    """Append to these streams for ever, one to three events a time."""
    async with connect() as db, CassandraEventStore(db, keyspace=keyspace) as store:

        async def go_on() -> None:
            while True:
                events = [Entered(number=n) for n in range(random.randint(1, 3))]
                try:
                    await store.append(random.choice(streams), events)
                except CassormError:
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(go_on() for _ in range(8)))


async def work(keyspace: str, told: Path) -> None:
    """Carry a subscription for ever; each event that its handler is told of is a line of a file."""
    line = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def tell(recorded: Recorded) -> None:
        os.write(line, f"{recorded.stream} {recorded.version}\n".encode())

    async with connect() as db, CassandraEventStore(db, keyspace=keyspace) as store:
        await Worker(store, [Subscription("all", tell)], pace=QUICK).run()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["write", "work"])
    parser.add_argument("keyspace")
    parser.add_argument("rest", nargs="+")
    options = parser.parse_args()
    if options.role == "write":
        asyncio.run(write(options.keyspace, [UUID(one) for one in options.rest]))
    else:
        asyncio.run(work(options.keyspace, Path(options.rest[0])))


if __name__ == "__main__":
    main()
