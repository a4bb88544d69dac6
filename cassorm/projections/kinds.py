"""What all kinds of projections have in common for whoever carries them: tables, a fingerprint, subscriptions."""

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.errors import ProjectionError
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.store import Stream
from cassorm.events.subscription import Subscription
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.active import plan_of_generation, table_name
from cassorm.projections.feeder import RowFeeder, Rows
from cassorm.projections.fingerprint import fields_source, fingerprint_of, shape_of, steps_text, whole_source
from cassorm.projections.handlers import DeclaredHandlers, HandlerFeeder, Tables
from cassorm.projections.levels import levels_of
from cassorm.projections.native import check_views_enabled, drop_tables
from cassorm.projections.read_model import Declared, ReadModel
from cassorm.projections.row_writer import RowTable, SharedRows
from cassorm.projections.shared import SHARED, from_json, shared_table
from cassorm.projections.totals import DeclaredTotals, Totals
from cassorm.projections.totals_table import TotalsFeeder, TotalsTable
from cassorm.schema.table import Table

_WINDOW_TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Ground:
    """Where projections stand: the store that feeds them, and the keyspace of their tables."""

    store: CassandraEventStore
    session: Session
    keyspace: str


class Kind(ABC):
    """One projection."""

    name: str
    event_types: frozenset[str]
    fingerprint: str
    plans: tuple[ModelPlan, ...]
    """Of the tables that each generation has of its own."""
    kept: ModelPlan | None = None
    """Of the rows that caches keep by the id of their stream."""

    def tables(self, ground: Ground, generation: int) -> list[Table]:
        """The tables of a generation."""
        return [plan_of_generation(plan, generation).table for plan in self.plans]

    async def check(self, ground: Ground) -> None:
        """Return when the store can feed it, and the cluster keep its views.

        Raises:
            ProjectionError: its streams have other ids than the rows, or the server takes no materialized views.
        """
        if self.kept is None:
            return
        key, id_type = self.kept.partition[0], ground.store.settings.id_type
        if key.codec.cql.name != id_type:
            raise ProjectionError(
                f"is a {key.codec.cql.name}, and the ids of the store's streams are {id_type}",
                where=key.where,
                remedy=f"Write PK[{'UUID' if id_type == 'uuid' else 'str'}]",
            )
        if any(plan.table.views for plan in self.plans):
            await check_views_enabled(ground.session, f"read model {self.kept.where}")

    async def drop(self, ground: Ground, generation: int) -> list[str]:
        """Drop the tables of a generation, each behind its views; return their names."""
        return await drop_tables(ground.session, ground.keyspace, self.tables(ground, generation))

    def subscribed(self, generation: int) -> str:
        """The name of a generation's subscription."""
        return f"{self.name}@{generation}"

    @abstractmethod
    def subscription(self, ground: Ground, generation: int, *, building: bool) -> Subscription:
        """What feeds a generation."""

    def side_effects(self, ground: Ground) -> Subscription | None:
        """What belongs to no generation, and is not begun again by a rebuild."""
        return None

    def applied(self, ground: Ground, generation: int) -> "Applied | None":
        """Tells the version that a stream's row has come to, where there is a row for each stream."""
        return None

    def tell(self, ground: Ground, stream: Stream | None) -> None:
        """Tell those who keep rows of this session that a stream's row has changed, or any if none is given."""
        tell = getattr(ground.session, "tell_of_write", None)
        if tell is not None and self.kept is not None:
            tell(self.kept, None if stream is None else (self.kept.partition[0].encode(stream),))


class Applied:
    """Asks for the version applied of a stream's row."""

    def __init__(self, session: Session, text: str, key: Any) -> None:
        self._session = session
        self._text = text
        self._key = key

    async def version(self, stream: Stream) -> int:
        """The version that the row has come to; 0 when there is none."""
        found = await self._session.execute(await self._session.prepare(self._text), self._key(stream))
        return int(found.rows[0][0] or 0) if found.rows else 0


class RowKind(Kind):
    """A read model."""

    def __init__(self, said: Declared) -> None:
        self.said = said
        self.name = said.name
        self.event_types = said.rules.names
        self.kept = said.plan if said.storage == "table" else None
        self.plans = () if said.storage == "shared" else (said.plan, *(view.plan for view in said.kept_views))
        self.fingerprint = fingerprint_of(
            [
                *(shape_of(plan) for plan in (said.plan, *(view.plan for view in said.views))),
                steps_text(said.rules.steps),
                sorted(event.__event_type__ for event in said.rules.deleting),
                sorted(said.aggregates or ()),
                said.storage,
                *(f"native {view.name}" for view in said.views if view.native),
                fields_source(said.model, ReadModel),
            ]
        )

    def tables(self, ground: Ground, generation: int) -> list[Table]:
        """The tables of a generation, or the one that it shares with others."""
        if self.said.storage == "shared":
            return [shared_table(ground.keyspace)]
        return super().tables(ground, generation)

    async def drop(self, ground: Ground, generation: int) -> list[str]:
        """Drop the tables of a generation; of a shared one nothing, as others are in it."""
        return [] if self.said.storage == "shared" else await super().drop(ground, generation)

    def feeder(self, ground: Ground, generation: int) -> RowFeeder:
        """What folds events into rows."""
        said, session = self.said, ground.session
        if said.storage == "shared":
            name = table_name(self.name, generation)
            rows: Rows = SharedRows(
                session, said.model, name, ground.keyspace, lambda data, version: from_json(said, data, version)
            )
        else:
            plans = [plan_of_generation(plan, generation) for plan in self.plans]
            unique = [number for number, view in enumerate(said.kept_views) if view.unique]
            rows = RowTable(
                session, plans[0], plans[1:], ground.keyspace, unique=unique, levels=levels_of(ground.store)
            )
        return RowFeeder(said, rows, ground.store)

    def subscription(self, ground: Ground, generation: int, *, building: bool) -> Subscription:
        """What feeds a generation: the events of each stream as they wait."""
        return Subscription(
            self.subscribed(generation),
            self.feeder(ground, generation),
            takes="streams",
            event_types=self.event_types,
            aggregate_types=self.said.aggregates,
        )

    def applied(self, ground: Ground, generation: int) -> Applied:
        """Tells the version that a stream's row has come to."""
        if self.said.storage == "shared":
            text = (
                f"SELECT applied_version FROM {quote_table(SHARED, ground.keyspace)} "
                "WHERE projection_name = ? AND key = ?"
            )
            name = table_name(self.name, generation)
            return Applied(ground.session, text, lambda stream: (name, str(stream)))
        plan = plan_of_generation(self.said.plan, generation)
        table = quote_table(plan.table.name, plan.table.keyspace or ground.keyspace)
        text = f"SELECT applied_version FROM {table} WHERE {plan.partition[0].quoted} = ?"
        return Applied(ground.session, text, lambda stream: (stream,))


class TotalsKind(Kind):
    """Totals."""

    def __init__(self, said: DeclaredTotals) -> None:
        self.said = said
        self.name = said.name
        self.event_types = said.names
        self.plans = (said.plan,)
        self.fingerprint = fingerprint_of(
            [
                shape_of(said.plan),
                steps_text(said.key_steps),
                steps_text(said.sum_steps),
                sorted(said.aggregates or ()),
                fields_source(said.model, Totals),
            ]
        )

    def subscription(self, ground: Ground, generation: int, *, building: bool) -> Subscription:
        """What feeds a generation: windows, one at a time in each shard."""
        plan = plan_of_generation(self.said.plan, generation)
        table = TotalsTable(ground.session, plan, ground.keyspace, self.said, levels_of(ground.store))
        return Subscription(
            self.subscribed(generation),
            TotalsFeeder(self.said, table, ground.store),
            takes="windows",
            event_types=self.event_types,
            aggregate_types=self.said.aggregates,
            handler_timeout=_WINDOW_TIMEOUT,
        )


class HandlersKind(Kind):
    """Handlers."""

    def __init__(self, said: DeclaredHandlers, instance: Any) -> None:
        self.said = said
        self.name = said.name
        self.event_types = said.names
        self.plans = said.plans
        self._instance = instance
        self.fingerprint = fingerprint_of(
            [said.version, *(shape_of(plan) for plan in said.plans), sorted(said.names), whole_source(said.source)]
        )

    def _tables(self, ground: Ground, generation: int) -> Tables:
        plans = [plan_of_generation(plan, generation) for plan in self.plans]
        return Tables(ground.session, self.name, plans, ground.keyspace)

    def subscription(self, ground: Ground, generation: int, *, building: bool) -> Subscription:
        """What feeds a generation: one event after the other of each stream."""
        tables = self._tables(ground, generation)
        feeder = HandlerFeeder(self.said, self._instance, tables, self.said.handlers, rebuilding=building)
        return Subscription(self.subscribed(generation), feeder, event_types=self.event_types)

    def side_effects(self, ground: Ground) -> Subscription | None:
        """The handlers with side effects, under the projection's own name."""
        if not self.said.effects:
            return None
        # They write nothing: a row belongs to a generation, and they do not.
        feeder = HandlerFeeder(
            self.said,
            self._instance,
            Tables(ground.session, self.name, (), ground.keyspace),
            self.said.effects,
            rebuilding=False,
        )
        return Subscription(f"{self.name}:effects", feeder, event_types=self.said.effect_names)


def kind_of(thing: Any) -> Kind:
    """The projection that a class, an instance of handlers or a function is.

    Raises:
        ProjectionError: it is none.
    """
    for attribute, make in (("__declared__", RowKind), ("__declared_totals__", TotalsKind)):
        said = thing.__dict__.get(attribute) if isinstance(thing, type) else None
        if isinstance(said, Declared | DeclaredTotals):
            made: Kind = make(said)  # type: ignore[arg-type]  # of the kind that the attribute holds
            return made
    said = getattr(thing, "__declared_handlers__", None)
    if isinstance(said, DeclaredHandlers):
        return HandlersKind(said, thing() if inspect.isclass(thing) else thing)
    raise ProjectionError(
        f"{thing!r} is no projection",
        where="Projections",
        remedy="Give classes of ReadModel or Totals, or what @projection(...) stands above",
    )
