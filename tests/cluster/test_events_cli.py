"""`cassorm events audit` on a real node: damage that was planted is found, and nothing else."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Event, Session, TableNames
from cassorm.errors import ConfigurationError
from cassorm.events.audit import Audit, AuditFinding, audit
from cassorm.events.pointers import Pointer
from cassorm.events.position import shard_of
from cassorm.events.store import Appended
from tests.cluster.commands import run
from tests.cluster.test_feed_worker import working
from tests.faults.feeding import owner_of

pytestmark = pytest.mark.cluster

SHARDS = 2


class Tagged(Event, name="audit.Tagged"):
    number: int


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    name = f"cassorm_audit_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=SHARDS, replication=1) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE IF EXISTS {name}")


@pytest_asyncio.fixture
async def filled(store: CassandraEventStore, cassorm_session: Session) -> AsyncIterator[list[Appended]]:
    """Six streams of five events in two appends, all resolved; whatever was planted is gone afterwards."""
    appended = []
    for _ in range(6):
        stream = uuid4()
        await store.append(stream, [Tagged(number=1), Tagged(number=2)])
        appended.append(await store.append(stream, [Tagged(number=3), Tagged(number=4), Tagged(number=5)]))
    await resolve(store)
    yield appended
    for table in (store.tables.events, store.tables.feed, store.tables.checkpoints):
        await cassorm_session.execute(f"TRUNCATE {store.keyspace}.{table}")


async def resolve(store: CassandraEventStore, beyond: int = 0) -> None:
    """Resolve everything that stands there by now."""
    for shard in range(SHARDS):
        resolver = await owner_of(store.feed, shard)
        now = await store.feed.node_clock()
        upto = max(now, resolver.resolved_upto, beyond) + 20_000
        while resolver.resolved_upto < upto:
            await resolver.round(upto)


async def look(store: CassandraEventStore) -> tuple[Audit, list[AuditFinding]]:
    found: list[AuditFinding] = []
    steps: list[int] = []
    seen = await audit(
        store._session, store.keyspace, found=found.append, progress=lambda seen: steps.append(seen.ranges_done)
    )
    assert steps == list(range(seen.ranges + 1))
    assert seen.kinds.total() == len(found)
    return seen, found


async def cql(store: CassandraEventStore, text: str, *params: object) -> None:
    await store._session.execute(text.replace("FROM ", f"FROM {store.keyspace}."), params)


async def test_a_store_that_is_whole_has_no_findings(store: CassandraEventStore, filled: list[Appended]) -> None:
    seen, found = await look(store)
    assert found == []
    assert (seen.streams, seen.events) == (6, 30)
    assert seen.pointers >= 12, "one for each append, and some that were given up"


async def test_appends_that_were_given_up_are_no_findings(store: CassandraEventStore, filled: list[Appended]) -> None:
    pos = max(one.resolved_upto for one in (await store.feed.standings(range(SHARDS))).values()) + 5_000
    for stream, version in ((uuid4(), 1), (filled[0].stream, 6), (filled[0].stream, 3)):
        pointer = Pointer(shard_of(stream, SHARDS), pos, stream, uuid4(), version, version + 1, 0, None, "audit.Tagged")
        await store.feed.write_pointers([pointer])
        pos += 1
    await resolve(store, pos)
    seen, found = await look(store)
    assert found == []
    assert seen.pointers >= 15


async def test_an_event_without_a_pointer_is_found(store: CassandraEventStore, filled: list[Appended]) -> None:
    stream, last = filled[0].stream, filled[0].position
    pos = last.micros - 2
    bucket = pos // (store.settings.bucket_s * 1_000_000)
    await cql(store, "DELETE FROM feed WHERE shard = ? AND bucket = ? AND pos = ?", last.shard, bucket, pos)
    _, (finding,) = await look(store)
    assert (finding.kind, finding.stream, finding.version, finding.position) == ("no pointer", stream, 3, pos)


async def test_an_append_whose_events_are_gone_is_found_from_both_sides(
    store: CassandraEventStore, filled: list[Appended]
) -> None:
    lost, cut, holed = (one.stream for one in filled[:3])
    await cql(store, "DELETE FROM events WHERE aggregate_id = ?", lost)
    await cql(store, "DELETE FROM events WHERE aggregate_id = ? AND version = 5", cut)
    await cql(store, "DELETE FROM events WHERE aggregate_id = ? AND version = 3", holed)
    _, found = await look(store)
    told = {(one.kind, one.stream, one.version) for one in found}
    assert told == {
        ("missing", lost, 1),
        ("missing", lost, 3),
        ("missing", cut, 5),
        ("gap", cut, 5),
        ("missing", holed, 3),
        ("gap", holed, 3),
        ("no pointer", holed, 4),
    }


async def test_a_position_that_does_not_rise_is_found(
    store: CassandraEventStore, filled: list[Appended], cassorm_session: Session
) -> None:
    stream, last = filled[0].stream, filled[0].position.micros
    text = f"UPDATE {store.keyspace}.events SET pos = ? WHERE aggregate_id = ? AND version = ?"
    await cassorm_session.execute(text, (last + 1, stream, 4))
    _, found = await look(store)
    assert [(one.kind, one.stream, one.version) for one in found] == [("position", stream, 5)]
    other = filled[1].stream
    await cassorm_session.execute(text, (filled[1].position.micros + 7, other, 5))
    _, found = await look(store)
    assert {(one.stream, one.version) for one in found} == {(stream, 5), (other, 5)}


async def test_a_checkpoint_beyond_what_is_resolved_is_found(
    store: CassandraEventStore, filled: list[Appended], cassorm_session: Session
) -> None:
    await store.feed.begin("eager", 1, 17, None)
    standing = await store.feed.standing(1)
    beyond = standing.resolved_upto + 1
    text = f"UPDATE {store.keyspace}.checkpoints SET pos = ? WHERE subscription = ? AND shard = ? IF EXISTS"
    await cassorm_session.execute(text, (beyond, "eager", 1))
    seen, (finding,) = await look(store)
    assert seen.checkpoints == 1
    assert (finding.kind, finding.subscription, finding.shard, finding.position) == ("checkpoint", "eager", 1, beyond)


async def test_marks_that_contradict_each_other_are_found(
    store: CassandraEventStore, filled: list[Appended], cassorm_session: Session
) -> None:
    standing = await store.feed.standing(0)
    text = f"UPDATE {store.keyspace}.feed_watermark SET closing = ? WHERE shard = 0 IF EXISTS"
    await cassorm_session.execute(text, (standing.resolved_upto - 1,))
    _, found = await look(store)
    await cassorm_session.execute(text, (standing.closing,))
    assert [(one.kind, one.shard) for one in found] == [("mark", 0)]


async def test_an_audit_beside_writers_finds_nothing(store: CassandraEventStore, filled: list[Appended]) -> None:
    ended = asyncio.Event()

    async def write() -> None:
        streams = [uuid4() for _ in range(3)]
        while not ended.is_set():
            for stream in streams:
                await store.append(stream, [Tagged(number=1)] * 3)

    async def resolving() -> None:
        while not ended.is_set():
            await resolve(store)

    tasks = [asyncio.create_task(work()) for work in (write, write, resolving)]
    try:
        for _ in range(3):
            assert (await look(store))[1] == []
    finally:
        ended.set()
        await asyncio.gather(*tasks)


async def cassorm(hosts: list[str], *arguments: str) -> tuple[int, str, str]:
    return await asyncio.to_thread(run, ["events", "audit", *arguments, "--hosts", ",".join(hosts)])


async def test_the_command_lists_findings_and_says_so_in_its_exit_code(
    store: CassandraEventStore, filled: list[Appended], cassandra_hosts: list[str]
) -> None:
    code, out, err = await cassorm(cassandra_hosts, store.keyspace)
    assert (code, out) == (0, "")
    assert re.fullmatch(r"6 streams, 30 events, 1\d pointers, 0 checkpoints: nothing is missing\n", err)
    stream = filled[0].stream
    await cql(store, "DELETE FROM events WHERE aggregate_id = ? AND version = 2", stream)
    code, out, err = await cassorm(cassandra_hosts, store.keyspace)
    assert code == 1
    assert f"gap         stream {stream}, version 2: version 2 is not there\n" in out
    assert "0 checkpoints: 2 findings (1 gap, 1 missing)\n" in err
    assert "gap: Events are gone, or come from another store: repair the table of events" in err
    code, out, err = await cassorm(cassandra_hosts, store.keyspace, "--json")
    told: dict[str, Any] = json.loads(out)
    assert code == 1
    assert told["found"] == {"gap": 1, "missing": 1}
    assert {"kind": "gap", "what": "version 2 is not there", "stream": str(stream), "version": 2} in told["listed"]
    code, out, _ = await cassorm(cassandra_hosts, store.keyspace, "--limit", "0")
    assert (code, out) == (1, "")


async def test_the_index_is_created_and_told_of_by_a_command(
    store: CassandraEventStore, cassandra_hosts: list[str]
) -> None:
    async def index(*arguments: str) -> tuple[int, str, str]:
        called = ["events", "index", store.keyspace, *arguments, "--hosts", ",".join(cassandra_hosts)]
        return await asyncio.to_thread(run, called)

    code, _, err = await index()
    assert (code, err) == (1, f"there is no index; next: cassorm events index {store.keyspace} --create\n")
    code, _, err = await index("--create")
    assert (code, err) == (1, "it is not filled yet; next: cassorm projections run MODULE\n")
    async with working(store, store.index.subscription()):
        while await store.index.upto() is None:  # noqa: ASYNC110 - a worker fills it
            await asyncio.sleep(0.02)
    code, out, err = await index("--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["upto"] == await store.index.upto()


async def test_what_is_no_event_store_is_refused(
    cassorm_session: Session, cassandra_hosts: list[str], store: CassandraEventStore
) -> None:
    code, _, err = await cassorm(cassandra_hosts, "nowhere")
    assert code == 2
    assert "nowhere.events: is no event store" in err
    code, _, err = await cassorm(cassandra_hosts, store.keyspace, "--events", "others")
    assert code == 2
    assert f"{store.keyspace}.others: is no event store. Check the keyspace" in err
    with pytest.raises(ConfigurationError):
        await audit(cassorm_session, "nowhere")


async def test_a_store_of_text_ids_and_names_of_its_own_is_audited(cassorm_session: Session) -> None:
    name = f"cassorm_audit_{uuid4().hex[:8]}"
    names = TableNames(events="acts", snapshots="acts_snapshots", settings="acts_settings")
    async with CassandraEventStore(
        cassorm_session, keyspace=name, shards=SHARDS, replication=1, id_type="text", tables=names
    ) as store:
        await store.append("a", [Tagged(number=1)])
    seen = await audit(cassorm_session, name, names)
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")
    assert (seen.events, seen.pointers, seen.kinds) == (1, 1, {})
