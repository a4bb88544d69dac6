"""Events -> key and amounts: what totals add up, without a database."""

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from types import SimpleNamespace
from typing import Any, Protocol

from pydantic import ValidationError

from cassorm.errors import ProjectionError, QueryError
from cassorm.events.event import Event, Recorded
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.mapping import Step

# Money is never rounded: a sum of more digits than these is refused.
_EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation])
SUMMED = -1
"""The shard of a row that is the sum of its parts."""

Key = tuple[Any, ...]
Amounts = tuple[Any, ...]
Slot = tuple[Any, ...]
"""A key as it is stored, to look it up by: what a mapping gives for one need not be hashable."""


class Adding(Protocol):
    """What of totals adding up needs."""

    @property
    def model(self) -> type[Any]:
        """The class of rows."""

    @property
    def plan(self) -> ModelPlan:
        """The plan of the model."""

    @property
    def keys(self) -> Sequence[str]:
        """The fields of the key."""

    @property
    def sums(self) -> Sequence[str]:
        """The fields that are added up."""

    @property
    def key_steps(self) -> Mapping[type[Event], tuple[Step, ...]]:
        """What of a key each event says."""

    @property
    def sum_steps(self) -> Mapping[type[Event], tuple[Step, ...]]:
        """What each event adds."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the events that count."""

    @property
    def aggregates(self) -> frozenset[str] | None:
        """The types of the streams that count; None for all."""


class Adder:
    """Tells of each event which row it adds to, and how much."""

    def __init__(self, said: Adding) -> None:
        self._said = said
        plan = said.plan
        self._plan = plan
        self._keys = [plan.by_attribute[name] for name in said.keys]
        kinds = [plan.by_attribute[name].codec.cql.name for name in said.sums]
        self.nothing: Amounts = tuple(Decimal(0) if kind == "decimal" else 0 for kind in kinds)

    def key_steps(self, event: Event) -> tuple[Step, ...]:
        """What of a key an event says."""
        return _steps(self._said.key_steps, type(event))

    def says_all(self, event: Event) -> bool:
        """Tell whether an event says the whole key."""
        return {step.attribute for step in self.key_steps(event)}.issuperset(self._said.keys)

    def sum_steps(self, event: Event) -> tuple[Step, ...]:
        """What an event adds."""
        return _steps(self._said.sum_steps, type(event))

    def amounts(self, steps: tuple[Step, ...], key: SimpleNamespace, recorded: Recorded) -> tuple[Slot, Key, Amounts]:
        """The row that an event adds to, and how much.

        Raises:
            ProjectionError: it has no key, or adds what is no number.
            QueryError: the key cannot be stored.
        """
        said = self._said
        where = f"{said.model.__name__}, version {recorded.version} of stream {recorded.stream}"
        missing = [name for name in said.keys if getattr(key, name, None) is None]
        if missing:
            raise ProjectionError(
                f"{recorded.event_type} adds to a row whose {' and '.join(missing)} no event of the stream has said",
                where=where,
                remedy=f"Map {missing[0]} from {recorded.event_type}, or from an event that comes before it",
            )
        made = dict(zip(said.sums, self.nothing, strict=True))
        for name, make in steps:
            try:
                made[name] = plus(made[name], make(recorded.event, key, recorded))
                self._plan.by_attribute[name].encode(made[name])
            except Exception as error:  # whatever a function of the user's raises, or what does not fit
                raise ProjectionError(
                    f"{recorded.event_type} cannot be added to {name}: {type(error).__name__}: {error}",
                    where=where,
                    remedy="Correct what add_from_event() is given, and rebuild",
                ) from error
        found = tuple(getattr(key, name) for name in said.keys)
        slot = tuple(repr(value) if isinstance(value, list | dict) else value for value in self.encoded(found))
        return slot, found, tuple(made.values())

    def encoded(self, key: Key) -> tuple[Any, ...]:
        """The key as it is stored.

        Raises:
            QueryError: a part does not fit.
        """
        found = tuple(each.encode(value) for each, value in zip(self._keys, key, strict=True))
        if len(self._plan.partition) == 1 and found[0] in ("", b""):
            raise QueryError(
                "is empty, which a partition key of one column cannot be",
                where=self._keys[0].where,
                remedy="Map another value for what has none",
            )
        return found

    def row(self, key: Key, amounts: Amounts) -> Any:
        """The row of a key, with all that was added.

        Raises:
            ProjectionError: the class takes no such key.
        """
        said = self._said
        values = dict(zip((*said.keys, *said.sums), (*key, *amounts), strict=True))
        try:
            return said.model(**values, shard=SUMMED)
        except ValidationError as error:
            raise ProjectionError(
                f"a row of the key {key} does not fit the class: {error.errors()[0]['msg']}",
                where=said.model.__name__,
                remedy="Correct the mapping of the key, or the annotation of its field",
            ) from error


def set_key(key: SimpleNamespace, steps: tuple[Step, ...], recorded: Recorded) -> None:
    """Set what an event says of the key of its stream.

    Raises:
        ProjectionError: the mapping failed; the key is as it was.
    """
    try:
        made = [(name, make(recorded.event, key, recorded)) for name, make in steps]
    except Exception as error:  # whatever a function of the user's raises
        raise ProjectionError(
            f"{recorded.event_type} gives no key: {type(error).__name__}: {error}",
            where=f"version {recorded.version} of stream {recorded.stream}",
            remedy="Correct the mapping of the key, and rebuild",
        ) from error
    for name, value in made:
        setattr(key, name, value)


def plus(one: Any, other: Any) -> Any:
    """The sum of two amounts, without rounding.

    Raises:
        TypeError: they do not add up to an amount of the first one's kind.
    """
    if isinstance(one, Decimal):
        return _EXACT.add(one, other)
    return one + other


def plus_all(one: Amounts, other: Amounts) -> Amounts:
    """The sums of amounts, one by one."""
    return tuple(map(plus, one, other))


def _steps(known: Mapping[type[Event], tuple[Step, ...]], kind: type) -> tuple[Step, ...]:
    return next((known[base] for base in kind.__mro__ if base in known), ())
