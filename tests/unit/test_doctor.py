"""The doctor's judgements: from settings, replication and clocks to findings."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from cassorm.events.health import (
    ClockFacts,
    Finding,
    KeyspaceFacts,
    Level,
    NodeFacts,
    judge_clocks,
    judge_keyspace,
    judge_nodes,
    judge_settings,
    longest_s,
    seconds,
)

OK, WARNING, ERROR = Level.OK, Level.WARNING, Level.ERROR
TEN_S = timedelta(seconds=10)

# As a Cassandra 5.0, a 4.0 and a ScyllaDB tell them.
SOUND = {
    "commitlog_sync": "batch",
    "paxos_variant": "v2",
    "materialized_views_enabled": "false",
    "cas_contention_timeout": "1800ms",
    "write_request_timeout": "2s",
    "read_request_timeout": "5000ms",
}


def settings(**changes: str | None) -> Mapping[str, frozenset[str]]:
    values = {**SOUND, **changes}
    return {name: frozenset(value.split("|")) for name, value in values.items() if value is not None}


def judged(**changes: str | None) -> dict[str, Finding]:
    found = judge_settings(settings(**changes), request_timeout=TEN_S)
    return {finding.check: finding for finding in sorted(found, key=lambda finding: finding.level is not OK)}


def nodes(*datacenters: str, release: str = "5.0.9") -> list[NodeFacts]:
    return [
        NodeFacts(UUID(int=number), f"10.0.0.{number}", datacenter, release, UUID(int=7))
        for number, datacenter in enumerate(datacenters, 1)
    ]


def test_sound_settings_ask_for_nothing() -> None:
    assert {finding.level for finding in judged().values()} == {OK}
    assert set(judged()) == {"commitlog_sync", "paxos_variant", "materialized_views", "timeouts"}


def test_a_periodic_commit_log_is_a_warning_with_a_remedy() -> None:
    finding = judged(commitlog_sync="periodic")["commitlog_sync"]
    assert (finding.level, finding.where) == (WARNING, "all nodes")
    assert "lost when the power fails" in finding.what
    assert "commitlog_sync: group" in finding.remedy


@pytest.mark.parametrize("value", ["batch", "group"])
def test_a_commit_log_that_is_synced_before_the_answer_is_fine(value: str) -> None:
    assert judged(commitlog_sync=value)["commitlog_sync"].level is OK


def test_one_node_that_differs_from_the_others_is_seen() -> None:
    finding = judged(commitlog_sync="batch|periodic")["commitlog_sync"]
    assert (finding.level, finding.where) == (WARNING, "some nodes")
    assert judged(paxos_variant="v1|v2")["paxos_variant"].level is WARNING


def test_the_first_paxos_is_a_warning() -> None:
    finding = judged(paxos_variant="v1")["paxos_variant"]
    assert finding.level is WARNING
    assert "paxos_variant: v2" in finding.remedy


def test_an_engine_without_a_choice_of_paxos_is_not_blamed() -> None:
    assert "paxos_variant" not in judged(paxos_variant=None)


@pytest.mark.parametrize(("value", "word"), [("true", "nothing repairs"), ("false", "refused")])
@pytest.mark.parametrize("name", ["materialized_views_enabled", "enable_materialized_views"])
def test_the_switch_of_views_is_told(name: str, value: str, word: str) -> None:
    finding = judged(**{"materialized_views_enabled": None, name: value})["materialized_views"]
    assert finding.level is OK
    assert word in finding.what


def test_a_client_that_gives_up_before_the_server_does_is_warned() -> None:
    found = judge_settings(settings(cas_contention_timeout="5000ms", write_request_timeout="5s"), request_timeout=TEN_S)
    [finding] = [finding for finding in found if finding.level is not OK]
    assert finding.check == "timeouts"
    assert "request_timeout 10 s does not exceed cas_contention_timeout 5 s + write_request_timeout 5 s" in finding.what
    assert "CASSORM_REQUEST_TIMEOUT above 10" in finding.remedy


def test_the_slowest_node_counts() -> None:
    found = judge_settings(settings(write_request_timeout="2s|9s"), request_timeout=TEN_S)
    assert [finding.check for finding in found if finding.level is not OK] == ["timeouts"]


def test_reads_count_as_well() -> None:
    assert judged(read_request_timeout="10000ms")["timeouts"].level is WARNING


def test_timeouts_of_older_engines_are_milliseconds() -> None:
    older = {
        "write_request_timeout": None,
        "cas_contention_timeout": None,
        "read_request_timeout": None,
        "write_request_timeout_in_ms": "2000",
        "cas_contention_timeout_in_ms": "9000",
        "read_request_timeout_in_ms": "5000",
    }
    assert "cas_contention_timeout 9 s" in judged(**older)["timeouts"].what
    assert longest_s(settings(**older), "write_request_timeout") == 2.0


def test_an_engine_that_tells_nothing_gets_no_findings() -> None:
    assert judge_settings({}, request_timeout=TEN_S) == []


TIMES = {"5000ms": 5.0, "2s": 2.0, "10m": 600.0, "1h": 3600.0, "5000": 5.0, "250us": 0.00025, "1.5 s": 1.5}


@pytest.mark.parametrize(("text", "value"), TIMES.items())
def test_times_are_read_as_the_server_writes_them(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "none", "ms", "5 parsecs", "-1s"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert seconds(text) is None


REPLICATION: dict[str, tuple[dict[str, str], Sequence[str], list[Level], str]] = {
    "three copies on three nodes": ({"dc1": "3"}, ["dc1"] * 3, [OK], "3 copies on 3 nodes"),
    "one copy on one node": ({"dc1": "1"}, ["dc1"], [WARNING], "lost for good"),
    "one copy on three nodes": ({"dc1": "1"}, ["dc1"] * 3, [WARNING], "lost for good"),
    "two copies": ({"dc1": "2"}, ["dc1"] * 3, [WARNING], "every node that is down"),
    "three copies on two nodes": ({"dc1": "3"}, ["dc1"] * 2, [WARNING], "with one node down"),
    "three copies on one node": ({"dc1": "3"}, ["dc1"], [ERROR], "can never be reached"),
    "a transient copy": ({"dc1": "3/1"}, ["dc1"] * 3, [OK], "3 copies"),
    "no copies here": ({"dc2": "3"}, ["dc1", "dc2", "dc2", "dc2"], [ERROR, OK], "no copies in dc1"),
    "two data centres": ({"dc1": "3", "dc2": "1"}, ["dc1"] * 3 + ["dc2"], [OK, WARNING], "1 copy on 1 node"),
}


@pytest.mark.parametrize(("copies", "where", "levels", "word"), REPLICATION.values(), ids=REPLICATION)
def test_copies_are_held_against_nodes(
    copies: dict[str, str], where: list[str], levels: list[Level], word: str
) -> None:
    replication = {"class": "org.apache.cassandra.locator.NetworkTopologyStrategy", **copies}
    found = judge_keyspace(KeyspaceFacts("shop", replication), nodes(*where), datacenter="dc1")
    assert [finding.level for finding in found] == levels
    assert any(word in finding.what for finding in found)
    assert all(finding.remedy for finding in found if finding.level is not OK)
    assert all("keyspace shop" in finding.where for finding in found)


def test_the_simple_strategy_is_a_warning_that_says_what_to_run() -> None:
    facts = KeyspaceFacts("Shop", {"class": "SimpleStrategy", "replication_factor": "3"})
    strategy, copies = judge_keyspace(facts, nodes("dc1", "dc1", "dc1"), datacenter="dc1")
    assert (strategy.level, copies.level) == (WARNING, OK)
    assert (
        """ALTER KEYSPACE "Shop" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3}""" in strategy.remedy
    )


def test_a_strategy_for_other_ends_is_a_warning() -> None:
    [finding] = judge_keyspace(KeyspaceFacts("shop", {"class": "LocalStrategy"}), nodes("dc1"), datacenter="dc1")
    assert finding.level is WARNING


def test_writes_that_skip_the_commit_log_are_an_error() -> None:
    facts = KeyspaceFacts("shop", {"class": "NetworkTopologyStrategy", "dc1": "3"}, durable_writes=False)
    first, _ = judge_keyspace(facts, nodes("dc1", "dc1", "dc1"), datacenter="dc1")
    assert (first.level, first.check) == (ERROR, "durable_writes")


def test_versions_that_differ_are_a_warning() -> None:
    [finding] = judge_nodes([*nodes("dc1"), *nodes("dc1", release="4.1.7")])
    assert finding.level is WARNING
    assert "4.1.7 and 5.0.9" in finding.what
    assert [finding.level for finding in judge_nodes(nodes("dc1", "dc1"))] == [OK]


def test_schemas_that_differ_are_a_warning() -> None:
    other = NodeFacts(UUID(int=9), "10.0.0.9", "dc1", "5.0.9", UUID(int=8))
    assert [finding.level for finding in judge_nodes([*nodes("dc1"), other])] == [OK, WARNING]


CLOCKS: dict[str, tuple[float, float, Level, str]] = {
    "the same": (-0.001, 0.001, OK, "within 1 ms"),
    "a second ahead": (1.0, 1.2, WARNING, "at least 1.0 s ahead of"),
    "a second behind": (-1.2, -1.0, WARNING, "at least 1.0 s behind"),
    "a minute ahead": (60.0, 60.1, ERROR, "60.0 s ahead of"),
    "a slow answer proves nothing": (-3.0, 0.1, OK, "within 3000 ms"),
}


@pytest.mark.parametrize(("low", "high", "level", "word"), CLOCKS.values(), ids=CLOCKS)
def test_a_clock_is_judged_by_what_is_certain(low: float, high: float, level: Level, word: str) -> None:
    [finding] = judge_clocks([ClockFacts("10.0.0.1", low, high)])
    assert finding.level is level
    assert word in finding.what


def test_one_wrong_clock_among_many_is_named() -> None:
    clocks = [ClockFacts("10.0.0.1", 0.0, 0.001), ClockFacts("10.0.0.2", 2.0, 2.1), ClockFacts("10.0.0.3", 0.0, 0.002)]
    wrong, rest = judge_clocks(clocks, unseen=2)
    assert (wrong.level, wrong.where) == (WARNING, "node 10.0.0.2")
    assert (rest.level, rest.what) == (
        OK,
        "2 nodes within 2 ms of this machine; 2 in other data centres not asked",
    )


def test_a_finding_reads_as_a_sentence() -> None:
    finding = Finding(WARNING, "x", "all nodes", "it is slow", "Make it fast")
    assert str(finding) == "all nodes: it is slow. Make it fast"
