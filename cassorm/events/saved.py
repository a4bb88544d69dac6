"""`store.on("event_saved", ...)`: tell this very process what it has just appended. No subscription: see `EventStore.on`."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cassorm.errors import QueryError
from cassorm.events.event import Event, Recorded
from cassorm.events.intent import Intent
from cassorm.events.metadata import Metadata

SAVED: Final = "event_saved"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger("cassorm.events")

Listener = Callable[[Recorded], Awaitable[None] | None]


class Listeners:
    """Those who are told of what this process appends."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def on(self, what: str, listener: Listener) -> Callable[[], None]:
        """Add a listener; what is returned takes it away again.

        Raises:
            QueryError: nothing of that name is told, or that is no function.
        """
        if what != SAVED:
            raise QueryError(f"{what!r} is never told", where="store.on", remedy=f"Give {SAVED!r}")
        if not callable(listener):
            raise QueryError(f"{listener!r} cannot be called", where="store.on", remedy="Give a function of one event")
        key = object()  # one function may listen twice
        self._listeners[key] = listener

        def off() -> None:
            self._listeners.pop(key, None)

        return off

    async def tell(self, events: Sequence[Recorded]) -> None:
        """Tell all of them of events, one after another; what they raise is logged."""
        for recorded in events:
            for listener in list(self._listeners.values()):
                try:
                    told = listener(recorded)
                    if inspect.isawaitable(told):
                        await told
                except Exception:  # whatever it raises, the event stands
                    _log.exception(
                        "a listener to %s failed at version %d of stream %s", SAVED, recorded.version, recorded.stream
                    )


def saved(
    intent: Intent, events: Sequence[Event], aggregate_type: str | None, *, version: int, pos: int
) -> list[Recorded]:
    """Return the events of an append that landed; `version` and `pos` are those of the last."""
    moment = _EPOCH + timedelta(milliseconds=intent.timestamp_ms)
    metadata = Metadata.decode(intent.metadata)
    first = len(intent.events) - 1
    return [
        Recorded(
            intent.stream,
            aggregate_type,
            version - first + index,
            event,
            encoded.event_id,
            intent.append_id,
            encoded.event_type,
            encoded.schema_version,
            moment,
            metadata,
            pos - first + index,
        )
        for index, (event, encoded) in enumerate(zip(events, intent.events, strict=True))
    ]
