"""A node that hangs, and is killed and started again, in a storm of appends: what was acknowledged is there, once."""

import asyncio
import random
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, CassandraEventStore, connect
from cassorm.devnode import DevNode
from cassorm.errors import ConflictError, OutcomeUnknownError, UnavailableError
from tests.faults.conftest import SOAK
from tests.faults.history import Histories, notes

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800 if SOAK else 120)]

CRASHES = 20 if SOAK else 1
STREAMS = 20
STORM_S = 1.0


class Storm:
    """Two stores append to the same streams, at exact versions and at any, until `calm`; each append goes on to its end."""

    def __init__(self, stores: list[CassandraEventStore]) -> None:
        self.streams = [uuid4() for _ in range(STREAMS)]
        self.told: dict[UUID, tuple[int, int]] = {}
        """The version behind each append that was acknowledged, and its size."""
        self.refused: list[UUID] = []
        self.disturbed = 0
        self.calm = False
        self._stores = stores

    async def rage(self) -> None:
        async with asyncio.TaskGroup() as writers:
            for stream in self.streams:
                for number, store in enumerate(self._stores):
                    writers.create_task(self._write(store, stream, exact=number == 0))

    async def _write(self, store: CassandraEventStore, stream: UUID, *, exact: bool) -> None:
        chance, version = random.Random(stream.int), 0
        while not self.calm:
            append_id, size = uuid4(), chance.choice((1, 1, 5, 40))
            while append_id not in self.told:
                try:
                    appended = await store.append(
                        stream, notes(size), expected=version if exact else ANY, append_id=append_id
                    )
                except ConflictError as error:
                    assert exact
                    version = error.actual
                    self.refused.append(append_id)
                    break
                except (OutcomeUnknownError, UnavailableError):
                    self.disturbed += 1
                    await asyncio.sleep(0.1)
                else:
                    version = appended.version
                    self.told[append_id] = version, size


async def test_nothing_acknowledged_is_lost_nothing_is_there_twice_and_no_version_is_missing() -> None:
    async with DevNode(profile="durable") as node:
        timeout = timedelta(seconds=1)
        async with (
            connect(node.hosts, request_timeout=timeout) as one,
            connect(node.hosts, request_timeout=timeout) as two,
            CassandraEventStore(one, keyspace="storm") as first,
            CassandraEventStore(two, keyspace="storm") as second,
        ):
            storm = Storm([first, second])
            raging = asyncio.create_task(storm.rage())
            for _ in range(CRASHES):
                await asyncio.sleep(STORM_S)
                await node.pause()
                await asyncio.sleep(1.5 * timeout.total_seconds())
                await node.resume()
                await asyncio.sleep(STORM_S)
                before = len(storm.told)
                assert before > 0
                await node.kill()
                await node.start()
                await asyncio.sleep(STORM_S)
            storm.calm = True
            await raging
            assert len(storm.told) > before, "the storm went on after the crash, over the same sessions"

        async with connect(node.hosts) as session, CassandraEventStore(session, keyspace="storm") as fresh:
            history = await Histories().read(fresh, storm.streams)
    assert {id_: (history.ends[id_], history.sizes[id_]) for id_ in storm.told} == storm.told
    assert not history.ends.keys() & set(storm.refused), "reported as a conflict, and there all the same"
    assert history.ends.keys() == storm.told.keys()
