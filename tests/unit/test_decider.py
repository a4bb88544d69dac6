"""Deciders: an aggregate as two functions."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from cassorm import Event, MemoryEventStore
from cassorm.aggregates.decider import Decider
from cassorm.aggregates.repository import AggregateRepository
from cassorm.errors import AggregateError


class Added(Event, name="DeciderAdded"):
    amount: int


class Reset(Event, name="DeciderReset"):
    pass


@dataclass(frozen=True)
class Add:
    amount: int


@dataclass(frozen=True)
class Clear:
    pass


class NegativeError(Exception):
    pass


def decide(command: Add | Clear, state: int) -> list[Added | Reset]:
    match command:
        case Add(amount) if amount < 0:
            raise NegativeError
        case Add(amount):
            return [Added(amount=amount)] if amount else []
        case Clear():
            return [Reset()] if state else []


def evolve(state: int, event: Added | Reset) -> int:
    return state + event.amount if isinstance(event, Added) else 0


counter = Decider(name="Counter", initial=int, decide=decide, evolve=evolve, state=int)


@pytest.fixture
def counters() -> AggregateRepository[Decider[Add | Clear, int]]:
    return AggregateRepository(MemoryEventStore(), counter)


async def test_commands_are_decided_on_the_state_that_the_events_evolve(
    counters: AggregateRepository[Decider[Add | Clear, int]],
) -> None:
    id_ = uuid4()
    await counters.execute(id_, Add(3), create=True)
    await counters.execute(id_, Add(4))
    folded = await counters.get(id_)
    assert (folded.state, folded.version, folded.id) == (7, 2, id_)
    await counters.execute(id_, Clear())
    assert (await counters.execute(id_, Clear())).changed is False
    assert (await counters.get(id_)).state == 0


async def test_what_decide_raises_is_raised_and_nothing_is_written(
    counters: AggregateRepository[Decider[Add | Clear, int]],
) -> None:
    id_ = uuid4()
    with pytest.raises(NegativeError):
        await counters.execute(id_, Add(-1), create=True)
    assert not await counters.exists(id_)


async def test_rival_commands_take_effect_one_after_another() -> None:
    store = MemoryEventStore()
    rivals = [AggregateRepository(store, counter, cache=cache) for cache in (0, 10)]
    id_ = uuid4()
    await asyncio.gather(*(rival.execute(id_, Add(1), create=True) for rival in rivals * 20))
    assert (await rivals[0].get(id_)).state == 40


def with_decide(result: Any) -> AggregateRepository[Decider[Any, int]]:
    broken = Decider[Any, int](name="Broken", initial=int, decide=lambda *_: result, evolve=lambda state, _: state + 1)
    return AggregateRepository(MemoryEventStore(), broken)


async def test_decide_may_return_any_iterable_of_events() -> None:
    def events() -> Iterator[Event]:
        yield Added(amount=1)
        yield Reset()

    for result in ([Added(amount=1), Reset()], (Added(amount=1), Reset()), events()):
        repository, id_ = with_decide(result), uuid4()
        assert (await repository.execute(id_, None, create=True)).version == 2


@pytest.mark.parametrize("result", [None, 3, Added(amount=1)])
async def test_decide_that_returns_no_events_is_an_error_that_says_so(result: Any) -> None:
    with pytest.raises(AggregateError, match=r"decider Broken: decide returned .*Return a list of events"):
        await with_decide(result).execute(uuid4(), "command", create=True)


async def test_an_async_decide_is_an_error_that_says_so() -> None:
    async def decide_later(_command: Any, _state: int) -> list[Event]:
        return []

    broken = Decider[Any, int](name="Broken", initial=int, decide=decide_later, evolve=lambda s, _: s)  # type: ignore[arg-type]
    with pytest.raises(AggregateError, match="decide is a plain function"):
        await AggregateRepository(MemoryEventStore(), broken).execute(uuid4(), 1, create=True)


async def test_what_is_no_event_among_them_is_named() -> None:
    with pytest.raises(AggregateError, match=r"decide returned 'text' among its events"):
        await with_decide([Added(amount=1), "text"]).execute(uuid4(), None, create=True)


async def test_events_that_do_not_evolve_are_never_saved() -> None:
    def fragile(_state: int, _event: Event) -> int:
        raise ZeroDivisionError

    store, id_ = MemoryEventStore(), uuid4()
    broken = Decider[Any, int](name="Broken", initial=int, decide=lambda *_: [Reset()], evolve=fragile)
    with pytest.raises(ZeroDivisionError):
        await AggregateRepository(store, broken).execute(id_, None, create=True)
    assert not await store.exists(id_)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"name": ""}, "the aggregate type '' is no printable text"),
        ({"name": None}, "the aggregate type None is no printable text"),
        ({"initial": 0}, "initial is 0, not a function"),
        ({"decide": None}, "decide is None, not a function"),
        ({"evolve": "evolve"}, "evolve is 'evolve', not a function"),
        ({"upcast_snapshot": 3}, "upcast_snapshot is 3, not a function"),
        ({"snapshot_schema_version": 0}, "snapshot_schema_version 0 is not a whole number from 1"),
    ],
    ids=repr,
)
def test_a_wrong_declaration_is_refused_at_once(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(AggregateError, match=problem):
        Decider(**{"name": "Counter", "initial": int, "decide": decide, "evolve": evolve, **wrong})


def test_a_state_type_that_pydantic_does_not_know_is_refused() -> None:
    class Strange:
        pass

    broken = Decider[Any, Any](name="Strange", initial=Strange, decide=decide, evolve=evolve, state=Strange)
    with pytest.raises(AggregateError, match=r"decider Strange, state: .* is no type that pydantic knows"):
        AggregateRepository(MemoryEventStore(), broken)
