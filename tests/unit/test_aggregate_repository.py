"""What a repository does with its store: how many calls, what after lost answers, which states it keeps."""

import asyncio
import contextlib
import logging
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm import Appended, Event, MemoryEventStore, Recorded, Snapshot, StreamHead
from cassorm.aggregates.aggregate import Aggregate
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.handlers import apply
from cassorm.aggregates.recent import RecentAppends
from cassorm.aggregates.repository import AggregateRepository
from cassorm.errors import (
    AggregateError,
    ConflictError,
    EventStoreError,
    OutcomeUnknownError,
    QueryError,
    StreamNotFoundError,
    UnavailableError,
)
from cassorm.events.intent import LOOKBACK, Expect, Expected
from cassorm.events.store import Stream


class Counted(Event, name="RepositoryCounted"):
    by: int


class Tally(Aggregate):
    total: int = 0

    def count(self, by: int = 1) -> None:
        self.emit(Counted(by=by))

    def refuse(self) -> None:
        raise ZeroDivisionError

    @apply
    def _(self, event: Counted) -> None:
        self.total += event.by


class WatchedStore(MemoryEventStore):
    """A memory store that counts its calls and fails on demand."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.append_fails: list[tuple[str, BaseException]] = []
        """Each append takes one: ("before" or "after" it took effect, what is raised)."""
        self.snapshots_fail: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        """Appends wait here."""

    async def append(
        self,
        stream: Stream,
        events: Sequence[Event],
        *,
        expected: Expected = Expect.ANY,
        aggregate_type: str | None = None,
        append_id: UUID | None = None,
    ) -> Appended:
        self.calls["append"] += 1
        await self.gate.wait()
        await asyncio.sleep(0)
        when, error = self.append_fails.pop(0) if self.append_fails else ("", None)
        if when == "before" and error is not None:
            raise error
        appended = await super().append(
            stream, events, expected=expected, aggregate_type=aggregate_type, append_id=append_id
        )
        if error is not None:
            raise error
        await asyncio.sleep(0)  # a cancellation comes before or after it took effect
        return appended

    async def pages(self, stream: Stream, **options: Any) -> AsyncGenerator[list[Recorded]]:
        self.calls["pages"] += 1
        async for page in super().pages(stream, **options):
            yield page

    async def head(self, stream: Stream) -> StreamHead | None:
        self.calls["head"] += 1
        return await super().head(stream)

    async def snapshots(self, stream: Stream, *, limit: int = 20) -> list[Snapshot]:
        self.calls["snapshots"] += 1
        if self.snapshots_fail is not None:
            raise self.snapshots_fail
        return await super().snapshots(stream, limit=limit)

    def spent(self) -> dict[str, int]:
        """Return the calls since the last time."""
        calls, self.calls = dict(self.calls), Counter()
        return calls


def unknown(append_id: UUID | None = None) -> OutcomeUnknownError:
    return OutcomeUnknownError("no answer", append_id=append_id)


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


def tallies(store: MemoryEventStore, **options: Any) -> AggregateRepository[Tally]:
    return AggregateRepository(store, Tally, **options)


async def counted(repository: AggregateRepository[Tally], times: int = 1) -> UUID:
    id_ = uuid4()
    for _ in range(times):
        await repository.execute(id_, lambda tally: tally.count(), create=True)
    return id_


class TestCost:
    async def test_without_a_cache_a_command_costs_a_look_for_snapshots_one_read_and_one_append(
        self, store: WatchedStore
    ) -> None:
        repository = tallies(store)
        id_ = await counted(repository, 3)
        store.spent()
        await repository.execute(id_, lambda tally: tally.count())
        assert store.spent() == {"snapshots": 1, "pages": 1, "append": 1}
        await repository.get(id_)
        assert store.spent() == {"snapshots": 1, "pages": 1}

    async def test_with_a_cache_it_costs_one_append_and_no_read(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10, snapshot_frequency=None, max_events_before_snapshot=None)
        id_ = await counted(repository)
        store.spent()
        for _ in range(5):
            await repository.execute(id_, lambda tally: tally.count())
        assert store.spent() == {"append": 5}
        assert (await repository.get(id_)).total == 6
        assert store.spent() == {"pages": 1}

    async def test_with_a_cache_and_an_append_id_only_the_own_events_are_read_again(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10, snapshot_frequency=None, max_events_before_snapshot=None)
        id_ = await counted(repository, 20)
        await repository.execute(id_, lambda tally: tally.count(), append_id=uuid4())
        store.spent()
        for _ in range(5):
            await repository.execute(id_, lambda tally: tally.count(), append_id=uuid4())
        assert store.spent() == {"append": 5, "pages": 5}

    async def test_the_least_used_aggregate_leaves_the_cache(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=2)
        first, second, third = [await counted(repository) for _ in range(3)]
        store.spent()
        for id_ in (third, second):
            await repository.execute(id_, lambda tally: tally.count())
        assert store.spent() == {"append": 2}
        await repository.execute(first, lambda tally: tally.count())
        assert store.spent() == {"snapshots": 1, "pages": 1, "append": 1}

    async def test_a_conflict_on_a_hot_aggregate_costs_one_reload(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)
        await store.append(id_, [Counted(by=5)])
        store.spent()
        await repository.execute(id_, lambda tally: tally.count())
        assert store.spent() == {"append": 2, "snapshots": 1, "pages": 1}
        assert (await repository.get(id_)).total == 7

    async def test_a_hot_aggregate_that_decides_not_to_append_is_checked_against_the_head(
        self, store: WatchedStore
    ) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)
        store.spent()
        await repository.execute(id_, lambda _: None)
        assert store.spent() == {"head": 1}
        with pytest.raises(ZeroDivisionError):
            await repository.execute(id_, Tally.refuse)
        assert store.spent() == {"head": 1}


class TestUnknownOutcome:
    @pytest.mark.parametrize("landed", [True, False])
    async def test_saving_the_same_aggregate_again_takes_effect_once(self, store: WatchedStore, landed: bool) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count(3)
        append_id = tally.append_id
        store.append_fails = [("after" if landed else "before", unknown())] * 2
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError):
                await repository.save(tally)
            assert (tally.append_id, len(tally.uncommitted_events)) == (append_id, 1)
        saved = await repository.save(tally)
        assert (saved.version, saved.append_id) == (1, append_id)
        assert (tally.uncommitted_events, tally.append_id) == ((), None)
        assert (await repository.get(tally.id)).total == 3

    async def test_until_it_is_settled_no_further_event_joins_the_append(self, store: WatchedStore) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count()
        store.append_fails = [("after", unknown()), ("before", UnavailableError("nothing was sent"))]
        for error in (OutcomeUnknownError, UnavailableError):
            with pytest.raises(error):
                await repository.save(tally)
            with pytest.raises(AggregateError, match="emits Counted while append"):
                tally.count()
        await repository.save(tally)
        tally.count()
        assert (await repository.save(tally)).version == 2

    async def test_after_an_append_that_was_never_sent_more_may_join(self, store: WatchedStore) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count()
        store.append_fails = [("before", UnavailableError("nothing was sent"))]
        with pytest.raises(UnavailableError):
            await repository.save(tally)
        tally.count()
        assert (await repository.save(tally)).version == 2

    async def test_a_cancelled_save_is_an_unknown_outcome(self, store: WatchedStore) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count()
        store.gate.clear()
        saving = asyncio.create_task(repository.save(tally))
        await asyncio.sleep(0)
        with pytest.raises(AggregateError, match="is not settled"):
            tally.count()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        with pytest.raises(AggregateError, match="is not settled"):
            tally.count()
        store.gate.set()
        assert (await repository.save(tally)).version == 1

    async def test_two_saves_of_one_aggregate_at_once_take_effect_once(self, store: WatchedStore) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count()
        first, second = await asyncio.gather(repository.save(tally), repository.save(tally))
        assert first == second
        assert (await repository.get(tally.id)).total == 1

    async def test_a_slower_save_of_the_same_append_forgets_no_later_event(self, store: WatchedStore) -> None:
        repository = tallies(store)
        tally = Tally(uuid4())
        tally.count()
        slower = asyncio.create_task(repository.save(tally))
        await asyncio.sleep(0)
        store.gate.clear()
        slowest = asyncio.create_task(repository.save(tally))
        await slower
        tally.count(5)
        store.gate.set()
        await slowest
        assert tally.uncommitted_events == (Counted(by=5),)
        assert (await repository.save(tally)).version == 2

    @pytest.mark.parametrize("cache", [0, 10])
    @pytest.mark.parametrize("landed", [True, False])
    async def test_execute_raises_it_and_the_same_command_with_its_id_takes_effect_once(
        self, store: WatchedStore, landed: bool, cache: int
    ) -> None:
        repository = tallies(store, cache=cache)
        id_, append_id = await counted(repository), uuid4()
        store.spent()
        store.append_fails = [("after" if landed else "before", unknown(append_id))]
        with pytest.raises(OutcomeUnknownError) as caught:
            await repository.execute(id_, lambda tally: tally.count(10), append_id=append_id)
        assert store.spent()["append"] == 1
        for _ in range(2):
            saved = await repository.execute(id_, lambda tally: tally.count(10), append_id=caught.value.append_id)  # type: ignore[arg-type]
            assert (saved.version, saved.append_id) == (2, append_id)
            await repository.execute(id_, lambda tally: tally.count(100))
        assert (await repository.get(id_)).total == 211

    async def test_an_id_that_landed_meanwhile_with_another_number_of_events_is_answered_as_the_first_time(
        self, store: WatchedStore
    ) -> None:
        repository = tallies(store)
        id_, append_id = await counted(repository), uuid4()
        refusal = QueryError("stands at version 2 for another number of events")

        async def beaten(tally: Tally) -> None:
            await store.append(id_, [Counted(by=3)] * 2, aggregate_type="Tally", append_id=append_id)
            store.append_fails = [("before", refusal)]
            tally.count()

        saved = await repository.execute(id_, beaten, append_id=append_id)
        assert (saved.version, saved.append_id) == (3, append_id)
        assert (await repository.get(id_)).total == 7

        store.append_fails = [("before", refusal)]
        with pytest.raises(QueryError):
            await repository.execute(id_, lambda tally: tally.count(), append_id=uuid4())

    async def test_a_hot_aggregate_is_dropped(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)
        for error in (unknown(), UnavailableError("nothing was sent"), asyncio.CancelledError()):
            store.append_fails = [("after", error)]
            with pytest.raises(type(error)):
                await repository.execute(id_, lambda tally: tally.count())
            store.spent()
            await repository.execute(id_, lambda _: None)
            assert store.spent() == {"snapshots": 1, "pages": 1}
        assert (await repository.get(id_)).total == 4

    async def test_no_snapshot_is_written_after_one(self, store: WatchedStore) -> None:
        repository = tallies(store, snapshot_frequency=1, snapshots_in_background=False)
        store.append_fails = [("after", unknown())]
        id_ = uuid4()
        with pytest.raises(OutcomeUnknownError):
            await repository.execute(id_, lambda tally: tally.count(), create=True)
        assert await store.snapshots(id_) == []
        assert repository.snapshots.written == 0

    @pytest.mark.parametrize("cache", [0, 10])
    async def test_commands_cancelled_at_random_moments_take_effect_once_when_sent_again(
        self, store: WatchedStore, cache: int
    ) -> None:
        repository = tallies(store, cache=cache, snapshot_frequency=3)
        id_ = await counted(repository)

        async def storm(n: int) -> None:
            append_id = uuid4()
            task = asyncio.create_task(repository.execute(id_, lambda tally: tally.count(), append_id=append_id))
            for _ in range(n % 17):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await repository.execute(id_, lambda tally: tally.count(), append_id=append_id)

        await asyncio.gather(*(storm(n) for n in range(100)))
        tally = await repository.get(id_)
        assert (tally.total, tally.version) == (101, 101)
        await repository.close()
        assert (await tallies(store).get(id_)).total == 101


class TestHotAggregates:
    async def test_a_half_applied_command_never_stays(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)

        def half(tally: Tally) -> None:
            tally.count(100)
            tally.refuse()

        with pytest.raises(ZeroDivisionError):
            await repository.execute(id_, half)
        await repository.execute(id_, lambda tally: tally.count())
        assert (await repository.get(id_)).total == 2

    @pytest.mark.parametrize("cache", [0, 10])
    async def test_a_command_that_swallows_the_error_of_a_handler_writes_nothing(
        self, store: WatchedStore, cache: int
    ) -> None:
        class Fragile(Aggregate, name="Tally"):
            total: int = 0

            def count(self, by: int) -> None:
                with contextlib.suppress(ZeroDivisionError):
                    self.emit(Counted(by=by))

            @apply
            def _(self, event: Counted) -> None:
                self.total += event.by
                self.total += 1 // event.by

        repository: AggregateRepository[Fragile] = AggregateRepository(store, Fragile, cache=cache)
        id_ = uuid4()
        await repository.execute(id_, lambda fragile: fragile.count(5), create=True)
        with pytest.raises(AggregateError, match="half-way through Counted"):
            await repository.execute(id_, lambda fragile: fragile.count(0))
        fragile = await repository.get(id_)
        assert (fragile.version, fragile.total) == (1, 5)
        fragile.count(0)
        with pytest.raises(AggregateError, match="half-way through Counted"):
            await repository.save(fragile)

    async def test_a_command_cancelled_midway_never_stays(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)
        started = asyncio.Event()

        async def slow(tally: Tally) -> None:
            tally.count(100)
            started.set()
            await asyncio.sleep(60)

        task = asyncio.create_task(repository.execute(id_, slow))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await repository.execute(id_, lambda tally: tally.count())
        assert (await repository.get(id_)).total == 2

    async def test_a_decision_on_an_old_state_is_decided_again(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10, attempts=1)
        id_ = await counted(repository)
        await store.append(id_, [Counted(by=9)])
        seen: list[int] = []

        def command(tally: Tally) -> None:
            seen.append(tally.total)
            if tally.total == 1:
                raise ZeroDivisionError

        await repository.execute(id_, command)
        assert seen == [1, 10]

    async def test_a_save_drops_the_hot_state(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository)
        tally = await repository.get(id_)
        tally.count()
        await repository.save(tally)
        store.spent()
        await repository.execute(id_, lambda tally: tally.count())
        assert store.spent() == {"snapshots": 1, "pages": 1, "append": 1}

    async def test_get_notices_a_stream_that_is_no_longer_the_same(self, store: WatchedStore) -> None:
        repository = tallies(store, cache=10)
        id_ = await counted(repository, 2)
        del store._streams[id_], store._types[id_]
        with pytest.raises(StreamNotFoundError):
            await repository.get(id_)
        await store.append(id_, [Counted(by=7)] * 3, aggregate_type="Tally")
        assert (await repository.get(id_)).total == 21


async def test_nothing_is_remembered_of_ids_that_nobody_works_on(store: WatchedStore) -> None:
    repository = tallies(store)
    ids = [await counted(repository) for _ in range(5)]
    await asyncio.gather(*(repository.execute(id_, lambda tally: tally.count()) for id_ in ids * 3))
    assert not repository._turns._turns
    assert len(repository._cache) == 0


def test_append_ids_are_remembered_within_a_bound() -> None:
    recent = RecentAppends()
    ids = [uuid4() for _ in range(10 * LOOKBACK)]
    for version, append_id in enumerate(ids, 1):
        recent.add(append_id, version, version)
        assert len(recent._spans) <= 2 * LOOKBACK
    assert all(
        recent.find(append_id) == (version, version)
        for version, append_id in enumerate(ids, 1)
        if version >= recent.complete_from
    )
    assert len(ids) - LOOKBACK * 2 < recent.complete_from <= len(ids) - LOOKBACK + 1


class TestCommandsWithinCommands:
    async def test_a_command_on_its_own_aggregate_is_refused_at_once(self, store: WatchedStore) -> None:
        repository = tallies(store)
        id_ = await counted(repository)

        async def nested(_: Tally) -> None:
            await repository.execute(id_, lambda tally: tally.count())

        with pytest.raises(AggregateError, match="runs another command on the aggregate that it works on"):
            await asyncio.wait_for(repository.execute(id_, nested), 5)

    async def test_two_commands_that_run_commands_on_each_others_aggregates_both_end(self, store: WatchedStore) -> None:
        repository = tallies(store, attempts=50)
        left, right = await counted(repository), await counted(repository)
        runs: Counter[UUID] = Counter()

        def moving(other: UUID) -> Any:
            async def command(tally: Tally) -> None:
                runs[other] += 1
                await asyncio.sleep(0)
                await repository.execute(other, lambda tally: tally.count(0))
                tally.count(100)

            return command

        await asyncio.wait_for(
            asyncio.gather(repository.execute(left, moving(right)), repository.execute(right, moving(left))), 5
        )
        assert (await repository.get(left)).total == 101
        assert (await repository.get(right)).total == 101

    async def test_a_task_that_outlives_its_command_queues_like_any_other(self, store: WatchedStore) -> None:
        repository = tallies(store)
        id_ = await counted(repository)
        later: list[asyncio.Task[Any]] = []
        go = asyncio.Event()

        async def afterwards() -> None:
            await go.wait()
            await repository.execute(id_, lambda tally: tally.count(10))

        async def command(tally: Tally) -> None:
            later.append(asyncio.create_task(afterwards()))
            tally.count()

        await repository.execute(id_, command)
        go.set()
        await asyncio.gather(*later)
        assert (await repository.get(id_)).total == 12

    async def test_a_conflict_of_another_aggregate_is_the_commands_own_error(self, store: WatchedStore) -> None:
        repository = tallies(store)
        id_ = await counted(repository)
        runs = 0

        def command(_: Tally) -> None:
            nonlocal runs
            runs += 1
            raise ConflictError(uuid4(), expected=1, actual=2)

        with pytest.raises(ConflictError):
            await repository.execute(id_, command)
        assert runs == 1


async def test_a_stream_with_a_gap_is_never_folded(store: WatchedStore) -> None:
    class Leaky(WatchedStore):
        async def pages(self, stream: Stream, **options: Any) -> AsyncGenerator[list[Recorded]]:
            async for page in super().pages(stream, **options):
                yield [recorded for recorded in page if recorded.version != 2]

    leaky = Leaky()
    id_ = uuid4()
    await leaky.append(id_, [Counted(by=1)] * 3, aggregate_type="Tally")
    with pytest.raises(EventStoreError, match=r"from version 1 are expected; versions 1 to 3 came, 2 in number"):
        await tallies(leaky).get(id_)


async def test_an_error_while_folding_says_where(store: WatchedStore) -> None:
    class Brittle(Aggregate, name="Tally"):
        @apply
        def _(self, event: Counted) -> None:
            if event.by == 3:
                raise ZeroDivisionError

    id_ = uuid4()
    await store.append(id_, [Counted(by=n) for n in (1, 2, 3)], aggregate_type="Tally")
    note = f"while folding RepositoryCounted at version 3 of stream {id_}"
    with pytest.raises(ZeroDivisionError) as caught:
        await AggregateRepository(store, Brittle).get(id_)
    assert caught.value.__notes__ == [note]

    def evolve(_: None, event: Counted) -> None:
        if event.by == 3:
            raise ZeroDivisionError

    brittle: Decider[None, None] = Decider(
        name="Tally", initial=lambda: None, decide=lambda _command, _state: [], evolve=evolve
    )
    with pytest.raises(ZeroDivisionError) as caught:
        await AggregateRepository(store, brittle).get(id_)
    assert caught.value.__notes__ == [note]


async def test_snapshots_that_cannot_be_read_do_not_fail_a_load(
    store: WatchedStore, caplog: pytest.LogCaptureFixture
) -> None:
    repository = tallies(store, snapshots_in_background=False)
    id_ = await counted(repository, 12)
    store.snapshots_fail = UnavailableError("no answer")
    with caplog.at_level(logging.WARNING, "cassorm.aggregates"):
        assert (await repository.get(id_)).total == 12
    assert "cannot be read; replaying" in caplog.text


async def test_a_long_stream_is_folded_in_the_memory_of_one_page() -> None:
    one = MemoryEventStore()
    id_, length = uuid4(), 20_000
    await one.append(id_, [Counted(by=1)], aggregate_type="Tally")
    (template,) = await one.get_events(id_)

    class Endless(WatchedStore):
        async def pages(self, stream: Stream, **options: Any) -> AsyncGenerator[list[Recorded]]:
            for start in range(1, length, 100):
                yield [replace(template, version=n, event=Counted(by=n)) for n in range(start, start + 100)]

    repository = tallies(Endless(), max_events_before_snapshot=None)
    tracemalloc.start()
    try:
        tally = await repository.get(id_)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tally.version, tally.total) == (length, sum(range(length + 1)))
    assert peak < 1024 * 1024
