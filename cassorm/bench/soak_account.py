"""What came of a soak: its journals beside the streams, and the streams beside what was made of them."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any
from uuid import UUID

from cassorm.bench.soak_process import ROWS, TOTALS, Soaked, read_journal, read_line
from cassorm.cql.identifiers import quote_table
from cassorm.driver.session import Session
from cassorm.events.cassandra import CassandraEventStore
from cassorm.events.event import Recorded

_NAMED = 5
"""So many of each kind of fault are named."""


@dataclass(slots=True)
class Found:
    """What stands in the end."""

    streams: dict[UUID, list[Recorded]]
    rows: dict[UUID, tuple[int, int]]
    totals: tuple[int, int]
    """Events and amount, of all shards."""
    fences: int
    abandoned: int
    """Appends that were announced at more than one position, or did not come to stand."""
    takeovers: int
    parked: int
    reads: list[dict[str, Any]]

    @classmethod
    async def read(
        cls, store: CassandraEventStore, session: Session, keyspace: str, streams: Sequence[UUID]
    ) -> "Found":
        """Read it all."""
        held, reads = {}, []
        for stream in streams:
            start = monotonic_ns()
            held[stream] = [recorded async for recorded in store.read(stream)]
            reads.append(read_line("end", stream, start, held[stream]))
        names = store.tables
        rows = await _all(session, quote_table(ROWS, keyspace), "stream, applied, total")
        totals = await _all(session, quote_table(TOTALS, keyspace), "events, total")
        fences = await _all(session, quote_table(names.events, keyspace), "DISTINCT aggregate_id, fence")
        pointers = await _all(session, quote_table(names.feed, keyspace), "append_id, pos")
        epochs = await _all(session, quote_table(names.marks, keyspace), "epoch")
        epochs += await _all(session, quote_table(names.checkpoints, keyspace), "epoch")
        stands = {recorded.append_id for history in held.values() for recorded in history}
        positions: dict[UUID, int] = defaultdict(int)
        for append_id, _ in pointers:
            positions[append_id] += 1
        return cls(
            held,
            {stream: (applied, total) for stream, applied, total in rows},
            (sum(events for events, _ in totals), sum(total for _, total in totals)),
            sum(fence or 0 for _, fence in fences),
            sum(count - 1 for append_id, count in positions.items() if append_id in stands),
            sum(max(0, epoch - 1) for (epoch,) in epochs),
            len(await _all(session, quote_table(names.parked, keyspace), "version")),
            reads,
        )


@dataclass(frozen=True, slots=True)
class Account:
    """What happened, in numbers."""

    appended: int
    conflicts: int
    unknown: int
    resolved: int
    events: int
    deliveries: int
    redelivered: int
    fences: int
    abandoned: int
    takeovers: int
    lost: int
    skipped: int
    doubled: int


@dataclass(slots=True)
class Done:
    """The account, and what is wrong."""

    account: Account
    faults: list[str]


@dataclass(slots=True)
class _Faults:
    lost: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        lines = []
        for kind in ("lost", "skipped", "doubled"):
            found = getattr(self, kind)
            if found:
                more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
                lines.append(f"{kind}: {', '.join(found[:_NAMED])}{more}")
        return lines


def account(folder: Path, found: Found, history: Path | None) -> Done:
    """Compare, and write the history where it is wanted."""
    journals = sorted(folder.glob("*.jsonl"))
    operations = _operations(journals)
    delivered = sorted(_lines(journals, "deliver"), key=lambda line: line["at_ns"])
    faults = _Faults()
    _compare_appends(operations, found, faults)
    redelivered = _compare_deliveries(delivered, found, faults)
    _compare_effects(found, faults)
    for line in _lines(journals, "gap"):
        faults.skipped.append(f"{line['stream']} from {line['applied']} to {line['version']} in its row")
    if found.parked:
        faults.lost.append(f"{found.parked} events are parked")
    if history is not None:
        with history.open("w") as file:
            for line in (*operations.values(), *_lines(journals, "read"), *found.reads, *delivered):
                file.write(json.dumps({key: value for key, value in line.items() if key != "resolved"}) + "\n")
    outcomes = [operation["outcome"] for operation in operations.values()]
    return Done(
        Account(
            appended=outcomes.count("ok"),
            conflicts=outcomes.count("conflict"),
            unknown=outcomes.count("unknown"),
            resolved=sum(bool(operation["resolved"]) for operation in operations.values()),
            events=sum(len(events) for events in found.streams.values()),
            deliveries=len(delivered),
            redelivered=redelivered,
            fences=found.fences,
            abandoned=found.abandoned,
            takeovers=found.takeovers,
            lost=len(faults.lost),
            skipped=len(faults.skipped),
            doubled=len(faults.doubled),
        ),
        faults.lines(),
    )


def _lines(journals: Sequence[Path], op: str) -> Iterator[dict[str, Any]]:
    for journal in journals:
        yield from (line for line in read_journal(journal) if line["op"] == op)


def _operations(journals: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Return one line for each logical append: all sendings of an append id are one."""
    operations = {
        line["append_id"]: {
            **line,
            "op": "append",
            "end_ns": None,
            "outcome": "unknown",
            "actual": None,
            "resolved": False,
        }
        for line in _lines(journals, "intent")
    }
    for line in _lines(journals, "outcome"):
        operations[line["append_id"]] |= {key: line[key] for key in ("end_ns", "outcome", "actual", "resolved")}
    return operations


def _compare_appends(operations: dict[str, dict[str, Any]], found: Found, faults: _Faults) -> None:
    """What was told to have landed stands, once and whole, where it was told; what was told not to have, does not."""
    standing: dict[str, list[tuple[UUID, int]]] = defaultdict(list)
    for stream, history in found.streams.items():
        if [recorded.version for recorded in history] != list(range(1, len(history) + 1)):
            faults.lost.append(f"{stream} has a version missing or twice")
        for recorded in history:
            standing[str(recorded.append_id)].append((stream, recorded.version))
    for append_id, operation in operations.items():
        there, outcome = standing.pop(append_id, []), operation["outcome"]
        end = operation["expected"] + operation["count"]
        wanted = [(UUID(operation["stream"]), version) for version in range(operation["expected"] + 1, end + 1)]
        if outcome == "ok" and there != wanted:
            (faults.doubled if len(there) > len(wanted) else faults.lost).append(f"append {append_id}, told ok")
        elif outcome in ("conflict", "failed") and there:
            faults.doubled.append(f"append {append_id}, told {outcome}")
        elif outcome == "unknown" and there not in ([], wanted):
            faults.lost.append(f"append {append_id} in part")
    faults.doubled += [f"append {append_id} that nobody sent" for append_id in standing]


def _compare_deliveries(delivered: Sequence[dict[str, Any]], found: Found, faults: _Faults) -> int:
    """Each event was delivered, first in the order of its stream; return how many were delivered again."""
    told: dict[str, dict[int, str]] = defaultdict(dict)
    redelivered = 0
    for line in delivered:
        versions = told[line["stream"]]
        if line["version"] in versions:
            redelivered += 1
        elif line["version"] != len(versions) + 1:
            faults.skipped.append(f"{line['stream']} version {len(versions) + 1}")
        versions[line["version"]] = line["append_id"]
    for stream, history in found.streams.items():
        versions = told.pop(str(stream), {})
        for recorded in history:
            if versions.pop(recorded.version, None) != str(recorded.append_id):
                faults.lost.append(f"{stream} version {recorded.version} was not delivered")
        faults.doubled += [f"{stream} version {version} was delivered and does not stand" for version in versions]
    return redelivered


def _compare_effects(found: Found, faults: _Faults) -> None:
    """Rows and totals hold each event's amount once."""
    amounts = 0
    for stream, history in found.streams.items():
        amount = sum(_amount(recorded) for recorded in history)
        amounts += amount
        applied, total = found.rows.get(stream, (0, 0))
        if applied < len(history):
            faults.lost.append(f"{stream} stands at {applied} of {len(history)} in its row")
        elif (applied, total) != (len(history), amount):
            faults.doubled.append(f"{stream} has {total} in its row, and {amount} in its events")
    events = sum(len(history) for history in found.streams.values())
    if found.totals != (events, amounts):
        kind = faults.lost if found.totals[0] < events else faults.doubled
        kind.append(f"totals are {found.totals}, and the streams' {(events, amounts)}")


def _amount(recorded: Recorded) -> int:
    return recorded.event.amount if isinstance(recorded.event, Soaked) else 0


async def _all(session: Session, table: str, columns: str) -> list[tuple[Any, ...]]:
    return [row async for row in session.stream(f"SELECT {columns} FROM {table}")]
