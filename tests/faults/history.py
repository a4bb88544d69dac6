"""What a stream holds after something went wrong, and what must be true of it whatever that was."""

from collections.abc import Iterable
from uuid import UUID

from cassorm import Event, EventStore


class Noted(Event, name="FaultNoted"):
    number: int
    filler: str = ""


def notes(count: int, first: int = 0) -> list[Noted]:
    return [Noted(number=first + n) for n in range(count)]


class Histories:
    """Where each append stands, over any number of streams that were read in full.

    Raises AssertionError for a version that is missing or there twice, and for an append that is there in part, twice,
    or with others' events in between.
    """

    def __init__(self) -> None:
        self.ends: dict[UUID, int] = {}
        """The version behind each append, by its id."""
        self.sizes: dict[UUID, int] = {}
        self.numbers: list[int] = []

    async def read(self, store: EventStore, streams: Iterable[UUID]) -> "Histories":
        for stream in streams:
            await self._read(store, stream)
        return self

    async def _read(self, store: EventStore, stream: UUID) -> None:
        history = await store.get_events(stream)
        head = await store.head(stream)
        assert [one.version for one in history] == list(range(1, len(history) + 1))
        assert (head.version if head else 0) == len(history)
        assert len({one.event_id for one in history}) == len(history)
        positions = [one.position for one in history]
        assert positions == sorted(set(positions))
        last = None
        for one in history:
            if one.append_id != last:
                assert one.append_id not in self.ends, f"append {one.append_id} is there twice"
                last = one.append_id
            self.ends[one.append_id] = one.version
            self.sizes[one.append_id] = self.sizes.get(one.append_id, 0) + 1
            assert isinstance(one.event, Noted)
            self.numbers.append(one.event.number)
