"""`store.on("event_saved")`, over every store."""

import logging
from typing import Any
from uuid import uuid4

import pytest

from cassorm import Event, EventStore, Recorded, event_context
from cassorm.errors import ConflictError, QueryError


class Noted(Event, name="saved.Noted"):
    number: int


async def test_what_is_told_is_what_stands_in_the_stream(store: EventStore) -> None:
    told: list[Recorded] = []
    off = store.on("event_saved", told.append)
    stream = uuid4()
    with event_context(user_id="u1", source="web"):
        await store.append(stream, [Noted(number=1), Noted(number=2)], aggregate_type="Note")
    await store.append(stream, [Noted(number=3)])
    off()
    await store.append(stream, [Noted(number=4)])
    off()  # twice does no harm
    assert told == (await store.get_events(stream))[:3]


async def test_a_listener_is_awaited_and_what_it_raises_is_logged(
    store: EventStore, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []

    async def fails(recorded: Recorded) -> None:
        raise RuntimeError(f"no room for {recorded.version}")

    async def counts(recorded: Recorded) -> None:
        told.append(recorded.version)

    offs = [store.on("event_saved", fails), store.on("event_saved", counts)]
    stream = uuid4()
    with caplog.at_level(logging.ERROR, "cassorm.events"):
        appended = await store.append(stream, [Noted(number=1)])
    for off in offs:
        off()
    assert appended.version == 1
    assert told == [1]
    assert f"a listener to event_saved failed at version 1 of stream {stream}" in caplog.text
    assert "no room for 1" in caplog.text


async def test_what_was_not_appended_is_not_told(store: EventStore) -> None:
    stream, told = uuid4(), list[Recorded]()
    await store.append(stream, [Noted(number=1)])
    off = store.on("event_saved", told.append)
    with pytest.raises(ConflictError):
        await store.append(stream, [Noted(number=2)], expected=0)
    off()
    assert told == []


@pytest.mark.parametrize(("what", "listener"), [("saved", print), ("event_saved", None), ("eventSaved", print)])
async def test_what_is_never_told_is_refused(memory_store: EventStore, what: str, listener: Any) -> None:
    with pytest.raises(QueryError, match=r"store\.on"):
        memory_store.on(what, listener)
