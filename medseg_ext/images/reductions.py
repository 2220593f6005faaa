"""Tell by which factor the levels of a pyramid are reduced."""

from __future__ import annotations

import math


def whole_reduction(size: tuple[int, int], level: tuple[int, int]) -> int | None:
    """Give the whole factor by which a level (H, W) of a pyramid is smaller; None where there is none above 1.

    Scanners leave out the rows and columns that fill no pixel of the level, or fill one with them.

    >>> whole_reduction((1501, 2002), (375, 500)), whole_reduction((1500, 2000), (600, 800))
    (4, None)
    """
    if not all(size) or not all(level):
        return None
    factor = round(math.sqrt(math.prod(size) / math.prod(level)))
    if factor < 2 or any(abs(length / factor - part) >= 1 for length, part in zip(size, level, strict=True)):
        return None
    return factor
