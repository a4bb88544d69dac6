"""Snapshots: written when they are due, never misread, and nothing but an optimisation."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from cassorm import Event, MemoryEventStore, Snapshot, Value
from cassorm.aggregates.aggregate import Aggregate
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.handlers import apply
from cassorm.aggregates.repository import AggregateRepository
from cassorm.aggregates.snapshots import SnapshotPolicy, check_seal, seal
from cassorm.errors import AggregateError, UnavailableError
from cassorm.events.payload import same
from cassorm.events.store import Stream


class Stocked(Event, name="SnapshotStocked"):
    sku: str
    units: int
    price: Decimal = Decimal(0)
    photo: bytes = b""


class Cleared(Event, name="SnapshotCleared"):
    pass


class Line(Value):
    sku: str
    price: Decimal
    photo: bytes


class Stock(Aggregate, name="Stock"):
    units: dict[str, int] = Field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    skus: set[str] = Field(default_factory=set)
    value: Decimal = Decimal(0)
    last: bytes = b""
    since: float = float("nan")

    @apply
    def _(self, event: Stocked) -> None:
        self.units[event.sku] = self.units.get(event.sku, 0) + event.units
        self.lines = (*self.lines[-2:], Line(sku=event.sku, price=event.price, photo=event.photo))
        self.skus.add(event.sku)
        self.value += event.units * event.price
        self.last = event.photo

    @apply
    def _(self, event: Cleared) -> None:
        self.units.clear()
        self.skus = set()


def stocked(count: int) -> list[Event]:
    return [Stocked(sku=f"s{n % 3}", units=n, price=Decimal("1.10"), photo=bytes([n % 256])) for n in range(count)]


class WatchedStore(MemoryEventStore):
    """A memory store that remembers what was read and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[int] = []
        self.limits: list[int] = []
        self.save_fails: Exception | None = None
        self.writing = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def pages(self, stream: Stream, *, from_version: int = 1, **options: Any) -> Any:
        self.reads.append(from_version)
        async for page in super().pages(stream, from_version=from_version, **options):
            yield page

    async def save_snapshot(self, stream: Stream, snapshot: Snapshot) -> None:
        self.writing.set()
        await self.gate.wait()
        if self.save_fails is not None:
            raise self.save_fails
        await super().save_snapshot(stream, snapshot)

    async def snapshots(self, stream: Stream, *, limit: int = 20) -> list[Snapshot]:
        self.limits.append(limit)
        return await super().snapshots(stream, limit=limit)

    async def versions(self, stream: Stream) -> list[int]:
        return [snapshot.version for snapshot in await self.snapshots(stream, limit=1000)]


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


def stocks(store: MemoryEventStore, **options: Any) -> AggregateRepository[Stock]:
    return AggregateRepository(store, Stock, **{"snapshots_in_background": False, **options})


def emitting(events: Sequence[Event]) -> Callable[[Aggregate], None]:
    def command(aggregate: Aggregate) -> None:
        for event in events:
            aggregate.emit(event)

    return command


async def add(repository: AggregateRepository[Stock], id_: UUID, events: Sequence[Event]) -> None:
    await repository.execute(id_, emitting(events), create=True)


class TestPolicy:
    @pytest.mark.parametrize("cache", [0, 10])
    async def test_every_10_events_by_default_and_two_are_kept(self, store: WatchedStore, cache: int) -> None:
        repository, id_ = stocks(store, cache=cache), uuid4()
        seen = []
        for event in stocked(45):
            await add(repository, id_, [event])
            seen.append(await store.versions(id_))
        assert seen[8] == []
        assert seen[9] == seen[18] == [10]
        assert seen[19] == [20, 10]
        assert seen[44] == [40, 30]
        assert repository.snapshots.written == 4

    @pytest.mark.parametrize("cache", [0, 10])
    async def test_an_append_that_jumps_over_a_multiple_counts_as_crossing_it(
        self, store: WatchedStore, cache: int
    ) -> None:
        repository, id_ = stocks(store, cache=cache, snapshots_kept=10), uuid4()
        for _ in range(6):
            await add(repository, id_, stocked(7))
        assert await store.versions(id_) == [42, 35, 21, 14]

    async def test_saved_aggregates_count_as_executed_commands_do(self, store: WatchedStore) -> None:
        repository, stock = stocks(store, snapshots_kept=10), Stock(uuid4())
        for event in stocked(25):
            stock.emit(event)
            await repository.save(stock)
        assert await store.versions(stock.id) == [20, 10]
        again = await repository.get(stock.id)
        for event in stocked(6):
            again.emit(event)
        await repository.save(again)
        assert await store.versions(stock.id) == [31, 20, 10]

    async def test_a_load_that_replayed_more_than_allowed_leaves_a_snapshot(self, store: WatchedStore) -> None:
        id_ = uuid4()
        await store.append(id_, stocked(100), aggregate_type="Stock")
        repository = stocks(store)
        await repository.get(id_)
        assert await store.versions(id_) == []
        await store.append(id_, [Cleared()])
        await repository.get(id_)
        assert await store.versions(id_) == [101]
        store.reads.clear()
        await repository.get(id_)
        assert store.reads == [101]

    async def test_a_save_leaves_a_snapshot_when_as_many_events_as_allowed_lie_behind_the_last(
        self, store: WatchedStore
    ) -> None:
        repository, id_ = stocks(store, snapshot_frequency=None, max_events_before_snapshot=4), uuid4()
        for event in stocked(9):
            await add(repository, id_, [event])
        assert await store.versions(id_) == [8, 4]

    async def test_a_load_slower_than_allowed_leaves_a_snapshot(self, store: WatchedStore) -> None:
        id_ = uuid4()
        await store.append(id_, stocked(3), aggregate_type="Stock")
        off: dict[str, Any] = {"snapshot_frequency": None, "max_events_before_snapshot": None}
        await stocks(store, **off, snapshot_slower_than=timedelta(minutes=1)).get(id_)
        assert await store.versions(id_) == []
        eager = stocks(store, **off, snapshot_slower_than=timedelta(microseconds=1))
        for _ in range(2):
            await eager.get(id_)
        assert await store.versions(id_) == [3]
        assert eager.snapshots.written == 1

    async def test_switched_off_none_is_written_but_those_there_are_used(self, store: WatchedStore) -> None:
        id_ = uuid4()
        await add(stocks(store), id_, stocked(50))
        off = stocks(store, snapshot_frequency=None, max_events_before_snapshot=None)
        await add(off, id_, stocked(500))
        store.reads.clear()
        assert (await off.get(id_)).version == 550
        assert store.reads == [50]
        assert await store.versions(id_) == [50]

    async def test_by_hand(self, store: WatchedStore) -> None:
        repository, id_ = stocks(store), uuid4()
        await add(repository, id_, stocked(3))
        snapshot = await repository.snapshot(id_)
        assert snapshot.version == 3
        assert await store.snapshots(id_) == [snapshot]
        await add(repository, id_, stocked(6))
        assert await store.versions(id_) == [3]
        await add(repository, id_, stocked(1))
        assert await store.versions(id_) == [10, 3]

    def test_the_crossing_is_counted_since_the_newest_snapshot(self) -> None:
        policy = SnapshotPolicy(every=10, max_replay=None)
        assert not policy.due_after_save(9, 0)
        assert policy.due_after_save(10, 0)
        assert policy.due_after_save(11, 9)
        assert not policy.due_after_save(19, 10)
        assert not policy.due_after_save(19, 15)
        assert policy.due_after_save(35, 10)
        assert not SnapshotPolicy(every=None, max_replay=None).due_after_save(1_000_000, 0)


class TestBackground:
    async def test_a_save_returns_before_its_snapshot_is_written_and_close_waits_for_it(
        self, store: WatchedStore
    ) -> None:
        store.gate.clear()
        repository = stocks(store, snapshots_in_background=True)
        ids = [uuid4() for _ in range(5)]
        for id_ in ids:
            await add(repository, id_, stocked(10))
        assert repository.snapshots.written == 0
        closing = asyncio.create_task(repository.close())
        await asyncio.sleep(0.01)
        assert not closing.done()
        store.gate.set()
        await closing
        assert repository.snapshots.written == 5
        assert [await store.versions(id_) for id_ in ids] == [[10]] * 5

    async def test_leaving_the_block_closes(self, store: WatchedStore) -> None:
        id_ = uuid4()
        async with stocks(store, snapshots_in_background=True) as repository:
            await add(repository, id_, stocked(10))
        assert await store.versions(id_) == [10]

    async def test_after_close_they_are_written_before_the_save_returns(self, store: WatchedStore) -> None:
        repository, id_ = stocks(store, snapshots_in_background=True), uuid4()
        await repository.close()
        await add(repository, id_, stocked(10))
        assert await store.versions(id_) == [10]

    async def test_the_state_is_the_one_that_was_saved_whatever_becomes_of_the_aggregate(
        self, store: WatchedStore
    ) -> None:
        store.gate.clear()
        repository = stocks(store, snapshots_in_background=True)
        stock = Stock(uuid4())
        for event in stocked(10):
            stock.emit(event)
        await repository.save(stock)
        stock.emit(Cleared())
        stock.skus.add("not by an event")
        store.gate.set()
        await repository.close()
        again = await repository.get(stock.id)
        assert (again.version, again.skus) == (10, {"s0", "s1", "s2"})

    async def test_as_many_as_allowed_are_written_at_once_and_the_rest_left_out(self, store: WatchedStore) -> None:
        store.gate.clear()
        repository = stocks(store, snapshots_in_background=True)
        object.__setattr__(repository.snapshots.policy, "max_pending", 3)
        ids = [uuid4() for _ in range(5)]
        for id_ in ids:
            await add(repository, id_, stocked(10))
        store.gate.set()
        await repository.close()
        assert (repository.snapshots.written, repository.snapshots.skipped) == (3, 2)
        for id_ in ids:
            await add(repository, id_, [Cleared()])
        await repository.close()
        assert [await store.versions(id_) for id_ in ids] == [[10]] * 3 + [[11]] * 2

    @pytest.mark.parametrize("background", [True, False])
    async def test_one_that_fails_never_fails_the_save_and_is_logged_and_counted(
        self, store: WatchedStore, background: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.save_fails = UnavailableError("no answer")
        repository, id_ = stocks(store, snapshots_in_background=background), uuid4()
        with caplog.at_level(logging.WARNING, "cassorm.aggregates"):
            await add(repository, id_, stocked(10))
            await repository.close()
        assert (repository.snapshots.written, repository.snapshots.failed) == (0, 1)
        assert f"snapshot of Stock {id_} at version 10 failed: no answer" in caplog.text
        assert (await repository.get(id_)).version == 10

    async def test_by_hand_a_failure_is_raised(self, store: WatchedStore) -> None:
        repository, id_ = stocks(store), uuid4()
        await add(repository, id_, stocked(3))
        store.save_fails = UnavailableError("no answer")
        with pytest.raises(UnavailableError):
            await repository.snapshot(id_)


class Later(Stock, name="Stock", snapshot_schema_version=2):
    cleared: int = 0

    @apply
    def _(self, event: Cleared) -> None:
        self.cleared += 1


class Upcasting(Later, name="Stock"):
    @classmethod
    def upcast_snapshot(cls, schema_version: int, state: dict[str, Any]) -> dict[str, Any] | None:
        assert schema_version == 1
        return {**state, "cleared": 0}


async def test_a_load_asks_for_one_snapshot_and_for_more_only_when_it_cannot_be_used(store: WatchedStore) -> None:
    repository, id_ = stocks(store, snapshots_kept=3), uuid4()
    for _ in range(3):
        await add(repository, id_, stocked(10))
    store.limits.clear()
    await repository.get(id_)
    assert store.limits == [1]
    await store.save_snapshot(id_, (await store.snapshots(id_))[0]._replace(encoding="unknown"))
    store.limits.clear()
    await repository.get(id_)
    assert store.limits == [1, 20]


class TestSchemaVersions:
    async def test_one_of_another_schema_version_is_ignored(self, store: WatchedStore) -> None:
        id_ = uuid4()
        await add(stocks(store), id_, [*stocked(9), Cleared()])
        later = await AggregateRepository(store, Later).get(id_)
        assert (later.version, later.cleared) == (10, 1)

    async def test_during_a_rolling_deploy_each_uses_and_prunes_its_own(self, store: WatchedStore) -> None:
        id_ = uuid4()
        old = stocks(store)
        new = AggregateRepository(store, Later, snapshots_in_background=False)
        for n in range(12):
            await add(old, id_, stocked(9))
            await new.execute(id_, lambda later: later.emit(Cleared()))
            store.reads.clear()
            expected = await _replayed(store, Stock, id_), await _replayed(store, Later, id_)
            store.reads.clear()
            assert (same_state(await old.get(id_), expected[0]), same_state(await new.get(id_), expected[1])) == (
                True,
                True,
            )
            if n > 2:
                assert all(version > 1 for version in store.reads)
        found = await store.snapshots(id_)
        assert sorted(snapshot.schema_version for snapshot in found) == [1, 1, 2, 2]
        assert old.snapshots.ignored == new.snapshots.ignored == 0

    async def test_one_of_a_lower_schema_version_is_upcast_when_the_class_can(self, store: WatchedStore) -> None:
        id_ = uuid4()
        await add(stocks(store), id_, stocked(20))
        store.reads.clear()
        upcast = await AggregateRepository(store, Upcasting).get(id_)
        assert store.reads == [20]
        replayed = await _replayed(store, Upcasting, id_)
        assert same_state(upcast, replayed)

    async def test_one_of_a_higher_schema_version_is_never_upcast(self, store: WatchedStore) -> None:
        class Old(Stock, name="Stock"):
            @classmethod
            def upcast_snapshot(cls, schema_version: int, state: dict[str, Any]) -> dict[str, Any] | None:
                raise AssertionError("never called")

        id_ = uuid4()
        await AggregateRepository(store, Later, snapshots_in_background=False).execute(
            id_, emitting(stocked(10)), create=True
        )
        repository = AggregateRepository(store, Old)
        assert (await repository.get(id_)).version == 10
        assert repository.snapshots.ignored == 0

    @pytest.mark.parametrize(
        "upcast", [lambda _: 1 / 0, lambda _: {"cleared": 1}, lambda _: "text", lambda state: state | {"more": 1}]
    )
    async def test_an_upcast_that_fails_is_ignored(
        self, store: WatchedStore, upcast: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        class Failing(Later, name="Stock"):
            @classmethod
            def upcast_snapshot(cls, schema_version: int, state: dict[str, Any]) -> dict[str, Any] | None:
                found: dict[str, Any] = upcast(state)
                return found

        id_ = uuid4()
        await add(stocks(store), id_, stocked(20))
        repository = AggregateRepository(store, Failing)
        assert same_state(await repository.get(id_), await _replayed(store, Failing, id_))
        assert repository.snapshots.ignored == 1

    async def test_a_field_that_was_added_without_a_new_schema_version_is_not_defaulted(
        self, store: WatchedStore
    ) -> None:
        class Grown(Stock, name="Stock"):
            events: int = 0

            @apply
            def _(self, event: Stocked) -> None:
                self.events += 1

        id_ = uuid4()
        await add(stocks(store), id_, stocked(20))
        assert (await AggregateRepository(store, Grown).get(id_)).events == 20


class TestDamage:
    async def test_the_next_older_is_used_when_the_newest_cannot_be_which_is_logged_once(
        self, store: WatchedStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        repository, id_ = stocks(store), uuid4()
        for _ in range(3):
            await add(repository, id_, stocked(10))
        newest = (await store.snapshots(id_))[0]
        await store.save_snapshot(id_, newest._replace(data=newest.data[:-1]))
        whole = await _replayed(store, Stock, id_)
        store.reads.clear()
        with caplog.at_level(logging.WARNING, "cassorm.aggregates"):
            for _ in range(3):
                assert same_state(await repository.get(id_), whole)
        assert store.reads == [20] * 3
        assert repository.snapshots.ignored == 3
        assert caplog.text.count(f"snapshot of Stock {id_} at version 30 is ignored: its encoding is") == 1

    async def test_one_whose_event_differs_or_that_lies_beyond_the_head_is_ignored(self, store: WatchedStore) -> None:
        repository, id_ = stocks(store), uuid4()
        await add(repository, id_, stocked(15))
        (good,) = await store.snapshots(id_)
        assert good.version == 15
        for version, event_id in ((14, uuid4()), (16, good.event_id), (400, uuid4())):
            await store.delete_snapshots(id_, [15])
            await store.save_snapshot(id_, seal(id_, version, event_id, 1, good.data))
        assert same_state(await repository.get(id_), await _replayed(store, Stock, id_))
        assert repository.snapshots.ignored == 3

    async def test_one_beyond_the_head_takes_no_place_among_those_kept(self, store: WatchedStore) -> None:
        repository, id_ = stocks(store, snapshots_kept=1), uuid4()
        await store.save_snapshot(id_, seal(id_, 400, uuid4(), 1, b"{}"))
        for _ in range(3):
            await add(repository, id_, stocked(10))
        assert await store.versions(id_) == [400, 30]

    async def test_one_of_another_stream_is_ignored(self, store: WatchedStore) -> None:
        repository = stocks(store)
        mine, other = uuid4(), uuid4()
        await add(repository, mine, stocked(10))
        await add(repository, other, [Cleared()] * 10)
        await store.save_snapshot(mine, (await store.snapshots(other))[0])
        assert same_state(await repository.get(mine), await _replayed(store, Stock, mine))

    @given(
        counts=st.lists(st.integers(1, 9), min_size=1, max_size=8),
        damage=st.lists(
            st.tuples(
                st.integers(0, 9),
                st.sampled_from(["drop", "cut", "flip", "schema", "event", "version", "encoding", "junk", "swap"]),
                st.integers(0, 10_000),
            ),
            max_size=12,
        ),
        every=st.integers(1, 7),
        keep=st.integers(1, 4),
    )
    @settings(max_examples=60, deadline=None)
    async def test_with_all_deleted_or_damaged_every_aggregate_loads_the_same(
        self, counts: list[int], damage: list[tuple[int, str, int]], every: int, keep: int
    ) -> None:
        store, id_, number = MemoryEventStore(), uuid4(), 0
        repository = stocks(store, snapshot_frequency=every, snapshots_kept=keep)
        for count in counts:
            await add(repository, id_, stocked(number + count)[number:])
            number += count
        for index, how, salt in damage:
            await _damage(store, id_, index, how, salt)
        whole = await _replayed(store, Stock, id_)
        assert same_state(await repository.get(id_), whole)
        await add(repository, id_, [Cleared()])
        assert same_state(await repository.get(id_), await _replayed(store, Stock, id_))

    def test_a_seal_covers_every_part(self) -> None:
        stream, event_id = uuid4(), uuid4()
        snapshot = seal(stream, 7, event_id, 1, b'{"a": 1}')
        check_seal(stream, snapshot)
        for other in (
            snapshot._replace(version=8),
            snapshot._replace(event_id=uuid4()),
            snapshot._replace(schema_version=2),
            snapshot._replace(data=b'{"a": 2}'),
            snapshot._replace(encoding="json"),
        ):
            with pytest.raises(ValueError, match="checksum"):
                check_seal(stream, other)
        with pytest.raises(ValueError, match="checksum"):
            check_seal(uuid4(), snapshot)


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    raw: bytes = b""
    when: datetime | None = None


@dataclass
class Till:
    cash: Decimal = Decimal(0)
    seen: list[str] = field(default_factory=list)


class TestFidelity:
    async def test_a_state_that_would_not_come_back_equal_is_not_written_and_logged_once(
        self, store: WatchedStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Loose(Aggregate, name="Loose"):
            anything: Any = None

            @apply
            def _(self, event: Stocked) -> None:
                self.anything = (event.sku, event.units)

        repository: AggregateRepository[Loose] = AggregateRepository(store, Loose, snapshots_in_background=False)
        id_ = uuid4()
        with caplog.at_level(logging.WARNING, "cassorm.aggregates"):
            for _ in range(3):
                await repository.execute(id_, emitting(stocked(10)), create=True)
        assert await store.versions(id_) == []
        assert (repository.snapshots.failed, repository.snapshots.written) == (3, 0)
        assert len(caplog.records) == 1
        assert "no snapshots of Loose: its state does not come back equal" in caplog.text
        assert (await repository.get(id_)).anything == ("s0", 9)
        with pytest.raises(AggregateError, match="would come back as"):
            await repository.snapshot(id_)

    async def test_a_validator_that_changes_the_state_keeps_it_from_being_written(self, store: WatchedStore) -> None:
        class Rounded(Aggregate, name="Rounded"):
            units: int = 0

            @field_validator("units")
            @classmethod
            def _even(cls, value: int) -> int:
                return value // 2 * 2

            @apply
            def _(self, event: Stocked) -> None:
                self.units += 1

        repository: AggregateRepository[Rounded] = AggregateRepository(store, Rounded, snapshot_frequency=1)
        id_ = uuid4()
        for version in (1, 2, 3):
            await repository.execute(id_, lambda rounded: rounded.emit(stocked(1)[0]), create=True)
            assert (await repository.get(id_)).units == version
            await repository.close()
        assert await store.versions(id_) == [2]

    async def test_rich_states_come_back_equal(self, store: WatchedStore) -> None:
        class Rich(Aggregate, name="Rich"):
            id_seen: UUID | None = None
            at: datetime | None = None
            took: timedelta = timedelta(0)
            colour: Colour | None = None
            inner: list[Inner] = Field(default_factory=list)
            numbers: frozenset[int] = frozenset()
            rate: float = 0.0
            by_key: dict[UUID, tuple[int, str]] = Field(default_factory=dict, alias="byKey")

            @apply
            def _(self, event: Cleared) -> None:
                self.id_seen = UUID(int=7)
                self.at = datetime(2020, 1, 1, 12, 30, 1, 999, tzinfo=UTC)
                self.took = timedelta(days=3, microseconds=1)
                self.colour = Colour.RED
                self.inner.append(Inner(when=self.at))
                self.numbers = frozenset({1, 2, 3})
                self.rate = float("inf")
                self.by_key = {UUID(int=1): (1, "é\N{SNOWMAN}")}

        repository: AggregateRepository[Rich] = AggregateRepository(
            store, Rich, snapshot_frequency=1, snapshots_in_background=False
        )
        id_ = uuid4()
        await repository.execute(id_, lambda rich: rich.emit(Cleared()), create=True)
        assert await store.versions(id_) == [1]
        found = await repository.get(id_)
        assert same_state(found, await _replayed(store, Rich, id_))
        assert repository.snapshots.ignored == 0

    @pytest.mark.parametrize(
        ("state_type", "initial", "step"),
        [
            (Decimal, Decimal, lambda state: state + Decimal("1.10")),
            (dict[str, int], dict, lambda state: {**state, str(len(state)): 1}),
            (Inner, Inner, lambda _: Inner(raw=b"base64 is not configured, these bytes are text")),
            (Till, Till, lambda state: Till(state.cash + 1, [*state.seen, "x"])),
            (tuple[int, ...], tuple, lambda state: (*state, 1)),
            (set[UUID], set, lambda state: state | {uuid4()}),
            (bytes, bytes, lambda state: state + b"\xff"),
            (int | None, lambda: None, lambda state: None if state else 1),
        ],
    )
    async def test_the_states_of_deciders_come_back_equal(
        self, store: WatchedStore, state_type: Any, initial: Callable[[], Any], step: Callable[[Any], Any]
    ) -> None:
        decider = Decider[Any, Any](
            name="Any",
            initial=initial,
            decide=lambda command, _: [command],
            evolve=lambda state, _: step(state),
            state=state_type,
        )
        repository = AggregateRepository(store, decider, snapshot_frequency=1, snapshots_in_background=False, cache=10)
        id_ = uuid4()
        for _ in range(3):
            await repository.execute(id_, Cleared(), create=True)
        assert await store.versions(id_) == [3, 2]
        hot = repository._cache.peek(id_)
        assert hot is not None
        store.reads.clear()
        found = await AggregateRepository(store, decider).get(id_)
        assert store.reads == [3]
        assert (found.version, found.state) == (3, hot.state)

    async def test_a_decider_without_a_state_type_has_no_snapshots(self, store: WatchedStore) -> None:
        decider = Decider[Any, int](
            name="Any", initial=int, decide=lambda command, _: [command], evolve=lambda state, _: state + 1
        )
        repository = AggregateRepository(store, decider, snapshot_frequency=1, snapshots_in_background=False)
        id_ = uuid4()
        for _ in range(3):
            await repository.execute(id_, Cleared(), create=True)
        assert (await repository.get(id_)).state == 3
        assert await store.versions(id_) == []
        with pytest.raises(AggregateError, match=r"decider Any: has no snapshots.*Pass state=TheType"):
            await repository.snapshot(id_)

    async def test_a_deciders_snapshot_that_lacks_a_field_is_ignored_and_an_older_one_upcast(
        self, store: WatchedStore
    ) -> None:
        class New(BaseModel):
            cash: Decimal = Decimal(0)
            count: int = 0

        def decider(state: Any, **options: Any) -> Decider[Any, Any]:
            return Decider(
                name="Till",
                initial=state,
                decide=lambda command, _: [command],
                evolve=lambda old, _: (
                    New(cash=old.cash + 1, count=old.count + 1) if isinstance(old, New) else Till(old.cash + 1, [])
                ),
                state=state,
                **options,
            )

        id_ = uuid4()
        old = AggregateRepository(store, decider(Till), snapshot_frequency=1, snapshots_in_background=False)
        for _ in range(5):
            await old.execute(id_, Cleared(), create=True)
        for new in (
            decider(New),
            decider(New, snapshot_schema_version=2),
            decider(
                New, snapshot_schema_version=2, upcast_snapshot=lambda _, state: {"cash": state["cash"], "count": 5}
            ),
        ):
            store.reads.clear()
            assert (await AggregateRepository(store, new).get(id_)).state == New(cash=Decimal(5), count=5)
        assert store.reads == [5]


async def _replayed(store: MemoryEventStore, cls: type[Any], id_: UUID) -> Any:
    return cls.from_events(id_, await store.get_events(id_))


def same_state(left: Aggregate, right: Aggregate) -> bool:
    """NaN equals NaN here."""
    return (left.id, left.version) == (right.id, right.version) and same(left.model_dump(), right.model_dump())


async def _damage(store: MemoryEventStore, id_: UUID, index: int, how: str, salt: int) -> None:
    there = await store.snapshots(id_)
    if not there:
        return
    one = there[index % len(there)]
    data = bytearray(one.data or b"-")
    data[salt % len(data)] ^= 1 << salt % 8
    await store.delete_snapshots(id_, [one.version])
    damaged = {
        "cut": one._replace(data=one.data[: salt % len(data)]),
        "flip": one._replace(data=bytes(data)),
        "schema": seal(id_, one.version, one.event_id, 2 + salt, one.data),
        "event": seal(id_, one.version, UUID(int=salt), 1, one.data),
        "version": seal(id_, one.version + 1 + salt, one.event_id, 1, one.data),
        "encoding": one._replace(encoding="msgpack"),
        "junk": seal(id_, one.version, one.event_id, 1, b"[" * (salt % 5)),
        "swap": there[(index + 1) % len(there)]._replace(version=one.version),
    }.get(how)
    if damaged is not None:
        await store.save_snapshot(id_, damaged)
