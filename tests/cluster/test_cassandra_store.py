"""What the store on Cassandra adds to the contract: its settings, its tables, its conditions."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import ANY, EXISTS, NO_STREAM, CassandraEventStore, Consistency, Event, Session, TableNames, connect
from cassorm.errors import (
    ConfigurationError,
    ConflictError,
    EventStoreError,
    QueryError,
    SchemaDriftError,
    StoreSettingsError,
    StreamClosedError,
)
from cassorm.events.intent import LOOKBACK

pytestmark = pytest.mark.cluster


class Counted(Event):
    number: int


def counted(count: int) -> list[Counted]:
    return [Counted(number=n) for n in range(count)]


@pytest_asyncio.fixture(scope="module")
async def store(cassorm_session: Session) -> AsyncIterator[CassandraEventStore]:
    """One for all tests here: they keep apart by streams of their own."""
    keyspace = f"cassorm_store_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=keyspace) as store:
        yield store
    await cassorm_session.ddl(f"DROP KEYSPACE {keyspace}")


async def statics(session: Session, store: CassandraEventStore, stream: UUID) -> tuple[object, ...] | None:
    query = f"SELECT head, fence, closed, aggregate_type FROM {store.keyspace}.events WHERE aggregate_id = ? LIMIT 1"
    return (await session.execute(query, [stream], consistency=Consistency.SERIAL)).one()


class TestSettings:
    """Written once, used by every client instead of its own."""

    async def test_they_are_fixed_by_the_first_client_and_used_by_all(
        self, cassorm_session: Session, cassorm_keyspace: str
    ) -> None:
        async with CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace, id_type="text", shards=4) as first:
            await first.append("order-1", counted(2))
        async with CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace) as second:
            assert second.settings == first.settings
            assert (second.settings.id_type, second.settings.shards) == ("text", 4)
            assert (await second.append("order-1", counted(1))).version == 3
            with pytest.raises(QueryError, match="stream ids are text"):
                await second.append(uuid4(), counted(1))
            for stream in ("", "x" * 1025, "\ud800"):
                with pytest.raises(QueryError, match="is not UTF-8 text of 1 to 1,024 bytes"):
                    await second.append(stream, counted(1))

    @pytest.mark.parametrize(
        ("local", "sides"),
        [
            ({"id_type": "text"}, "id_type is 'uuid' in the store and 'text' here"),
            ({"shards": 99}, "shards is 16 in the store and 99 here"),
            (
                {"serial": "LOCAL_SERIAL", "home_dc": "datacenter1"},
                "serial is 'SERIAL' in the store and 'LOCAL_SERIAL' here",
            ),
        ],
    )
    async def test_a_difference_names_both_sides(
        self, store: CassandraEventStore, cassorm_session: Session, local: dict[str, str], sides: str
    ) -> None:
        other = CassandraEventStore(cassorm_session, keyspace=store.keyspace, **local)  # type: ignore[arg-type]
        with pytest.raises(StoreSettingsError, match=sides) as raised:
            await other.initialize()
        assert raised.value.remedy

    @pytest.mark.parametrize(("column", "value"), [("layout", 99), ("hash", "md5")])
    async def test_a_store_of_another_layout_or_hash_is_refused(
        self, store: CassandraEventStore, cassorm_session: Session, column: str, value: object
    ) -> None:
        query = f"UPDATE {store.keyspace}.event_store SET {column} = ? WHERE id = 'events' IF EXISTS"
        assert (await cassorm_session.execute(query, [value])).applied
        try:
            with pytest.raises(StoreSettingsError, match=f"{column} is {value!r} in the store"):
                await CassandraEventStore(cassorm_session, keyspace=store.keyspace).initialize()
        finally:
            await cassorm_session.execute(query, [getattr(store.settings, column)])

    async def test_a_local_store_is_refused_in_another_data_centre(
        self, cassorm_session: Session, cassorm_keyspace: str
    ) -> None:
        local = CassandraEventStore(
            cassorm_session, keyspace=cassorm_keyspace, serial="LOCAL_SERIAL", home_dc=cassorm_session.datacenter
        )
        async with local:
            assert local.settings.consistency is Consistency.LOCAL_QUORUM
            assert (await local.append(uuid4(), counted(1))).version == 1
        query = f"UPDATE {cassorm_keyspace}.event_store SET home_dc = 'mars' WHERE id = 'events' IF EXISTS"
        await cassorm_session.execute(query, idempotent=False)
        with pytest.raises(StoreSettingsError, match=r"home_dc is 'mars' in the store and '\w+' here") as raised:
            await CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace).initialize()
        assert "home data centre" in str(raised.value)

    @pytest.mark.parametrize(
        ("wrong", "problem"),
        [
            ({"id_type": "int"}, "id_type 'int'"),
            ({"serial": "QUORUM"}, "serial 'QUORUM'"),
            ({"serial": "LOCAL_SERIAL"}, "home_dc None"),
            ({"home_dc": "dc1"}, "home_dc 'dc1'"),
            ({"shards": 0}, "shards 0"),
        ],
    )
    async def test_settings_that_no_store_can_have_are_refused(
        self, cassorm_session: Session, wrong: dict[str, str], problem: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=problem):
            CassandraEventStore(cassorm_session, keyspace="k", **wrong)  # type: ignore[arg-type]


class TestTables:
    """Created once, by however many at the same time."""

    async def test_many_stores_initialise_at_once_and_agree(
        self, cassorm_session: Session, cassorm_keyspace: str
    ) -> None:
        stores = [CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace) for _ in range(5)]
        await asyncio.gather(*(store.initialize() for store in stores))
        assert len({store.settings.store_id for store in stores}) == 1
        stream = uuid4()
        for store in stores:
            await store.append(stream, counted(1))
        assert [one.version for one in await stores[0].get_events(stream)] == [1, 2, 3, 4, 5]

    async def test_initialising_twice_changes_nothing(self, store: CassandraEventStore) -> None:
        before = store.settings
        await store.append(uuid4(), counted(1))
        await store.initialize()
        assert store.settings == before

    async def test_a_table_of_another_shape_is_refused_with_each_difference(
        self, cassorm_session: Session, cassorm_keyspace: str
    ) -> None:
        await cassorm_session.ddl(
            f"CREATE TABLE {cassorm_keyspace}.events (aggregate_id uuid, version bigint, data text, mine int, "
            "PRIMARY KEY (aggregate_id, version)) WITH CLUSTERING ORDER BY (version DESC)"
        )
        with pytest.raises(SchemaDriftError) as raised:
            await CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace).initialize()
        listed = " ".join(raised.value.differences)
        for name in ("version", "data", "append_id", "head", "desc"):
            assert name in listed
        tables = await cassorm_session.execute(
            "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", [cassorm_keyspace]
        )
        assert tables.rows == [("events",)]

    async def test_two_stores_live_side_by_side_in_one_keyspace(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        names = TableNames(events="audit_events", snapshots="audit_snapshots")
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace, tables=names, id_type="text") as other:
            await other.append("a", counted(1))
            assert other.settings.store_id != store.settings.store_id

    @pytest.mark.parametrize("name", ['e"; DROP TABLE x; --', "two words", "", "x" * 49, "e;"])
    async def test_a_name_that_cql_cannot_take_is_refused(self, cassorm_session: Session, name: str) -> None:
        with pytest.raises((QueryError, ConfigurationError)):
            CassandraEventStore(cassorm_session, keyspace=name)
        with pytest.raises(QueryError):
            CassandraEventStore(cassorm_session, keyspace="k", tables=TableNames(events=name))

    async def test_a_setting_that_can_lose_data_is_warned_of_once(
        self, cassandra_hosts: list[str], cassorm_keyspace: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("WARNING", logger="cassorm.events")
        async with connect(cassandra_hosts) as db:
            live = await db.execute("SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'")
            for _ in range(2):
                await CassandraEventStore(db, keyspace=cassorm_keyspace).initialize()
            warned = [record for record in caplog.records if "commitlog_sync is periodic" in record.getMessage()]
        assert len(warned) == (live.one() == ("periodic",))

    async def test_using_a_store_before_it_is_initialised_says_so(self, cassorm_session: Session) -> None:
        with pytest.raises(EventStoreError, match="is not initialised"):
            await CassandraEventStore(cassorm_session, keyspace="k").append(uuid4(), counted(1))


class TestConditions:
    """Head, fence and closed are conditions from the first day."""

    async def raise_fence(self, session: Session, store: CassandraEventStore, stream: UUID) -> None:
        head, fence, *_ = await statics(session, store, stream) or (None, None)
        query = f"UPDATE {store.keyspace}.events SET fence = ? WHERE aggregate_id = ? IF head = ? AND fence = ?"
        after = int(str(fence or 0)) + 1
        assert (await session.execute(query, [after, stream, head, fence])).applied

    @pytest.mark.parametrize("expected", [NO_STREAM, ANY])
    async def test_a_partition_with_a_fence_and_no_events_is_no_stream(
        self, store: CassandraEventStore, cassorm_session: Session, expected: int
    ) -> None:
        stream = uuid4()
        await self.raise_fence(cassorm_session, store, stream)
        assert await store.head(stream) is None
        assert await store.get_events(stream) == []
        with pytest.raises(ConflictError):
            await store.append(stream, counted(1), expected=EXISTS)
        assert (await store.append(stream, counted(2), expected=expected, aggregate_type="Order")).version == 2
        assert await statics(cassorm_session, store, stream) == (2, 1, None, "Order")

    async def test_a_fence_raised_behind_our_back_costs_a_round_trip_and_no_conflict(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        stream = uuid4()
        first = await store.append(stream, counted(1), expected=0)
        await self.raise_fence(cassorm_session, store, stream)
        second = await store.append(stream, counted(1), expected=1)
        assert (second.version, second.position > first.position) == (2, True)
        assert await statics(cassorm_session, store, stream) == (2, 1, None, None)

    async def test_a_closed_stream_takes_nothing(self, store: CassandraEventStore, cassorm_session: Session) -> None:
        stream = uuid4()
        await store.append(stream, counted(2))
        query = f"UPDATE {store.keyspace}.events SET closed = true WHERE aggregate_id = ? IF head = 2"
        assert (await cassorm_session.execute(query, [stream])).applied
        for expected in (2, ANY, EXISTS):
            with pytest.raises(StreamClosedError, match="is closed at version 2"):
                await store.append(stream, counted(1), expected=expected)
        head = await store.head(stream)
        assert head is not None
        assert (head.version, head.closed) == (2, True)

    async def test_what_this_process_remembers_of_a_stream_is_only_a_hint(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        stream = uuid4()
        await store.append(stream, counted(1))
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace) as other:
            await other.append(stream, counted(3))
        with pytest.raises(ConflictError) as raised:
            await store.append(stream, counted(1), expected=1)
        assert raised.value.actual == 4
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace) as other:
            await other.append(stream, counted(1))
        assert (await store.append(stream, counted(1), expected=5)).version == 6
        assert (await store.append(stream, counted(1), expected=ANY)).version == 7

    async def test_positions_rise_within_a_stream_when_a_clock_runs_back(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        stream = uuid4()
        before = await store.append(stream, counted(3))
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace, clock=lambda: 1_000_000) as late:
            after = await late.append(stream, counted(2), expected=3)
        assert after.position.micros == before.position.micros + 2
        positions = [one.position for one in await store.get_events(stream)]
        assert positions == sorted(set(positions))


class TestAppendIds:
    """The same id again is found, as far back as promised."""

    async def test_an_id_is_found_by_another_process(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        stream, append_id = uuid4(), uuid4()
        first = await store.append(stream, counted(40), append_id=append_id)
        await store.append(stream, counted(5))
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace) as other:
            for expected in (0, NO_STREAM, ANY, EXISTS):
                again = await other.append(stream, counted(40), expected=expected, append_id=append_id)
                assert again == first

    async def test_the_bound_of_the_search_is_the_one_documented(self, store: CassandraEventStore) -> None:
        stream, append_id = uuid4(), uuid4()
        first = await store.append(stream, counted(1), append_id=append_id)
        await store.append(stream, counted(LOOKBACK - 1))
        assert await store.append(stream, counted(1), expected=ANY, append_id=append_id) == first
        await store.append(stream, counted(1))
        assert await store.append(stream, counted(1), expected=0, append_id=append_id) == first
        assert (await store.append(stream, counted(1), expected=ANY, append_id=append_id)).version == LOOKBACK + 2

    async def test_two_processes_that_send_one_id_at_once_write_it_once(
        self, store: CassandraEventStore, cassorm_session: Session
    ) -> None:
        async with CassandraEventStore(cassorm_session, keyspace=store.keyspace) as other:
            for expected in (0, ANY):
                stream, append_id = uuid4(), uuid4()
                sent = [
                    one.append(stream, counted(3), expected=expected, append_id=append_id)
                    for one in (store, other, store, other)
                ]
                appended = await asyncio.gather(*sent)
                assert {one.version for one in appended} == {3}
                assert len({one.position for one in appended}) == 1
                assert len(await store.get_events(stream)) == 3


async def test_a_closed_store_takes_no_append_and_waits_for_those_under_way(
    cassorm_session: Session, cassorm_keyspace: str
) -> None:
    store = CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace)
    await store.initialize()
    streams = [uuid4() for _ in range(20)]
    tasks = [asyncio.create_task(store.append(stream, counted(1))) for stream in streams]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await store.close()
    assert all([await store.exists(stream) for stream in streams])
    with pytest.raises(EventStoreError, match="is closed"):
        await store.append(uuid4(), counted(1))


async def test_closing_waits_for_appends_that_queue_up_as_well(cassorm_session: Session, cassorm_keyspace: str) -> None:
    store = CassandraEventStore(cassorm_session, keyspace=cassorm_keyspace)
    await store.initialize()
    stream = uuid4()
    tasks = [asyncio.create_task(store.append(stream, counted(1))) for _ in range(20)]
    await asyncio.sleep(0)
    await store.close()
    assert [task.done() for task in tasks[:-1]] == [True] * 19
    assert [one.version for one in await store.get_events(stream)] == list(range(1, 21))
    await asyncio.gather(*tasks)


async def test_a_long_stream_is_read_in_bounded_pages(store: CassandraEventStore) -> None:
    stream = uuid4()
    for _ in range(3):
        await store.append(stream, counted(2_000))
    pages = [len(page) async for page in store.pages(stream, page_size=500)]
    assert sum(pages) == 6_000
    assert max(pages) <= 500
    backwards = [one.version async for one in store.read(stream, backwards=True, to_version=5_000)]
    assert backwards == list(range(5_000, 0, -1))


async def test_pages_of_large_events_hold_few_of_them(store: CassandraEventStore) -> None:
    class Blob(Event, name="LargeBlob"):
        text: str

    stream = uuid4()
    for _ in range(5):
        await store.append(stream, [Blob(text="x" * 100_000)] * 60)
    pages = [len(page) async for page in store.pages(stream, page_size=1_000)]
    assert sum(pages) == 300
    assert max(pages[1:]) <= 42


async def test_events_without_metadata_leave_no_tombstones_behind(
    store: CassandraEventStore, cassorm_session: Session
) -> None:
    stream = uuid4()
    await store.append(stream, counted(3))
    await store.append(stream, counted(40))
    assert len(await store.get_events(stream)) == 43
    scanned = await cassorm_session.execute(
        "SELECT count, max FROM system_views.tombstones_per_read WHERE keyspace_name = ? AND table_name = 'events'",
        [store.keyspace],
    )
    reads, most = scanned.one() or (0, None)
    assert reads > 0
    assert most <= 1, "the histogram counts none as one"
