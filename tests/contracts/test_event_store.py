"""What every event store promises; the fixture `store` runs it over memory, Cassandra and ScyllaDB."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm import ANY, EXISTS, NO_STREAM, Event, EventStore, Value, caused_by, event_context
from cassorm.errors import CatalogError, ConflictError, QueryError, Retry, StreamTypeError
from cassorm.events.intent import MAX_VERSION


class Opened(Event):
    owner: str


class Deposited(Event, name="MoneyDeposited", schema_version=2):
    amount: Decimal


class Scan(Value):
    raw: bytes


class Scanned(Event):
    scan: Scan
    seen: Any = None


def deposits(count: int) -> list[Deposited]:
    return [Deposited(amount=Decimal(n)) for n in range(1, count + 1)]


async def versions(store: EventStore, stream: UUID) -> list[int]:
    return [recorded.version for recorded in await store.get_events(stream)]


async def test_events_come_back_as_they_were_put_in(store: EventStore) -> None:
    stream = uuid4()
    events = [Opened(owner="Zoë \N{SNOWMAN}"), Deposited(amount=Decimal("2.50")), Scanned(scan=Scan(raw=b"\xff\x00"))]
    appended = await store.append(stream, events, expected=NO_STREAM, aggregate_type="Account")

    recorded = await store.get_events(stream)
    assert [one.event for one in recorded] == events
    assert [one.version for one in recorded] == [1, 2, 3]
    assert [(one.event_type, one.schema_version) for one in recorded] == [
        ("Opened", 1),
        ("MoneyDeposited", 2),
        ("Scanned", 1),
    ]
    assert {one.append_id for one in recorded} == {appended.append_id}
    assert len({one.event_id for one in recorded}) == 3
    assert {(one.stream, one.aggregate_type) for one in recorded} == {(stream, "Account")}
    assert all(one.timestamp.utcoffset() is not None for one in recorded)
    assert [one.position for one in recorded] == [appended.position.micros - n for n in (2, 1, 0)]


async def test_versions_are_contiguous_and_positions_rise_over_many_appends(store: EventStore) -> None:
    stream = uuid4()
    for size in (1, 3, 40, 2):
        await store.append(stream, deposits(size))
    recorded = await store.get_events(stream)
    assert [one.version for one in recorded] == list(range(1, 47))
    positions = [one.position for one in recorded]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("count", [1, 2, 10, 32, 33, 100])
async def test_an_append_of_any_size_lands_whole(store: EventStore, count: int) -> None:
    stream = uuid4()
    appended = await store.append(stream, deposits(count), expected=0)
    assert appended.version == count
    assert [one.event for one in await store.get_events(stream)] == deposits(count)


async def test_the_second_writer_conflicts_and_writes_nothing(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(2), expected=0)
    with pytest.raises(ConflictError) as raised:
        await store.append(stream, [Opened(owner="late")], expected=0)
    assert (raised.value.expected, raised.value.actual, raised.value.stream) == (0, 2, stream)
    assert raised.value.retry is Retry.RELOAD
    assert await versions(store, stream) == [1, 2]


@pytest.mark.parametrize("expected", [1, 5, 1_000_000])
async def test_a_version_ahead_of_the_stream_conflicts(store: EventStore, expected: int) -> None:
    stream = uuid4()
    with pytest.raises(ConflictError) as raised:
        await store.append(stream, deposits(1), expected=expected)
    assert raised.value.actual == 0
    assert not await store.exists(stream)


async def test_of_many_writers_at_one_version_exactly_one_wins(store: EventStore) -> None:
    stream = uuid4()
    outcomes = await asyncio.gather(
        *(store.append(stream, [Opened(owner=str(n))], expected=0) for n in range(20)), return_exceptions=True
    )
    winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert (len(winners), len(losers)) == (1, 19)
    assert {loser.actual for loser in losers} == {1}
    assert await versions(store, stream) == [1]


async def test_any_appends_wherever_the_stream_stands_in_the_order_of_the_calls(store: EventStore) -> None:
    stream = uuid4()
    appended = await asyncio.gather(*(store.append(stream, [Opened(owner=str(n))], expected=ANY) for n in range(25)))
    assert [one.version for one in appended] == list(range(1, 26))
    owners = [one.event.owner for one in await store.get_events(stream) if isinstance(one.event, Opened)]
    assert owners == [str(n) for n in range(25)]


async def test_no_stream_and_exists_say_what_they_want(store: EventStore) -> None:
    stream = uuid4()
    with pytest.raises(ConflictError, match="expected version EXISTS, found 0"):
        await store.append(stream, deposits(1), expected=EXISTS)
    await store.append(stream, deposits(1), expected=NO_STREAM)
    with pytest.raises(ConflictError, match="expected version NO_STREAM, found 1"):
        await store.append(stream, deposits(1), expected=NO_STREAM)
    assert (await store.append(stream, deposits(1), expected=EXISTS)).version == 2


@pytest.mark.parametrize("expected", [0, NO_STREAM, ANY])
@pytest.mark.parametrize("count", [1, 40])
async def test_the_same_append_id_again_writes_nothing_and_gives_the_same_answer(
    store: EventStore, expected: Any, count: int
) -> None:
    stream, append_id = uuid4(), uuid4()
    first = await store.append(stream, deposits(count), expected=expected, append_id=append_id)
    await store.append(stream, deposits(3))
    again = await store.append(stream, deposits(count), expected=expected, append_id=append_id)
    assert again == first
    assert await versions(store, stream) == list(range(1, count + 4))


async def test_an_append_id_in_the_middle_of_a_stream_is_found_again(store: EventStore) -> None:
    stream, append_id = uuid4(), uuid4()
    await store.append(stream, deposits(3))
    exact = await store.append(stream, deposits(2), expected=3, append_id=append_id)
    await store.append(stream, deposits(4))
    assert await store.append(stream, deposits(2), expected=3, append_id=append_id) == exact
    assert await store.append(stream, deposits(2), expected=EXISTS, append_id=append_id) == exact
    assert (await store.head(stream)) is not None
    assert await versions(store, stream) == list(range(1, 10))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("expected", [0, NO_STREAM, ANY])
async def test_an_append_id_that_stands_for_other_events_is_refused(
    store: EventStore, expected: Any, count: int
) -> None:
    stream, append_id = uuid4(), uuid4()
    await store.append(stream, deposits(2), expected=0, append_id=append_id)
    with pytest.raises(QueryError, match="stands at version 1 for another number of events"):
        await store.append(stream, deposits(count), expected=expected, append_id=append_id)
    assert await versions(store, stream) == [1, 2]


async def test_another_append_id_at_a_taken_version_is_a_conflict(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(1), expected=0, append_id=uuid4())
    with pytest.raises(ConflictError):
        await store.append(stream, deposits(1), expected=0, append_id=uuid4())


async def test_reading_takes_a_range_forwards_and_backwards(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(20))

    async def read(**bounds: Any) -> list[int]:
        return [one.version async for one in store.read(stream, **bounds)]

    assert await read(from_version=5, to_version=8) == [5, 6, 7, 8]
    assert await read(from_version=18) == [18, 19, 20]
    assert await read(to_version=2) == [1, 2]
    assert await read(from_version=5, to_version=8, backwards=True) == [8, 7, 6, 5]
    assert await read(backwards=True) == list(range(20, 0, -1))
    assert await read(from_version=21) == []
    assert await read(from_version=9, to_version=3) == []
    assert [one.version for one in await store.get_events(stream, 19, 30)] == [19, 20]


async def test_pages_are_as_small_as_asked_and_reading_may_stop_midway(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(25))
    sizes = [len(page) async for page in store.pages(stream, page_size=10)]
    assert sizes == [10, 10, 5]
    async for recorded in store.read(stream):
        if recorded.version == 3:
            break
    assert recorded.version == 3


async def test_reading_is_bounded_by_the_head_that_was_read_first(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(10))
    seen = []
    async for page in store.pages(stream, page_size=2):
        seen += [one.version for one in page]
        await store.append(stream, deposits(1))
    assert seen == list(range(1, 11))


async def test_a_stream_that_does_not_exist_is_empty(store: EventStore) -> None:
    stream = uuid4()
    assert await store.get_events(stream) == []
    assert await store.head(stream) is None
    assert not await store.exists(stream)


async def test_the_head_tells_version_position_and_type(store: EventStore) -> None:
    stream = uuid4()
    appended = await store.append(stream, deposits(3), aggregate_type="Account")
    head = await store.head(stream)
    assert head is not None
    assert (head.version, head.position, head.aggregate_type, head.closed) == (
        3,
        appended.position.micros,
        "Account",
        False,
    )


async def test_a_stream_keeps_its_aggregate_type(store: EventStore) -> None:
    stream = uuid4()
    await store.append(stream, deposits(1), aggregate_type="Account")
    with pytest.raises(StreamTypeError, match="is a stream of Account, not of Order"):
        await store.append(stream, deposits(1), aggregate_type="Order")
    assert (await store.append(stream, deposits(1), aggregate_type="Account")).version == 2
    assert (await store.append(stream, deposits(1))).version == 3
    assert {one.aggregate_type for one in await store.get_events(stream)} == {"Account"}


async def test_metadata_is_carried_by_the_context(store: EventStore) -> None:
    stream = uuid4()
    with event_context(user_id="u1", correlation_id="req-789", source="web"):
        await store.append(stream, deposits(1))
        with event_context(causation_id="cmd-1", source="retry"):
            await store.append(stream, deposits(1))
    await store.append(stream, deposits(1))
    first, second, third = await store.get_events(stream)
    assert (first.user_id, first.correlation_id, first.causation_id, first.extra) == (
        "u1",
        "req-789",
        None,
        {"source": "web"},
    )
    assert (second.user_id, second.causation_id, second.extra) == ("u1", "cmd-1", {"source": "retry"})
    assert (third.user_id, third.correlation_id, third.extra) == (None, str(third.append_id), {})

    with caused_by(first):
        await store.append(stream, deposits(1))
    last = (await store.get_events(stream))[-1]
    assert (last.user_id, last.correlation_id, last.causation_id) == ("u1", "req-789", str(first.event_id))


async def test_save_event_and_save_events_append(store: EventStore) -> None:
    stream = uuid4()
    await store.save_event(stream, Opened(owner="a"), expected=NO_STREAM, aggregate_type="Account")
    saved = await store.save_events(stream, deposits(2), expected=1)
    assert saved.version == 3


class TestBadInput:
    """Refused before anything is sent; the stream is not there afterwards."""

    @pytest.mark.parametrize(
        "events", [[], [object()], ["OrderPlaced"], [{"type": "x"}], None, "abc", Opened(owner="x")]
    )
    async def test_what_is_no_sequence_of_events(self, store: EventStore, events: Any) -> None:
        stream = uuid4()
        with pytest.raises((QueryError, CatalogError), match="event"):
            await store.append(stream, events)
        assert not await store.exists(stream)

    @pytest.mark.parametrize("expected", [-1, MAX_VERSION, 10**20, "3", 1.0, True, None])
    async def test_an_expected_version_that_cannot_be(self, store: EventStore, expected: Any) -> None:
        stream = uuid4()
        with pytest.raises(QueryError, match="expected version"):
            await store.append(stream, deposits(1), expected=expected)
        assert not await store.exists(stream)

    @pytest.mark.parametrize("stream", ["order-1", 7, None, b"x" * 16])
    async def test_an_id_of_the_wrong_type(self, store: EventStore, stream: Any) -> None:
        with pytest.raises(QueryError, match="stream ids are uuid"):
            await store.append(stream, deposits(1))
        with pytest.raises(QueryError, match="stream ids are uuid"):
            await store.head(stream)
        with pytest.raises(QueryError, match="stream ids are uuid"):
            await store.get_events(stream)

    async def test_an_append_id_of_the_wrong_type(self, store: EventStore) -> None:
        with pytest.raises(QueryError, match="append id 'x' is no UUID"):
            await store.append(uuid4(), deposits(1), append_id="x")  # type: ignore[arg-type]

    async def test_an_event_that_is_too_large(self, store: EventStore) -> None:
        stream = uuid4()
        with pytest.raises(QueryError, match=r"1,048,5\d\d bytes exceeds 1,048,576 bytes an event"):
            await store.append(stream, [Opened(owner="small"), Opened(owner="x" * 1_048_570)])
        assert not await store.exists(stream)

    async def test_an_append_that_is_too_large(self, store: EventStore) -> None:
        stream = uuid4()
        with pytest.raises(QueryError, match="exceed 8,388,608 bytes an append"):
            await store.append(stream, [Opened(owner="x" * 1_000_000)] * 9)
        assert not await store.exists(stream)

    @pytest.mark.parametrize("value", [(1, 2), Decimal(1), b"\xff", "\ud800", {1: 2}, object(), uuid4(), {3, 4}])
    async def test_a_value_that_json_would_change(self, store: EventStore, value: Any) -> None:
        stream = uuid4()
        with pytest.raises(CatalogError, match="JSON"):
            await store.append(stream, [Scanned(scan=Scan(raw=b""), seen=value)])
        assert not await store.exists(stream)

    async def test_metadata_that_json_would_change(self, store: EventStore) -> None:
        with event_context(amount=Decimal(1)), pytest.raises(CatalogError, match="metadata"):
            await store.append(uuid4(), deposits(1))


async def test_the_largest_event_and_the_largest_append_are_taken(store: EventStore) -> None:
    stream = uuid4()
    largest = Opened(owner="x" * (1_048_576 - len('{"owner":""}')))
    appended = await store.append(stream, [largest] * 8)
    assert appended.version == 8
    sizes = [len(one.event.owner) async for one in store.read(stream) if isinstance(one.event, Opened)]
    assert sizes == [len(largest.owner)] * 8
