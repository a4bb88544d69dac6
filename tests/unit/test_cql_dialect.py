"""What each engine can do."""

import pytest

from cassorm.cql.dialect import Dialect, for_engine
from cassorm.errors import ConfigurationError

CASSANDRA_5 = for_engine("cassandra", "5.0.9")
CASSANDRA_4 = for_engine("cassandra", "4.1.7-SNAPSHOT")
SCYLLA = for_engine("scylla", "2025.1.3-0.20250101")


def test_versions_are_read_from_what_the_engines_call_themselves() -> None:
    assert Dialect("cassandra", (5, 0, 9)) == CASSANDRA_5
    assert CASSANDRA_4.version == (4, 1, 7)
    assert for_engine("cassandra", "6.0-alpha1").version == (6, 0)
    assert for_engine("scylla", "2025.4.0~rc1").version == (2025, 4, 0)
    assert str(SCYLLA) == "ScyllaDB 2025.1.3"


@pytest.mark.parametrize(
    ("name", "version"), [("cassandra", "3.11.2"), ("scylla", "4.6.0"), ("mysql", "8"), ("scylla", "")]
)
def test_an_engine_that_is_too_old_or_unknown_is_refused(name: str, version: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        for_engine(name, version)
    assert caught.value.remedy == "Use Apache Cassandra 4.0+ or ScyllaDB 5.0+"
    assert caught.value.where == f"{name} {version}"


def test_indexes_vectors_and_views_follow_the_engine() -> None:
    assert (CASSANDRA_5.sai, CASSANDRA_4.sai, SCYLLA.sai) == (True, False, False)
    assert (CASSANDRA_5.default_index, CASSANDRA_4.default_index) == ("sai", "secondary")
    assert (CASSANDRA_5.vectors, CASSANDRA_4.vectors, SCYLLA.vectors) == (True, False, False)
    assert for_engine("scylla", "2025.4").vectors
    assert (CASSANDRA_5.views_default_on, SCYLLA.views_default_on) == (False, True)


@pytest.mark.parametrize(
    ("version", "tablets", "options"),
    [
        ("5.4", False, {}),
        ("6.2", True, {"tablets": {"enabled": False}}),
        ("2025.3.9", True, {"tablets": {"enabled": False}}),
        ("2025.4.0", True, {}),
        ("2026.1", True, {}),
    ],
)
def test_tablets_are_off_where_lightweight_transactions_do_not_work_on_them(
    version: str, tablets: bool, options: dict[str, object]
) -> None:
    scylla = for_engine("scylla", version)
    assert scylla.tablets is tablets
    assert scylla.keyspace_options() == options
    assert CASSANDRA_5.keyspace_options() == {}


def test_profiles_become_the_compaction_that_the_engine_has() -> None:
    assert CASSANDRA_5.profile_options("append-only") == {
        "compaction": {"class": "UnifiedCompactionStrategy", "scaling_parameters": "T4"},
        "compression": {"class": "ZstdCompressor"},
    }
    assert CASSANDRA_5.profile_options("latest-few")["compaction"]["scaling_parameters"] == "L10"
    assert CASSANDRA_5.profile_options("lwt-only")["compaction"]["scaling_parameters"] == "L10"
    for engine in (CASSANDRA_4, SCYLLA):
        assert engine.profile_options("append-only")["compaction"] == {"class": "SizeTieredCompactionStrategy"}
        assert engine.profile_options("latest-few")["compaction"] == {"class": "LeveledCompactionStrategy"}


@pytest.mark.parametrize(
    ("ttl_s", "size", "unit"),
    [
        (0, "1", "DAYS"),
        (60, "1", "MINUTES"),
        (3_600, "2", "MINUTES"),
        (7 * 86_400, "4", "HOURS"),
        (365 * 86_400, "8", "DAYS"),
    ],
)
def test_a_ttl_is_cut_into_fifty_windows_at_most(ttl_s: int, size: str, unit: str) -> None:
    for engine in (CASSANDRA_5, CASSANDRA_4, SCYLLA):
        compaction = engine.profile_options("time-window", ttl_s=ttl_s)["compaction"]
        assert compaction == {
            "class": "TimeWindowCompactionStrategy",
            "compaction_window_size": size,
            "compaction_window_unit": unit,
        }
    seconds = {"MINUTES": 60, "HOURS": 3_600, "DAYS": 86_400}[unit] * int(size)
    assert ttl_s / seconds <= 50
