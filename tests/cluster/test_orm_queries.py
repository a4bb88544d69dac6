"""What queries give on a node: tokens, entries, JSON, groups, keys by the hundred, options, pages."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, cast
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import BaseModel

from cassorm.driver.consistency import Consistency
from cassorm.errors import ConfigurationError, QueryError, RowCountError, RowError, UnavailableError
from cassorm.orm.database import Database, connect
from cassorm.orm.expressions import count_rows
from cassorm.orm.fields import CK, PK, Col, Counter, Static, ck, col
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.ring import token
from cassorm.orm.scan import ScanProgress
from cassorm.orm.values import Int, Vector
from cassorm.testing import assert_queries

pytestmark = pytest.mark.cluster


class Item(Model):
    shop: PK[str]
    shelf: PK[int]
    n: CK[int] = ck(order="desc")
    kind: Col[str] = col(default="", index=SAI())
    size: Col[Int] = col(default=0)
    labels: Col[dict[str, str]] = col(default_factory=dict, index=SAI(target="entries"))
    place: Col[Annotated[list[float], Vector(2)]] = col(default_factory=lambda: [1.0, 0.0], index=SAI())
    owner: Static[str] = col(default="")


class User(
    Model,
    consistency=Consistency.ONE,
    serial_consistency=Consistency.LOCAL_SERIAL,
    timeout=timedelta(seconds=7),
    idempotent=True,
):
    id: PK[int]
    name: Col[str] = col(default="")
    log: Col[list[str]] = col(default_factory=list)


class Hits(Model):
    page: PK[str]
    seen: Counter


SHOP = "s"


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"orm_queries_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        async with connect(cassandra_hosts, keyspace=keyspace) as found:
            await found.create(Item, User, Hits)
            found.page_secrets = PageSecrets({"old": b"o" * 32, "new": b"n" * 32}, "new")
            await found.insert_many(
                Item(
                    shop=SHOP,
                    shelf=shelf,
                    n=n,
                    kind="ab"[n % 2],
                    size=n,
                    labels={"color": "red" if n else "blue"},
                    place=[1.0, n / 10],
                    owner=f"o{shelf}",
                )
                for shelf in range(30)
                for n in range(3)
            )
            # A partition with nothing but static columns.
            await Item.update(Item.owner.set("nobody")).where(Item.shop == "empty", Item.shelf == 0).using(found)
            await found.insert_many(User(id=n, name=f"u{n}") for n in range(1000))
            yield found
        await opened.ddl(f"DROP KEYSPACE {keyspace}")


@pytest.fixture(autouse=True)
async def inside(db: Database) -> AsyncIterator[None]:
    async with db:
        yield


def on_shelves(*shelves: int) -> Any:
    return Item.where(Item.shop == SHOP, Item.shelf.in_(shelves))


# -- conditions ----------------------------------------------------------------------------------------------------


async def test_token_ranges_part_the_table() -> None:
    ring = token(Item.shop, Item.shelf)
    halves = [await Item.where(condition).all() for condition in (ring < 0, ring >= 0)]
    assert sorted((item.shelf, item.n) for half in halves for item in half) == [
        (s, n) for s in range(30) for n in range(3)
    ]
    assert all(halves)


async def test_the_token_of_a_key_is_where_the_next_read_goes_on() -> None:
    ring = token(User.id)
    seen: list[int] = []
    found = await User.where(ring >= -(2**63)).limit(300).all()
    while found:
        seen += [user.id for user in found]
        found = await User.where(ring > (seen[-1],)).limit(300).all()
    assert sorted(seen) == list(range(1000))


async def test_entries_of_a_map_are_found_by_their_index() -> None:
    found = await Item.where(Item.labels["color"] == "blue").all()
    assert {item.n for item in found} == {0}
    assert len(found) == 30
    both = Item.where(Item.labels["color"] == "red", Item.kind == "b")
    assert {item.n for item in await both.all()} == {1}
    assert await Item.where(Item.labels["color"] == "green").first() is None


async def test_writes_compare_entries_of_maps_also_with_none() -> None:
    row = (Item.shop == "guarded", Item.shelf == 1, Item.n == 1)
    labels: Any = Item.labels
    first = Item.update(Item.labels["a"].set("1"), Item.size.set(1)).where(*row)
    assert await first.only_if(labels["a"] == None)  # noqa: E711
    lost = await first.only_if(labels["a"] == None)  # noqa: E711
    assert lost.found == {"labels": {"a": "1"}}
    assert await first.only_if(Item.labels["a"] > "0", Item.labels["a"] != "2")
    await Item.delete().where(*row)


# -- what is given ---------------------------------------------------------------------------------------------------


async def test_rows_come_as_json_by_the_names_of_columns() -> None:
    texts: list[str] = await on_shelves(1).limit(1).json().all()
    assert json.loads(texts[0])["labels"] == {"color": "red"}
    assert [json.loads(text) for text in await on_shelves(1).values(Item.n, Item.owner).json().all()] == [
        {"n": n, "owner": "o1"} for n in (2, 1, 0)
    ]
    page = await on_shelves(1).json().page(2)
    assert len(page.items) == 2
    assert page.token is not None


async def test_the_server_groups_and_computes() -> None:
    key = (Item.shop, Item.shelf)
    groups = on_shelves(1, 2).values(Item.shelf, count_rows(), Item.size.sum(), Item.size.avg()).group_by(*key)
    assert sorted(await groups.all()) == [(1, 3, 3, 1), (2, 3, 3, 1)]
    assert await on_shelves(1).values(Item.kind.max(), Item.kind.min()).one() == ("b", "a")
    # What == gives need not be grouped by.
    assert len(await on_shelves(1).values(Item.n, count_rows()).group_by(Item.n).all()) == 3


async def test_partitions_come_once_with_their_static_columns() -> None:
    everywhere = Item.where().allow_filtering()
    keys = await everywhere.partitions().all()
    assert len(keys) == len(set(keys)) == 31
    assert ("empty", 0, "nobody") in await everywhere.partitions(Item.owner).all()
    assert sorted(await on_shelves(3, 4, 5).partitions().all()) == [(SHOP, 3), (SHOP, 4), (SHOP, 5)]


async def test_limits_for_each_partition() -> None:
    found = await Item.where().allow_filtering().per_partition_limit(1).all()
    assert sorted((item.shelf, item.n) for item in found) == [(shelf, 2) for shelf in range(30)]


async def test_a_partition_with_static_columns_alone_has_no_rows() -> None:
    empty = Item.where(Item.shop == "empty", Item.shelf == 0)
    assert await empty.all() == []
    assert await empty.first() is None
    assert not await empty.exists()
    assert await empty.count() == 0
    assert await empty.json().all() == []

    class Owned(BaseModel):
        n: int
        owner: str

    assert await empty.into(Owned).all() == []
    assert await empty.values(Item.owner).all() == [("nobody",)]
    # Nor does it take the place of a row under a limit.
    everywhere = Item.where(Item.shop.in_(["empty", SHOP]), Item.shelf == 0)
    assert len(await everywhere.limit(3).all()) == 3
    assert len(await everywhere.json().limit(1).all()) == 1
    assert len(await everywhere.into(Owned).limit(1).all()) == 1
    assert len(await everywhere.values(Item.owner).limit(9).all()) == 4
    assert (await everywhere.first()) is not None
    assert await everywhere.exists()


async def test_counts_are_those_of_the_rows_that_would_come() -> None:
    assert await on_shelves(1).count() == 3
    assert await on_shelves(1).limit(2).count() == 2
    assert await on_shelves(*range(30)).count() == 90
    assert await on_shelves(*range(30)).limit(50).count() == 50
    for query in (
        on_shelves(1).partitions(),
        on_shelves(1).group_by(Item.n),
        on_shelves(1).per_partition_limit(1),
        Item.where().nearest(Item.place, [1.0, 0.0]).limit(3),
    ):
        with pytest.raises(QueryError, match="count"):
            await query.count()


# -- many keys -------------------------------------------------------------------------------------------------------


async def test_a_few_keys_are_one_statement_and_many_are_one_for_each() -> None:
    with assert_queries(1):
        assert len(await User.where(User.id.in_(range(16))).all()) == 16
    with assert_queries(17):
        assert len(await User.where(User.id.in_(range(17))).all()) == 17


async def test_hundreds_of_keys_come_in_their_order_each_once() -> None:
    keys = [*range(799, -1, -1), 5, 5, 1_000_000]
    with assert_queries(801) as log:
        found = await User.where(User.id.in_(keys)).all()
    assert [user.id for user in found] == list(range(799, -1, -1))
    assert {each.text for each in log.statements} == {"SELECT id, name, log FROM user WHERE id = ?"}


async def test_no_more_than_a_few_of_many_keys_are_asked_for_at_once(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, under_way, most = db.execute, 0, 0

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        try:
            return await execute(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(db, "execute", counted)
    assert len(await User.where(User.id.in_(range(200))).all()) == 200
    assert 1 < most <= 16
    async for user in User.where(User.id.in_(range(200))):
        assert user.id == 0
        break
    assert most <= 17


async def test_many_keys_go_with_limits_and_other_conditions_and_stop_early() -> None:
    shelves = on_shelves(*range(30))
    assert [(item.shelf, item.n) for item in await shelves.limit(4).all()] == [(0, 2), (0, 1), (0, 0), (1, 2)]
    assert len(await shelves.per_partition_limit(1).all()) == 30
    assert len(await shelves.where(Item.n >= 1).all()) == 60
    groups = shelves.values(Item.shelf, Item.size.max()).group_by(Item.shop, Item.shelf)
    assert await groups.all() == [(shelf, 2) for shelf in range(30)]
    assert await shelves.partitions().all() == [(SHOP, shelf) for shelf in range(30)]
    assert len(await shelves.json().all()) == 90
    with assert_queries(max=20):
        first = await shelves.first()
    assert first is not None
    with pytest.raises(RowCountError, match="more than one"):
        await shelves.one()


async def test_an_index_joins_with_several_keys_one_by_one() -> None:
    with assert_queries(2):
        assert [item.n for item in await on_shelves(1, 2).where(Item.kind == "b").all()] == [1, 1]


async def test_what_does_not_join_over_many_keys_is_refused_with_the_way_to_get_it() -> None:
    many = on_shelves(*range(30))
    with pytest.raises(QueryError, match=r"aggregate over 30 partitions.*group_by\(Item.shop, Item.shelf\)"):
        await many.values(Item.size.sum()).all()
    with pytest.raises(QueryError, match=r"page\(\) of many partitions.*at most 16 keys"):
        await many.page(10)
    with pytest.raises(QueryError, match="order over several partitions"):
        await many.order_by(Item.n.asc()).all()
    with pytest.raises(QueryError, match=r"nearest\(\) in several partitions"):
        await many.nearest(Item.place, [1.0, 0.0]).limit(3).all()
    with pytest.raises(QueryError, match=r"over 10,001 partitions.*at most 10,000 keys at a time"), assert_queries(0):
        await User.where(User.id.in_(range(10_001))).all()
    assert await User.where(User.id.in_([])).all() == []


async def test_an_error_of_one_of_many_keys_is_raised_and_nothing_is_left_running(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = db.execute

    async def failing(statement: Any, params: Any = (), **options: Any) -> Any:
        if params == [20]:
            raise UnavailableError("no node")
        return await execute(statement, params, **options)

    monkeypatch.setattr(db, "execute", failing)
    before = asyncio.all_tasks()
    with pytest.raises(UnavailableError):
        await User.where(User.id.in_(range(100))).all()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() <= before


async def test_the_nearest_are_searched_where_conditions_allow_it() -> None:
    near = Item.where(Item.shop == SHOP, Item.shelf == 1).nearest(Item.place, [1.0, 0.2])
    assert [item.n for item in await near.limit(2).all()] == [2, 1]
    red = Item.where(Item.kind == "a").nearest(Item.place, [1.0, 0.0]).limit(2)
    assert {item.n for item in await red.all()} == {0}
    assert await red.using(page_size=1).first() is not None
    with pytest.raises(QueryError, match=r"page\(\) of nearest"):
        await red.page(1)
    with pytest.raises(QueryError, match="no direction"):
        Item.where().nearest(Item.place, [0.0, 0.0])
    with pytest.raises(QueryError, match="neither key nor index"):
        await Item.where(Item.size == 1).nearest(Item.place, [1.0, 0.0]).limit(2).all()


# -- pages -----------------------------------------------------------------------------------------------------------


async def test_the_next_page_is_fetched_while_this_one_is_used() -> None:
    rows = User.where(token(User.id) >= -(2**63)).using(page_size=100)
    with assert_queries() as log:
        found = aiter(rows)
        await anext(found)
        for _ in range(50):
            if len(log) == 2:
                break
            await asyncio.sleep(0.01)
        assert [each.following for each in log.statements] == [False, True]
        assert len([user async for user in found]) == 999


async def everything(query: Any, size: int) -> list[Any]:
    page = await query.page(size)
    rows = page.items
    while page.token is not None:
        page = await query.page(size, page.token)
        rows += page.items
    return cast("list[Any]", rows)


async def test_pages_hold_all_rows_once_also_filtered_and_by_several_keys() -> None:
    few = User.where(User.id.in_(range(16)))
    assert await everything(few, 3) == await few.all()
    red = Item.where(Item.kind == "a")
    assert len(await everything(red, 7)) == 60
    assert len(await everything(red.limit(20), 7)) == 20


async def test_a_token_is_good_in_another_process_with_the_same_secrets_and_keyspace(db: Database) -> None:
    query = User.where(token(User.id) >= -(2**63))
    first = await query.page(10)
    assert first.token is not None
    async with connect(db.settings.hosts, keyspace=db.keyspace) as other:
        other.page_secrets = PageSecrets({"next": b"x" * 32, "new": b"n" * 32}, "next")
        second = await query.using(other).page(10, first.token)
        assert len(second.items) == 10
        assert not {user.id for user in second.items} & {user.id for user in first.items}
        # Signed by the newer key there, which this process has not yet.
        with pytest.raises(QueryError, match="another secret"):
            await query.using(db).page(10, second.token)
        other.page_secrets = PageSecrets({"new": b"another secret of it"}, "new")
        with pytest.raises(QueryError, match="another secret"):
            await query.using(other).page(10, first.token)
        other.page_secrets = None
        with pytest.raises(ConfigurationError, match="CASSORM_PAGE_SECRET"):
            await query.using(other).page(10, first.token)
    async with connect(db.settings.hosts, keyspace="system") as elsewhere:
        elsewhere.page_secrets = db.page_secrets
        with elsewhere.in_keyspace(str(db.keyspace)), pytest.raises(QueryError, match="no token of this query"):
            await query.using(elsewhere).page(10, first.token)


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.limit(500),
        lambda query: query.where(User.name == "u1").allow_filtering(),
        lambda query: query.values(User.id),
        lambda query: query.json(),
        lambda query: query.using(consistency=Consistency.ONE),
        lambda query: User.where(token(User.id) >= 0),
    ],
)
async def test_a_token_of_another_query_is_refused_of_the_same_with_other_options_taken(
    change: Callable[[Any], Any],
) -> None:
    query = User.where(token(User.id) >= -(2**63))
    page = await query.page(10)
    other = change(query)
    if other.text(other.conditions) == query.text(query.conditions) and other.conditions == query.conditions:
        assert (await other.page(10, page.token)).items
    else:
        with pytest.raises(QueryError, match="no token of this query"):
            await other.page(10, page.token)


async def test_forged_and_expired_tokens_are_refused_before_anything_is_sent(db: Database) -> None:
    query = User.where(token(User.id) >= -(2**63))
    page = await query.page(10)
    assert page.token is not None
    forged = page.token[:-3] + ("AAA" if page.token[-3:] != "AAA" else "BBB")
    with assert_queries(0):
        for bad in (forged, "", "x", page.token + "A", page.token.swapcase(), "é" * 30, "A" * 10_000):
            with pytest.raises(QueryError, match="page token"):
                await query.page(10, bad)
    kept, db.page_secrets = db.page_secrets, PageSecrets({"new": b"n" * 32}, "new", lifetime=timedelta(seconds=-1))
    expired = (await query.page(10)).token
    db.page_secrets = kept
    with pytest.raises(QueryError, match="expired"):
        await query.page(10, expired)
    assert (await query.page(10, page.token)).items


# -- scans -----------------------------------------------------------------------------------------------------------


async def test_a_scan_goes_on_after_an_error_where_it_was_and_tells_how_far_it_is(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, answers = db.execute, 0

    async def failing(*args: Any, **options: Any) -> Any:
        nonlocal answers
        answers += 1
        if answers == 20:
            raise UnavailableError("no node")
        return await execute(*args, **options)

    monkeypatch.setattr(db, "execute", failing)
    reports: list[ScanProgress] = []
    scan = User.scan(parallel=2, page_size=20).using(progress=reports.append)
    seen: list[int] = []

    async def read() -> None:
        async for user in scan:
            seen.append(user.id)  # noqa: PERF401 - what was given before the error counts

    with pytest.raises(UnavailableError):
        await read()
    monkeypatch.undo()
    assert 0 < len(reports) < 16
    done = reports[-1].done
    rest = [user.id async for user in User.scan(resume=scan.checkpoint()).using(progress=reports.append)]
    assert set(seen) | set(rest) == set(range(1000))
    # What was done is not read again.
    assert len(rest) < 1000
    assert (reports[-1].done, reports[-1].ranges) == (16, 16)
    assert reports[reports.index(reports[-1]) - (16 - done) + 1].done == done + 1


async def test_a_checkpoint_is_good_for_its_table_in_its_keyspace_alone(db: Database) -> None:
    checkpoint = User.scan().checkpoint()
    for bad in ("{}", "[]", "x", checkpoint.replace("user", "item"), '{"table": "user", "ranges": 64, "done": [64]}'):
        with pytest.raises(QueryError, match="no checkpoint"):
            User.scan(resume=bad)
    with db.in_keyspace("other"), pytest.raises(QueryError, match="no checkpoint"):
        User.scan(resume=checkpoint)


# -- raw -------------------------------------------------------------------------------------------------------------


async def test_raw_cql_fetches_ahead_and_tells_of_columns_that_do_not_fit_without_rows_too(db: Database) -> None:
    raw = db.cql("SELECT id, name FROM user", into=User, page_size=100)
    with assert_queries() as log:
        found = aiter(raw)
        assert isinstance(await anext(found), User)
        for _ in range(50):
            if len(log) == 2:
                break
            await asyncio.sleep(0.01)
        assert len(log) == 2
        assert len([user async for user in found]) == 999
    with pytest.raises(QueryError, match="returns wrong, which User has not"):
        await db.cql("SELECT id AS wrong FROM user WHERE id = ?", [-1], into=User)

    class Strict(BaseModel):
        id: int
        name: int

    with pytest.raises(RowError, match="name"):
        await db.cql("SELECT id, name FROM user WHERE id = ?", [1], into=Strict)
    assert await db.cql("SELECT id FROM user WHERE id = ?", [-1], into=Strict) == []
    assert await db.cql("INSERT INTO user (id, name) VALUES (?, ?)", [5, "u5"]) == []


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(db: Database, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What options statements are executed with."""
    found: list[dict[str, Any]] = []
    execute, batch = db.execute, db.execute_batch

    def noting(call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noted(*args: Any, **options: Any) -> Any:
            found.append({name: value for name, value in options.items() if value is not None})
            return await call(*args, **options)

        return noted

    monkeypatch.setattr(db, "execute", noting(execute))
    monkeypatch.setattr(db, "execute_batch", noting(batch))
    return found


async def test_a_model_says_how_its_statements_are_sent_and_a_query_says_otherwise(
    db: Database, sent: list[dict[str, Any]]
) -> None:
    reading = {"consistency": Consistency.ONE, "timeout": timedelta(seconds=7)}
    writing = reading | {"serial_consistency": Consistency.LOCAL_SERIAL}
    repeatable = writing | {"idempotent": True}
    user = User(id=2000, name="x")
    assert not sent
    await db.insert(user)
    user.name = "y"
    await db.save(user)
    await User.update(User.name.set("z")).where(User.id == 2000)
    assert sent == [repeatable] * 3
    sent.clear()
    await db.insert(user, if_not_exists=True)
    await User.update(User.log.append("z")).where(User.id == 2000)
    await User.update(User.name.set("z")).where(User.id == 2000).if_exists()
    assert sent == [writing] * 3
    sent.clear()
    await User.get(2000)
    await User.where(User.id == 2000).all()
    await db.refresh(user)
    await db.get_many(User, [1])
    assert all({name: each.get(name) for name in reading} == reading for each in sent)
    assert len(sent) == 4
    sent.clear()
    await User.get(2000).using(consistency=Consistency.LOCAL_SERIAL)
    await User.where(User.id == 2000).using(consistency=Consistency.ALL, timeout=timedelta(seconds=1)).page(1)
    await User.delete().where(User.id == 2000).using(consistency=Consistency.ONE, idempotent=False)
    assert [each["consistency"] for each in sent] == [Consistency.LOCAL_SERIAL, Consistency.ALL, Consistency.ONE]
    assert sent[1]["timeout"] == timedelta(seconds=1)
    assert sent[2]["idempotent"] is False
    sent.clear()
    async with db.batch() as batch:
        batch.insert(User(id=2000))
        batch.add(User.delete().where(User.id == 2000))
    assert sent == [{"kind": "logged", **repeatable}]
    sent.clear()
    async with db.batch(consistency=Consistency.LOCAL_QUORUM, serial_consistency=Consistency.SERIAL) as batch:
        batch.insert(User(id=2000))
        batch.insert(Item(shop="x", shelf=1, n=1))
    assert sent[0]["consistency"] is Consistency.LOCAL_QUORUM
    differing = db.batch()
    differing.insert(User(id=2000))
    differing.insert(Item(shop="x", shelf=1, n=1))
    with pytest.raises(QueryError, match=r"Item, User differ in consistency.*db.batch\(consistency="):
        await differing.__aexit__(None, None, None)
    await User.delete().where(User.id == 2000)
    await Item.delete().where(Item.shop == "x", Item.shelf == 1)


async def test_statements_on_a_model_are_traced(db: Database) -> None:
    async with db.tracing(User) as traces:
        await User.get(1)
        await on_shelves(1).all()
        await db.insert(User(id=2000))
    assert [trace.text.split()[0] for trace in traces] == ["SELECT", "INSERT"]
    assert all(trace.coordinator and trace.events for trace in traces)
    await User.delete().where(User.id == 2000)


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_a_large_batch_over_partitions_is_warned_of_and_one_within_a_partition_is_not(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def write(*shelves: int) -> None:
        async with db.batch() as batch:
            for shelf in shelves:
                batch.insert(Item(shop="large", shelf=shelf, n=1, kind="x" * 3000))

    with caplog.at_level(logging.WARNING, logger="cassorm"):
        await write(1, 1, 1)
        assert [record for record in caplog.records if record.name.startswith("cassorm")] == []
        await write(1, 2)
    (warned,) = [record for record in caplog.records if record.name.startswith("cassorm")]
    assert "2 writes to 2 partitions has 6" in warned.getMessage()
    await Item.delete().where(Item.shop == "large", Item.shelf.in_([1, 2]))


async def test_partitions_of_a_batch_are_counted_also_those_of_lists_and_keyspaces(db: Database) -> None:
    async def send(*writes: Any, **options: Any) -> None:
        async with db.batch(**options) as batch:
            batch.add(*writes)

    deletion = Item.delete().where(Item.shop == "x", Item.shelf.in_(range(11)))
    with pytest.raises(QueryError, match=r"1 writes over 11 partitions.*max_partitions=11"):
        await send(deletion)
    await send(deletion, max_partitions=11)
    guarded = Item.update(Item.size.set(1)).where(Item.shop == "x", Item.shelf == 1, Item.n == 1).if_exists()
    listed = Item.update(Item.size.set(1)).where(Item.shop == "x", Item.shelf == 1, Item.n.in_([1, 2]))
    with pytest.raises(QueryError, match=r"in_\(\) beside a condition"):
        await send(guarded, listed)
    batch = db.batch()
    batch.add(guarded)
    with db.in_keyspace("elsewhere"):
        batch.add(guarded)
    with pytest.raises(QueryError, match="conditions over 2 partitions"):
        await batch.__aexit__(None, None, None)
    with pytest.raises(QueryError, match="a write to 101 partitions"):
        await Item.delete().where(Item.shop == "x", Item.shelf.in_(range(101)))


async def test_counters_are_added_in_batches_of_their_own(db: Database) -> None:
    async with db.batch(counter=True) as batch:
        batch.add(*(Hits.update(Hits.seen + 2).where(Hits.page == page) for page in "abc"))
    assert [hits.seen for hits in await Hits.where(Hits.page.in_(["a", "b", "c"])).all()] == [2, 2, 2]
    mixed = db.batch(counter=True)
    mixed.add(Hits.update(Hits.seen + 2).where(Hits.page == "a"))
    mixed.insert(Item(shop="x", shelf=1, n=1))
    with pytest.raises(QueryError, match="counters and other columns"):
        await mixed.__aexit__(None, None, None)
    with pytest.raises(QueryError, match="unlogged and counter"):
        db.batch(counter=True, unlogged=True)
