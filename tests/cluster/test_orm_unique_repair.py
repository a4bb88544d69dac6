"""Claims put right on a real node: what crashes and plain writes left, found both ways, and duplicates told."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from cassorm.errors import SchemaError, UniqueError
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, col
from cassorm.orm.markers import Frozen
from cassorm.orm.model import Model
from cassorm.orm.unique_repair import ClaimCheck, ClaimFinding, repair_unique
from cassorm.orm.user_types import Udt
from tests.cluster.commands import cassorm

pytestmark = pytest.mark.cluster

KEYSPACE = "orm_unique_repair"
AGED = timedelta(microseconds=1)


class Person(Model, table="people"):
    born: PK[date]
    n: CK[int]
    email: Col[str | None] = col(default=None, unique=True)


class Street(Udt):
    name: str


class Odd(Model, unique=[("day", "ratio")]):
    """Keys and values that Python and the server may tell apart differently."""

    day: PK[date]
    at: CK[datetime]
    street: CK[Street]
    ratio: Col[float | None] = col(default=None)
    price: Col[Decimal | None] = col(default=None, unique=True)
    tags: Col[Frozen[set[str]] | None] = col(default=None, unique=True)


DAY = date(2000, 1, 2)
AT = datetime(2000, 1, 2, 3, 4, 5, 6000, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module")
async def opened(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts) as first:
        await first.create_keyspace(KEYSPACE)
        try:
            async with connect(cassandra_hosts, keyspace=KEYSPACE) as found:
                await found.create(Person)
                yield found
        finally:
            await first.ddl(f"DROP KEYSPACE {KEYSPACE}")


@pytest_asyncio.fixture
async def db(opened: Database) -> Database:
    """The database, with each kind of harm done to people 1 to 7, and person 0 well."""
    await opened.cql("TRUNCATE people")
    await opened.cql("TRUNCATE people_by_email_unique")
    claim = "INSERT INTO people_by_email_unique (email, owner, claim, state) VALUES (?, ?, uuid(), ?)"
    people = [Person(born=DAY, n=n, email=f"{n}@x") for n in range(3)]
    for person in people:
        await opened.save(person)
    await opened.cql("DELETE FROM people WHERE born = ? AND n = 1", [DAY])  # a deletion that died
    await opened.cql("UPDATE people_by_email_unique SET state = 'pending' WHERE email = '2@x'")  # an insert that did
    await opened.cql(claim, ["3@x", (DAY, 3), "pending"])  # another, before it wrote the row
    row = "INSERT INTO people (born, n, email) VALUES (?, ?, ?)"
    await opened.cql(row, [DAY, 4, "4@x"])  # a plain write
    await opened.cql(row, [DAY, 5, "0@x"])  # another, of a value that is taken
    await opened.cql(row, [DAY, 6, "6@x"])  # two, of the same value
    await opened.cql(row, [DAY, 7, "6@x"])
    await opened.cql(row, [DAY, 8, None])
    return opened


def seen(found: list[ClaimFinding]) -> Counter[tuple[str, str]]:
    return Counter((each.kind, each.values["email"]) for each in found)


WRONG = Counter(
    [
        ("orphan", "1@x"),
        ("unsettled", "2@x"),
        ("orphan", "3@x"),
        ("unclaimed", "4@x"),
        ("duplicate", "0@x"),
        ("unclaimed", "6@x"),
        ("duplicate", "6@x"),
    ]
)


async def claims(db: Database) -> list[tuple[Any, ...]]:
    return sorted(await db.cql("SELECT email, owner, state FROM people_by_email_unique"))


async def test_a_dry_run_finds_all_that_is_wrong_and_changes_nothing(db: Database) -> None:
    before, found = await claims(db), list[ClaimFinding]()
    done = await repair_unique(db, Person, dry_run=True, grace=AGED, found=found.append)
    assert seen(found) == WRONG
    assert (done.rows, done.claims) == (7, 4)
    assert await claims(db) == before


async def test_a_repair_puts_right_what_can_be_and_reports_duplicates_again(db: Database) -> None:
    found: list[ClaimFinding] = []
    steps: list[int] = []

    def follow(at: ClaimCheck) -> None:
        steps.append(at.ranges_done)

    done = await repair_unique(db, Person, grace=AGED, found=found.append, progress=follow)
    assert seen(found) == WRONG
    assert steps == list(range(done.ranges + 1))
    owners = {email: (owner[1], state) for email, owner, state in await claims(db)}
    sixth = owners.pop("6@x")
    assert owners == {"0@x": (0, "held"), "2@x": (2, "held"), "4@x": (4, "held")}
    assert sixth in ((6, "held"), (7, "held"))
    (taken,) = [each for each in found if each.kind == "duplicate" and each.values["email"] == "0@x"]
    assert (taken.row, taken.owner) == ({"born": DAY, "n": 5}, {"born": DAY, "n": 0})
    again: list[ClaimFinding] = []
    await repair_unique(db, Person, grace=AGED, found=again.append)
    assert seen(again) == Counter([("duplicate", "0@x"), ("duplicate", "6@x")])
    with pytest.raises(UniqueError):
        await db.save(Person(born=DAY, n=9, email="4@x"))
    await db.save(Person(born=DAY, n=9, email="1@x"))


async def test_a_claim_of_a_moment_ago_is_left_to_its_write(db: Database) -> None:
    found: list[ClaimFinding] = []
    await repair_unique(db, Person, found=found.append)
    kinds = seen(found)
    assert (kinds["under way", "3@x"], kinds["under way", "2@x"]) == (1, 1)
    assert {email for email, *_ in await claims(db)} >= {"2@x", "3@x"}


async def test_a_repair_beside_writers_takes_nothing_from_them(db: Database) -> None:
    people = [Person(born=DAY, n=n, email=f"{n}-0") for n in range(100, 110)]
    await asyncio.gather(*map(db.save, people))
    ended = asyncio.Event()

    async def write(person: Person) -> int:
        turn = 0
        while not ended.is_set():
            turn += 1
            person.email = f"{person.n}-{turn}"
            await db.save(person)
        return turn

    writing = [asyncio.create_task(write(person)) for person in people]
    found: list[ClaimFinding] = []
    await repair_unique(db, Person, found=found.append)
    ended.set()
    assert min(await asyncio.gather(*writing)) > 1
    assert not [each for each in found if each.kind == "duplicate" and "-" in each.values["email"]]
    owners = {email: (owner[1], state) for email, owner, state in await claims(db) if "-" in email}
    assert owners == {person.email: (person.n, "held") for person in people}


async def test_every_tenant_has_its_own_claims_and_values_are_told_apart_as_the_server_does(opened: Database) -> None:
    def odd(n: int, **values: Any) -> Odd:
        return Odd(day=DAY, at=AT, street=Street(name=str(n)), **values)

    tenant = f"{KEYSPACE}_2"
    await opened.create_keyspace(tenant)
    try:
        with opened.in_keyspace(tenant):
            await opened.create(Person, Odd)
            await opened.save(Person(born=DAY, n=0, email="0@x"))
            first = odd(1, ratio=float("nan"), price=Decimal("1.00"), tags={"a", "b", "c"})
            await opened.save(first)
            for taken in ({"ratio": float("nan")}, {"price": Decimal("1.00")}, {"tags": {"c", "b", "a"}}):
                with pytest.raises(
                    UniqueError, match=r"day=2000-01-02, at=2000-01-02 03:04:05.006000\+00:00, street=name"
                ):
                    await opened.save(odd(2, **taken))
            await opened.save(odd(2, price=Decimal("1.0")))
            await opened.cql(f"UPDATE {tenant}.odd_by_price_unique SET state = 'pending' WHERE price = 1.00")
            found: list[ClaimFinding] = []
            done = await repair_unique(opened, Odd, grace=AGED, found=found.append)
            assert (done.rows, done.claims) == (2, 4)
            assert [(each.kind, each.owner) for each in found] == [
                ("unsettled", {"day": DAY, "at": AT, "street": Street(name="1")})
            ]
            first.price = None
            await opened.save(first)
            await opened.delete(first)
            assert await opened.cql(f"SELECT * FROM {tenant}.odd_by_tags_unique") == []
    finally:
        await opened.ddl(f"DROP KEYSPACE {tenant}")


async def test_the_command_repairs_a_table_by_its_name(db: Database, cassandra_hosts: list[str]) -> None:
    table = f"{KEYSPACE}.people"
    code, out, err = await cassorm("repair-unique", table, "--dry-run", hosts=cassandra_hosts)
    assert code == 1
    assert "unclaimed  email=4@x  row born=2000-01-02, n=4" in out.splitlines()
    assert "duplicate  email=0@x  row born=2000-01-02, n=5  owner born=2000-01-02, n=0" in out.splitlines()
    assert "nothing was changed" in err
    code, out, err = await cassorm("repair-unique", table, "--json", "--limit", "0", hosts=cassandra_hosts)
    assert code == 1
    assert json.loads(out)["found"] == {"orphan": 1, "unclaimed": 2, "duplicate": 2, "under way": 2}
    assert "2 unclaimed (claimed)" in err
    assert "Give one row of each duplicate another value" in err
    for number in (5, 7, 6):
        await db.cql("DELETE email FROM people WHERE born = ? AND n = ?", [DAY, number])
    await db.cql("DELETE FROM people_by_email_unique WHERE email = '3@x'")
    await db.cql("UPDATE people_by_email_unique SET state = 'held' WHERE email = '2@x'")
    code, _, err = await cassorm("repair-unique", "people", "--keyspace", KEYSPACE, hosts=cassandra_hosts)
    assert (code, "1 orphan (dropped)" in err) == (0, True)
    code, out, err = await cassorm("repair-unique", table, hosts=cassandra_hosts)
    assert (code, out) == (0, "")
    assert err.endswith("every value is claimed by the row that holds it\n")


async def test_a_table_without_unique_columns_is_refused(db: Database, cassandra_hosts: list[str]) -> None:
    class Plain(Model):
        id: PK[int]

    with pytest.raises(SchemaError, match="has no unique columns"):
        await repair_unique(db, Plain)
    code, _, err = await cassorm("repair-unique", f"{KEYSPACE}.people_by_email_unique", hosts=cassandra_hosts)
    assert (code, "does not exist" in err) == (2, True)
