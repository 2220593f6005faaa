"""Find the percentiles of a large image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

LEVELS = 65536  # exact for images of 8 and 16 bits


def percentiles_of(parts: Iterable[np.ndarray], percentages: Sequence[float]) -> list[float]:
    """Give percentiles over all values of several arrays, interpolated as `numpy.percentile` does.

    Args:
        parts: floats in [0, 1], taken one after the other; rounded to `LEVELS` levels.
        percentages: in [0, 100].

    >>> percentiles_of([np.array([0.0, 0.2]), np.array([1.0])], [50, 75])
    [0.2, 0.6]
    """
    counts = np.zeros(LEVELS, dtype=np.int64)
    for part in parts:
        levels = np.rint(np.asarray(part, dtype=np.float32) * np.float32(LEVELS - 1)).astype(np.intp)
        counts += np.bincount(levels.ravel(), minlength=LEVELS)
    ends = np.cumsum(counts)
    ranks = (ends[-1] - 1) * np.asarray(percentages, dtype=float) / 100
    below, above = (np.searchsorted(ends, rounding(ranks), side="right") for rounding in (np.floor, np.ceil))
    return ((below + (above - below) * (ranks - np.floor(ranks))) / (LEVELS - 1)).tolist()
