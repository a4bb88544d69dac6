"""Row and events -> row: what a read model becomes, without a database.

A row as it stands at a version is a function of its stream's events up to there, and of nothing else. So whoever folds
further from any row that was ever right comes to the same, and all that a writer has to see to is which write counts
last: see `row_writer`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from cassorm.errors import ProjectionError
from cassorm.events.event import Recorded
from cassorm.events.store import Stream
from cassorm.projections.mapping import Rules, Step


class Standing(NamedTuple):
    """The row of a stream as its events leave it up to `version`; None when they have deleted it, or begun none."""

    row: Any
    version: int


NOTHING = Standing(None, 0)


class Left(NamedTuple):
    """A key of a view under which the row does not stand any more, since the event at `position`."""

    view: int
    key: tuple[Any, ...]
    position: int


@dataclass(slots=True)
class Change:
    """What events did to the row of a stream: from how it stood to how it stands at `version`.

    `touched` are the fields that any of them set, whether or not the value is another one now; `deleted_at` is the
    position of the last that deleted it. `fresh` are the views in which the row has a key that it did not have before.
    """

    stream: Stream
    row: Any
    version: int
    position: int
    touched: set[str] = field(default_factory=set)
    begun: bool = False
    """Whether it is written whole: there was no row before, or it was deleted in between."""
    deleted_at: int | None = None
    left: list[Left] = field(default_factory=list)
    fresh: set[int] = field(default_factory=set)

    @property
    def standing(self) -> Standing:
        """Where the row stands behind it."""
        return Standing(self.row, self.version)


class Folding(Protocol):
    """What of a read model a fold needs."""

    @property
    def model(self) -> type[Any]:
        """The class of rows."""

    @property
    def rules(self) -> Rules:
        """What events do."""

    @property
    def key(self) -> str:
        """The field that holds the stream's id."""

    @property
    def required(self) -> Sequence[str]:
        """The fields without a default."""

    @property
    def guarded(self) -> bool:
        """Whether rows have keys that no two share: then what is past is not written again."""

    @property
    def view_keys(self) -> Sequence[Sequence[str]]:
        """The fields of each view's key."""


def fold(kind: Folding, standing: Standing, events: Sequence[Recorded]) -> Change:
    """What `events` do to a row; they are of one stream, oldest first, and follow on `standing.version`.

    Raises:
        ProjectionError: an event cannot be mapped; the row is as it was.
    """
    first, last = events[0], events[-1]
    row = None if standing.row is None else standing.row.model_copy()
    change = Change(first.stream, row, last.version, last.position)
    keys = _keys(kind, row)
    known = standing.version > 0
    for recorded in events:
        steps = kind.rules.of(recorded)
        if steps is None:
            row, change.deleted_at, change.begun = None, recorded.position, False
        elif row is not None:
            _apply(kind, row, recorded, steps, change)
        else:
            # What was set before the row was deleted is not set any more.
            row = kind.model.model_construct(**{kind.key: recorded.stream})
            _apply(kind, row, recorded, steps, change)
            missing = [name for name in kind.required if name not in row.__dict__]
            if missing and not known:
                raise _incomplete(kind, recorded, missing)
            row = None if missing else row
            change.begun = row is not None
        known = True
        if keys:
            keys = _moved(kind, keys, row, recorded.position, change)
    if row is not None:
        values = row.__dict__ | {"applied_version": last.version}
        # In the order of the fields, whichever event set which first.
        object.__setattr__(row, "__dict__", {name: values[name] for name in kind.model.model_fields})
    change.row = row
    return change


def _apply(kind: Folding, row: Any, recorded: Recorded, steps: Sequence[Step], change: Change) -> None:
    assign = kind.model.__pydantic_validator__.validate_assignment
    event = recorded.event
    # All from the row as it was: no field sees what the same event did to another.
    made: list[tuple[str, Any]] = []
    attribute = ""
    try:
        for attribute, make in steps:
            made.append((attribute, make(event, row, recorded)))
        for attribute, value in made:
            assign(row, attribute, value)
        change.touched.update(attribute for attribute, _ in made)
    except Exception as error:  # whatever a function of the user's raises, or pydantic
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise ProjectionError(
            f"{recorded.event_type} cannot be mapped: {type(error).__name__}: {said}",
            where=f"{kind.model.__name__}.{attribute}, version {recorded.version} of stream {recorded.stream}",
            remedy="Correct the mapping, and replay the event",
        ) from error


def _incomplete(kind: Folding, recorded: Recorded, missing: Sequence[str]) -> ProjectionError:
    return ProjectionError(
        f"{recorded.event_type} begins a row that has no {' and no '.join(missing)}",
        where=f"{kind.model.__name__}, version {recorded.version} of stream {recorded.stream}",
        remedy=f"Map it from {recorded.event_type} as well, or give it a default",
    )


def _keys(kind: Folding, row: Any) -> list[tuple[Any, ...] | None]:
    """Under which key the row stands in each view; None where it stands under none."""
    if row is None:
        return [None] * len(kind.view_keys)
    values = row.__dict__
    found = [tuple(values[name] for name in names) for names in kind.view_keys]
    return [None if None in key else key for key in found]


def _moved(
    kind: Folding, keys: list[tuple[Any, ...] | None], row: Any, position: int, change: Change
) -> list[tuple[Any, ...] | None]:
    now = _keys(kind, row)
    for view, (old, new) in enumerate(zip(keys, now, strict=True)):
        if old != new:
            change.fresh.add(view)
            if old is not None:
                change.left.append(Left(view, old, position))
    return now
