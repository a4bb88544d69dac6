"""The page of figures: written from results files, and never by hand."""

from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.compare.run import Comparison, Figures, Plan
from cassorm.bench.report import as_json_data
from cassorm.bench.runner import Verified
from cassorm.bench.sample import Latency
from cassorm.bench.scan import Scanned, Scanner
from cassorm.bench.stream_report import StreamReport
from cassorm.bench.streams import Load, Memory, Rate, Replay
from cassorm.bench.workload import Workload
from tests.unit.test_bench_report import ENGINE, HONEST, MACHINE, STARTED, VERSIONS, made, outcome

DELAYS = Latency(1, 2, 3, 4)


def test_the_page_holds_the_figures_of_the_results_files() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.page(text, tables.results()) == text, "run `python -m benchmarks.tables`"


def test_a_comparison_becomes_a_table_with_its_ratio() -> None:
    text = tables.section(as_json_data(made(outcome())))
    assert text.startswith("### append\n\n`cassorm bench append --local`; Cassandra 5.0.9 on the same cores, 2 cores")
    assert "| append 1 | **ratio** | | **0.90** |" in text
    assert "append 10: 6.0 times the events a second of single appends." in text
    assert "100 rows of events_bare; 90 rows of events, none missing" in text


@pytest.mark.parametrize(
    ("name", "figures", "words"),
    [
        (
            "replay",
            Replay(100_000, Rate(3e5, []), Rate(2e5, []), Rate(5e4, []), Memory(50_000_000, 51_000_000)),
            ("replay of 100,000 events", "| 300,000 |", "| 50,000 |", "50 MB behind a tenth"),
        ),
        (
            "load",
            Load(105, 1_000_005, 9_000, DELAYS, DELAYS, DELAYS, 1.25),
            ("1,000,005 events, a recent snapshot | 1.00 | 2.00 | 3.00", "Long over short: **1.25**", "100 events, no"),
        ),
        (
            "scan",
            Scanned(
                1_000_000,
                5000,
                8,
                5e4,
                Scanner(1e5, 3.5, []),
                Scanner(3e5, 2.0, []),
                Scanner(2e5, 2.75, []),
                3.0,
                2.0,
                Memory(60_000_000, 61_000_000),
            ),
            (
                "scan of 1,000,000 rows",
                "| 300,000 | **3.00** | 2.00 |",
                "Pages of 5,000 rows, 8 ranges",
                "60 MB behind",
            ),
        ),
    ],
)
def test_streams_and_scans_become_a_table(name: str, figures: Replay | Load | Scanned, words: tuple[str, ...]) -> None:
    text = tables.section(as_json_data(StreamReport(name, STARTED, MACHINE, VERSIONS, ENGINE, Workload(), figures)))
    for word in words:
        assert word in text


def test_a_comparison_of_peers_becomes_a_table_that_names_who_took_no_part() -> None:
    figures = Figures("", 64, 12_345, 0.0501, DELAYS, 1.5, 0.75, {64: 12_345})
    bare = Figures("callbacks, rows as tuples", 16, 8_000, 0.067, DELAYS, 1.0, 1.0, {16: 8_000})
    found = Comparison(
        benchmark="compare",
        started=STARTED,
        void=None,
        machine=MACHINE,
        versions=VERSIONS | {"coodie": "1.9.3"},
        engine=ENGINE,
        plan=Plan(["bare", "cassorm"]),
        honesty=HONEST,
        cases={"get": {"bare": bare, "coodie": figures}},
        missing={"async_cassandra": "not installed"},
        verified=[Verified("cassorm", "rows_coodie", 7, 1, 7)],
    )
    text = tables.section(as_json_data(found))
    assert text.startswith("### compare\n\n`python -m benchmarks.compare`; Cassandra 5.0.9 on the same cores")
    assert "| get | coodie 1.9.3 | 64 | 12,345 | 1.50 | 1.0 | 3.0 | 0.050 | 0.75 |" in text
    assert "| get | the bare driver (callbacks, rows as tuples) | 16 |" in text
    assert "async-cassandra took no part: not installed." in text
    assert "7 inserted rows, none missing; inserts that failed: cassorm 1." in text


def test_void_results_are_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    (tmp_path / "write.json").write_text('{"void": "too busy"}')
    with pytest.raises(SystemExit, match=r"write\.json: too busy"):
        tables.results()
