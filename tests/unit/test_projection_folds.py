"""What events make of the row of a read model, and of its place in views, without a database."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm.errors import ProjectionError
from cassorm.events.event import Event, Recorded
from cassorm.events.memory import MemoryEventStore
from cassorm.orm.fields import PK, Col
from cassorm.projections.fold import NOTHING, Left, Standing, fold
from cassorm.projections.mapping import map_from_event
from cassorm.projections.read_model import ReadModel, declared_of
from cassorm.projections.views import ReadView


class Opened(Event, name="FoldOpened"):
    customer: str
    country: str = "DE"


class Added(Event, name="FoldAdded"):
    amount: Decimal


class Moved(Event, name="FoldMoved"):
    customer: str


class Shipped(Event, name="FoldShipped"):
    pass


class Purged(Event, name="FoldPurged"):
    pass


class Noted(Event, name="FoldNoted"):
    pass


class Summary(ReadModel, table="fold_summaries", aggregate="Order"):
    order_id: PK[UUID]
    customer: Col[str] = map_from_event([Opened, Moved], "customer", transform=str.lower)
    country: Col[str] = map_from_event(Opened)
    total: Col[Decimal] = map_from_event(Added, lambda e, row: row.total + e.amount, default=Decimal(0))
    status: Col[str] = map_from_event({Opened: "open", Shipped: "shipped"})
    opened_at: Col[datetime | None] = map_from_event({Opened: lambda e, row, r: r.timestamp}, default=None)
    __deleted_by__ = [Purged]
    __views__ = [ReadView("fold_by_customer", key="customer", clustering=["opened_at desc", "order_id"])]


KIND = declared_of(Summary)
DE = Opened(customer="C1")


async def recorded(*events: Event) -> list[Recorded]:
    store, stream = MemoryEventStore(), uuid4()
    await store.append(stream, events, aggregate_type="Order")
    return await store.get_events(stream)


def values(standing: Standing) -> Any:
    return None if standing.row is None else {**standing.row.model_dump(), "applied": standing.row.applied_version}


async def test_events_set_the_fields_that_say_so() -> None:
    events = await recorded(DE, Added(amount=Decimal(3)), Added(amount=Decimal("4.5")), Moved(customer="C2"), Shipped())
    change = fold(KIND, NOTHING, events)
    assert isinstance(events[0].stream, UUID)
    assert change.row == Summary(
        order_id=events[0].stream,
        customer="c2",
        country="DE",
        total=Decimal("7.5"),
        status="shipped",
        opened_at=events[0].timestamp,
        applied_version=5,
    )
    assert (change.version, change.position, change.begun) == (5, events[4].position, True)


async def test_folding_in_any_parts_comes_to_the_same() -> None:
    events = await recorded(
        DE, Added(amount=Decimal(1)), Moved(customer="C2"), Purged(), Shipped(), DE, Added(amount=Decimal(2)), Shipped()
    )
    whole = values(fold(KIND, NOTHING, events).standing)
    for cut in range(1, len(events)):
        standing = fold(KIND, NOTHING, events[:cut]).standing
        before = values(standing)
        assert values(fold(KIND, standing, events[cut:]).standing) == whole
        assert values(standing) == before, "a fold leaves the row it began from as it was"
    standing = NOTHING
    for event in events:
        standing = fold(KIND, standing, [event]).standing
    assert values(standing) == whole
    assert whole["total"] == Decimal(2)


async def test_only_the_fields_that_events_set_are_touched_whatever_their_value() -> None:
    events = await recorded(DE, Added(amount=Decimal(0)), Moved(customer="C1"))
    standing = fold(KIND, NOTHING, events[:1]).standing
    change = fold(KIND, standing, events[1:])
    assert change.touched == {"total", "customer"}
    assert not change.begun
    assert (change.left, change.fresh) == ([], set())


async def test_a_row_leaves_each_key_of_a_view_at_the_event_that_moved_it() -> None:
    events = await recorded(DE, Moved(customer="C2"), Moved(customer="C3"), Moved(customer="C2"))
    change = fold(KIND, NOTHING, events)
    opened, stream = events[0].timestamp, events[0].stream
    assert change.left == [
        Left(0, (customer, opened, stream), event.position)
        for customer, event in zip(["c1", "c2", "c3"], events[1:], strict=True)
    ]
    assert change.fresh == {0}


async def test_a_deleted_row_stays_deleted_until_an_event_gives_all_that_a_row_needs() -> None:
    events = await recorded(DE, Purged(), Added(amount=Decimal(9)), Shipped(), Opened(customer="C9"))
    gone = fold(KIND, NOTHING, events[:4])
    assert (gone.row, gone.deleted_at, gone.version) == (None, events[1].position, 4)
    again = fold(KIND, gone.standing, events[4:])
    assert again.begun
    assert (again.row.customer, again.row.total, again.row.status) == ("c9", Decimal(0), "open")
    assert fold(KIND, NOTHING, events).left[0].position == events[1].position


async def test_a_row_that_begins_without_a_field_is_refused_with_the_event_that_lacks_it() -> None:
    events = await recorded(Added(amount=Decimal(1)))
    with pytest.raises(ProjectionError, match=r"Summary, version 1 .*begins a row that has no customer") as caught:
        fold(KIND, NOTHING, events)
    assert "Map it from FoldAdded" in str(caught.value)


async def test_what_a_mapping_raises_or_gives_that_does_not_fit_names_field_event_and_version() -> None:
    class Odd(ReadModel, table="fold_odd"):
        id: PK[UUID]
        ratio: Col[Decimal] = map_from_event(Added, lambda e: Decimal(1) / e.amount, default=Decimal(0))
        size: Col[int] = map_from_event({Noted: "many"}, default=0)

    kind = declared_of(Odd)
    events = await recorded(Added(amount=Decimal(0)), Noted())
    with pytest.raises(
        ProjectionError, match=r"Odd\.ratio, version 1 of stream .*FoldAdded cannot be mapped: Division"
    ):
        fold(kind, NOTHING, events[:1])
    with pytest.raises(ProjectionError, match=r"Odd\.size, version 2 .*valid integer"):
        fold(kind, NOTHING, events[1:])


async def test_all_fields_of_an_event_see_the_row_as_it_was_before_it() -> None:
    class Pair(ReadModel, table="fold_pairs"):
        id: PK[UUID]
        last: Col[Decimal] = map_from_event(Added, "amount", default=Decimal(0))
        before: Col[Decimal] = map_from_event(Added, lambda e, row: row.last, default=Decimal(0))

    events = await recorded(Added(amount=Decimal(1)), Added(amount=Decimal(2)))
    row = fold(declared_of(Pair), NOTHING, events).row
    assert (row.last, row.before) == (Decimal(2), Decimal(1))


async def test_a_row_is_folded_in_memory_when_asked_for_live() -> None:
    store, stream = MemoryEventStore(), uuid4()
    assert await Summary.live(store, stream) is None
    await store.append(stream, [DE, Noted(), Shipped()], aggregate_type="Order")
    row = await Summary.live(store, stream)
    assert row is not None
    assert (row.status, row.applied_version) == ("shipped", 3)
