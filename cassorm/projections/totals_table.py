"""The handler of totals: a window of one shard's events in, a conditional write for each row that they add to.

A row's part of a shard says up to which position it holds everything. Each write is conditional on that, and adds only
what stands behind it: so a window that is handed over again, in another cut, or to two owners at once, is added once.
"""

import asyncio
from collections import OrderedDict
from types import SimpleNamespace
from typing import NamedTuple

from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.errors import OutcomeUnknownError, ProjectionError, QueryError
from cassorm.events.store import EventStore, Stream
from cassorm.events.subscription import Placed, Unfit, Window
from cassorm.orm.model_plan import ModelPlan
from cassorm.projections.levels import Levels
from cassorm.projections.mapping import event_names
from cassorm.projections.past import past_events
from cassorm.projections.sums import Adder, Amounts, Key, Slot, plus_all, set_key
from cassorm.projections.totals import DeclaredTotals

_AT_ONCE = 16
_MOST_KNOWN = 20_000
_PAUSE_S = 0.05


class Part(NamedTuple):
    """A row's part as it stands, and the position up to which it holds everything."""

    amounts: Amounts
    applied: int


_Added = dict[Slot, tuple[Key, list[tuple[int, Amounts]]]]
"""Of each row its key, and what is added to it, with the position at which."""


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
        self.adder = Adder(said)
        table = quote_table(plan.table.name, plan.table.keyspace or keyspace)
        key = [*(plan.by_attribute[name].quoted for name in said.keys), "shard"]
        row = " AND ".join(f"{name} = ?" for name in key)
        names = [each.quoted for each in sums]
        columns = [*key, *names, "applied"]
        self._read = f"SELECT {', '.join(names)}, applied FROM {table} WHERE {row}"
        self._insert = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) IF NOT EXISTS"
        )
        assigned = ", ".join(f"{name} = ?" for name in names)
        self._update = f"UPDATE {table} SET {assigned}, applied = ? WHERE {row} IF applied = ?"

    async def read(self, key: Key, shard: int) -> Part | None:
        """A row's part, as all that was decided leaves it; None when there is none."""
        prepared = await self._session.prepare(self._read, check=self._plan.check)
        found = await self._session.execute(
            prepared, (*self.adder.encoded(key), shard), consistency=self._levels.serial
        )
        if not found.rows:
            return None
        *amounts, applied = found.rows[0]
        return Part(tuple(amounts), applied)

    async def write(self, key: Key, shard: int, before: Part | None, after: Part) -> bool:
        """Write a part if it is still as it was before; False when it is not, or nobody knows."""
        amounts = [each.encode(value) for each, value in zip(self._sums, after.amounts, strict=True)]
        stored = (*self.adder.encoded(key), shard)
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
        self.adder = Adder(said)
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
        added: _Added = {}
        async for placed in window.events():
            try:
                found = await keys.of(placed)
                if found is None:
                    continue
                slot, key, amounts = found
                _, contributions = added.setdefault(slot, (key, []))
                if window.whole and contributions:
                    contributions[0] = (placed.position, plus_all(contributions[0][1], amounts))
                else:
                    contributions.append((placed.position, amounts))
            except (ProjectionError, QueryError) as error:
                raise Unfit(placed, error) from error
        await self._settle_all(window, added)
        if not window.whole:
            self._known[window.shard] = window.high, keys.kept

    async def _settle_all(self, window: Window, added: _Added) -> None:
        todo = iter(added.values())

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
            amounts = self.adder.nothing if before is None or window.whole else before.amounts
            news = [each for at, each in contributions if window.whole or before is None or at > before.applied]
            if not news:
                return
            for each in news:
                amounts = plus_all(amounts, each)
            if await self._table.write(key, window.shard, before, Part(amounts, window.high)):
                return
            await asyncio.sleep(_PAUSE_S)

    async def key_before(self, stream: Stream, version: int, aggregate_type: str | None) -> SimpleNamespace:
        """What the events of a stream below a version say of its key."""
        key = SimpleNamespace()
        pages = past_events(self._store, stream, self._key_names, to_version=version - 1, aggregate_type=aggregate_type)
        async for page in pages:
            for recorded in page:
                set_key(key, self.adder.key_steps(recorded.event), recorded)
        return key


class _Keys:
    """What is known of the keys of streams, while a window is read."""

    def __init__(self, feeder: TotalsFeeder, kept: "OrderedDict[Stream, SimpleNamespace]", *, whole: bool) -> None:
        self._feeder = feeder
        self.kept = kept
        self._whole = whole

    async def of(self, placed: Placed) -> tuple[Slot, Key, Amounts] | None:
        """The row that an event adds to, and how much; None when it adds nothing."""
        recorded, adder = placed.recorded, self._feeder.adder
        stream = recorded.stream
        key = self.kept.get(stream)
        if key is None:
            # Of a scan from the beginning all that came before has been here; it comes stream by stream. And what came
            # before does not matter where the event says all of the key.
            begun = recorded.version == 1 or self._whole or adder.says_all(recorded.event)
            key = (
                SimpleNamespace()
                if begun
                else await self._feeder.key_before(stream, recorded.version, recorded.aggregate_type)
            )
            self.kept[stream] = key
            if len(self.kept) > (1 if self._whole else _MOST_KNOWN):
                self.kept.popitem(last=False)
        set_key(key, adder.key_steps(recorded.event), recorded)
        steps = adder.sum_steps(recorded.event)
        return adder.amounts(steps, key, recorded) if steps else None
