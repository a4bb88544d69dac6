"""Unique columns on a real node: one owner for each value, whatever runs at once and wherever a writer dies."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from cassorm.errors import (
    ClaimPendingError,
    OutcomeUnknownError,
    QueryError,
    StaleRowError,
    UnavailableError,
    UniqueError,
)
from cassorm.orm.database import Database, connect
from cassorm.orm.fields import CK, PK, Col, Version, col
from cassorm.orm.model import Model
from cassorm.orm.model_plan import plan_of
from cassorm.orm.unique import Claims
from tests.cluster.claimant import Account

pytestmark = pytest.mark.cluster

KEYSPACE = "orm_unique"
GRACE = timedelta(seconds=1)
NUMBERS = count(1)


class Member(Model, unique=[("tenant", "login")]):
    tenant: PK[str]
    n: CK[int]
    login: Col[str]
    email: Col[str | None] = col(name="mail", default=None, unique=True)
    rev: Version[int] = col(default=0)


class Dies(BaseException):
    """The end of a process: nothing that handles errors runs, nothing is cleaned up."""


class Statements:
    """What a test does to the statements of one task, counted from 0: `at[2]` is called instead of sending the third."""

    current: ContextVar["Statements | None"] = ContextVar("statements", default=None)

    def __init__(self, at: dict[int, Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]]) -> None:
        self.at = at
        self.seen: list[str] = []


@contextmanager
def meddling(**at: Any) -> Iterator[Statements]:
    made = Statements({int(name.removeprefix("at_")): act for name, act in at.items()})
    token = Statements.current.set(made)
    try:
        yield made
    finally:
        Statements.current.reset(token)


async def dies(_: Any) -> None:
    raise Dies


async def goes_unanswered(send: Callable[[], Awaitable[Any]]) -> None:
    await send()
    raise OutcomeUnknownError("no answer", where="test")


@pytest_asyncio.fixture(scope="module")
async def db(cassandra_hosts: list[str]) -> AsyncIterator[Database]:
    async with connect(cassandra_hosts) as opened:
        await opened.create_keyspace(KEYSPACE)
        try:
            async with connect(cassandra_hosts, keyspace=KEYSPACE) as found:
                await found.create(Account, Member)
                execute = found.execute

                async def execute_or_not(statement: Any, *args: Any, **options: Any) -> Any:
                    meddled = Statements.current.get()
                    if meddled is None:
                        return await execute(statement, *args, **options)
                    act = meddled.at.get(len(meddled.seen))
                    meddled.seen.append(statement.text.split()[0])
                    if act is None:
                        return await execute(statement, *args, **options)
                    return await act(lambda: execute(statement, *args, **options))

                found.execute = execute_or_not  # type: ignore[method-assign]
                yield found
        finally:
            await opened.ddl(f"DROP KEYSPACE {KEYSPACE}")


@pytest.fixture
def brief(db: Database) -> Iterator[None]:
    """A short grace, for the test."""
    usual, db.claim_grace = db.claim_grace, GRACE
    yield
    db.claim_grace = usual


@contextmanager
def grace_is_over(db: Database) -> Iterator[None]:
    usual, db.claim_grace = db.claim_grace, GRACE
    yield
    db.claim_grace = usual


async def aged() -> None:
    """Wait until what was claimed before is older than the short grace."""
    await asyncio.sleep(GRACE.total_seconds() * 1.05)


def new(email: str | None = None) -> Account:
    return Account(id=next(NUMBERS), email=email)


def fresh() -> str:
    return f"{next(NUMBERS)}@example.com"


async def stored(db: Database, email: str | None = None, **options: Any) -> Account:
    account = Account(id=next(NUMBERS), email=email or fresh(), **options)
    await db.save(account)
    return account


async def holders(db: Database, email: str) -> list[int]:
    text = "SELECT id FROM account WHERE email = ? ALLOW FILTERING"
    return sorted(row[0] for row in await db.cql(text, [email]))


async def claim(db: Database, email: str | None) -> tuple[int, str] | None:
    found = await db.cql("SELECT owner, state FROM account_by_email_unique WHERE email = ?", [email])
    return (found[0][0][0], found[0][1]) if found else None


async def test_a_value_that_a_row_holds_is_refused_to_others_with_the_owner_and_without_the_value(db: Database) -> None:
    first = await stored(db, name="first")
    assert await claim(db, first.email) == (first.id, "held")
    for write in (db.save, lambda row: db.insert(row, if_not_exists=True)):
        with pytest.raises(UniqueError, match=r"Account.email: the row id=\d+ holds this value. Give another") as taken:
            await write(new(first.email))
        assert (taken.value.columns, taken.value.owner) == (("email",), {"id": first.id})
        assert str(first.email) not in str(taken.value)
        assert not isinstance(taken.value, ClaimPendingError)
    assert await holders(db, str(first.email)) == [first.id]


async def test_rows_without_a_value_are_not_unique_and_an_empty_one_is_refused(db: Database) -> None:
    rows = [new(), new()]
    for row in rows:
        await db.save(row)
    assert await db.get_many(Account, [row.id for row in rows]) == rows
    with pytest.raises(QueryError, match=r"Account.email: an empty value.*None for no value"):
        await db.save(new(""))


async def test_a_changed_value_is_claimed_and_the_old_one_free(db: Database) -> None:
    account = await stored(db)
    old, account.email = account.email, fresh()
    assert await db.save(account)
    assert (await claim(db, account.email), await claim(db, old)) == ((account.id, "held"), None)
    account.name = "x"
    with meddling() as statements:
        await db.save(account)
    assert statements.seen == ["UPDATE"]
    other = await stored(db, old)
    other.email = account.email
    with pytest.raises(UniqueError):
        await db.save(other)
    assert await Account.get(other.id).using(db) == Account(id=other.id, email=old)
    kept, account.email = account.email, None
    await db.save(account)
    other.email = kept
    assert await db.save(other)


async def test_a_deleted_row_frees_its_value(db: Database) -> None:
    account = await stored(db)
    held = account.email
    account.email = "changed, not saved"
    assert await db.delete(account)
    assert await claim(db, held) is None
    again = await stored(db, held)
    assert not await db.delete(Account(id=-1, email="x"))
    with pytest.raises(StaleRowError):
        await db.delete(Account(id=again.id, email="x"))
    assert await claim(db, held) == (again.id, "held")
    without = new()
    await db.save(without)
    assert await db.delete(without)


async def test_what_claims_and_is_not_written_leaves_no_claim(db: Database) -> None:
    account, email = await stored(db), fresh()
    assert not await db.insert(Account(id=account.id, email=email), if_not_exists=True)
    assert await claim(db, email) is None
    assert not await db.insert(Account(id=account.id, email=account.email), if_not_exists=True)
    assert await claim(db, account.email) == (account.id, "held")
    first, second = [await Account.get(account.id).using(db) for _ in range(2)]
    assert first
    assert second
    first.email, second.email = fresh(), fresh()
    await db.save(first)
    with pytest.raises(StaleRowError):
        await db.save(second)
    assert [await claim(db, email) for email in (second.email, account.email)] == [None, None]


async def test_several_columns_are_unique_together_and_each_constraint_holds(db: Database) -> None:
    first = Member(tenant="a", n=1, login="ada", email="ada@a")
    await db.save(first)
    await db.save(Member(tenant="b", n=1, login="ada", email="ada@b"))
    with pytest.raises(UniqueError, match=r"Member.tenant, login: the row tenant=a, n=1 holds"):
        await db.save(Member(tenant="a", n=2, login="ada", email="free"))
    with pytest.raises(UniqueError, match=r"Member.email: the row tenant=b, n=1 holds"):
        await db.save(Member(tenant="a", n=2, login="bob", email="ada@b"))
    await db.save(Member(tenant="a", n=2, login="bob", email="free"))
    first.login = "bob"
    with pytest.raises(UniqueError, match=r"Member.tenant, login"):
        await db.save(first)
    assert first.rev == 1
    first.login, first.email = "zoe", "zoe@a"
    await db.save(first)
    await db.save(Member(tenant="a", n=3, login="ada", email="ada@a"))
    await db.delete(first)
    await db.save(Member(tenant="a", n=4, login="zoe", email="zoe@a"))


async def test_of_many_tasks_that_want_one_value_one_gets_it(db: Database) -> None:
    for _ in range(5):
        email = fresh()
        done = await asyncio.gather(*(db.save(new(email)) for _ in range(12)), return_exceptions=True)
        assert [each for each in done if not isinstance(each, UniqueError)] == [True]
        assert len(await holders(db, email)) == 1


async def child(hosts: list[str], *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.claimant", ",".join(hosts), KEYSPACE, *map(str, arguments)),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def test_of_two_processes_that_want_the_same_values_each_value_goes_to_one(
    db: Database, cassandra_hosts: list[str]
) -> None:
    values = [fresh() for _ in range(40)]
    orders = (values, values[::-1])
    racers = [await child(cassandra_hosts, "race", 10_000 * n, *order) for n, order in enumerate(orders, 1)]
    for racer in racers:
        assert racer.stdout
        assert await racer.stdout.readline() == b"ready\n"
    got = [json.loads(out) for out, _ in await asyncio.gather(*(racer.communicate(b"go\n") for racer in racers))]
    assert sorted(got[0] + got[1]) == sorted(values)
    assert got[0]
    assert got[1]
    assert {len(await holders(db, value)) for value in values} == {1}


async def test_with_claims_off_two_rows_get_one_value(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_of(Account), "unique", ())
    email = fresh()
    rows = [await stored(db, email), await stored(db, email)]
    assert await holders(db, email) == [row.id for row in rows]


# Where a writer dies: before which statement, and what becomes of the new value when another row wants it - at once, and
# when the grace is over.
INSERT = [("free", "free"), ("pending", "free"), ("taken", "taken"), ("taken", "taken")]
CHANGE = [("free", "free"), ("free", "free"), ("pending", "free"), ("taken", "taken"), ("taken", "taken")]


async def wanted(db: Database, email: str) -> str:
    """What another row that wants the value is told; `free` when it gets it."""
    assert len(await holders(db, email)) <= 1
    try:
        await stored(db, email)
    except ClaimPendingError:
        return "pending"
    except UniqueError:
        return "taken"
    finally:
        assert len(await holders(db, email)) <= 1
    return "free"


async def crashed_insert(db: Database, step: int) -> str:
    email = fresh()
    with meddling(**{f"at_{step}": dies}):
        try:
            await db.save(new(email))
        except Dies:
            return email
    assert step == len(INSERT) - 1
    return email


async def crashed_change(db: Database, step: int) -> tuple[str, str]:
    account = await stored(db)
    old, account.email = str(account.email), fresh()
    with meddling(**{f"at_{step}": dies}):
        try:
            await db.save(account)
        except Dies:
            return old, account.email
    raise AssertionError(step)


async def test_an_insert_that_died_anywhere_never_gives_a_value_two_owners(db: Database) -> None:
    emails = await asyncio.gather(*(crashed_insert(db, step) for step in range(len(INSERT))))
    at_once = await asyncio.gather(*(wanted(db, email) for email in emails))
    assert at_once == [before for before, _ in INSERT]
    await aged()
    with grace_is_over(db):
        later = await asyncio.gather(*(wanted(db, email) for email in emails[1:]))
    assert later == [after for _, after in INSERT[1:]]


async def test_a_change_that_died_anywhere_never_gives_the_new_or_the_old_value_two_owners(db: Database) -> None:
    # Statements: look at the old claim, take the new one, write the row, settle, drop the old one.
    pairs = await asyncio.gather(*(crashed_change(db, step) for step in range(len(CHANGE))))
    assert await asyncio.gather(*(wanted(db, new) for _, new in pairs)) == [before for before, _ in CHANGE]
    # The row holds the old value until it is written, and then nobody does: its claim is held, and free at once.
    assert await asyncio.gather(*(wanted(db, old) for old, _ in pairs)) == ["taken"] * 3 + ["free"] * 2
    await aged()
    with grace_is_over(db):
        later = await asyncio.gather(*(wanted(db, new) for _, new in pairs[2:]))
    assert later == [after for _, after in CHANGE[2:]]


async def test_a_deletion_that_died_leaves_the_value_to_the_row_or_to_whoever_wants_it(db: Database) -> None:
    async def crashed(step: int) -> str:
        account = await stored(db)
        with meddling(**{f"at_{step}": dies}), pytest.raises(Dies):
            await db.delete(account)
        return str(account.email)

    emails = await asyncio.gather(*(crashed(step) for step in range(3)))
    assert await asyncio.gather(*(wanted(db, email) for email in emails)) == ["taken", "taken", "free"]


async def test_processes_that_are_killed_in_the_middle_leave_what_others_can_take(
    db: Database, cassandra_hosts: list[str]
) -> None:
    changed, deleted = await stored(db), await stored(db)
    claimed, written, other = fresh(), fresh(), fresh()
    children = [
        await child(cassandra_hosts, "insert", next(NUMBERS), claimed, 1),
        await child(cassandra_hosts, "insert", next(NUMBERS), written, 2),
        await child(cassandra_hosts, "change", changed.id, other, 4),
        await child(cassandra_hosts, "delete", deleted.id, 2),
    ]
    assert await asyncio.gather(*(each.wait() for each in children)) == [-9] * 4
    emails = [claimed, written, other, str(changed.email), str(deleted.email)]
    assert [await wanted(db, email) for email in emails] == ["pending", "taken", "taken", "free", "free"]
    await aged()
    with grace_is_over(db):
        assert await wanted(db, claimed) == "free"


async def test_the_row_that_was_being_written_may_be_written_again_at_once(db: Database) -> None:
    account = new(fresh())
    with meddling(at_0=goes_unanswered), pytest.raises(UnavailableError, match="the row was not written"):
        await db.save(account)
    assert await db.save(account)
    lost = new(fresh())
    with meddling(at_1=goes_unanswered), pytest.raises(OutcomeUnknownError):
        await db.save(lost)
    assert await wanted(db, str(lost.email)) == "taken"
    with pytest.raises(StaleRowError, match="there already"):
        await db.save(lost)
    await db.refresh(lost)
    assert await holders(db, str(lost.email)) == [lost.id]
    # Shared by two writes: settled by neither, and dropped when both must have ended.
    assert await claim(db, lost.email) == (lost.id, "pending")
    await aged()
    with grace_is_over(db):
        await db.delete(lost)
    assert await claim(db, lost.email) is None


async def test_a_claim_that_another_write_of_the_row_may_still_rely_on_is_not_dropped(db: Database) -> None:
    """Of two writes of one row, the one that was overtaken lands after the other's value was freed."""
    account, email, rival = await stored(db), fresh(), new()
    rival.email = email
    seen: list[str] = []

    async def overtaken(send: Callable[[], Awaitable[Any]]) -> Any:
        with meddling():
            again = await Account.get(account.id).using(db)
            assert again
            again.email = email
            await db.save(again)
            await db.delete(again)
            seen.append(await wanted(db, email))
        return await send()

    mine = Account(id=account.id, email=email)
    with meddling(at_1=overtaken):
        await db.save(mine)
    assert seen == ["pending"]
    assert await holders(db, email) == [account.id]


@pytest.mark.usefixtures("brief")
async def test_a_writer_that_was_stopped_claims_again_before_it_writes(db: Database) -> None:
    async def stops(send: Callable[[], Awaitable[Any]]) -> Any:
        found = await send()
        await asyncio.sleep(GRACE.total_seconds() * 0.6)
        return found

    account = new(fresh())
    with meddling(at_0=stops) as statements:
        await db.save(account)
    assert statements.seen[:4] == ["INSERT", "SELECT", "DELETE", "INSERT"]
    assert await claim(db, account.email) == (account.id, "held")


@pytest.mark.usefixtures("brief")
async def test_a_writer_that_lost_its_claim_in_the_moment_of_sending_takes_its_row_back(db: Database) -> None:
    email, owners = fresh(), []

    async def stops(send: Callable[[], Awaitable[Any]]) -> Any:
        await aged()
        with meddling():
            owners.append((await stored(db, email)).id)
        return await send()

    with meddling(at_1=stops), pytest.raises(UniqueError, match=r"holds this value"):
        await db.save(new(email))
    assert await holders(db, email) == owners
    changed, email = await stored(db), fresh()
    old, changed.email = changed.email, email
    with meddling(at_2=stops), pytest.raises(UniqueError, match=r"both hold it now.*repair-unique"):
        await db.save(changed)
    assert await holders(db, email) == sorted([changed.id, owners[1]])
    assert await claim(db, old) == (changed.id, "held")


async def test_what_writes_without_an_instance_is_refused_with_what_to_use(db: Database) -> None:
    account = await stored(db)
    with pytest.raises(QueryError, match=r"Account.email: update\(\) of a unique column.*db.save"):
        Account.update(Account.email.set("x"))
    with pytest.raises(QueryError, match=r"Account.email: delete\(\) of a unique column.*None"):
        Account.delete(Account.email)
    with pytest.raises(QueryError, match=r"delete\(\) of rows with unique columns.*db.delete"):
        Account.delete()
    with pytest.raises(QueryError, match=r"a batched insert.*insert_many"):
        db.batch().insert(account, if_not_exists=True)
    with pytest.raises(QueryError, match="plain insert"):
        await db.insert(new(fresh()))
    assert await Account.update(Account.name.set("y")).where(Account.id == account.id).if_exists().using(db)
    done = await db.insert_many([new(account.email), new(fresh())], if_not_exists=True)
    assert [type(each.error) for each in done] == [UniqueError, type(None)]


async def test_no_value_has_two_rows_and_no_row_lacks_its_claim_when_writers_die_and_answers_are_lost(
    db: Database,
) -> None:
    """Few rows, few values, and writers that are delayed, die or learn no outcome at any statement."""
    dice = Random(6)
    ids = [next(NUMBERS) for _ in range(5)]

    async def late(send: Callable[[], Awaitable[Any]]) -> Any:
        await asyncio.sleep(dice.random() * 0.03)
        return await send()

    async def write(number: int, email: str | None) -> None:
        found = await Account.get(number).using(db)
        acts = {f"at_{n}": dice.choice([dies, goes_unanswered, late, late]) for n in range(6) if dice.random() < 0.3}
        with meddling(**acts), suppress(UniqueError, StaleRowError, OutcomeUnknownError, UnavailableError, Dies):
            if found is None:
                await db.insert(Account(id=number, email=email), if_not_exists=True)
            elif dice.random() < 0.4:
                await db.delete(found)
            else:
                found.email = email
                await db.save(found)

    outcomes: Counter[str] = Counter()
    for turn in range(30):
        if turn % 6 == 0:  # what died left values that nobody gets for a minute
            emails = [fresh() for _ in range(3)]
        await asyncio.gather(*(write(dice.choice(ids), dice.choice(emails)) for _ in range(6)))
        rows = [row for row in await db.get_many(Account, ids) if row is not None and row.email is not None]
        held = {row.email: row.id for row in rows}
        assert len(held) == len(rows)
        for email, number in held.items():
            found = await claim(db, email)
            assert found is not None
            assert found[0] == number
            outcomes[found[1]] += 1
    assert outcomes["held"]
    assert outcomes["pending"]


async def test_when_young_claims_could_be_taken_two_rows_would_get_one_value(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the grace is for: without it a claim is stolen between the claiming and the writing, and a crash leaves two."""

    async def overtaken(send: Callable[[], Awaitable[Any]]) -> Any:
        with meddling():
            await stored(db, mine.email)
        return await send()

    mine = new(fresh())
    with meddling(at_1=overtaken, at_2=dies), pytest.raises(ClaimPendingError):
        await db.save(mine)
    monkeypatch.setattr(Claims, "is_young", lambda *_: False)
    mine = new(fresh())
    with meddling(at_1=overtaken, at_2=dies), pytest.raises(Dies):
        await db.save(mine)
    assert len(await holders(db, str(mine.email))) == 2


@pytest.mark.parametrize("form", ["dict", "yaml"])
async def test_a_loaded_schema_keeps_columns_unique_as_well(db: Database, tmp_path: Path, form: str) -> None:
    schema = {"fields": {"id": "int", "email": "text", "class": "text"}, "key": ["id"], "unique": ["email", "class"]}
    source: Any = {**schema, "name": "loaded"}
    if form == "yaml":
        source = tmp_path / "loaded.yaml"
        source.write_text(json.dumps({**schema, "name": "loaded"}))
    loaded: Any = await db.load_schema("loaded", source)
    value = fresh()
    await db.save(loaded(id=next(NUMBERS), email=value, class_=f"c{value}"))
    with pytest.raises(UniqueError, match="email"):
        await db.save(loaded(id=next(NUMBERS), email=value))
    with pytest.raises(UniqueError, match="class_"):
        await db.save(loaded(id=next(NUMBERS), class_=f"c{value}"))
    assert await db.create(loaded) == []
