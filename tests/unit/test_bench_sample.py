"""Percentiles and ratios."""

import math
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cassorm.bench.sample import Sample, latency, median, median_ratio, percentile


def test_percentiles_are_values_that_were_measured() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, share) for share in (50, 95, 99, 100)] == [50.0, 95.0, 99.0, 100.0]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_value_that_its_share_does_not_exceed(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = percentile(ordered, share)
    assert sum(value <= found for value in ordered) >= len(ordered) * share / 100 - 1e-9
    below = [value for value in ordered if value < found]
    assert len(below) < len(ordered) * share / 100 + 1e-9


def test_latencies_of_several_runs_count_together() -> None:
    found = latency([array("d", [0.001] * 98), array("d", [0.5, 0.002])])
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == (1.0, 1.0, 2.0, 500.0)


def test_without_an_operation_there_is_no_number() -> None:
    none = Sample(0, 1.0, 0.5)
    assert none.per_s == 0
    assert math.isnan(none.cpu_s_per_1000)
    assert math.isnan(latency([]).p50_ms)
    assert math.isnan(median([]))


def test_rates_and_processor_time() -> None:
    sample = Sample(3000, 1.5, 0.6)
    assert sample.per_s == 2000
    assert sample.cpu_s_per_1000 == pytest.approx(0.2)


def test_a_ratio_is_of_rounds_not_of_medians() -> None:
    # Each round has its own weather: ours is the faster by a half in every one of them.
    assert median_ratio([150, 15, 1500], [100, 10, 1000]) == 1.5
    assert median_ratio([1, 2, 3], [1, 1, 1]) == 2
