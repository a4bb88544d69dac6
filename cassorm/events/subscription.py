"""Who is told of which events, and what becomes of those that it cannot handle.

Source: docs/explanation/feed.md.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Literal, NamedTuple
from uuid import UUID

from cassorm.errors import ConfigurationError
from cassorm.events.event import Recorded
from cassorm.events.pointers import Pointer
from cassorm.events.shard_feed import Stored
from cassorm.events.store import Stream

BEFORE_ALL = 0
"""A position before that of every event."""


class Start(Enum):
    """Where a subscription begins that has no checkpoint yet."""

    BEGINNING = "beginning"
    NOW = "now"


class Placed(NamedTuple):
    """An event, and the position of its append: that of the append's first event.

    Windows are cut between appends, so this is what to compare with `low` and `high`.
    """

    recorded: Recorded
    position: int


@dataclass(frozen=True, slots=True)
class Window:
    """All wanted events of one shard whose appends stand behind `low`, up to and with `high`; none will be added.

    `events()` reads them anew at each call: in the order of their positions, or stream by stream in the order of
    versions when `whole`; then they are everything from the beginning, and `low` is before all.
    """

    shard: int
    low: int
    high: int
    whole: bool
    events: Callable[[], AsyncIterator[Placed]]


BEGINNING: Final = Start.BEGINNING
NOW: Final = Start.NOW

Handler = Callable[[Recorded], Awaitable[None]]
StreamHandler = Callable[[list[Recorded]], Awaitable[None]]
WindowHandler = Callable[[Window], Awaitable[None]]


class Unfit(Exception):  # noqa: N818 - an answer to the subscription, not an error of its user
    """Raised by the handler of a window for one event of it: that event is parked, and the others are handled."""

    def __init__(self, placed: Placed, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.placed = placed
        self.error = error


class Left(Exception):  # noqa: N818 - an answer to the subscription, not an error of its user
    """Raised by a handler that wants no more: what it was called with is not handled, nor is anything else."""


class Parked(NamedTuple):
    """An event that its subscription could not handle, and why."""

    subscription: str
    stream: Stream
    version: int
    event_type: str
    pos: int
    error: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """A name, a handler, and which events it is told of.

    `takes` says what the handler is called with:

    - `"events"`: one `Recorded`, in order within its stream, streams side by side.
    - `"streams"`: a list of `Recorded` of one stream that follow one another, as many as wait.
    - `"windows"`: a `Window`, one at a time in each shard; for what many streams add up to.

    `event_types` and `aggregate_types` are names; None is all. What raises or takes longer than `handler_timeout` is
    tried again, `attempts` times in all, each pause twice the one before; then the event is parked, and the stream's
    later events are held back behind it (`block`), or handled (`go on`). While the cluster does not answer it is tried
    again for as long as that lasts: that is not the event's fault.
    """

    name: str
    handler: Callable[[Any], Awaitable[None]]
    takes: Literal["events", "streams", "windows"] = "events"
    event_types: frozenset[str] | None = None
    aggregate_types: frozenset[str] | None = None
    begin: Start = Start.BEGINNING
    concurrency: int = 32
    attempts: int = 5
    first_pause: timedelta = timedelta(milliseconds=100)
    handler_timeout: timedelta = timedelta(seconds=30)
    after_parking: Literal["block", "go on"] = "block"
    most_ahead: int = 500
    """How many events may wait for the handler: the feed is not read further while they do."""
    decode: Callable[[Stream, str | None, Stored], Recorded] | None = None
    """What makes an event of a row, where that is not the store's way."""

    def __post_init__(self) -> None:
        """Refuse what no worker can carry."""
        checks = (
            ("name", isinstance(self.name, str) and 0 < len(self.name) <= 200 and self.name.isprintable(), "Name it"),
            ("takes", self.takes in ("events", "streams", "windows"), "Use 'events', 'streams' or 'windows'"),
            ("handler", callable(self.handler), "Give an async function"),
            ("concurrency", self.concurrency >= 1, "Use at least 1"),
            ("attempts", self.attempts >= 1, "Use at least 1"),
            ("most_ahead", self.most_ahead >= 1, "Use at least 1"),
            ("after_parking", self.after_parking in ("block", "go on"), "Use 'block' or 'go on'"),
            ("handler_timeout", self.handler_timeout > timedelta(0), "Use a positive duration"),
        )
        for name, right, remedy in checks:
            if not right:
                raise ConfigurationError(
                    f"{name} {getattr(self, name)!r}", where=f"subscription {self.name}", remedy=remedy
                )

    def may_want(self, pointer: Pointer) -> bool:
        """Tell whether it may want events of an append, by what its pointer says."""
        return (self.aggregate_types is None or pointer.aggregate_type in self.aggregate_types) and (
            self.event_types is None or not self.event_types.isdisjoint(pointer.event_types.split("\n"))
        )

    def wants(self, aggregate_type: str | None, event: Stored) -> bool:
        """Tell whether it is to be told of an event."""
        return (self.event_types is None or event.event_type in self.event_types) and (
            self.aggregate_types is None or aggregate_type in self.aggregate_types
        )


class Asked(NamedTuple):
    """What operators ask of a subscription: to rest, and to begin again, under a new id each time."""

    paused: bool = False
    begun_again: UUID | None = None


class Checkpoint(NamedTuple):
    """How far a subscription has come in a shard, who carries it on, and under which epoch.

    While the shard's streams are scanned, `scan_upto` is the position up to which that is to bring it, and `scan_token`
    the token up to which they are done.
    """

    pos: int
    owner: UUID | None
    epoch: int
    scan_upto: int | None = None
    scan_token: int | None = None


class Scanned(NamedTuple):
    """Some events of one stream, oldest first, each append whole or begun in the part before."""

    token: int
    stream: Stream
    aggregate_type: str | None
    events: list[tuple[int, Stored]]
    """Each with the position of its append."""
    last: bool
    """Whether the stream's last events are among them."""


class CursorTables(NamedTuple):
    """What a cursor asks of the store."""

    history: Callable[[int, int, int], Awaitable[list[Pointer]]]
    """Some of a shard's pointers behind a position, up to and with another, from the first; none when there are none."""
    load: Callable[[Pointer], Awaitable[list[Stored]]]
    """The events of a pointer that is resolved; none when its append does not stand there."""
    scan: Callable[[int, int], AsyncIterator[Scanned]]
    """All streams of a shard behind a token, in the order of their tokens."""
    decode: Callable[[Stream, str | None, Stored], Recorded]
    save: Callable[[int], Awaitable[bool]]
    """Move the checkpoint; False when another owns it by now."""
    save_scan: Callable[[int], Awaitable[bool]]
    """Note the token up to which the shard is scanned; False when another owns the checkpoint by now."""
    park: Callable[[Parked], Awaitable[None]]
    unpark: Callable[[Stream, int], Awaitable[None]]
    parked: Callable[[Stream], Awaitable[int | None]]
    """The lowest version of a stream that is parked."""
    parked_streams: Callable[[], Awaitable[dict[Stream, int]]]
    """The lowest parked version of each stream that has one."""
    owned: Callable[[], Awaitable[None]]
    """Return when its owner has given a sign of life within the lease: at once, or after the next one."""


class Overtaken(Exception):  # noqa: N818 - an answer within this package, not an error of its user
    """The checkpoint has another owner by now."""
