"""Ten thousand values that try to be more than that, through everything that takes one: stored as they are, no more."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cassorm.errors import CassormError, ClusterError, QueryError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.markers import SAI, Frozen
from cassorm.orm.model import Model
from cassorm.orm.page_tokens import PageSecrets
from cassorm.orm.user_types import Udt
from tests.unit.test_orm_bad_input import JUNK
from tests.unit.test_orm_injection import PIECES, odd

pytestmark = pytest.mark.cluster

ROWS, ASKED = 1_000, 60


class Said(Udt):
    text: str
    others: frozenset[str] = frozenset()


class Fuzzed(Model):
    group: PK[str]
    n: CK[int]
    name: CK[str]
    text: Col[str] = col(index=SAI())
    tags: Col[set[str]] = col(default_factory=set, index=SAI())
    log: Col[list[str]] = col(default_factory=list)
    labels: Col[dict[str, str]] = col(default_factory=dict, index=SAI(target="entries"))
    pair: Col[tuple[str, str] | None] = col(default=None)
    said: Col[Said | None] = col(default=None)
    kept: Col[Frozen[list[str]] | None] = col(default=None)


class Victim(Model):
    id: PK[int]
    text: Col[str]


class Word(Model):
    text: PK[str]
    n: Col[int] = col(default=0)


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    keyspace = f"orm_{uuid4().hex[:8]}"
    async with connect(cassandra_hosts) as admin:
        await admin.create_keyspace(keyspace)
        async with connect(cassandra_hosts, keyspace=keyspace) as opened:
            opened.page_secrets = PageSecrets({"k": b"s" * 32}, "k")
            await opened.create(Fuzzed, Victim, Word)
            await opened.insert(Victim(id=1, text="unharmed"))
            yield opened
        await admin.ddl(f"DROP KEYSPACE {keyspace}")


async def tables(db: Database) -> list[tuple[Any, ...]]:
    found = []
    for kind in ("tables", "columns", "types", "indexes", "views"):
        rows = await db.execute(f"SELECT * FROM system_schema.{kind} WHERE keyspace_name = ?", (db.keyspace,))
        found += [(kind, *map(str, row)) for row in rows]
    return found


def text(chance: random.Random) -> str:
    return odd(chance) + chance.choice(PIECES)


def fuzzed(chance: random.Random, n: int) -> Fuzzed:
    return Fuzzed(
        group=f"{n % 7}{text(chance)}",
        n=n,
        name=text(chance),
        text=text(chance),
        tags={text(chance), text(chance)},
        log=[text(chance)],
        labels={text(chance): text(chance)},
        pair=(text(chance), text(chance)),
        said=Said(text=text(chance), others=frozenset([text(chance)])),
        kept=[text(chance)],
    )


def has_surrogates(row: Fuzzed) -> bool:
    return "\\ud800" in ascii(dict(row))


async def test_ten_thousand_values_are_stored_as_they_are_and_nothing_else_happens(db: Database) -> None:
    chance = random.Random(4)
    before = await tables(db)
    sent = [fuzzed(chance, n) for n in range(ROWS)]
    written = await db.insert_many(sent)
    for row, found in zip(sent, written, strict=True):
        assert isinstance(found.error, QueryError) if has_surrogates(row) else found.error is None, row
    stored = {row.n: row for row in sent if not has_surrogates(row)}
    assert len(stored) > ROWS // 3
    assert {row.n: row async for row in Fuzzed.scan(parallel=4).using(db)} == stored

    async with db:
        for row in chance.sample(list(stored.values()), ASKED):
            key = (Fuzzed.group == row.group, Fuzzed.n == row.n, Fuzzed.name == row.name)
            (tag, *_), ((label, value),) = row.tags, row.labels.items()
            assert await Fuzzed.where(*key).one() == row
            assert await Fuzzed.where(*key[:2], Fuzzed.name.in_([row.name, "'"])).all() == [row]
            assert row in await Fuzzed.where(Fuzzed.text == row.text).all()
            assert row in await Fuzzed.where(Fuzzed.tags.contains(tag)).all()
            assert row in await Fuzzed.where(Fuzzed.labels[label] == value).all()
            assert row in (await Fuzzed.where(Fuzzed.group == row.group).page(50)).items
            assert row in await db.cql("SELECT * FROM fuzzed WHERE group = ?", [row.group], into=Fuzzed)
            other = next(each for each in (text(chance) for _ in range(99)) if "\ud800" not in each)
            changes = Fuzzed.update(
                Fuzzed.text.set(other),
                Fuzzed.labels[other].set(other),
                Fuzzed.tags.add(other),
                Fuzzed.log.append(other),
            )
            assert not await changes.where(*key).only_if(Fuzzed.text == row.text + "'")
            assert await changes.where(*key).only_if(Fuzzed.text == row.text, Fuzzed.kept == row.kept)
            row.text, row.labels[other] = other, other
            row.tags.add(other)
            row.log.append(other)
            async with db.batch() as batch:
                batch.add(Fuzzed.update(Fuzzed.labels.drop(label), Fuzzed.tags.remove(tag)).where(*key))
            row.labels.pop(label)
            row.tags.discard(tag)
            assert await Fuzzed.get(row.group, row.n, row.name) == row.model_copy(
                update={"labels": {} if label == other else row.labels, "tags": row.tags}
            )
    assert await tables(db) == before
    assert [row async for row in Victim.scan().using(db)] == [Victim(id=1, text="unharmed")]
    assert len([row async for row in Fuzzed.scan().using(db)]) == len(stored)


async def test_keys_that_are_empty_or_too_long_are_refused_in_words(db: Database) -> None:
    for key, problem in (("", "Key may not be empty"), ("x" * 70_000, "longer than maximum")):
        with pytest.raises(ClusterError, match=problem):
            await db.insert(Word(text=key))
        with pytest.raises(ClusterError, match=problem):
            await Word.get(key).using(db)


async def test_tokens_of_pages_and_scans_that_nobody_gave_are_refused(db: Database) -> None:
    chance = random.Random(5)
    query = Fuzzed.where(Fuzzed.group == "a").using(db)
    for _ in range(500):
        junk = text(chance)
        with pytest.raises(CassormError):
            await query.page(5, junk)
        with pytest.raises(CassormError):
            Fuzzed.scan(resume=junk)


async def awaited(what: Any) -> Any:
    return await what


async def test_whatever_a_database_is_given_it_answers_with_an_error_of_ours(db: Database) -> None:
    given: Any = db
    victim: Any = Victim
    calls: dict[str, Callable[[Any], Awaitable[Any]]] = {
        "insert": given.insert,
        "insert ttl": lambda junk: given.insert(Word(text="a"), ttl=junk),
        "insert timeout": lambda junk: given.insert(Word(text="a"), timeout=junk),
        "insert consistency": lambda junk: given.insert(Word(text="a"), consistency=junk),
        "save": given.save,
        "delete": given.delete,
        "refresh": given.refresh,
        "create": given.create,
        "insert_many": given.insert_many,
        "insert_many each": lambda junk: given.insert_many([junk]),
        "insert_many at once": lambda junk: given.insert_many([Word(text="a")], concurrency=junk),
        "get_many": lambda junk: given.get_many(Word, junk),
        "get_many each": lambda junk: given.get_many(Word, [junk]),
        "get_many of": lambda junk: given.get_many(junk, ["a"]),
        "related": lambda junk: given.related(Word.where(), Word.text, junk),
        "related by": lambda junk: given.related(Word.where(), junk, ["a"]),
        "related of": lambda junk: given.related(junk, Word.text, ["a"]),
        "cql": lambda junk: awaited(given.cql(junk)),
        "cql values": lambda junk: awaited(given.cql("SELECT * FROM word WHERE text = ?", junk)),
        "cql value": lambda junk: awaited(given.cql("SELECT * FROM word WHERE text = ?", [junk])),
        "cql into": lambda junk: awaited(given.cql("SELECT * FROM word", into=junk)),
        "get": lambda junk: awaited(victim.get(junk).using(given)),
        "using": lambda junk: awaited(victim.get(1).using(junk)),
        "page": lambda junk: victim.where(victim.id == 1).using(given).page(junk),
        "page token": lambda junk: victim.where(victim.id == 1).using(given).page(5, junk),
        "page size": lambda junk: victim.where(victim.id == 1).using(given, page_size=junk).all(),
        "timeout": lambda junk: victim.where(victim.id == 1).using(given, timeout=junk).all(),
        "execute": given.execute,
        "prepare": given.prepare,
        "load_schema": lambda junk: given.load_schema(junk, {"fields": {"id": "int"}, "key": ["id"]}, create=False),
        "load_schema of": lambda junk: given.load_schema("x", junk, create=False),
        "create_keyspace": lambda junk: given.create_keyspace(junk if junk != "" else None, 0),
    }
    wrong = []
    for name, call in calls.items():
        for junk in JUNK:
            try:
                await call(junk)
            except Exception as error:
                if not isinstance(error, CassormError):
                    wrong.append((name, junk, error))
    assert wrong == []
    assert [row async for row in Victim.scan().using(db)] == [Victim(id=1, text="unharmed")]


async def test_names_of_a_loaded_schema_are_refused_before_anything_is_sent(db: Database) -> None:
    chance = random.Random(6)
    before = await tables(db)
    refused = 0
    for _ in range(300):
        name = text(chance)
        try:
            await db.load_schema("fuzzed_2", {"fields": {"id": "int", name: "text"}, "key": ["id"]}, create=False)
        except CassormError:
            refused += 1
            with pytest.raises(CassormError):
                await db.load_schema("fuzzed_2", {"fields": {"id": "int", name: "text"}, "key": ["id"]})
    assert refused > 100
    assert await tables(db) == before
