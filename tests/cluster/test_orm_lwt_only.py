"""Tables that take conditional writes alone, on a real node; instances that are read again, and dumped."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from cassorm.driver.consistency import Consistency
from cassorm.errors import OutcomeUnknownError, QueryError, RowCountError, StaleRowError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, Version, ck, col
from cassorm.orm.model import Model
from cassorm.testing import assert_queries

pytestmark = pytest.mark.cluster


class Seat(Model, lwt_only=True):
    room: PK[str]
    n: CK[int] = ck(order="desc")
    guest: Col[str | None] = col(default=None)
    tags: Col[set[str]] = col(default_factory=set)


class Doc(Model):
    id: PK[int]
    text: Col[str]
    note: Col[str | None] = col(default=None)
    at: Col[datetime | None] = col(default=None)
    log: Col[list[str]] = col(default_factory=list)
    rev: Version[int] = col(default=0)


class Profile(Model):
    id: PK[int]
    email: Col[str | None] = col(default=None, unique=True)


class Job(Model, profile="lwt-only"):
    id: PK[int]
    state: Col[str | None] = col(default=None)


NEW: list[Callable[[], Model]] = [
    lambda: Seat(room="r", n=1),
    lambda: Doc(id=1, text="x"),
    lambda: Profile(id=1),
    lambda: Job(id=1),
]


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace("orm_lwt_only")
        try:
            async with connect(cassandra_hosts, keyspace="orm_lwt_only") as found:
                await found.create(Seat, Doc, Profile, Job)
                yield found
        finally:
            await opened.ddl("DROP KEYSPACE orm_lwt_only")


def plain_writes(db: Database, row: Model) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every way to write without a condition."""
    model: Any = type(row)
    values = row.__dict__
    key = [getattr(model, name) == values[name] for name in ("room", "n", "id") if name in values]
    name = next(name for name in ("guest", "text", "state", "email") if name in values)
    column = getattr(model, name)

    async def batched(*writes: Any) -> None:
        async with db.batch() as batch:
            for write in writes:
                batch.insert(write) if isinstance(write, Model) else batch.add(write)

    async def deleted() -> None:
        await model.delete().where(*key).using(db)

    found: dict[str, Callable[[], Awaitable[Any]]] = {
        "insert": lambda: db.insert(row),
        "insert with a TTL": lambda: db.insert(row, ttl=60),
        "insert in a batch": lambda: batched(row),
        "delete of a row": deleted,
    }
    if model is not Profile:
        found |= {
            "update": lambda: model.update(column.set("x")).where(*key).using(db),
            "update as of a moment": lambda: model.update(column.set("x")).where(*key).timestamp(1).using(db),
            "delete of a column": lambda: model.delete(column).where(*key).using(db),
            "update in a batch": lambda: batched(model.update(column.set("x")).where(*key)),
            "delete in a batch": lambda: batched(model.delete().where(*key)),
        }
    if model is Seat:
        found["delete of a range"] = lambda: Seat.delete().where(Seat.room == "r", Seat.n > 0).using(db)
        found["delete of a partition"] = lambda: Seat.delete().where(Seat.room == "r").using(db)
    return found


@pytest.mark.parametrize("make", NEW)
async def test_no_plain_write_gets_past_conditions(db: Database, make: Callable[[], Model]) -> None:
    row = make()
    with assert_queries(0):
        for name, write in plain_writes(db, row).items():
            with pytest.raises(QueryError) as refused:
                await write()
            assert refused.value.remedy, name
        (many,) = await db.insert_many([row])
        assert isinstance(many.error, QueryError)


@pytest.mark.parametrize("make", NEW)
async def test_what_has_a_condition_or_the_instance_gets_one_by_itself_is_written(
    db: Database, make: Callable[[], Model]
) -> None:
    row, again = make(), make()
    assert await db.save(row)
    assert not await db.insert(again, if_not_exists=True)
    with pytest.raises(StaleRowError, match="there already"):
        await db.save(again)
    assert (await db.insert_many([again], if_not_exists=True))[0].outcome is not None
    assert await db.delete(row)
    (written,) = await db.insert_many([again], if_not_exists=True)
    assert written.outcome


async def test_rows_that_conditions_guard_change_by_conditions_also_together(db: Database) -> None:
    await db.save(Seat(room="s", n=1))
    seat = (Seat.room == "s", Seat.n == 1)
    assert await Seat.update(Seat.guest.set("ada")).where(*seat).only_if(Seat.guest == None).using(db)  # noqa: E711
    lost = await Seat.update(Seat.guest.set("bob")).where(*seat).only_if(Seat.guest == None).using(db)  # noqa: E711
    assert (lost.applied, lost.found) == (False, {"guest": "ada"})
    async with db.batch() as batch:
        batch.insert(Seat(room="s", n=2), if_not_exists=True)
        batch.add(Seat.update(Seat.tags.add("x")).where(*seat).if_exists())
    assert batch.outcome
    found = await Seat.get("s", 1).using(db)
    assert found == Seat(room="s", n=1, guest="ada", tags={"x"})
    assert found is not None
    await db.delete(found)
    found.guest = "late"
    found.guest = None
    assert not await db.delete(found)
    gone = await Seat.get("s", 2).using(db)
    assert gone is not None
    await Seat.delete().where(Seat.room == "s", Seat.n == 2).if_exists().using(db)
    gone.guest = "zoe"
    with pytest.raises(StaleRowError, match="has changed"):
        await db.save(gone)
    assert not await Seat.where(Seat.room == "s").using(db).exists()


async def test_an_instance_that_is_read_again_is_as_the_row_and_knows_what_it_read(db: Database) -> None:
    doc = Doc(id=10, text="a")
    await db.save(doc)
    other = await Doc.get(10).using(db)
    assert other is not None
    other.note, other.log = "theirs", ["x"]
    await db.save(other)
    assert doc.model_dump(exclude_unset=True) == {"id": 10, "text": "a"}
    await db.refresh(doc)
    assert (doc, doc.rev) == (other, 2)
    assert doc.model_dump(exclude_unset=True) == doc.model_dump()
    assert not await db.save(doc)
    doc.note = None
    assert await db.save(doc)
    assert doc.rev == 3
    with pytest.raises(StaleRowError):
        await db.save(other.model_copy(update={"text": "b"}))
    await db.refresh(other)
    assert other.note is None
    await db.delete(other)
    with pytest.raises(RowCountError, match="no row"):
        await db.refresh(doc)


async def test_what_stands_after_an_unanswered_save_is_read_at_serial_consistency(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    doc = Doc(id=11, text="a")
    await db.save(doc)
    execute, levels = db.execute, []

    async def unanswered(*args: Any, **options: Any) -> Any:
        levels.append(options.get("consistency"))
        found = await execute(*args, **options)
        if len(levels) == 1:
            raise OutcomeUnknownError("no answer", where="test")
        return found

    monkeypatch.setattr(db, "execute", unanswered)
    doc.text = "b"
    with pytest.raises(OutcomeUnknownError):
        await db.save(doc)
    assert (doc.text, doc.rev) == ("b", 1)
    await db.refresh(doc)
    assert (doc.text, doc.rev, levels[1]) == ("b", 2, db.settings.serial_consistency)
    await db.refresh(doc, consistency=Consistency.ONE)
    assert levels[2] is Consistency.ONE
    doc.text = "c"
    assert await db.save(doc)


async def test_dumps_are_those_of_pydantic_whether_the_row_was_made_or_read(db: Database) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)
    made = Doc(id=12, text="é", at=at, log=["1"])
    await db.save(made)
    read = await Doc.get(12).using(db)
    assert read is not None
    for doc in (made, read):
        assert doc.model_dump() == {"id": 12, "text": "é", "note": None, "at": at, "log": ["1"], "rev": 1}
        assert doc.model_dump(mode="json", exclude={"log"}) == {
            "id": 12,
            "text": "é",
            "note": None,
            "at": "2026-01-02T03:04:05.006000Z",
            "rev": 1,
        }
        assert Doc.model_validate_json(doc.model_dump_json()) == doc
    changed = read.model_copy(update={"text": "copy"})
    assert await db.save(changed)
    assert (changed.rev, read.rev) == (2, 1)
    loaded = Doc.model_validate(made.model_dump())
    with pytest.raises(StaleRowError, match="there already"):
        await db.save(loaded)
    assert loaded.rev == 1
