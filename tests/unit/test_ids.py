"""Random ids, drawn many at a time."""

import threading
from uuid import UUID, uuid5

import pytest

from cassorm.events.ids import new_id
from cassorm.events.intent import event_id_of

THREADS, EACH = 6, 20_000


def test_an_id_is_a_random_uuid() -> None:
    first, second = new_id(), new_id()
    assert isinstance(first, UUID)
    assert first.version == 4
    assert first != second


def test_threads_that_draw_at_once_never_get_the_same_id() -> None:
    drawn: list[list[UUID]] = []
    threads = [threading.Thread(target=lambda: drawn.append([new_id() for _ in range(EACH)])) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for ids in drawn for one in ids}) == THREADS * EACH


@pytest.mark.parametrize("index", [0, 1, 31, 999, 100_000])
def test_an_events_id_follows_from_its_append_and_its_place_in_it(index: int) -> None:
    append_id = new_id()
    found = event_id_of(append_id, index)
    assert found.version == 5
    assert found.int == (uuid5(append_id, "events").int >> 24 << 24) + index
