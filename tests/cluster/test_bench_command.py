"""`cassorm bench` in a few seconds: that everything works and is counted; no test here says how fast."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cassorm import Session

pytestmark = pytest.mark.cluster


async def bench(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cassorm", "bench", *arguments, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def measured(what: str, hosts: list[str], results: Path) -> dict[str, Any]:
    """The results of a quick run; a void one is fine here where only the machine was too busy."""
    code, out, err = await bench(
        *what.split(), "--hosts", ",".join(hosts), "--quick", "--json", "--results", str(results)
    )
    assert code in (0, 1), err
    found: dict[str, Any] = json.loads(out)
    assert found == json.loads(await asyncio.to_thread(results.read_text))
    assert code == (found["void"] is not None), err
    assert found["void"] is None or "yardstick" in found["void"]
    return found


@pytest.mark.parametrize(
    ("what", "cases", "tables"),
    [
        ("write", ["write"], ["written_bare", "written"]),
        ("append", ["append 1", "append 10"], ["events_bare", "events"]),
        ("read", ["read"], ["rows"]),
        ("orm", ["insert", "get", "page of 100"], ["inserted_bare", "inserted", "rows", "pages"]),
        (
            "feed read",
            ["find_by_id", "find_by_id from a cache", "find_by an index", "find_by a view"],
            ["bench_customers"],
        ),
    ],
)
async def test_a_comparison_counts_in_the_database_what_was_acknowledged(
    what: str, cases: list[str], tables: list[str], cassandra_hosts: list[str], tmp_path: Path
) -> None:
    found = await measured(what, cassandra_hosts, tmp_path / "r.json")
    assert [case["name"] for case in found["cases"]] == cases
    for case in found["cases"]:
        assert len(case["ratios"]) == found["workload"]["rounds"]
        assert case["ratio"] > 0
        for side in ("bare", "cassorm"):
            figures = case["sides"][side]
            assert figures["per_s"] > 0
            assert figures["cpu_s_per_1000"] > 0
            delays = figures["latency"]
            assert 0 < delays["p50_ms"] <= delays["p95_ms"] <= delays["p99_ms"] <= delays["max_ms"]
    assert [row["table"] for row in found["verified"]] == tables
    for row in found["verified"]:
        assert row["counted"] == row["acknowledged"] > 0
        assert row["unanswered"] == 0
    assert found["honesty"]["yardstick_per_s"] > 0
    assert set(found["many_events"]) == {"append 10"} & set(cases)


async def test_a_replay_gives_rates_and_memory(cassandra_hosts: list[str], tmp_path: Path) -> None:
    found = (await measured("replay", cassandra_hosts, tmp_path / "r.json"))["figures"]
    assert found["events"] == 2_000
    assert all(found[name]["per_s"] > 0 for name in ("decoded", "memory", "node"))
    assert 0 < found["resident"]["after_tenth_bytes"] <= found["resident"]["peak_bytes"] * 1.5


async def test_a_load_compares_a_short_stream_with_a_long_one(cassandra_hosts: list[str], tmp_path: Path) -> None:
    found = (await measured("load", cassandra_hosts, tmp_path / "r.json"))["figures"]
    assert (found["short_stream"], found["long_stream"]) == (105, 2_005)
    assert found["ratio"] > 0
    assert found["long"]["p50_ms"] > 0


async def test_a_scan_reads_every_row_in_each_of_three_ways(cassandra_hosts: list[str], tmp_path: Path) -> None:
    found = (await measured("scan", cassandra_hosts, tmp_path / "r.json"))["figures"]
    assert found["rows"] == 2_000
    for name in ("bare", "tuples", "models"):
        assert len(found[name]["rounds"]) == 2
        assert found[name]["rows_per_s"] > 0
        assert found[name]["cpu_s_per_million"] > 0
    assert found["tuples_ratio"] > 0
    assert found["models_ratio"] > 0
    assert 0 < found["resident"]["after_tenth_bytes"] <= found["resident"]["peak_bytes"]


async def test_the_feed_is_measured_and_nothing_is_missing_in_the_end(
    cassandra_hosts: list[str], tmp_path: Path
) -> None:
    # All at once: each spends most of its time on starting processes.
    parts = ("append", "lag", "catchup", "idle")
    found = await asyncio.gather(*(measured(f"feed {part}", cassandra_hosts, tmp_path / part) for part in parts))
    append, lag, catchup, idle = (each["figures"] for each in found)

    assert append["ratio"] > 0
    assert [row["table"] for row in append["verified"]] == ["events_off", "events"]
    for row in append["verified"]:
        assert row["counted"] == row["acknowledged"] > 0
    assert append["pointers"] >= append["verified"][1]["counted"]
    assert all(append[side]["alone"]["p50_ms"] > 0 for side in ("off", "on"))

    assert lag["events"] > 50
    assert (lag["failed"], lag["missing"]) == (0, 0)
    assert 0 < lag["lag"]["p50_ms"] <= lag["lag"]["max_ms"]
    assert lag["first_after_idle_ms"] >= 0
    assert lag["waiting"]["p50_ms"] > 0
    assert lag["worker_statements_per_s"] > 0

    assert (catchup["events"], catchup["streams"]) == (200, 20)
    for way, rows in (("each", 200), ("folded", 20)):
        assert catchup[way]["rows"] == rows
        assert catchup[way]["per_s"] > 0

    assert (idle["few"]["streams"], idle["many"]["streams"]) == (10, 30)
    assert idle["many"]["statements_per_s"] > 0


async def test_the_feed_is_measured_in_parts(tmp_path: Path) -> None:
    for arguments in (["feed"], ["write", "lag"]):
        code, _, err = await bench(*arguments)
        assert code == 2
        assert "one of append, lag, catchup, idle, read" in err


async def test_a_workload_file_is_what_is_run_and_the_keyspace_is_gone_afterwards(
    cassandra_hosts: list[str], cassorm_session: Session, tmp_path: Path
) -> None:
    workload = tmp_path / "w.yaml"
    workload.write_text(
        "columns: {k: uuid, v: text}\nconcurrencies: [2, 4]\nrounds: 1\nseconds: 0.1\nwarmup_seconds: 0\n"
    )
    keyspaces = "SELECT keyspace_name FROM system_schema.keyspaces"
    before = set(await cassorm_session.execute(keyspaces))
    code, out, err = await bench("write", "--hosts", ",".join(cassandra_hosts), "--workload", str(workload))
    assert code in (0, 1), err
    assert out.startswith("CASE")
    assert "rows acknowledged" in out
    assert set(await cassorm_session.execute(keyspaces)) == before


async def test_a_wrong_workload_is_exit_code_2_and_names_the_line(tmp_path: Path) -> None:
    workload = tmp_path / "w.yaml"
    workload.write_text("rounds: 1\nspeed: high\n")
    code, out, err = await bench("write", "--workload", str(workload))
    assert (code, out) == (2, "")
    assert f"{workload}:2: unknown key speed" in err


async def test_a_cluster_that_is_not_there_is_exit_code_3() -> None:
    code, _, err = await bench("append", "--quick", "--hosts", "127.0.0.1:1")
    assert code == 3
    assert "127.0.0.1:1" in err


async def test_a_node_of_our_own_or_hosts_but_not_both() -> None:
    code, _, err = await bench("append", "--local", "--hosts", "127.0.0.1")
    assert code == 2
    assert "--local and --hosts" in err
