"""A question for the events of all streams: of which type, from when to when."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple

from cassorm.errors import QueryError
from cassorm.events.event import Event

Kind = Literal["type", "aggregate type", "date"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST, _LATEST = 0, (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

Moment = datetime | date


class Inquiry(NamedTuple):
    """Events of one `kind` and `name` whose positions lie from `low` up to `high`, both included."""

    kind: Kind
    name: str
    low: int
    high: int
    backwards: bool

    @property
    def empty(self) -> bool:
        """Whether no position can lie between its bounds."""
        return self.low > self.high


def by_type(event_type: type[Event] | str, begin: Moment | None, end: Moment | None, *, backwards: bool) -> Inquiry:
    """Return the question for the events of one type, given as its class or its name.

    Raises:
        QueryError: that is no event type, or a bound is no moment.
    """
    named = event_type.__event_type__ if isinstance(event_type, type) and issubclass(event_type, Event) else event_type
    return Inquiry("type", _name("event type", named), *_span(begin, end), backwards)


def by_aggregate_type(aggregate_type: str, begin: Moment | None, end: Moment | None, *, backwards: bool) -> Inquiry:
    """Return the question for the events of the streams of one aggregate type.

    Raises:
        QueryError: that is no name, or a bound is no moment.
    """
    return Inquiry("aggregate type", _name("aggregate type", aggregate_type), *_span(begin, end), backwards)


def by_date(begin: Moment | None, end: Moment | None, *, backwards: bool) -> Inquiry:
    """Return the question for all events from one moment on, before another.

    Raises:
        QueryError: a bound is no moment.
    """
    return Inquiry("date", "", *_span(begin, end), backwards)


def moment_of(position: int) -> datetime:
    """Return the moment of a position, in UTC."""
    return _EPOCH + position * _MICROSECOND


def _name(what: str, given: object) -> str:
    if isinstance(given, str) and given:
        return given
    raise QueryError(f"{given!r} is no {what}", where="events by type", remedy="Give its name, or an event's class")


def _span(begin: Moment | None, end: Moment | None) -> tuple[int, int]:
    low = _EARLIEST if begin is None else _micros("begin", begin)
    high = _LATEST if end is None else _micros("end", end) - 1
    if begin is not None and end is not None and low > high + 1:
        raise QueryError(f"begin {begin} lies behind end {end}", where="events by date", remedy="Exchange the two")
    return max(low, _EARLIEST), high


def _micros(what: str, moment: object) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise QueryError(
                f"{what} {moment} has no time zone",
                where="events by date",
                remedy="Give an aware datetime, such as datetime(2026, 1, 31, tzinfo=UTC)",
            )
        return (moment - _EPOCH) // _MICROSECOND
    if isinstance(moment, date):
        return (datetime.combine(moment, time(), UTC) - _EPOCH) // _MICROSECOND
    raise QueryError(
        f"{what} {moment!r} is no moment", where="events by date", remedy="Give an aware datetime, or a date (in UTC)"
    )
