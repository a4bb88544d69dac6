"""`cassorm projections` on a real node: workers as processes, and what operators ask of them."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cassorm import CassandraEventStore, Database
from cassorm.errors import SubscriptionError
from cassorm.events.event_index import SUBSCRIPTION
from cassorm.events.parking import Parking
from cassorm.events.position import shard_of
from cassorm.events.subscription import Parked, Subscription
from tests.cluster.commands import run
from tests.cluster.test_feed_worker import working

pytestmark = pytest.mark.cluster

MODULE = """
from pathlib import Path
from uuid import UUID

from cassorm import PK, Col, Event, Recorded
from cassorm.events.subscription import Subscription
from cassorm.projections.mapping import map_from_event
from cassorm.projections.read_model import ReadModel


class Booked(Event, name="cli.Booked"):
    guest: str


class Moved(Event, name="cli.Moved"):
    to: str


class Stay(ReadModel, table="stays", aggregate="Stay"):
    stay_id: PK[UUID]
    guest: Col[str] = map_from_event(Booked)
    room: Col[str | None] = map_from_event(Moved, "to", default=None)


BROKEN = Path(__file__).with_name("broken")
SENT = Path(__file__).with_name("sent")


async def mail(recorded: Recorded) -> None:
    if BROKEN.exists():
        raise RuntimeError("the mail server says no\\nand says it twice")
    with SENT.open("a") as file:
        file.write(f"{recorded.stream} {recorded.version}\\n")


mailer = Subscription("mailer", mail, attempts=1)
"""


class Place:
    """A module of projections, and the store that feeds them."""

    def __init__(self, folder: Path, store: CassandraEventStore, hosts: list[str]) -> None:
        self.folder = folder
        self.store = store
        self.common = ["--keyspace", store.keyspace, "--hosts", ",".join(hosts)]
        self.events: Any = None

    async def call(self, *arguments: str) -> tuple[int, str, str]:
        return await asyncio.to_thread(run, ["projections", *arguments, *self.common])

    @contextlib.asynccontextmanager
    async def running(self, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cassorm", "projections", "run", "hotel", *options),
            *self.common,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()

    async def told(self, stream: UUID, version: int, *, timeout_s: float = 60) -> None:
        """Return when the mailer has told of an event."""
        async with asyncio.timeout(timeout_s):
            while f"{stream} {version}" not in self.sent:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)

    @property
    def sent(self) -> list[str]:
        file = self.folder / "sent"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def broken(self) -> Path:
        return self.folder / "broken"


@pytest_asyncio.fixture(scope="module")
async def place(
    cassorm_session: Database, cassandra_hosts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("hotel")
    (folder / "hotel.py").write_text(MODULE)
    sys.path.insert(0, str(folder))
    name = f"cassorm_hotel_{uuid4().hex[:8]}"
    async with CassandraEventStore(cassorm_session, keyspace=name, shards=2, replication=1) as store:
        await store.index.create()
        made = Place(folder, store, cassandra_hosts)
        import hotel  # type: ignore[import-not-found]  # noqa: PLC0415 - written above

        made.events = hotel
        yield made
    sys.path.remove(str(folder))
    await cassorm_session.ddl(f"DROP KEYSPACE {name}")


@pytest.fixture(autouse=True)
def mended(place: Place) -> Iterator[None]:
    place.broken.unlink(missing_ok=True)
    yield
    place.broken.unlink(missing_ok=True)


async def book(place: Place, guest: str = "Ada") -> UUID:
    stream = uuid4()
    events = [place.events.Booked(guest=guest), place.events.Moved(to="12")]
    await place.store.append(stream, events, aggregate_type="Stay")
    return stream


async def test_what_cannot_be_handled_is_parked_listed_and_replayed_in_order(place: Place) -> None:
    place.broken.touch()
    async with working(place.store, place.events.mailer):
        stream = await book(place)
        shard = shard_of(stream, place.store.settings.shards)
        async with asyncio.timeout(30):
            while await place.store.feed.parked("mailer", shard, stream) is None:  # noqa: ASYNC110 - a worker parks it
                await asyncio.sleep(0.02)
    listed = json.loads((await place.call("parked", "mailer", "--json"))[1])
    assert [(one["stream"], one["version"], one["attempts"]) for one in listed] == [
        (str(stream), 1, 1),
        (str(stream), 2, 0),
    ]
    assert listed[0]["error"].startswith("RuntimeError: the mail server says no")
    assert listed[1]["error"] == "held back behind version 1, which is parked"
    code, out, err = await place.call("parked")
    assert (code, err) == (1, "2 parked events\n")
    assert "RuntimeError: the mail server says no and says it twice" in out

    code, out, err = await place.call("replay-parked", "mailer", "--module", "hotel")
    assert code == 1
    assert "0 events handled, 1 stream still parked" in err
    assert json.loads((await place.call("parked", "mailer", "--json"))[1])[0]["attempts"] == 2
    place.broken.unlink()
    assert (await place.call("replay-parked", "mailer", "-m", "hotel", "--stream", str(uuid4())))[0] == 0
    code, out, err = await place.call("replay-parked", "mailer", "-m", "hotel", "--stream", str(stream), "--json")
    assert (code, json.loads(out)) == (0, {"handled": 2, "failed": []})
    assert place.sent[-2:] == [f"{stream} 1", f"{stream} 2"]
    assert (await place.call("parked", "mailer"))[0] == 0


async def test_a_stream_is_replayed_in_order_while_a_worker_goes_on(place: Place) -> None:
    store = place.store
    place.broken.touch()
    ended = asyncio.Event()
    stream = await book(place)
    version = 2

    async def go_on() -> None:
        nonlocal version
        while not ended.is_set():
            version = (await store.append(stream, [place.events.Moved(to=str(version))])).version
            await asyncio.sleep(0.01)

    async with working(store, place.events.mailer):
        writing = asyncio.create_task(go_on())
        shard = shard_of(stream, store.settings.shards)
        async with asyncio.timeout(30):
            while await store.feed.parked("mailer", shard, stream) is None or version < 10:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            place.broken.unlink()
            done = await Parking(store).replay(place.events.mailer, stream)
            assert done.failed == []
            assert done.handled >= 1
            upto = version + 5
            while version < upto:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            ended.set()
            await writing
        await place.told(stream, version)
    told = [int(line.split()[1]) for line in place.sent if line.startswith(str(stream))]
    assert list(dict.fromkeys(told)) == list(range(1, version + 1))
    assert [event async for event in Parking(store).parked("mailer", stream)] == []


async def test_what_was_left_out_of_totals_is_not_replayed(place: Place) -> None:
    sums = Subscription("sums", place.events.mail, takes="windows")
    with pytest.raises(SubscriptionError, match="build it anew: cassorm projections rebuild"):
        await Parking(place.store).replay(sums)


async def test_a_parked_event_that_is_gone_stays_parked_and_says_so(place: Place) -> None:
    stream = uuid4()
    shard = shard_of(stream, place.store.settings.shards)
    await place.store.feed.park(shard, Parked("mailer", stream, 1, "cli.Booked", 17, "planted", 5))
    done = await Parking(place.store).replay(place.events.mailer, stream)
    assert [(one.stream, one.attempts) for one in done.failed] == [(stream, 6)]
    assert "is not there any more. See what is missing: cassorm events audit" in done.failed[0].error
    await place.store.feed.unpark("mailer", shard, stream, 1)


async def test_a_paused_subscription_waits_and_a_reset_one_begins_again(place: Place) -> None:
    feed = place.store.feed
    async with working(place.store, place.events.mailer):
        await place.told(await book(place), 2)
        code, _, err = await place.call("pause", "mailer")
        assert (code, err) == (0, "mailer is paused; go on with: cassorm projections resume mailer\n")
        async with asyncio.timeout(20):
            while any(one.owner for one in (await feed.checkpoints("mailer", range(2))).values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        waiting = await book(place)
        code, out, _ = await place.call("status")
        assert code == 0, "paused is no alarm"
        assert next(line.split() for line in out.splitlines() if line.startswith("mailer"))[1:3] == ["paused", "0/2"]
        assert f"{waiting} 1" not in place.sent
        assert (await place.call("resume", "mailer"))[0] == 0
        await place.told(waiting, 2)
        code, _, err = await place.call("reset", "mailer")
        assert code == 2
        assert "every event would be handled again, with all that its handler does. Add --yes" in err
        before = place.sent
        assert (await place.call("reset", "mailer", "--yes"))[0] == 0
        async with asyncio.timeout(30):
            while not set(before) <= set(place.sent[len(before) :]):  # noqa: ASYNC110 - a worker writes it
                await asyncio.sleep(0.02)


async def test_two_processes_carry_what_a_module_holds_until_a_signal_ends_them(place: Place) -> None:
    before = await book(place)
    async with place.running("--workers", "2") as process:
        await place.told(before, 2)
        for _ in range(5):  # who is slow may give no sign of life between the two looks
            code, out, err = await place.call("status", "hotel", "--json")
            if code == 0:
                break
        assert code == 0, err
        found = {one["subscription"]: one for one in json.loads(out)}
        assert set(found) == {"stays@1", "mailer", SUBSCRIPTION}
        for one in found.values():
            assert (one["shards"], one["carried"], one["scanned"], one["parked"]) == (2, 2, 1.0, 0)
            assert one["workers"] in (1, 2)
            assert one["without_owner"] == []
        os.kill(children(process.pid)[0], signal.SIGKILL)
        assert process.stderr is not None
        seen = b""
        async with asyncio.timeout(60):
            while seen.count(b" carries ") < 3:
                seen += await process.stderr.readline()
        after = await book(place, "Bob")
        await place.told(after, 2)
        process.send_signal(signal.SIGTERM)
        _, rest = await process.communicate()
    assert b"ended with exit code -9; another one is started" in seen
    assert process.returncode == 0, (seen + rest).decode()
    assert (seen + rest).decode().count("has handed over") == 2
    rows = await place.store.session.execute(f"SELECT guest, room FROM {place.store.keyspace}.stays")
    assert ("Bob", "12") in rows.rows
    assert [one.stream async for one in place.store.get_events_by_type("cli.Booked")][-2:] == [before, after]
    code, out, _ = await place.call("status", "hotel")
    assert code == 1, "nobody carries them now"
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        [name, "not", "carried", "0/2"] for name in ("stays@1", "mailer", SUBSCRIPTION)
    ]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_one_process_carries_the_stores_of_all_tenants(place: Place) -> None:
    home = f"cassorm_inn_{uuid4().hex[:8]}"
    session = place.store.session
    tenants = [f"{home}_{name}" for name in ("a", "b")]
    async with contextlib.AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                CassandraEventStore(session, keyspace=name, workers_in=home, shards=2, replication=1)
            )
            for name in tenants
        ]
        place.common[1], keyspace = f"{home}_*", place.common[1]
        try:
            async with place.running() as process:
                assert process.stderr is not None
                said: list[str] = []
                while len(said) < len(tenants):
                    line = (await process.stderr.readline()).decode()
                    assert line, "it has ended"
                    said += [line.strip().partition(" carries ")[2]] if " carries " in line else []
                assert sorted(said) == [f"1 projection and 1 subscription of {name}" for name in tenants]
                for store in stores:
                    stream = uuid4()
                    await store.append(stream, [place.events.Booked(guest=store.keyspace)], aggregate_type="Stay")
                    await place.told(stream, 1)
                    table = f"{store.keyspace}.stays"
                    async with asyncio.timeout(10):
                        while not (rows := (await session.execute(f"SELECT guest FROM {table}")).rows):  # noqa: ASYNC110 - another process writes it; a name of our own
                            await asyncio.sleep(0.05)
                    assert rows == [(store.keyspace,)]
                code, _, err = await place.call("pause", "mailer")
                assert (code, "only `run` takes more" in err) == (2, True)
            place.common[1] = "nowhere_*"
            code, _, err = await place.call("run", "hotel")
            assert code == 2
            assert "no keyspace like nowhere_* holds a table events" in err
        finally:
            place.common[1] = keyspace
    for name in (home, *tenants):
        await session.ddl(f"DROP KEYSPACE {name}")


async def test_a_child_hands_over_when_its_parent_is_gone(place: Place) -> None:
    async with place.running("--child") as process:
        await place.told(await book(place), 2)
        assert process.stdin is not None
        process.stdin.close()  # as the system does for a parent that was killed
        _, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, stderr.decode().count("has handed over")) == (0, 1)


async def test_a_row_of_a_read_model_is_folded_again_when_its_events_are_replayed(place: Place) -> None:
    stream = await book(place, "Eve")
    store, shard = place.store, (await place.store.append(stream, [place.events.Moved(to="14")])).position.shard
    for event in await store.get_events(stream):
        parked = Parked("stays@1", stream, event.version, event.event_type, event.position, "planted", 5)
        await store.feed.park(shard, parked)
    code, out, err = await place.call("replay-parked", "stays", "-m", "hotel")
    assert (code, out) == (0, ""), err
    text = f"SELECT guest, room FROM {store.keyspace}.stays WHERE stay_id = ?"
    assert (await store.session.execute(text, (stream,))).rows == [("Eve", "14")]


async def test_a_projection_is_rebuilt_and_its_old_tables_dropped(place: Place) -> None:
    await book(place, "Zoe")
    code, out, err = await place.call("rebuild", "stays", "-m", "hotel", "--drop-old", "--json")
    assert (code, json.loads(out)) == (0, {"projection": "stays", "generation": 2, "dropped": ["stays"]}), err
    rows = await place.store.session.execute(f"SELECT guest FROM {place.store.keyspace}.stays_g2")
    assert ("Zoe",) in rows.rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nowhere"], "module nowhere: cannot be imported: No module named 'nowhere'"),
        (["run", "json", "--workers", "2"], "module json: has no projections and no subscriptions"),
        (["pause", "nobody"], "there is no subscription 'nobody'. Known are "),
        (["replay-parked", "nobody", "-m", "hotel"], "module hotel: has no subscription 'nobody'. Use one of "),
        (["replay-parked", "mailer", "-m", "hotel", "--stream", "7"], "--stream: '7' is no stream id. Give a UUID"),
        (["parked", "--events", "acts"], ".acts: is no event store. Check --keyspace and --events"),
    ],
)
async def test_what_is_not_there_is_refused(place: Place, arguments: list[str], message: str) -> None:
    code, out, err = await place.call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
