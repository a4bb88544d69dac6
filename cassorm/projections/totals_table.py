"""The handler of totals: a window of one shard's events in, a conditional write for each row that they add to.

A row's part of a shard says up to which position it holds everything. Each write is conditional on that, and adds only
what stands behind it: so a window that is handed over again, in another cut, or to two owners at once, is added once.
"""

import asyncio
from collections import OrderedDict
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError, ProjectionError, QueryError
from cassorm.events.event import Event
from cassorm.events.store import EventStore, Stream
from cassorm.events.subscription import Placed, Unfit, Window
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.levels import Levels
from cassorm.projections.mapping import Step, event_names
from cassorm.projections.past import past_events
from cassorm.projections.totals import DeclaredTotals, plus

_AT_ONCE = 16
_MOST_KNOWN = 20_000
_PAUSE_S = 0.05

Key = tuple[Any, ...]
Amounts = tuple[Any, ...]


class Part(NamedTuple):
    """A row's part as it stands, and the position up to which it holds everything."""

    amounts: Amounts
    applied: int


class TotalsTable:
    """The parts of totals in one generation."""

    def __init__(
        self, session: Session, plan: ModelPlan, keyspace: str, said: DeclaredTotals, levels: Levels | None = None
    ) -> None:
        self._session = session
        self._levels = levels or Levels()
        self._plan = plan
        sums = [plan.by_attribute[name] for name in said.sums]
        self._sums = sums
        self.nothing: Amounts = tuple(Decimal(0) if each.codec.cql.name == "decimal" else 0 for each in sums)
        self._keys = [plan.by_attribute[name] for name in said.keys]
        table = quote_table(plan.table.name, plan.table.keyspace or keyspace)
        key = [*(each.quoted for each in self._keys), "shard"]
        row = " AND ".join(f"{name} = ?" for name in key)
        names = [each.quoted for each in sums]
        columns = [*key, *names, "applied"]
        self._read = f"SELECT {', '.join(names)}, applied FROM {table} WHERE {row}"
        self._insert = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) IF NOT EXISTS"
        )
        assigned = ", ".join(f"{name} = ?" for name in names)
        self._update = f"UPDATE {table} SET {assigned}, applied = ? WHERE {row} IF applied = ?"

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

    def check(self, name: str, amount: Any) -> None:
        """Return when a total can hold this amount.

        Raises:
            QueryError: it cannot.
        """
        self._plan.by_attribute[name].encode(amount)

    async def read(self, key: Key, shard: int) -> Part | None:
        """A row's part, as all that was decided leaves it; None when there is none."""
        prepared = await self._session.prepare(self._read, check=self._plan.check)
        found = await self._session.execute(prepared, (*self.encoded(key), shard), consistency=self._levels.serial)
        if not found.rows:
            return None
        *amounts, applied = found.rows[0]
        return Part(tuple(amounts), applied)

    async def write(self, key: Key, shard: int, before: Part | None, after: Part) -> bool:
        """Write a part if it is still as it was before; False when it is not, or nobody knows."""
        amounts = [each.encode(value) for each, value in zip(self._sums, after.amounts, strict=True)]
        stored = (*self.encoded(key), shard)
        text = self._insert if before is None else self._update
        params = (
            (*stored, *amounts, after.applied) if before is None else (*amounts, after.applied, *stored, before.applied)
        )
        prepared = await self._session.prepare(text, check=self._plan.check)
        try:
            written = await self._session.execute(
                prepared, params, consistency=self._levels.plain, serial_consistency=self._levels.serial
            )
            return bool(written.applied)
        except OutcomeUnknownError:
            return False


class TotalsFeeder:
    """Adds windows up; called twice with the same it leaves the same."""

    def __init__(self, said: DeclaredTotals, table: TotalsTable, store: EventStore) -> None:
        self._said = said
        self._table = table
        self._store = store
        self._key_names = event_names(said.key_steps)
        self._known: dict[int, tuple[int, OrderedDict[Stream, SimpleNamespace]]] = {}
        """Of each shard the position up to which it was handled here without a break, and the keys of its streams."""

    async def __call__(self, window: Window) -> None:
        """Take a window.

        Raises:
            Unfit: an event has no key, or what it adds is no number.
        """
        upto, kept = self._known.pop(window.shard, (-1, OrderedDict[Stream, SimpleNamespace]()))
        keys = _Keys(self, kept if upto == window.low and not window.whole else OrderedDict(), whole=window.whole)
        added: dict[Key, list[tuple[int, Amounts]]] = {}
        async for placed in window.events():
            try:
                found = await keys.of(placed)
                if found is None:
                    continue
                key, amounts = found
                contributions = added.setdefault(key, [])
                if window.whole and contributions:
                    contributions[0] = (placed.position, _plus(contributions[0][1], amounts))
                else:
                    contributions.append((placed.position, amounts))
            except (ProjectionError, QueryError) as error:
                raise Unfit(placed, error) from error
        await self._settle_all(window, added)
        if not window.whole:
            self._known[window.shard] = window.high, keys.kept

    async def _settle_all(self, window: Window, added: dict[Key, list[tuple[int, Amounts]]]) -> None:
        todo = iter(added.items())

        async def work() -> None:
            for key, contributions in todo:
                await self._settle(window, key, contributions)

        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(_AT_ONCE, len(added))):
                    tasks.create_task(work())
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _settle(self, window: Window, key: Key, contributions: list[tuple[int, Amounts]]) -> None:
        while True:
            before = await self._table.read(key, window.shard)
            if before is not None and before.applied >= window.high:
                return
            amounts = self._table.nothing if before is None or window.whole else before.amounts
            news = [each for at, each in contributions if window.whole or before is None or at > before.applied]
            if not news:
                return
            for each in news:
                amounts = _plus(amounts, each)
            if await self._table.write(key, window.shard, before, Part(amounts, window.high)):
                return
            await asyncio.sleep(_PAUSE_S)

    def key_steps(self, event: Event) -> tuple[Step, ...]:
        """What of a key an event says."""
        return _steps(self._said.key_steps, type(event))

    def says_all(self, event: Event) -> bool:
        """Tell whether an event says the whole key."""
        return {step.attribute for step in self.key_steps(event)}.issuperset(self._said.keys)

    def sum_steps(self, event: Event) -> tuple[Step, ...]:
        """What an event adds."""
        return _steps(self._said.sum_steps, type(event))

    async def key_before(self, stream: Stream, version: int, aggregate_type: str | None) -> SimpleNamespace:
        """What the events of a stream below a version say of its key."""
        key = SimpleNamespace()
        pages = past_events(self._store, stream, self._key_names, to_version=version - 1, aggregate_type=aggregate_type)
        async for page in pages:
            for recorded in page:
                _set(key, self.key_steps(recorded.event), recorded)
        return key

    def amounts(self, steps: tuple[Step, ...], key: SimpleNamespace, placed: Placed) -> tuple[Key, Amounts]:
        """The row that an event adds to, and how much.

        Raises:
            ProjectionError: it has no key, or adds what is no number.
        """
        said, recorded = self._said, placed.recorded
        where = f"{said.model.__name__}, version {recorded.version} of stream {recorded.stream}"
        missing = [name for name in said.keys if getattr(key, name, None) is None]
        if missing:
            raise ProjectionError(
                f"{recorded.event_type} adds to a row whose {' and '.join(missing)} no event of the stream has said",
                where=where,
                remedy=f"Map {missing[0]} from {recorded.event_type}, or from an event that comes before it",
            )
        made = dict(zip(said.sums, self._table.nothing, strict=True))
        for name, make in steps:
            try:
                made[name] = plus(made[name], make(recorded.event, key, recorded))
                self._table.check(name, made[name])
            except Exception as error:  # whatever a function of the user's raises, or what does not fit
                raise ProjectionError(
                    f"{recorded.event_type} cannot be added to {name}: {type(error).__name__}: {error}",
                    where=where,
                    remedy="Correct what add_from_event() is given, and rebuild",
                ) from error
        found = tuple(getattr(key, name) for name in said.keys)
        self._table.encoded(found)
        return found, tuple(made.values())


class _Keys:
    """What is known of the keys of streams, while a window is read."""

    def __init__(self, feeder: TotalsFeeder, kept: "OrderedDict[Stream, SimpleNamespace]", *, whole: bool) -> None:
        self._feeder = feeder
        self.kept = kept
        self._whole = whole

    async def of(self, placed: Placed) -> tuple[Key, Amounts] | None:
        """The row that an event adds to, and how much; None when it adds nothing."""
        recorded, feeder = placed.recorded, self._feeder
        stream = recorded.stream
        key = self.kept.get(stream)
        if key is None:
            # Of a scan from the beginning all that came before has been here; it comes stream by stream. And what came
            # before does not matter where the event says all of the key.
            begun = recorded.version == 1 or self._whole or feeder.says_all(recorded.event)
            key = (
                SimpleNamespace()
                if begun
                else await feeder.key_before(stream, recorded.version, recorded.aggregate_type)
            )
            self.kept[stream] = key
            if len(self.kept) > (1 if self._whole else _MOST_KNOWN):
                self.kept.popitem(last=False)
        _set(key, feeder.key_steps(recorded.event), recorded)
        steps = feeder.sum_steps(recorded.event)
        return feeder.amounts(steps, key, placed) if steps else None


def _set(key: SimpleNamespace, steps: tuple[Step, ...], recorded: Any) -> None:
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


def _steps(known: Any, kind: type) -> tuple[Step, ...]:
    for base in kind.__mro__:
        if base in known:
            found: tuple[Step, ...] = known[base]
            return found
    return ()


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return tuple(map(plus, one, other))
