"""The few statistics that the benchmarks report: percentiles, medians and paired ratios."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed; NaN without values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """The median; NaN without values."""
    return statistics.median(values) if values else math.nan


def paired_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median of round by round ratios: what disturbs a whole round cancels out."""
    pairs = zip(values, base, strict=True)
    return median([value / other for value, other in pairs if other > 0])
