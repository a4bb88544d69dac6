"""The account of a soak: whatever is lost, skipped or doubled is named, and history has one line an append."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from cassorm.bench.soak_account import Done, Found, account
from cassorm.bench.soak_process import Journal, Soaked, read_journal, soaked
from cassorm.events.event import Recorded
from cassorm.events.metadata import Metadata

STREAM = uuid4()
FIRST, SECOND = uuid4(), uuid4()


def recorded(version: int, append_id: UUID, amount: int) -> Recorded:
    return Recorded(
        STREAM,
        "Soak",
        version,
        Soaked(amount=amount),
        uuid4(),
        append_id,
        "cassorm.bench.Soaked",
        1,
        datetime.now(UTC),
        Metadata(),
        version,
    )


HISTORY = [
    recorded(version, append_id, event.amount)
    for version, (append_id, event) in enumerate(
        [(FIRST, event) for event in soaked(FIRST, 2)] + [(SECOND, event) for event in soaked(SECOND, 1)], 1
    )
]
TOTAL = sum(one.event.amount for one in HISTORY if isinstance(one.event, Soaked))


def found(**changes: Any) -> Found:
    values: dict[str, Any] = {
        "streams": {STREAM: HISTORY},
        "rows": {STREAM: (3, TOTAL)},
        "totals": (3, TOTAL),
        "fences": 0,
        "abandoned": 0,
        "takeovers": 0,
        "parked": 0,
        "reads": [],
    }
    return Found(**(values | changes))


def write_journals(folder: Path, *, told: str = "ok", delivered: tuple[int, ...] = (1, 2, 2, 3)) -> None:
    writer, worker = Journal(str(folder / "write-0-1.jsonl")), Journal(str(folder / "work-0-1.jsonl"))
    for append_id, expected, count in ((FIRST, 0, 2), (SECOND, 2, 1)):
        writer.note(
            op="intent",
            process="write-0-1",
            stream=str(STREAM),
            expected=expected,
            count=count,
            append_id=str(append_id),
            start_ns=expected,
        )
    writer.note(op="outcome", append_id=str(FIRST), end_ns=9, outcome=told, actual=2, resolved=False)
    for at, version in enumerate(delivered):
        worker.note(
            process="work-0-1",
            op="deliver",
            subscription="deliveries",
            stream=str(STREAM),
            version=version,
            append_id=str(HISTORY[version - 1].append_id),
            at_ns=at,
        )


def test_a_soak_in_which_all_went_well_has_no_faults_and_a_history(tmp_path: Path) -> None:
    write_journals(tmp_path)
    done = account(tmp_path, found(), tmp_path / "history")
    assert done.faults == []
    assert (done.account.appended, done.account.unknown, done.account.redelivered) == (1, 1, 1)
    lines = [json.loads(line) for line in (tmp_path / "history").read_text().splitlines()]
    appends = {line["append_id"]: line for line in lines if line["op"] == "append"}
    assert appends[str(FIRST)] == {
        "process": "write-0-1",
        "op": "append",
        "stream": str(STREAM),
        "expected": 0,
        "count": 2,
        "append_id": str(FIRST),
        "start_ns": 0,
        "end_ns": 9,
        "outcome": "ok",
        "actual": 2,
    }
    assert (appends[str(SECOND)]["outcome"], appends[str(SECOND)]["end_ns"]) == ("unknown", None)
    assert [line["version"] for line in lines if line["op"] == "deliver"] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda folder: write_journals(folder, delivered=(1, 3)), "lost:"),
        (lambda folder: write_journals(folder, delivered=(1, 3, 2)), "skipped:"),
        (lambda folder: write_journals(folder, told="conflict"), "doubled:"),
    ],
)
def test_what_was_delivered_or_told_wrongly_is_named(tmp_path: Path, make: Callable[[Path], None], fault: str) -> None:
    make(tmp_path)
    assert fault in faults_of(account(tmp_path, found(), None))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"streams": {STREAM: HISTORY[:1]}, "rows": {STREAM: (1, 0)}, "totals": (1, 0)}, "lost:"),
        ({"rows": {STREAM: (2, TOTAL)}}, "lost:"),
        ({"rows": {STREAM: (3, TOTAL + 1)}}, "doubled:"),
        ({"totals": (2, TOTAL)}, "lost:"),
        ({"totals": (4, TOTAL)}, "doubled:"),
        ({"parked": 1}, "lost:"),
    ],
)
def test_what_stands_wrongly_is_named(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    write_journals(tmp_path)
    assert fault in faults_of(account(tmp_path, found(**changes), None))


def faults_of(done: Done) -> set[str]:
    return {fault.split()[0] for fault in done.faults}


def test_a_line_that_was_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_text('{"op": "a"}\n{"op": "b"')
    assert list(read_journal(journal)) == [{"op": "a"}]
