"""What one run gave, and what several runs give together."""

import math
import statistics
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

PERCENTILES = (50.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one side: `operations` were acknowledged in `seconds`, `failed` were not.

    `cpu_s` is the processor time of this process, all threads together. `latencies` are in seconds, one an operation,
    in no order.
    """

    operations: int
    seconds: float
    cpu_s: float
    failed: int = 0
    latencies: "array[float]" = field(default_factory=lambda: array("d"), repr=False)

    @property
    def per_s(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds if self.seconds else 0.0

    @property
    def cpu_s_per_1000(self) -> float:
        """Seconds of processor time for 1,000 operations; not a number when there was none."""
        return self.cpu_s / self.operations * 1000 if self.operations else math.nan


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles of latencies, in milliseconds."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def latency(runs: Sequence[Sequence[float]]) -> Latency:
    """The percentiles of the latencies (in seconds) of several runs together."""
    ordered = sorted(value for run in runs for value in run)
    if not ordered:
        return Latency(math.nan, math.nan, math.nan, math.nan)
    p50, p95, p99 = (percentile(ordered, share) * 1000 for share in PERCENTILES)
    return Latency(p50, p95, p99, ordered[-1] * 1000)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ascending values that at least `share` per cent of them do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """The median; not a number when there is none."""
    return statistics.median(values) if values else math.nan


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of values of the same round."""
    return median([our / their for our, their in zip(ours, theirs, strict=True) if their])
