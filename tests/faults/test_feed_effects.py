"""What keeps effects once when an event is delivered again: the version that a row has applied. Without it, a named event counts twice."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import PK, CassandraEventStore, Col, Event, connect
from cassorm.events.store import Stream
from cassorm.projections.feeder import RowFeeder
from cassorm.projections.fold import Change, Standing
from cassorm.projections.mapping import map_from_event
from cassorm.projections.read_model import ReadModel, declared_of
from cassorm.projections.row_writer import RowTable

pytestmark = pytest.mark.cluster


class Counted(Event, name="tests.feed.Counted"):
    amount: int


class Tally(ReadModel, table="tallies", aggregate="Tally"):
    tally_id: PK[UUID]
    total: Col[int] = map_from_event(Counted, lambda e, row: row.total + e.amount, default=0)


class Rows:
    """Rows whose applied version is known, or taken for that before whatever is delivered."""

    def __init__(self, rows: RowTable, *, knows: bool) -> None:
        self._rows = rows
        self._knows = knows
        self.delivered = 0

    async def read(self, stream: Stream) -> Standing:
        standing = await self._rows.read(stream)
        return standing if self._knows else standing._replace(version=self.delivered - 1)

    async def write(self, change: Change) -> None:
        await self._rows.write(change)


@pytest_asyncio.fixture(scope="module")
async def store(cassandra_hosts: list[str]) -> AsyncIterator[CassandraEventStore]:
    keyspace = f"cassorm_effects_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        async with (
            connect(cassandra_hosts, keyspace=keyspace) as db,
            CassandraEventStore(db, keyspace=keyspace, shards=2, replication=1) as store,
        ):
            await db.create(Tally)
            yield store
        await opened.ddl(f"DROP KEYSPACE {keyspace}")


@pytest.mark.parametrize("protected", [True, False], ids=["on", "off"])
async def test_an_event_that_is_delivered_again_counts_once_by_the_version_applied(
    store: CassandraEventStore, protected: bool
) -> None:
    stream, kind = uuid4(), declared_of(Tally)
    for amount in (1, 10, 100):
        await store.append(stream, [Counted(amount=amount)], aggregate_type="Tally")
    events = await store.get_events(stream)
    session = store._session
    # A worker has folded all three, and died before its checkpoint: the next owner is told of the last two again.
    await RowFeeder(kind, RowTable(session, kind.plan, [], store.keyspace), store)(events)
    for recorded in events[1:]:
        rows = Rows(RowTable(session, kind.plan, [], store.keyspace), knows=protected)
        rows.delivered = recorded.version
        await RowFeeder(kind, rows, store)([recorded])
    (row,) = (await session.execute(f"SELECT total FROM {store.keyspace}.tallies WHERE tally_id = ?", (stream,))).rows
    # Without the version applied 100 counts twice. 10 would, were it not written at its position, below that of 100.
    assert row == ((111,) if protected else (211,))
