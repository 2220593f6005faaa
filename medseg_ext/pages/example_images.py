"""Choose images by their scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

QUARTILES = (0.25, 0.5, 0.75)


def lowest(values: NDArray[np.floating], *, count: int = 3) -> list[int]:
    """Rank the lowest values, the lowest first; of equal ones the earlier comes first, undefined ones never.

    Args:
        values: one value an image, shape (N,); NaN where undefined.
        count: how many; fewer where fewer are defined.

    Returns:
        Positions.

    >>> lowest(np.array([0.5, np.nan, 0.1, 0.5, 0.9]))
    [2, 0, 3]
    """
    ranked = np.argsort(values, kind="stable")  # NaN comes last
    return ranked[: min(count, np.count_nonzero(~np.isnan(values)))].tolist()


def nearest_to_quartiles(values: NDArray[np.floating], *, kinds: Sequence[str] | None = None) -> list[int]:
    """Find the images nearest to 75 %, 50 % and 25 % of the values, given from low to high; each is chosen once.

    Args:
        values: one value an image, shape (N,); NaN where undefined, those are not chosen.
        kinds: kind of each image: none is chosen twice while there are others. The highest quartile is served first.

    Returns:
        At most three positions.

    >>> nearest_to_quartiles(np.array([0.0, 1.0, 2.0, 3.0, 4.0, np.nan]))
    [1, 2, 3]
    >>> nearest_to_quartiles(np.array([0.0, 1.0, 2.0, 3.0, 4.0]), kinds=["a", "a", "b", "b", "b"])
    [0, 1, 3]
    """
    chosen: list[int] = []
    for quartile in np.nanquantile(values, QUARTILES)[::-1]:
        left = [position for position in np.flatnonzero(~np.isnan(values)).tolist() if position not in chosen]
        if kinds is not None:
            shown = {kinds[position] for position in chosen}
            left = [position for position in left if kinds[position] not in shown] or left
        if left:
            chosen.append(min(left, key=lambda position: abs(values[position] - quartile)))
    return chosen[::-1]
