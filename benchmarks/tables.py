"""Writes the figures of benchmarks/results/*.json into docs/reference/performance.md: `python -m benchmarks.tables`."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "reference" / "performance.md"
PEERS = {"async_cassandra": "async-cassandra", "bare": "the bare driver", "bare_dicts": "the bare driver"}
BEGIN, END = "<!-- figures: python -m benchmarks.tables -->", "<!-- end of figures -->"
ORDER = (
    *("write", "read", "append", "replay", "load", "orm", "scan", "compare"),
    *("feed-append", "feed-lag", "feed-catchup", "feed-idle", "feed-read"),
)


def main() -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), results()), encoding="utf-8")
    print(PAGE.relative_to(ROOT))


def results() -> list[dict[str, Any]]:
    """The results that are published, in the order of the page."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    void = [f"{name}.json: {values['void']}" for name, values in found.items() if values["void"]]
    if void:
        raise SystemExit("void results are not published: " + "; ".join(void))
    return [found[name] for name in ORDER if name in found]


def page(text: str, figures: list[dict[str, Any]]) -> str:
    """The page with these figures in the place of those that it has."""
    head, tail = text.split(BEGIN, maxsplit=1)[0], text.split(END)[1]
    return "\n\n".join([head + BEGIN, *map(section, figures), END + tail])


def section(values: dict[str, Any]) -> str:
    what, command = values["benchmark"], f"cassorm bench {values['benchmark']} --local"
    if what == "compare":
        command = "python -m benchmarks.compare"
    body = BODIES.get(what, compared)(values)
    return f"### {what}\n\n`{command}`; {place(values)}.\n\n{body}"


def place(values: dict[str, Any]) -> str:
    machine, engine, versions = values["machine"], values["engine"], values["versions"]
    driver = next(f"{name} {versions[name]}" for name in ("cassandra-driver", "scylla-driver") if name in versions)
    shared = " on the same cores" if engine["local"] else ""
    return (
        f"{engine['name'].capitalize()} {engine['version']}{shared}, {machine['cores']} cores ({machine['cpu']}), "
        f"Python {versions['python']}, {driver}, {values['started'][:10]}"
    )


def compared(values: dict[str, Any]) -> str:
    rows = ["case | side | in flight | per s | p50 ms | p95 ms | p99 ms | CPU s/1,000", "--- | " * 7 + "---"]
    for case in values["cases"]:
        for side, figures in case["sides"].items():
            delays = figures["latency"]
            rows.append(
                f"{case['name']} | {side} | {figures['concurrency']} | {figures['per_s']:,.0f} | "
                f"{delays['p50_ms']:.1f} | {delays['p95_ms']:.1f} | {delays['p99_ms']:.1f} | "
                f"{figures['cpu_s_per_1000']:.3f}"
            )
        rows.append(f"{case['name']} | **ratio** | | **{case['ratio']:.2f}** | | | | {case['cpu_ratio']:.2f}")
    many = [
        f"{name}: {ratio:.1f} times the events a second of single appends."
        for name, ratio in values["many_events"].items()
    ]
    honesty = values["honesty"]
    counted = "; ".join(f"{row['counted']:,} rows of {row['table']}" for row in values["verified"])
    return "\n\n".join(
        [
            table(rows),
            *many,
            f"Baseline: {honesty['ratio']:.2f} of its yardstick. Counted afterwards: {counted}, none missing.",
        ]
    )


def replay(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = ["replay of " + f"{figures['events']:,} events | events/s", "--- | ---"]
    for name, what in (
        ("decoded", "JSON to typed events, folded"),
        ("memory", "`AggregateRepository.get` from the store in memory"),
        ("node", "`AggregateRepository.get` from the node"),
    ):
        rows.append(f"{what} | {figures[name]['per_s']:,.0f}")
    resident = figures["resident"]
    return (
        f"{table(rows)}\n\nResident memory: {resident['after_tenth_bytes'] / 1e6:.0f} MB behind a tenth of the events, "
        f"at most {resident['peak_bytes'] / 1e6:.0f} MB during all of them."
    )


def load(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = ["load of | p50 ms | p95 ms | p99 ms", "--- | --- | --- | ---"]
    for name, what in (
        ("short", f"{figures['short_stream']:,} events, a recent snapshot"),
        ("long", f"{figures['long_stream']:,} events, a recent snapshot"),
        ("short_without_snapshot", f"{figures['short_stream'] - 5:,} events, no snapshot"),
    ):
        delays = figures[name]
        rows.append(f"{what} | {delays['p50_ms']:.2f} | {delays['p95_ms']:.2f} | {delays['p99_ms']:.2f}")
    return (
        f"{table(rows)}\n\nLong over short: **{figures['ratio']:.2f}**. "
        f"Filled with {figures['fill_per_s']:,.0f} events/s, in appends of 1,000."
    )


def scan(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = [f"scan of {figures['rows']:,} rows | rows/s | ratio | CPU s/1,000,000", "--- | --- | --- | ---"]
    for name, what in (
        ("bare", "a paged SELECT of the bare driver, row by row"),
        ("tuples", "`Model.scan().values(...)`"),
        ("models", "`Model.scan()`"),
    ):
        ratio = f"**{figures[f'{name}_ratio']:.2f}**" if name != "bare" else ""
        each = figures[name]
        rows.append(f"{what} | {each['rows_per_s']:,.0f} | {ratio} | {each['cpu_s_per_million']:.2f}")
    resident = figures["resident"]
    return (
        f"{table(rows)}\n\nPages of {figures['page_size']:,} rows, {figures['parallel']} ranges at once. Resident memory: "
        f"{resident['after_tenth_bytes'] / 1e6:.0f} MB behind a tenth of the rows, at most "
        f"{resident['peak_bytes'] / 1e6:.0f} MB during all of them."
    )


def peers(values: dict[str, Any]) -> str:
    versions = values["versions"]
    rows = [
        "operation | side | in flight | per s | ratio | p50 ms | p99 ms | CPU s/1,000 | CPU ratio",
        "--- | " * 8 + "---",
    ]
    for operation, sides in values["cases"].items():
        for side, figures in sorted(sides.items(), key=lambda item: -item[1]["per_s"]):
            name = PEERS.get(side, side)
            known = f" {versions[name]}" if name in versions else ""
            note = f" ({figures['note']})" if figures["note"] else ""
            rows.append(
                f"{operation} | {name}{known}{note} | {figures['concurrency']} | {figures['per_s']:,.0f} | "
                f"{figures['ratio']:.2f} | {figures['latency']['p50_ms']:.1f} | {figures['latency']['p99_ms']:.1f} | "
                f"{figures['cpu_s_per_1000']:.3f} | {figures['cpu_ratio']:.2f}"
            )
    missing = [f"{PEERS.get(side, side)} took no part: {why}." for side, why in values["missing"].items()]
    counted = sum(row["counted"] for row in values["verified"])
    lost = [
        f"{PEERS.get(row['side'], row['side'])} {row['unanswered']:,}"
        for row in values["verified"]
        if row["unanswered"]
    ]
    unanswered = f"; inserts that failed: {', '.join(lost)}" if lost else ""
    return "\n\n".join(
        [
            table(rows),
            *missing,
            (
                f"Baseline: {values['honesty']['ratio']:.2f} of its yardstick. Counted afterwards: {counted:,} inserted rows, "
                f"none missing{unanswered}."
            ),
        ]
    )


def feed_append(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = ["feed | in flight | per s | p50 ms | p95 ms | p99 ms | CPU s/1,000 | alone, p50 ms", "--- | " * 7 + "---"]
    for side in ("off", "on"):
        each = figures[side]
        delays = each["latency"]
        rows.append(
            f"{side} | {each['concurrency']} | {each['per_s']:,.0f} | {delays['p50_ms']:.1f} | {delays['p95_ms']:.1f} | "
            f"{delays['p99_ms']:.1f} | {each['cpu_s_per_1000']:.3f} | {each['alone']['p50_ms']:.2f}"
        )
    rows.append(f"**ratio** | | **{figures['ratio']:.2f}** | | | | {figures['cpu_ratio']:.2f} | |")
    counted = "; ".join(f"{row['counted']:,} rows of {row['table']}" for row in figures["verified"])
    return (
        f"{table(rows)}\n\nCounted afterwards: {counted}, none missing; {figures['pointers']:,} pointers, "
        f"{figures['abandoned']:,} of them to positions that were given up."
    )


def feed_lag(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = [
        "from an append's return to its row seen | p50 ms | p95 ms | p99 ms | max ms",
        "--- | --- | --- | --- | ---",
    ]
    for name, what in (
        ("lag", "all"),
        ("first_second", "those of the first second"),
        ("waiting", "`wait_for`, in the process that appended"),
    ):
        delays = figures[name]
        rows.append(
            f"{what} | {delays['p50_ms']:.1f} | {delays['p95_ms']:.1f} | {delays['p99_ms']:.1f} | {delays['max_ms']:.1f}"
        )
    if figures["first_after_idle_ms"] is not None:
        rows.append(
            f"the first after {figures['idle_seconds']:g} s without any | {figures['first_after_idle_ms']:.1f} | | |"
        )
    return (
        f"{table(rows)}\n\n{figures['events']:,} events at {figures['rate']:g} a second for {figures['seconds']:g} s, "
        f"in {figures['streams']:,} streams; none missing. The worker took {figures['worker_cpu']:.0%} of a core."
    )


def feed_catchup(values: dict[str, Any]) -> str:
    figures = values["figures"]
    rows = [
        f"catch-up of {figures['events']:,} events | events/s | CPU s/1,000 | MB behind a tenth | MB at most",
        "--- | --- | --- | --- | ---",
    ]
    for name, what in (("each", "a handler that writes for each event"), ("folded", "folded, a write a stream")):
        each = figures[name]
        resident = each["resident"]
        rows.append(
            f"{what} | {each['per_s']:,.0f} | {each['cpu_s_per_1000']:.3f} | "
            f"{resident['after_tenth_bytes'] / 1e6:.0f} | {resident['peak_bytes'] / 1e6:.0f}"
        )
    return f"{table(rows)}\n\nIn {figures['streams']:,} streams. The worker is a process of its own on the same cores."


def feed_idle(values: dict[str, Any]) -> str:
    rows = ["idle process: stores | streams in each | share of a core | statements/s", "--- | --- | --- | ---"]
    for name in ("few", "many", "tenants"):
        each = values["figures"][name]
        rows.append(f"{each['stores']:,} | {each['streams']:,} | {each['cpu']:.2%} | {each['statements_per_s']:.1f}")
    return table(rows)


def table(rows: list[str]) -> str:
    return "\n".join(f"| {row} |" for row in rows)


BODIES = {
    "replay": replay,
    "load": load,
    "scan": scan,
    "compare": peers,
    "feed append": feed_append,
    "feed lag": feed_lag,
    "feed catchup": feed_catchup,
    "feed idle": feed_idle,
}

if __name__ == "__main__":
    main()
