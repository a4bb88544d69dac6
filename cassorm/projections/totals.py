"""Totals: many streams into one row, declared as a model whose key and sums come from events.

Each row is kept in parts, one for each shard of the feed that holds streams of it: the shard's owner alone writes its
part. Whoever reads adds up at most as many parts as there are shards.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, dataclass_transform

from cassorm.errors import ModelError, QueryError
from cassorm.events.event import Event
from cassorm.events.store import EventStore
from cassorm.orm.expressions import Condition, Expression
from cassorm.orm.fields import CK, Col, ck, col, pk
from cassorm.orm.markers import Marker
from cassorm.orm.model import Model, ModelMeta
from cassorm.orm.model_plan import ModelPlan, plan_of
from cassorm.orm.pydantic_internals import fields_are_known
from cassorm.orm.values import Int
from cassorm.projections.active import follow_generations
from cassorm.projections.live import live_totals
from cassorm.projections.mapping import Mapped, Step, event_names, map_from_event, steps_of
from cassorm.projections.read_model import aggregates_of
from cassorm.projections.sums import SUMMED, plus
from cassorm.projections.views import MOST_NAME

T = TypeVar("T")

_NUMBERS = ("bigint", "decimal", "int", "varint", "smallint", "tinyint")

if TYPE_CHECKING:

    class Total(Col[T]):
        """A number that events add to: `revenue: Total[Decimal] = add_from_event(LineAdded, "amount")`."""

else:

    class Total(Marker):
        """A number that events add to: `revenue: Total[Decimal] = add_from_event(LineAdded, "amount")`."""


def add_from_event(
    events: type[Event] | Sequence[type[Event]] | Mapping[type[Event], Any],
    how: str | Callable[..., Any] | None = None,
    *,
    name: str | None = None,
) -> Any:
    """A total to which events add: what `how` says of each, as in `map_from_event`; negative to take away.

    A function of two is given the event and the key of the row, as far as it is known: `lambda e, key: ...`.
    """
    made = col(default=0, name=name)
    made.metadata.append(Mapped(events, how))
    return made


def count_events(*events: type[Event], name: str | None = None) -> Any:
    """A total of how many of these events there were."""
    return add_from_event(dict.fromkeys(events, 1), name=name)


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredTotals:
    """What the class of totals says, checked."""

    name: str
    model: type["Totals"]
    keys: tuple[str, ...]
    sums: tuple[str, ...]
    key_steps: Mapping[type[Event], tuple[Step, ...]]
    sum_steps: Mapping[type[Event], tuple[Step, ...]]
    aggregates: frozenset[str] | None

    @property
    def plan(self) -> ModelPlan:
        """The plan of the model."""
        return plan_of(self.model)

    @property
    def names(self) -> frozenset[str]:
        """The names of the events that it is fed with."""
        return event_names([*self.key_steps, *self.sum_steps])


@dataclass_transform(kw_only_default=True, field_specifiers=(pk, ck, col, map_from_event, add_from_event, count_events))
class TotalsMeta(ModelMeta):
    """Makes totals of classes, and checks what they add."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        aggregate: str | Sequence[str] | None = None,
        abstract: bool = False,
        **options: Any,
    ) -> Any:
        """The class; `aggregate` names the types of the streams that it adds up, all if it is left out."""
        if abstract:
            return super().__new__(mcs, name, bases, namespace, abstract=True, **options)
        for option in ("unique", "ttl", "lwt_only", "views"):
            if options.get(option):
                raise ModelError(f"{option}= of totals", where=name, remedy="Remove it")
        cls: Any = super().__new__(mcs, name, bases, namespace, **{"profile": "lwt-only", **options})
        if not fields_are_known(cls):
            raise ModelError(
                "an annotation names what is not defined yet", where=name, remedy="Define it above the totals"
            )
        cls.__cassorm_plan__ = _shard_last(plan_of(cls))
        cls.__declared_totals__ = _declare(cls, aggregate)
        return cls


class Totals(Model, metaclass=TotalsMeta, abstract=True):
    """Sums and counts over many streams, which replays and zombies cannot double.

    ```python
    class RevenueByCountry(Totals, table="revenue_by_country", aggregate="Order"):
        country: PK[str] = map_from_event(OrderPlaced)
        day: CK[date] = map_from_event({OrderPlaced: lambda e, key, recorded: recorded.timestamp.date()})
        revenue: Total[Decimal] = add_from_event(LineAdded, "amount")
        orders: Total[int] = count_events(OrderPlaced)
    ```

    The key of an event that does not carry it is what earlier events of its stream have said: here a line counts for
    the country with which its order was placed. Read it by `find` and `find_by_id`, which add up the parts.

    Raises:
        ModelError: when the class is made, and something in it cannot be added up; the error says what to write.
    """

    shard: CK[Int] = ck(exclude=True, repr=False)
    applied: Col[int] = col(default=0, exclude=True, repr=False)

    __declared_totals__: ClassVar[DeclaredTotals]

    @classmethod
    async def find(cls, *conditions: Condition, **values: Any) -> list[Self]:
        """The rows of a partition, each the sum of its parts, in the order of the key.

        `values` are those of the key's fields; `conditions` may be ranges of its clustering columns.

        Raises:
            QueryError: the partition key is not given, or a field is none of the key.
        """
        said = totals_of(cls)
        plan = plan_of(cls)
        unknown = [name for name in values if name not in said.keys]
        if unknown:
            raise QueryError(
                f"{', '.join(unknown)} is not in the key", where=cls.__name__, remedy=f"Use {', '.join(said.keys)}"
            )
        given = [Expression(plan.by_attribute[name]) == value for name, value in values.items()]
        return _summed(said, await cls.where(*conditions, *given).all())

    @classmethod
    async def find_by_id(cls, *key: Any, **named: Any) -> Self | None:
        """The row of a whole key, the sum of its parts, or None; values in the order of the key, or by name.

        Raises:
            QueryError: a part of the key is missing.
        """
        said = totals_of(cls)
        values = {**dict(zip(said.keys, key, strict=False)), **named}
        missing = [name for name in said.keys if values.get(name) is None]
        if missing or len(key) > len(said.keys):
            shown = ", ".join(said.keys)
            raise QueryError(
                f"{len(key) + len(named)} values for the key ({shown})", where=cls.__name__, remedy=f"Give {shown}"
            )
        found = await cls.find(**values)
        return found[0] if found else None

    @classmethod
    async def live(cls, store: EventStore, *, parallel: int = 4) -> list[Self]:
        """All rows as the events of all streams add up to them, folded in memory, in no order; no table is needed.

        **It reads every event of the store**, `parallel` shards at a time, and holds a row for each key. What was
        appended before the call is in it; what is appended meanwhile may be, of each stream up to some version.

        Raises:
            ProjectionError: an event has no key, or what it adds is no number; `find` shows what goes without it.
            QueryError: `parallel` is no number from 1 on, or a key cannot be stored.

        Source: docs/how-to/projections.md.
        """
        return await live_totals(totals_of(cls), store, parallel)


def totals_of(model: type[Any]) -> DeclaredTotals:
    """What the class says.

    Raises:
        ModelError: it is no class of totals, or an abstract one.
    """
    found = model.__dict__.get("__declared_totals__") if isinstance(model, type) else None
    if not isinstance(found, DeclaredTotals):
        raise ModelError(
            "are no totals with a table",
            where=getattr(model, "__name__", repr(model)),
            remedy="Derive the class from cassorm.Totals, without abstract=True",
        )
    return found


def _summed(said: DeclaredTotals, parts: Iterable[Any]) -> list[Any]:
    found: dict[tuple[str, ...], Any] = {}
    for part in parts:
        # As it is shown: keys that Python takes for equal may be two, as Decimal("1.0") and Decimal("1.00") are.
        slot = tuple(repr(getattr(part, name)) for name in said.keys)
        known = found.get(slot)
        if known is None:
            found[slot] = part
            part.__dict__.update(shard=SUMMED, applied=0)
            continue
        for name in said.sums:
            known.__dict__[name] = plus(known.__dict__[name], part.__dict__[name])
    return list(found.values())


def _shard_last(plan: ModelPlan) -> ModelPlan:
    """The plan with the shard behind the key that was declared: the parts of a row stand side by side."""
    fields = tuple(sorted(plan.fields, key=lambda each: each.attribute == "shard"))
    clustering = tuple(sorted(plan.table.clustering, key=lambda each: each[0] == "shard"))
    columns = tuple(sorted(plan.table.columns, key=lambda each: each.name == "shard"))
    return plan.on_table(replace(plan.table, clustering=clustering, columns=columns), fields)


def _declare(cls: type[Totals], aggregate: object) -> DeclaredTotals:
    plan, where = plan_of(cls), cls.__name__
    name = plan.table.name
    if len(name) > MOST_NAME:
        raise ModelError(
            f"table {name!r} of {len(name)} characters", where=where, remedy=f"Give table= at most {MOST_NAME}"
        )
    keys = tuple(each.attribute for each in plan.key if each.attribute != "shard")
    mapped: dict[str, Mapped] = {}
    for attribute, info in cls.model_fields.items():
        if attribute in ("shard", "applied"):
            continue
        said = [part for part in info.metadata if isinstance(part, Mapped)]
        if not said:
            remedy = "map_from_event(...)" if attribute in keys else "add_from_event(...), or = count_events(...)"
            raise ModelError("says nothing of events", where=f"{where}.{attribute}", remedy=f"Write = {remedy}")
        mapped[attribute] = said[0]
        cql = plan.by_attribute[attribute].codec.cql.name
        if attribute not in keys and (cql not in _NUMBERS or not _adds(info)):
            raise ModelError(
                f"is a {cql}, which cannot be added up without loss" if cql not in _NUMBERS else "is no total",
                where=f"{where}.{attribute}",
                remedy="Write Total[int] or Total[Decimal], = add_from_event(...) or = count_events(...)",
            )
    sums = tuple(attribute for attribute in mapped if attribute not in keys)
    if not sums:
        raise ModelError("adds nothing up", where=where, remedy="Write revenue: Total[Decimal] = add_from_event(...)")
    made = DeclaredTotals(
        name,
        cls,
        keys,
        sums,
        steps_of(where, {attribute: mapped[attribute] for attribute in keys}),
        steps_of(where, {attribute: mapped[attribute] for attribute in sums}),
        aggregates_of(aggregate, where),
    )
    plan.keeper = f"the projection {name}"
    follow_generations(plan, name)
    return made


def _adds(info: Any) -> bool:
    return any(isinstance(part, Total) for part in info.metadata)
