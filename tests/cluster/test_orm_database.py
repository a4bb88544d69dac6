"""What models do on a real node: create, write, compare, read, page, scan."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from pydantic import BaseModel

from cassorm.errors import (
    ConfigurationError,
    ModelError,
    QueryError,
    RowCountError,
    RowError,
    SchemaDriftError,
    SchemaFileError,
    StaleRowError,
)
from cassorm.events.cassandra import CassandraEventStore
from cassorm.orm.database import Database, connect, schema_of
from cassorm.orm.expressions import count_rows
from cassorm.orm.fields import CK, PK, Col, Counter, Static, Version, ck, col
from cassorm.orm.markers import SAI
from cassorm.orm.model import Model
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.scan import ScanProgress
from cassorm.orm.values import Int, Vector, now

pytestmark = pytest.mark.cluster


class Reading(Model):
    org: PK[UUID]
    day: PK[date]
    n: CK[int] = ck(order="desc")
    kind: Col[str] = col(default="", index=SAI())
    note: Col[str | None] = col(default=None)
    tags: Col[set[str]] = col(default_factory=set)
    log: Col[list[str]] = col(default_factory=list)
    labels: Col[dict[str, int]] = col(default_factory=dict)
    owner: Static[str] = col(default="")


class Doc(Model):
    id: PK[UUID]
    text: Col[str]
    rev: Version[int] = col(default=0)


class Hits(Model):
    page: PK[str]
    seen: Counter
    left: Counter


class Order(Model, table="select"):
    group: PK[str]
    where_: CK[int] = ck(name="where")
    Mixed: Col[str] = col(default="")


MODELS = (Reading, Doc, Hits, Order)
DAY = date(2026, 1, 1)


@pytest_asyncio.fixture(scope="session")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"orm_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(keyspace)
        try:
            async with connect(cassandra_hosts, keyspace=keyspace) as found:
                await found.create(*MODELS)
                found.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
                yield found
        finally:
            await opened.ddl(f"DROP KEYSPACE {keyspace}")


async def filled(db: Database, count: int, org: UUID | None = None) -> UUID:
    org = org or uuid4()
    results = await db.insert_many(Reading(org=org, day=DAY, n=n, kind=f"k{n % 3}", owner="me") for n in range(count))
    assert all(result.outcome for result in results)
    return org


def of(org: UUID) -> Any:
    return Reading.where(Reading.org == org, Reading.day == DAY)


async def test_creating_twice_creates_nothing_and_another_shape_is_refused(db: Database) -> None:
    assert await db.create(*MODELS) == []
    make: Any = type(Model)
    other = make(
        "Other", (Model,), {"__annotations__": {"id": PK[UUID], "text": Col[int]}, "__module__": __name__}, table="doc"
    )
    with pytest.raises(SchemaDriftError, match="text"):
        await db.create(other)


async def test_a_database_is_a_session_that_the_event_store_takes(db: Database) -> None:
    store = CassandraEventStore(db, keyspace=str(db.keyspace))
    await store.initialize()
    assert await store.head(uuid4()) is None


async def test_an_inserted_row_is_got_back_and_one_that_is_not_there_is_none(db: Database) -> None:
    sent = Reading(org=uuid4(), day=DAY, n=1, kind="a", tags={"x"}, log=["1"], labels={"a": 1}, owner="me")
    async with db:
        await db.insert(sent)
        assert await Reading.get(sent.org, DAY, 1) == sent
        assert await Reading.get(sent.org, DAY, n=2) is None
    found = await Reading.get(sent.org, DAY, 1).using(db)
    assert found == sent


async def test_only_the_first_insert_of_a_key_applies_and_the_second_is_told_what_stands_there(db: Database) -> None:
    first = Reading(org=uuid4(), day=DAY, n=1, kind="first", tags={"x"})
    assert await db.insert(first, if_not_exists=True)
    second = await db.insert(first.model_copy(update={"kind": "second"}), if_not_exists=True)
    assert not second
    assert (second.found["kind"], second.found["tags"], second.found["n"]) == ("first", {"x"}, 1)


async def test_a_row_expires_and_is_written_as_of_a_moment(db: Database) -> None:
    org = uuid4()
    await db.insert(Reading(org=org, day=DAY, n=1, kind="x"), ttl=timedelta(hours=1))
    await db.insert(Reading(org=org, day=DAY, n=2, kind="new"), timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    await db.insert(Reading(org=org, day=DAY, n=2, kind="old"), timestamp=datetime(2025, 1, 1, tzinfo=UTC))
    rows = await db.cql("SELECT n, TTL(kind), kind FROM reading WHERE org = ? AND day = ?", [org, DAY])
    assert [(n, kind) for n, _, kind in rows] == [(2, "new"), (1, "x")]
    assert rows[0][1] is None
    assert 3500 < rows[1][1] <= 3600


async def test_save_writes_what_has_changed_and_nothing_else(db: Database) -> None:
    org = await filled(db, 1)
    mine, theirs = [await of(org).using(db).one() for _ in range(2)]
    mine.note = "mine"
    theirs.tags.add("theirs")
    theirs.log.append("theirs")
    assert await db.save(mine)
    assert await db.save(theirs)
    assert not await db.save(theirs)
    found = await of(org).using(db).one()
    assert (found.note, found.tags, found.log) == ("mine", {"theirs"}, ["theirs"])
    found.note = None
    copied = found.model_copy(update={"kind": "copy"})
    assert await db.save(copied)
    again = await of(org).using(db).one()
    assert (again.note, again.kind) == (None, "copy")


async def test_the_key_of_a_stored_row_cannot_be_changed(db: Database) -> None:
    found = await of(await filled(db, 1)).using(db).one()
    found.n = 7
    with pytest.raises(QueryError, match="key of a stored row"):
        await db.save(found)


async def test_of_two_who_read_one_version_the_second_to_save_conflicts_and_writes_nothing(db: Database) -> None:
    doc = Doc(id=uuid4(), text="a")
    await db.save(doc)
    assert doc.rev == 1
    first, second = [await Doc.get(doc.id).using(db) for _ in range(2)]
    assert first is not None
    assert second is not None
    first.text, second.text = "first", "second"
    await db.save(first)
    with pytest.raises(StaleRowError, match="changed since") as stale:
        await db.save(second)
    assert (stale.value.found["rev"], second.rev) == (2, 1)
    await db.refresh(second)
    assert (second.text, second.rev) == ("first", 2)
    with pytest.raises(StaleRowError, match="there already"):
        await db.save(Doc(id=doc.id, text="new"))
    with pytest.raises(StaleRowError):
        await db.delete(doc)
    await db.delete(second)
    with pytest.raises(RowCountError):
        await db.refresh(second)


async def test_of_many_who_save_one_version_at_once_one_wins(db: Database) -> None:
    doc = Doc(id=uuid4(), text="0")
    await db.save(doc)

    async def save(name: str) -> bool:
        mine = await Doc.get(doc.id).using(db)
        assert mine is not None
        mine.text = name
        await asyncio.sleep(0.01)
        try:
            return await db.save(mine)
        except StaleRowError:
            return False

    won = await asyncio.gather(*(save(str(n)) for n in range(8)))
    found = await Doc.get(doc.id).using(db)
    assert found is not None
    assert found.rev == 1 + sum(won)
    assert 1 <= sum(won) < 8


async def test_plain_writes_to_rows_that_conditions_guard_are_refused(db: Database) -> None:
    with pytest.raises(QueryError, match="conditions guard"):
        await db.insert(Doc(id=uuid4(), text="x"))
    with pytest.raises(QueryError, match="conditions guard"):
        await Doc.update(Doc.text.set("x")).where(Doc.id == uuid4()).using(db)


async def test_expressions_change_collections_item_by_item(db: Database) -> None:
    org = await filled(db, 1)
    row = (Reading.org == org, Reading.day == DAY, Reading.n == 0)
    update = Reading.update(
        Reading.tags.add("a", "b"), Reading.log.append("2", "3"), Reading.labels["x"].set(1), Reading.note.set("n")
    )
    await update.where(*row).using(db)
    await (
        Reading.update(
            Reading.tags.remove("a"), Reading.log.prepend("1"), Reading.labels.put({"y": 2}), Reading.note.set(None)
        )
        .where(*row)
        .using(db)
    )
    found = await of(org).using(db).one()
    assert (found.tags, found.log, found.labels, found.note) == ({"b"}, ["1", "2", "3"], {"x": 1, "y": 2}, None)
    await Reading.update(Reading.labels.drop("x"), Reading.log.remove("2")).where(*row).using(db)
    await Reading.delete(Reading.tags).where(*row).using(db)
    found = await of(org).using(db).one()
    assert (found.tags, found.log, found.labels) == (set(), ["1", "3"], {"y": 2})


async def test_a_condition_that_does_not_hold_returns_what_stands_there(db: Database) -> None:
    org = await filled(db, 1)
    row = (Reading.org == org, Reading.day == DAY, Reading.n == 0)
    update = Reading.update(Reading.note.set("x")).where(*row).using(db)
    lost = await update.only_if(Reading.kind == "other")
    assert (lost.applied, lost.found) == (False, {"kind": "k0"})
    assert await update.only_if(Reading.kind == "k0", Reading.note == None)  # noqa: E711
    assert not await Reading.delete().where(*row[:2], Reading.n == 9).if_exists().using(db)
    assert await Reading.delete().where(*row).if_exists().using(db)


async def test_deletions_take_a_row_a_range_or_a_partition(db: Database) -> None:
    org = await filled(db, 10)
    await db.delete(Reading(org=org, day=DAY, n=0))
    await Reading.delete().where(Reading.org == org, Reading.day == DAY, Reading.n > 6).using(db)
    assert [row.n for row in await of(org).using(db).all()] == [6, 5, 4, 3, 2, 1]
    await Reading.delete().where(Reading.org == org, Reading.day == DAY).using(db)
    assert not await of(org).using(db).exists()


async def test_counters_count(db: Database) -> None:
    page = uuid4().hex
    await Hits.update(Hits.seen + 3).where(Hits.page == page).using(db)
    await Hits.update(Hits.seen - 1).where(Hits.page == page).using(db)
    async with db.batch(counter=True) as batch:
        batch.add(Hits.update(Hits.left + 1).where(Hits.page == page))
        batch.add(Hits.update(Hits.seen + 1).where(Hits.page == page))
    found = await Hits.get(page).using(db)
    assert found is not None
    assert (found.seen, found.left) == (3, 1)
    with pytest.raises(QueryError, match="insert of counters"):
        await db.insert(Hits(page=page, seen=0, left=0))


async def test_reserved_words_and_capital_letters_are_names_like_others(db: Database) -> None:
    group = uuid4().hex
    await db.insert(Order(group=group, where_=1, Mixed="x"))
    assert (await Order.where(Order.group == group, Order.where_ >= 1).using(db).one()).Mixed == "x"


async def test_queries_filter_order_limit_and_project(db: Database) -> None:
    class Short(BaseModel):
        n: int
        kind: str

    org = await filled(db, 10)
    async with db:
        query = of(org)
        assert [row.n async for row in query] == list(range(9, -1, -1))
        assert [row.n for row in await query.order_by(Reading.n.asc()).limit(3).all()] == [0, 1, 2]
        assert [row.n for row in await query.where(Reading.n > 2, Reading.n <= 4).all()] == [4, 3]
        assert [row.n for row in await query.where(Reading.n.in_([1, 8])).all()] == [8, 1]
        assert [row.n for row in await query.where(Reading.kind == "k1").all()] == [7, 4, 1]
        assert await query.into(Short).first() == Short(n=9, kind="k0")
        assert await query.values(Reading.n, Reading.kind).limit(1).all() == [(9, "k0")]
        assert await query.values(Reading.n.max(), Reading.n.min(), Reading.n.sum(), count_rows()).one() == (
            9,
            0,
            45,
            10,
        )
        assert await query.values(Reading.org, count_rows()).group_by(Reading.org, Reading.day).all() == [(org, 10)]
        assert await query.count() == 10
        assert await query.where(Reading.n == 77).count() == 0
        assert await query.exists()
        assert not await query.where(Reading.n == 77).exists()
        assert await query.where(Reading.n == 77).first() is None
        assert await query.allow_filtering().where(Reading.owner == "me", Reading.note == "x").all() == []
        assert (org, DAY) in await Reading.where().partitions().allow_filtering().all()
        with pytest.raises(RowCountError, match="no row"):
            await query.where(Reading.n == 77).one()
        with pytest.raises(RowCountError, match="more than one"):
            await query.one()


async def test_several_partitions_are_read_by_in_with_a_limit_for_each(db: Database) -> None:
    org = uuid4()
    days = [DAY + timedelta(days=n) for n in range(3)]
    await db.insert_many(Reading(org=org, day=day, n=n) for day in days for n in range(5))
    query = Reading.where(Reading.org == org, Reading.day.in_(days)).using(db)
    assert len(await query.per_partition_limit(2).all()) == 6
    assert len(await query.limit(4).all()) == 4


async def test_iteration_goes_through_all_pages_and_may_be_left(db: Database) -> None:
    org = await filled(db, 250)
    query = of(org).using(db, page_size=20)
    assert [row.n async for row in query] == list(range(249, -1, -1))
    async for row in query:
        assert row.n == 249
        break
    assert len(await query.all()) == 250


async def test_page_tokens_go_through_all_rows_once_and_are_bound_to_their_query(db: Database) -> None:
    query = of(await filled(db, 25)).using(db)
    page = await query.page(10)
    found = [row.n for row in page.items]
    assert len(found) == 10
    first = page.token
    while page.token is not None:
        page = await query.page(10, page.token)
        found += [row.n for row in page.items]
    assert found == list(range(24, -1, -1))
    with pytest.raises(QueryError, match="no token of this query"):
        await of(uuid4()).using(db).page(10, first)
    async with connect(db.settings.hosts, keyspace=str(db.keyspace)) as other:
        with pytest.raises(ConfigurationError, match="CASSORM_PAGE_SECRET"):
            await query.using(other).page(10)


async def test_a_scan_reads_every_row_once_and_goes_on_from_a_checkpoint(db: Database) -> None:
    class Scanned(Model):
        id: PK[int]
        n: CK[int]

    await db.create(Scanned)
    await db.insert_many(Scanned(id=i, n=n) for i in range(60) for n in range(3))
    wanted = {(i, n) for i in range(60) for n in range(3)}
    reports: list[ScanProgress] = []
    scan = Scanned.scan(parallel=4, page_size=7).using(db, progress=reports.append)
    found = [(row.id, row.n) async for row in scan]
    assert len(found) == len(wanted)
    assert set(found) == wanted
    assert (reports[-1].done, reports[-1].rows) == (reports[-1].ranges, 180)
    tuples = [row async for row in Scanned.scan(parallel=4, page_size=7).values(Scanned.n, Scanned.id).using(db)]
    assert (len(tuples), {(i, n) for n, i in tuples}) == (180, wanted)

    partial = Scanned.scan(parallel=2, page_size=7).using(db)
    seen = set()
    async for row in partial:
        seen.add((row.id, row.n))
        if len(seen) == 90:
            break
    async for row in Scanned.scan(resume=partial.checkpoint()).using(db):
        seen.add((row.id, row.n))
    assert seen == wanted
    with pytest.raises(QueryError, match="no checkpoint"):
        Reading.scan(resume=partial.checkpoint())


async def test_many_keys_are_read_in_their_order_with_none_for_the_missing(db: Database) -> None:
    org = await filled(db, 5)
    found = await db.get_many(Reading, [(org, DAY, n) for n in (3, 9, 1)], concurrency=2)
    assert [row and row.n for row in found] == [3, None, 1]
    with pytest.raises(QueryError, match="lacks n"):
        await db.get_many(Reading, [(org, DAY)])


async def test_the_nearest_vectors_come_first(db: Database) -> None:
    if not db.dialect.sai:
        pytest.skip("no storage-attached indexes")

    class Picture(Model):
        id: PK[int]
        place: Col[Annotated[list[float], Vector(2)]] = col(index=SAI())
        size: Col[int] = col(default=0)

    await db.create(Picture)
    await db.insert_many(Picture(id=n, place=[1.0, n / 10]) for n in range(10))
    query = Picture.where().nearest(Picture.place, [1.0, 0.31]).using(db)
    assert [row.id for row in await query.limit(3).all()] == [3, 4, 2]
    with pytest.raises(QueryError, match="without a limit"):
        await query.all()
    with pytest.raises(QueryError, match="1 numbers"):
        Picture.where().nearest(Picture.place, [1.0])
    with pytest.raises(QueryError, match="zeros have no direction"):
        Picture.where().nearest(Picture.place, [0.0, 0.0])
    with pytest.raises(QueryError, match="zeros have no direction"):
        await db.insert(Picture(id=11, place=[0.0, 0.0]))
    with pytest.raises(QueryError, match="no vector with an index"):
        Picture.where().nearest(cast("Any", Picture.size), [1.0, 2.0])


async def test_the_children_of_many_parents_come_by_parent(db: Database) -> None:
    parents = [await filled(db, n % 3) for n in range(9)]
    children = await db.related(Reading.where(Reading.day == DAY), Reading.org, [*parents, parents[0]], concurrency=3)
    assert list(children) == parents
    assert [len(rows) for rows in children.values()] == [0, 1, 2] * 3
    with pytest.raises(QueryError, match="lacks day"):
        await db.related(Reading.where(), Reading.org, parents)


async def test_of_many_inserts_each_tells_what_became_of_it(db: Database) -> None:
    org = uuid4()
    rows = [Reading(org=org, day=DAY, n=n, kind="bad \ud800" if n == 2 else "ok") for n in range(4)]
    done: list[int] = []
    results = await db.insert_many(rows, concurrency=2, progress=done.append)
    assert [result.error is None for result in results] == [True, True, False, True]
    assert isinstance(results[2].error, QueryError)
    assert done == [1, 2, 3, 4]
    assert await of(org).using(db).count() == 3


async def test_a_batch_is_sent_whole_or_not_at_all(db: Database) -> None:
    org = uuid4()
    async with db.batch() as batch:
        batch.insert(Reading(org=org, day=DAY, n=1))
        batch.insert(Reading(org=org, day=DAY, n=2))
        batch.add(Reading.update(Reading.owner.set("we")).where(Reading.org == org, Reading.day == DAY))
    assert [(row.n, row.owner) for row in await of(org).using(db).all()] == [(2, "we"), (1, "we")]

    async def fail() -> None:
        async with db.batch() as batch:
            batch.insert(Reading(org=org, day=DAY, n=3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await of(org).using(db).count() == 2


async def test_a_batch_with_a_condition_is_applied_whole_or_not_at_all(db: Database) -> None:
    org = await filled(db, 1)
    async with db.batch() as batch:
        batch.insert(Reading(org=org, day=DAY, n=0), if_not_exists=True)
        batch.insert(Reading(org=org, day=DAY, n=1))
    assert batch.outcome is not None
    assert not batch.outcome
    assert await of(org).using(db).count() == 1


async def test_a_batch_over_many_partitions_is_refused_unless_asked_for(db: Database) -> None:
    rows = [Reading(org=uuid4(), day=DAY, n=n) for n in range(12)]
    batch = db.batch(unlogged=True)
    for row in rows:
        batch.insert(row)
    with pytest.raises(QueryError, match=r"12 partitions.*max_partitions=12"):
        await batch.__aexit__(None, None, None)
    async with db.batch(unlogged=True, max_partitions=12) as batch:
        for row in rows:
            batch.insert(row)
    assert await of(rows[-1].org).using(db).exists()
    mixed = db.batch()
    mixed.insert(rows[0], if_not_exists=True)
    mixed.insert(rows[1])
    with pytest.raises(QueryError, match="one partition of one table"):
        await mixed.__aexit__(None, None, None)
    counting = db.batch()
    counting.add(Hits.update(Hits.seen + 1).where(Hits.page == "x"))
    with pytest.raises(QueryError, match="counter=True"):
        await counting.__aexit__(None, None, None)


async def test_raw_cql_gives_tuples_or_instances(db: Database) -> None:
    class Short(BaseModel):
        n: int
        tags: set[str] | None

    org = await filled(db, 3)
    text = "SELECT n, tags FROM reading WHERE org = ? AND day = ?"
    await Reading.update(Reading.tags.add("x")).where(Reading.org == org, Reading.day == DAY, Reading.n == 2).using(db)
    assert await db.cql(text, [org, DAY]) == [(2, {"x"}), (1, None), (0, None)]
    shorts = [row async for row in db.cql(text, [org, DAY], into=Short)]
    assert shorts[0] == Short(n=2, tags={"x"})
    whole = await db.cql("SELECT * FROM reading WHERE org = ? AND day = ?", [org, DAY], into=Reading)
    assert whole[0] == await of(org).using(db).first()
    with pytest.raises(QueryError, match=r"system.now|now"):
        await db.cql("SELECT now() FROM system.local", into=Reading)
    with pytest.raises(RowError):
        await db.cql(text.replace("n, tags", "kind AS n, tags"), [org, DAY], into=Short)


async def test_a_column_added_later_reads_as_its_default(db: Database) -> None:
    class Grown(Model):
        id: PK[int]

    class GrownSince(Model, table="grown"):
        id: PK[int]
        level: Col[Int] = col(default=7)
        names: Col[list[str]] = col(default_factory=lambda: ["x"])

    await db.create(Grown)
    await db.insert(Grown(id=1))
    await db.ddl(f"ALTER TABLE {db.keyspace}.grown ADD (level int, names list<text>)")
    found = await GrownSince.get(1).using(db)
    assert found is not None
    assert (found.level, found.names) == (7, [])


async def test_each_tenant_has_a_keyspace_of_its_own(db: Database) -> None:
    other = f"{db.keyspace}_t2"
    await db.create_keyspace(other)
    try:
        doc = Doc(id=uuid4(), text="tenant")
        with db.in_keyspace(other):
            await db.create(Doc)
            await db.save(doc)
            assert await Doc.get(doc.id).using(db) == doc
        assert await Doc.get(doc.id).using(db) is None
    finally:
        await db.ddl(f"DROP KEYSPACE {other}")


SEED: dict[str, Any] = {
    "fields": {
        "id": "uuid",
        "email": "text",
        "is_active": "boolean",
        "created_at": "timestamp",
        "total_spent": "decimal",
        "class": "int",
        "tags": "set<text>",
        "home": "frozen<address>",
    },
    "types": {"address": {"street": "text", "number": "int"}},
    "key": [["id"], "created_at"],
    "clustering_order": {"created_at": "desc"},
    "indexes": ["email"],
    "materialized_views": {"by_email": {"select": ["*"], "key": ["email", "id", "created_at"]}},
}


async def test_a_loaded_schema_is_the_very_same_kind_of_model(db: Database, tmp_path: Path) -> None:
    users: Any = await db.load_schema("user_read_model", SEED)
    address = users.model_fields["home"].annotation.__args__[0]
    sent = users(id=uuid4(), email="a@example.com", created_at=now(), class_=3, home=address(street="s", number=1))
    async with db:
        await db.insert(sent)
        assert await users.where(users.email == "a@example.com").one() == sent
        sent.is_active = True
        assert await db.save(sent)
        assert (await users.get(sent.id, sent.created_at)).is_active
    again: Any = await db.load_schema("user_read_model", SEED)
    assert schema_of([again]) == schema_of([users])
    with pytest.raises(SchemaFileError, match="Did you mean"):
        await db.load_schema("wrong", {"fields": {"id": "uid"}, "key": ["id"]})
    file = tmp_path / "notes.yaml"
    file.write_text("fields: {id: int, hits: counter}\nkey: [id]\n")
    notes: Any = await db.load_schema("notes", file)
    await notes.update(notes.hits + 1).where(notes.id == 1).using(db)
    assert (await notes.get(1).using(db)).hits == 1


async def test_a_model_without_a_table_and_a_name_that_is_not_declared_say_so(db: Database) -> None:
    with pytest.raises(ModelError, match="no model with a table"):
        await db.create(Model)
    with pytest.raises(QueryError, match="declares other"):
        await db.load_schema("this", {"name": "other", "fields": {"id": "int"}, "key": ["id"]})
