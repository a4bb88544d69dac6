"""The benchmarks of the feed: schedules that processes share, what makes a run void, tables."""

from itertools import pairwise
from uuid import UUID

import pytest

from benchmarks import tables
from cassorm.bench.feed_append import FeedAppend, FeedSide
from cassorm.bench.feed_catchup import Catchup, CaughtUp, Idle, IdleWorker
from cassorm.bench.feed_lag import Lag
from cassorm.bench.feed_process import Plan, arrivals
from cassorm.bench.feed_report import FeedReport, Figures
from cassorm.bench.report import as_json_data
from cassorm.bench.runner import Verified
from cassorm.bench.sample import Latency
from cassorm.bench.streams import Memory
from cassorm.bench.workload import Workload
from tests.unit.test_bench_report import ENGINE, MACHINE, STARTED, VERSIONS

DELAYS = Latency(1, 2, 3, 4)
FASTER = Latency(0.5, 1, 1.5, 2)


def append(*, there: int = 90, pointers: int = 92, failed: int = 0) -> FeedAppend:
    off = FeedSide(128, 4000, 0.15, DELAYS, FASTER, {1: 900, 128: 4000})
    on = FeedSide(256, 3200, 0.18, DELAYS, DELAYS, {1: 500, 256: 3200})
    verified = [Verified("off", "events_off", 100, 0, 100), Verified("on", "events", 90, 0, there)]
    return FeedAppend(off, on, 0.8, [0.8], 1.2, verified, pointers, failed)


def lag(*, failed: int = 0, missing: int = 0) -> Lag:
    return Lag(
        events=30_000,
        rate=500,
        seconds=60,
        streams=1000,
        lag=DELAYS,
        first_second=DELAYS,
        waiting=FASTER,
        idle_seconds=300,
        first_after_idle_ms=123.4,
        failed=failed,
        missing=missing,
        worker_cpu=0.25,
        worker_statements_per_s=900,
    )


def catchup(rows: int = 20_000) -> Catchup:
    each = CaughtUp(5000, [5000], 0.1, Memory(70_000_000, 71_000_000), 200_000, 200_000)
    folded = CaughtUp(15_000, [15_000], 0.05, Memory(70_000_000, 72_000_000), rows, 20_000)
    return Catchup(200_000, 20_000, 12_000, each, folded)


IDLE = Idle(
    IdleWorker(10, 1, 30, 0.005, 6.5), IdleWorker(10_000, 1, 30, 0.0055, 6.6), IdleWorker(10, 100, 30, 0.01, 20)
)


def report(part: str, figures: Figures) -> FeedReport:
    return FeedReport(f"feed {part}", STARTED, MACHINE, VERSIONS, ENGINE, Workload(), figures)


def test_processes_with_the_same_plan_expect_the_same_events() -> None:
    plan = Plan("k", "p", seed=7, rate=500, seconds=20, streams=100, idle_seconds=60)
    found = arrivals(plan)
    assert found == arrivals(plan)
    *arrived, last = found
    assert len(arrived) == pytest.approx(10_000, rel=0.1)
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(arrived))
    assert last.at_ns == 80_000_000_000
    versions: dict[UUID, int] = {}
    for each in found:
        versions[each.stream] = versions.get(each.stream, 0) + 1
        assert each.version == versions[each.stream]
    assert len(versions) == 100


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        (append(there=89), "90 rows of events were acknowledged, 89 are there"),
        (append(pointers=88), "2 appends have no pointer"),
        (append(failed=3), "3 appends failed"),
        (lag(failed=1), "1 appends failed"),
        (lag(missing=2), "the rows of 2 events were never seen"),
        (catchup(rows=19_999), "19,999 rows are there in the place of 20,000"),
    ],
)
def test_a_run_in_which_something_is_missing_is_void(figures: Figures, why: str) -> None:
    found = report("x", figures)
    assert found.void is not None
    assert why in found.void
    assert f"VOID: {found.void}" in found.remarks()
    assert as_json_data(found)["void"] == found.void


@pytest.mark.parametrize(
    ("part", "figures", "row", "words"),
    [
        (
            "append",
            append(),
            ("on", "256", "3,200", "1.0", "2.0", "3.0", "4.0", "0.180", "1.00", "3.00"),
            ("| on | 256 | 3,200 |", "| **ratio** | | **0.80** |", "92 pointers, 2 of them to positions"),
        ),
        (
            "lag",
            lag(),
            ("wait_for", "0.5", "1.0", "1.5", "2.0"),
            ("| the first after 300 s without any | 123.4 |", "30,000 events at 500 a second", "25% of a core"),
        ),
        (
            "catchup",
            catchup(),
            ("a write a stream", "15,000", "15,000", "15,000", "0.050", "70", "72"),
            ("catch-up of 200,000 events", "| 15,000 | 0.050 | 70 | 72 |"),
        ),
        ("idle", IDLE, ("1", "10,000", "0.55", "6.6"), ("| 100 | 10 | 1.00% | 20.0 |",)),
    ],
)
def test_figures_become_a_table_for_people_and_one_for_the_page(
    part: str, figures: Figures, row: tuple[str, ...], words: tuple[str, ...]
) -> None:
    found = report(part, figures)
    header, rows = found.table()
    assert found.void is None
    assert {len(each) for each in rows} == {len(header)}
    assert row in rows
    text = tables.section(as_json_data(found))
    assert text.startswith(f"### feed {part}\n\n`cassorm bench feed {part} --local`; Cassandra 5.0.9")
    for word in words:
        assert word in text
