"""One of several processes that append to one stream: `python -m tests.faults.racer HOSTS KEYSPACE STREAM UP_TO`.

Says `ready`, waits for a line, and appends at the version that it knows until the stream has `UP_TO` events. Then prints as
JSON which versions it won under which append id, and how often it lost.
"""

import asyncio
import json
import sys
from uuid import UUID, uuid4

from cassorm import CassandraEventStore, connect
from cassorm.errors import ConflictError
from tests.faults.history import notes


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def race(hosts: str, keyspace: str, stream: UUID, up_to: int) -> None:
    won: dict[int, str] = {}
    lost, version = 0, 0
    async with connect(hosts) as session, CassandraEventStore(session, keyspace=keyspace) as store:
        await session.execute("SELECT key FROM system.local")
        say("ready")
        await asyncio.to_thread(sys.stdin.readline)
        while version < up_to:
            append_id = uuid4()
            try:
                version = (await store.append(stream, notes(1), expected=version, append_id=append_id)).version
            except ConflictError as error:
                version = error.actual
                lost += 1
            else:
                won[version] = str(append_id)
    say(json.dumps({"won": won, "lost": lost}))


if __name__ == "__main__":
    asyncio.run(race(sys.argv[1], sys.argv[2], UUID(sys.argv[3]), int(sys.argv[4])))
