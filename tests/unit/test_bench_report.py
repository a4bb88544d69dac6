"""From turns to a report: best concurrencies, ratios, what makes a run void, JSON, tables."""

import asyncio
import json
from array import array
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cassorm.bench.cases import Side
from cassorm.bench.machine import Engine, Machine, machine, resident_bytes, versions
from cassorm.bench.report import Report, as_json_data, make_report, save
from cassorm.bench.runner import SIDES, Honesty, Outcome, Turn, Verified, best_concurrency, drive
from cassorm.bench.sample import Latency, Sample
from cassorm.bench.stream_report import StreamReport
from cassorm.bench.streams import Load, Memory, Rate, Replay
from cassorm.bench.workload import Workload
from cassorm.errors import ConfigurationError, UnavailableError

STARTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MACHINE = Machine(2, "a processor", 8 * 2**30, "Linux 6", 0.25)
ENGINE = Engine("cassandra", "5.0.9", 1, local=True)
VERSIONS = {"python": "3.11.7", "cassandra-driver": "3.30.1"}
HONEST = Honesty(990, 1000)


def turn(case: str, side: Side, concurrency: int, round_: int, per_s: int, *, failed: int = 0) -> Turn:
    return Turn(case, side, concurrency, round_, Sample(per_s, 1.0, per_s / 5000, failed, array("d", [0.001] * per_s)))


def turns() -> list[Turn]:
    """Ours is best at 64, the bare driver at 16; in the third round everything is half as fast."""
    found = []
    for round_, speed in enumerate((1.0, 1.0, 0.5)):
        for side, concurrency, per_s in (
            ("bare", 16, 1000),
            ("bare", 64, 800),
            ("cassorm", 16, 700),
            ("cassorm", 64, 900),
        ):
            found.append(turn("append 1", side, concurrency, round_, int(per_s * speed)))  # type: ignore[arg-type]
            found.append(turn("append 10", side, concurrency, round_, int(per_s * speed * 0.6)))  # type: ignore[arg-type]
    return found


ROWS = {"append 1": 1, "append 10": 10}


def outcome(**changes: object) -> Outcome:
    values: dict[str, object] = {
        "turns": turns(),
        "honesty": HONEST,
        "verified": [Verified("bare", "events_bare", 100, 0, 100), Verified("cassorm", "events", 90, 0, 90)],
        "rows": ROWS,
    }
    return Outcome(**(values | changes))  # type: ignore[arg-type]


def made(found: Outcome) -> Report:
    return make_report(
        "append", found, started=STARTED, machine=MACHINE, versions=VERSIONS, engine=ENGINE, workload=Workload()
    )


def test_each_side_is_taken_at_its_own_best() -> None:
    assert best_concurrency(turns(), "append 1", "bare") == 16
    assert best_concurrency(turns(), "append 1", "cassorm") == 64
    case = made(outcome()).cases[0]
    assert {side: (f.concurrency, f.per_s) for side, f in case.sides.items()} == {
        "bare": (16, 1000),
        "cassorm": (64, 900),
    }
    assert case.ratio == pytest.approx(0.9)
    assert case.ratios == pytest.approx([0.9, 0.9, 0.9])
    assert case.cpu_ratio == pytest.approx(1.0)
    assert case.sides["cassorm"].per_s_by_concurrency == {16: 700, 64: 900}


def test_many_events_in_one_append_are_held_against_single_appends() -> None:
    report = made(outcome())
    assert report.many_events == pytest.approx({"append 10": 6.0})
    assert report.cases[1].sides["cassorm"].rows_per_s == 5400


def test_a_run_that_is_right_is_not_void() -> None:
    assert made(outcome()).void is None


VOID = {
    "a baseline slower than its yardstick": ({"honesty": Honesty(890, 1000)}, "0.89 of its yardstick"),
    "an acknowledged row that is not there": (
        {"verified": [Verified("cassorm", "events", 90, 0, 89)]},
        "90 rows of events were acknowledged, 89 are there",
    ),
    "a row that nobody wrote": ({"verified": [Verified("bare", "written_bare", 90, 3, 94)]}, "94 are there"),
    "an operation that failed": (
        {"turns": [*turns(), turn("append 1", "cassorm", 64, 3, 900, failed=2)]},
        "2 operations",
    ),
}


@pytest.mark.parametrize(("changes", "why"), VOID.values(), ids=VOID)
def test_a_run_is_void(changes: dict[str, object], why: str) -> None:
    report = outcome(**changes)
    assert report.void is not None
    assert why in report.void


def test_unanswered_rows_may_be_there_or_not() -> None:
    assert Verified("cassorm", "events", 90, 3, 92).right
    assert not Verified("cassorm", "events", 90, 3, 89).right


def test_json_names_machine_versions_engine_workload_and_figures(tmp_path: Path) -> None:
    values = as_json_data(made(outcome()))
    path = tmp_path / "new folder" / "r.json"
    save(values, path)
    found = json.loads(path.read_text())
    assert found == json.loads(json.dumps(values))
    assert found["format"] == 1
    assert found["started"] == "2026-01-02T03:04:05+00:00"
    assert found["machine"] == {
        "cores": 2,
        "cpu": "a processor",
        "memory_bytes": 8 * 2**30,
        "system": "Linux 6",
        "load_1m": 0.25,
    }
    assert found["engine"] == {"name": "cassandra", "version": "5.0.9", "nodes": 1, "local": True}
    assert found["versions"] == VERSIONS
    assert found["workload"]["columns"]["bio"] == {"type": "text", "length": 80}
    assert found["honesty"] == {"baseline_per_s": 990, "yardstick_per_s": 1000, "ratio": 0.99, "least": 0.9}
    assert found["cases"][0]["sides"]["bare"]["latency"] == {
        "p50_ms": 1.0,
        "p95_ms": 1.0,
        "p99_ms": 1.0,
        "max_ms": 1.0,
    }
    assert found["verified"][0]["right"] is True
    assert found["void"] is None


def test_what_is_not_a_number_is_null_in_json() -> None:
    nothing = [turn(case, side, 16, 0, 0) for case in ROWS for side in SIDES]
    values = as_json_data(made(outcome(turns=nothing)))
    assert values["cases"][0]["ratio"] is None
    json.dumps(values, allow_nan=False)


def test_a_results_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="results cannot be written"):
        save({}, tmp_path / "file" / "r.json")


def test_the_table_has_a_row_for_each_side_and_their_ratio() -> None:
    report = made(outcome(honesty=Honesty(1, 2)))
    header, rows = report.table()
    assert [row[:2] for row in rows][:3] == [("append 1", "bare"), ("append 1", "cassorm"), ("append 1", "ratio")]
    assert {len(row) for row in rows} == {len(header)}
    assert rows[2][3] == "0.90"
    text = "\n".join(report.remarks())
    assert "events: 90 rows acknowledged, 90 counted" in text
    assert "VOID: the baseline reached 0.50" in text


def test_streams_report_rates_and_memory() -> None:
    rate = Rate(250_000, [240_000, 250_000, 260_000])
    figures = Replay(100_000, rate, rate, rate, Memory(50_000_000, 53_000_000))
    report = StreamReport("replay", STARTED, MACHINE, VERSIONS, ENGINE, Workload(), figures)
    assert report.table()[1][0] == ("json to events, folded", "250,000", "240,000", "260,000")
    assert "+3.0 MB" in report.remarks()[0]
    assert as_json_data(report)["figures"]["resident"]["growth_bytes"] == 3_000_000


def test_streams_report_loads() -> None:
    delays = Latency(1, 2, 3, 4)
    figures = Load(105, 1_000_005, 9_000, delays, delays, delays, 1.25)
    report = StreamReport("load", STARTED, MACHINE, VERSIONS, ENGINE, Workload(), figures)
    assert [row[0] for row in report.table()[1]] == [
        "105 events, snapshot",
        "1,000,005 events, snapshot",
        "100 events, no snapshot",
    ]
    assert report.remarks()[0] == "long over short: 1.25"
    assert as_json_data(report)["figures"]["ratio"] == 1.25


def test_the_machine_is_described() -> None:
    found = machine()
    assert found.cores >= 1
    assert found.memory_bytes > 2**27
    assert found.cpu
    assert versions()["python"].startswith("3.")
    assert resident_bytes() > 2**20


async def test_a_drive_counts_what_was_accepted_and_stops_a_worker_that_fails() -> None:
    calls = {"fine": 0, "refused": 0, "failing": 0}
    kinds = iter(calls)

    def worker() -> object:
        kind = next(kinds)

        async def operation() -> str:
            calls[kind] += 1
            await asyncio.sleep(0)
            if kind == "failing":
                raise UnavailableError("no answer")
            return kind

        return operation

    sample = await drive(worker, lambda kind: kind == "fine", seconds=0.02, concurrency=3)  # type: ignore[arg-type]
    assert sample.operations == calls["fine"] == len(sample.latencies) > 0
    assert calls["failing"] == 1
    assert sample.failed == calls["refused"] + 1
    assert sample.seconds >= 0.02
