"""Count areas in bins of a logarithmic axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 32
MOST_TICKS = 7


class Bar(NamedTuple):
    """One bin: areas from `low` to below `high`; `height` is its share of the highest bar."""

    low: float
    high: float
    objects: int
    height: float


class AreaHistogram(NamedTuple):
    """Bars of equal width from left to right; ticks as (place, area) with the place in [0, 1] along the axis."""

    bars: list[Bar]
    ticks: list[tuple[float, int]]
    median: float
    median_place: float


def area_histogram(areas: Sequence[float]) -> AreaHistogram | None:
    """Count areas; areas of objects spread over orders of magnitude, so the bins grow with them.

    Args:
        areas: areas above 0, in one unit.

    Returns:
        None where there are no areas.

    >>> histogram = area_histogram([10, 100, 100, 1000])
    >>> sum(bar.objects for bar in histogram.bars), histogram.median
    (4, 100.0)
    >>> histogram.ticks[:2]
    [(0.0, 10), (0.151, 20)]
    """
    if not len(areas):
        return None
    values = np.asarray(areas, dtype=float)
    low, high = values.min(), values.max()
    if low == high:
        low, high = low / 2, high * 2
    edges = np.geomspace(low, high, BINS + 1)
    edges[-1] = np.nextafter(high, np.inf)  # so that rounding never leaves the largest out
    edges[0] = low
    counts = np.histogram(values, edges)[0].tolist()
    bars = [
        Bar(float(left), float(right), count, count / max(counts))
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    median = float(np.median(values))
    return AreaHistogram(bars, _ticks(low, high), median, _place(median, low, high))


def _place(area: float, low: float, high: float) -> float:
    return round(float(np.log(area / low) / np.log(high / low)), 3)


def _ticks(low: float, high: float) -> list[tuple[float, int]]:
    """Mark 1, 2, 5, 10 and so on, or powers of ten only where those were too many."""
    for digits in ((1, 2, 5), (1, 3), (1,)):
        values = [digit * 10**power for power in range(12) for digit in digits]
        inside = [value for value in values if low <= value <= high]
        if len(inside) <= MOST_TICKS:
            break
    if len(inside) < 2:
        inside = sorted({round(low), round(high)})
    return [(min(1.0, max(0.0, _place(max(value, 1), low, high))), value) for value in inside]
