"""What a session promises, on a real node."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid1, uuid4

import pytest
import pytest_asyncio

from cassorm.cql.statements import Statement
from cassorm.driver.connect import connect
from cassorm.driver.consistency import Consistency
from cassorm.driver.parsing import Parser, Row
from cassorm.driver.prepared import UNSET, WHOLE, Prepared
from cassorm.driver.rows import Undecoded
from cassorm.driver.session import Session
from cassorm.errors import ClusterError, QueryError

pytestmark = pytest.mark.cluster


@pytest_asyncio.fixture
async def table(cassorm_session: Session, cassorm_keyspace: str) -> AsyncIterator[str]:
    name = f"{cassorm_keyspace}.readings"
    await cassorm_session.ddl(
        f"CREATE TABLE {name} (id int, n int, at timestamp, note text, own int static, PRIMARY KEY (id, n))"
    )
    yield name


async def fill(db: Session, table: str, count: int, key: int = 1) -> None:
    insert = await db.prepare(f"INSERT INTO {table} (id, n, at) VALUES (?, ?, ?)")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    await asyncio.gather(*(db.execute(insert, (key, n, at + timedelta(seconds=n))) for n in range(count)))


async def test_the_engine_its_version_and_the_data_centre_are_known(cassorm_session: Session) -> None:
    assert cassorm_session.dialect.name in ("cassandra", "scylla")
    assert cassorm_session.release.startswith(".".join(map(str, cassorm_session.dialect.version)))
    assert cassorm_session.datacenter != ""


async def test_values_come_back_as_they_were_written(cassorm_session: Session, cassorm_keyspace: str) -> None:
    db = cassorm_session
    columns = {
        "a_uuid": uuid4(),
        "b_timeuuid": uuid1(),
        "c_text": "Ünïcode '; DROP TABLE x; --",
        "d_int": -7,
        "e_bigint": 2**62,
        "f_double": 0.1,
        "g_boolean": False,
        "h_blob": b"\x00\xff",
        "i_timestamp": datetime(1969, 7, 20, 20, 17, 40, 123_000, tzinfo=UTC),
        "j_date": date(2026, 2, 28),
        "k_decimal": Decimal("-12.340"),
        "l_varint": 10**30,
        "m_inet": "10.1.2.3",
    }
    types = ", ".join(f"{name} {name[2:]}" for name in columns)
    await db.ddl(f"CREATE TABLE {cassorm_keyspace}.kinds (key int PRIMARY KEY, {types})")
    await db.ddl(
        f"CREATE TABLE {cassorm_keyspace}.bags (key int PRIMARY KEY, l list<text>, s set<int>, m map<text, timestamp>)"
    )
    markers = ", ".join("?" * len(columns))
    names = ", ".join(columns)
    await db.execute(
        f"INSERT INTO {cassorm_keyspace}.kinds (key, {names}) VALUES (?, {markers})", (1, *columns.values())
    )
    found = await db.execute(f"SELECT {names} FROM {cassorm_keyspace}.kinds WHERE key = ?", (1,))
    assert found.columns == tuple(columns)
    assert found.rows == [tuple(columns.values())]
    assert [type(value) for value in found.rows[0]] == [type(value) for value in columns.values()]
    bags = (["a", "b"], {3, 1}, {"x": columns["i_timestamp"]})
    await db.execute(f"INSERT INTO {cassorm_keyspace}.bags (key, l, s, m) VALUES (?, ?, ?, ?)", (1, *bags))
    assert (await db.execute(f"SELECT l, s, m FROM {cassorm_keyspace}.bags WHERE key = 1")).rows == [bags]


async def test_text_prepared_text_and_statements_are_the_same_to_execute(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    await fill(db, table, 3)
    query = f"SELECT n FROM {table} WHERE id = ? AND n >= ?"
    expected = [(1,), (2,)]
    assert (await db.execute(query, (1, 1))).rows == expected
    assert (await db.execute(Statement(query, (1, 1)))).rows == expected
    assert (await db.execute(await db.prepare(query), [1, 1])).rows == expected
    assert (await db.execute(f"SELECT n FROM {table} WHERE id = 1 AND n >= 1")).rows == expected
    assert await db.prepare(query) is await db.prepare(query)


async def test_a_result_tells_columns_one_row_and_dicts(cassorm_session: Session, table: str) -> None:
    await fill(cassorm_session, table, 2)
    found = await cassorm_session.execute(f"SELECT n, note FROM {table} WHERE id = ?", (1,))
    assert found.one() == (0, None)
    assert found.dicts() == [{"n": 0, "note": None}, {"n": 1, "note": None}]
    assert (len(found), bool(found), found.applied, found.page_state) == (2, True, None, None)
    nothing = await cassorm_session.execute(f"SELECT n FROM {table} WHERE id = ?", (99,))
    assert (nothing.one(), nothing.columns, bool(nothing)) == (None, ("n",), False)
    written = await cassorm_session.execute(f"INSERT INTO {table} (id, n) VALUES (?, ?)", (5, 5))
    assert (written.rows, written.columns, written.applied) == ([], (), None)


async def test_null_deletes_and_unset_leaves_alone(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    insert = await db.prepare(f"INSERT INTO {table} (id, n, at, note) VALUES (?, ?, ?, ?)")
    at = datetime(2026, 1, 2, tzinfo=UTC)
    await db.execute(insert, (1, 1, at, "kept"))
    await db.execute(insert, (1, 1, None, UNSET))
    assert (await db.execute(f"SELECT at, note FROM {table} WHERE id = 1")).rows == [(None, "kept")]


async def test_an_lwt_tells_by_name_what_stands_there(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    insert = await db.prepare(f"INSERT INTO {table} (id, n, note) VALUES (?, ?, ?) IF NOT EXISTS")
    assert insert.conditional
    won = await db.execute(insert, (1, 1, "first"))
    lost = await db.execute(insert, (1, 1, "second"))
    assert (won.applied, lost.applied) == (True, False)
    assert lost.dicts()[0]["note"] == "first"
    assert set(lost.columns) >= {"[applied]", "id", "n", "note"}
    text = f"UPDATE {table} SET note = 'third' WHERE id = 1 AND n = 1 IF note = 'first'"
    assert (await db.execute(text)).applied is True
    assert (await db.execute(text)).dicts() == [{"[applied]": False, "note": "third"}]


async def test_serial_levels_are_taken_per_call(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    insert = await db.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?) IF NOT EXISTS")
    won = await db.execute(insert, (1, 1), consistency=Consistency.QUORUM, serial_consistency=Consistency.SERIAL)
    assert won.applied
    select = await db.prepare(f"SELECT n FROM {table} WHERE id = ?")
    assert (await db.execute(select, (1,), consistency=Consistency.SERIAL)).rows == [(1,)]
    with pytest.raises(ClusterError, match="conditional updates"):
        await db.execute(f"INSERT INTO {table} (id, n) VALUES (?, ?)", (1, 2), consistency=Consistency.SERIAL)


@pytest.mark.parametrize("page_size", [1, 7, 5000])
async def test_pages_hold_every_row_once_and_in_order(cassorm_session: Session, table: str, page_size: int) -> None:
    db = cassorm_session
    await fill(db, table, 30)
    select = await db.prepare(f"SELECT n FROM {table} WHERE id = ?")
    pages = [page async for page in db.pages(select, (1,), page_size=page_size)]
    assert [row for page in pages for row in page] == [(n,) for n in range(30)]
    assert all(len(page) <= page_size for page in pages)
    assert [row async for row in db.stream(select, (1,), page_size=page_size)] == [(n,) for n in range(30)]


async def test_execute_gives_one_page_and_the_way_to_the_next(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    await fill(db, table, 5)
    query = f"SELECT n FROM {table} WHERE id = ?"
    first = await db.execute(query, (1,), page_size=3)
    assert (first.rows, first.page_state is not None) == ([(0,), (1,), (2,)], True)
    rest = await db.execute(query, (1,), page_size=3, page_state=first.page_state)
    assert (rest.rows, rest.page_state) == ([(3,), (4,)], None)


async def test_raw_columns_come_as_bytes_and_others_decoded(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    await fill(db, table, 2)
    query = f"SELECT n, at, note FROM {table} WHERE id = ?"
    raw = await db.prepare(query, raw=("at", "n"))
    milliseconds = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 1000
    assert (await db.execute(raw, (1,))).rows == [
        (n.to_bytes(4), (milliseconds + n * 1000).to_bytes(8), None) for n in range(2)
    ]
    assert (await db.execute(query, (1,))).rows[0][1] == datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(QueryError, match="cannot leave nope raw: the statement returns n, at, note"):
        await db.prepare(query, raw=("nope",))
    with pytest.raises(QueryError, match="cannot leave id raw"):
        await db.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?) IF NOT EXISTS", raw=("id",))


async def test_whole_pages_are_decoded_when_they_are_wanted(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    await fill(db, table, 7)
    query = f"SELECT n, at FROM {table} WHERE id = ?"
    whole = await db.prepare(query, raw=WHOLE)
    pages = [page async for page in db.pages(whole, (1,), page_size=3)]
    rows = [row for page in pages for part in db.decoded(whole, page) for row in part]
    assert rows == (await db.execute(query, (1,))).rows

    def odd(data: bytes) -> Iterator[list[Row]]:
        raise ValueError("odd bytes")

    with pytest.raises(ClusterError, match="could not be decoded: odd bytes") as caught:
        list(db.decoded(whole, Undecoded(b"", Parser(lambda data: [], odd), later=True)))
    assert caught.value.where == query
    with pytest.raises(QueryError, match=r"cannot leave \* raw: the statement returns no rows"):
        await db.prepare(f"DELETE FROM {table} WHERE id = ?", raw=WHOLE)


async def test_a_prepared_statement_outlives_a_change_of_its_table(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    await fill(db, table, 1)
    everything = await db.prepare(f"SELECT * FROM {table} WHERE id = ?", raw=("at",))
    raw = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp()) * 1000
    before = (await db.execute(everything, (1,))).dicts()[0]
    assert before["at"] == raw.to_bytes(8)
    await db.ddl(f"ALTER TABLE {table} ADD aaa text")
    await db.execute(f"UPDATE {table} SET aaa = 'new' WHERE id = 1 AND n = 0")
    assert (await db.execute(everything, (1,))).dicts() == [before | {"aaa": "new"}]


async def test_a_batch_is_applied_as_a_whole(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    insert = await db.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?)")
    for kind in ("logged", "unlogged"):
        await db.execute_batch([(insert, (1, n)) for n in range(5)], kind=kind)
        assert (await db.execute(f"SELECT count(*) FROM {table} WHERE id = 1")).one() == (5,)
        await db.execute(f"DELETE FROM {table} WHERE id = 1")


async def test_a_conditional_batch_tells_whether_it_was_applied(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    advance = await db.prepare(f"UPDATE {table} SET own = ? WHERE id = ? IF own = ?")
    insert = await db.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?)")
    assert (await db.execute_batch([(advance, (1, 1, None)), (insert, (1, 1))], conditional=True)).applied is True
    lost = await db.execute_batch([(advance, (1, 1, None)), (insert, (1, 2))])
    assert lost.applied is False
    assert lost.dicts()[0]["own"] == 1
    assert (await db.execute(f"SELECT n FROM {table} WHERE id = 1")).rows == [(1,)]


async def test_a_counter_batch_counts(cassorm_session: Session, cassorm_keyspace: str) -> None:
    db = cassorm_session
    await db.ddl(f"CREATE TABLE {cassorm_keyspace}.hits (page text PRIMARY KEY, hits counter)")
    add = await db.prepare(f"UPDATE {cassorm_keyspace}.hits SET hits = hits + ? WHERE page = ?")
    assert add.counts
    await db.execute_batch([(add, (2, "a")), (add, (3, "b"))], kind="counter")
    await db.execute(add, (1, "a"))
    assert sorted((await db.execute(f"SELECT page, hits FROM {cassorm_keyspace}.hits")).rows) == [("a", 3), ("b", 3)]


async def test_what_is_wrong_with_a_call_is_told_before_anything_is_sent(cassorm_session: Session, table: str) -> None:
    db = cassorm_session
    insert = await db.prepare(f"INSERT INTO {table} (id, n, at) VALUES (?, ?, ?)")
    lwt = await db.prepare(f"INSERT INTO {table} (id, n) VALUES (?, ?) IF NOT EXISTS")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - the mistake
    with pytest.raises(QueryError, match="takes 3 parameters"):
        await db.execute(insert, (1, 2))
    with pytest.raises(QueryError, match="None is no statement"):
        await db.execute(None)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match=r"'two' .* is no int"):
        await db.execute(insert, (1, "two", None))
    with pytest.raises(QueryError, match="tzinfo=UTC"):
        await db.execute(insert, (1, 2, naive))
    with pytest.raises(QueryError, match="not idempotent"):
        await db.execute(lwt, (1, 1), idempotent=True)
    with pytest.raises(QueryError, match="not idempotent"):
        await db.execute_batch([(lwt, (1, 1))], idempotent=True)
    with pytest.raises(QueryError, match="a batch of 0 statements"):
        await db.execute_batch([])
    with pytest.raises(QueryError, match="USE would change the keyspace"):
        await db.execute("USE system")
    assert (await db.execute(f"SELECT count(*) FROM {table}")).one() == (0,)


async def test_what_the_server_refuses_comes_with_its_words_and_the_statement(
    cassorm_session: Session, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = cassorm_session
    with pytest.raises(ClusterError, match=r"SELECT nope FROM .*Undefined column name nope") as raised:
        await db.execute(f"SELECT nope FROM {table}")
    assert raised.value.__cause__ is not None
    with pytest.raises(ClusterError, match="Undefined column name nope"):
        await db.prepare(f"SELECT nope FROM {table} WHERE id = ?")
    with pytest.raises(ClusterError, match=r"no viable alternative|mismatched input"):
        await db.execute("SELEKT 1")
    with pytest.raises(ClusterError, match="already exists"):
        await db.ddl(f"CREATE TABLE {table} (a int PRIMARY KEY)")
    assert [record for record in caplog.records if record.name.startswith("cassandra")] == []


async def test_creating_twice_at_once_is_no_error_and_both_find_the_table(
    cassorm_session: Session, cassandra_hosts: list[str], cassorm_keyspace: str
) -> None:
    text = f"CREATE TABLE IF NOT EXISTS {cassorm_keyspace}.twice (id int PRIMARY KEY)"
    async with connect(cassandra_hosts) as other:
        await asyncio.gather(cassorm_session.ddl(text), other.ddl(text))
        for db in (cassorm_session, other):
            await db.execute(f"INSERT INTO {cassorm_keyspace}.twice (id) VALUES (?)", (1,))


async def test_one_statement_is_prepared_once_by_many_callers(
    cassandra_hosts: list[str], table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(cassandra_hosts) as db:
        prepared: list[str] = []
        prepare = db._wire.prepare

        def counted(text: str, raw: tuple[str, ...]) -> Prepared:
            prepared.append(text)
            return prepare(text, raw)

        monkeypatch.setattr(db._wire, "prepare", counted)
        query = f"SELECT n FROM {table} WHERE id = ?"
        found = await asyncio.gather(*(db.execute(query, (n,)) for n in range(200)))
        assert (len(found), prepared) == (200, [query])


async def test_the_default_keyspace_is_the_one_connected_with(cassandra_hosts: list[str], table: str) -> None:
    keyspace, _, name = table.partition(".")
    async with connect(cassandra_hosts, keyspace=keyspace) as db:
        assert db.keyspace == keyspace
        await db.execute(f"INSERT INTO {name} (id, n) VALUES (?, ?)", (1, 1))
        assert (await db.execute(f"SELECT n FROM {name}")).rows == [(1,)]


async def test_ids_of_any_kind_are_routed(cassorm_session: Session, cassorm_keyspace: str) -> None:
    db = cassorm_session
    await db.ddl(f"CREATE TABLE {cassorm_keyspace}.pairs (a uuid, b text, c int, PRIMARY KEY ((a, b)))")
    insert = await db.prepare(f"INSERT INTO {cassorm_keyspace}.pairs (c, b, a) VALUES (?, ?, ?)")
    select = await db.prepare(f"SELECT c FROM {cassorm_keyspace}.pairs WHERE a = ? AND b = ?")
    for number in range(20):
        await db.execute(insert, (number, f"b{number}", UUID(int=number)))
        assert (await db.execute(select, (UUID(int=number), f"b{number}"))).rows == [(number,)]
