"""Make label maps of a known number of objects. NumPy only: peers make the same."""

from __future__ import annotations

import numpy as np

SIDE_PX, OBJECTS = 512, 256  # crowded
SCORED_SIDE_PX, SCORED_OBJECTS, SCORED_SHIFT_PX = 2048, 10_000, 3


def crowd(side_px: int = SIDE_PX, objects: int = OBJECTS, *, shift_px: int = 0) -> np.ndarray:
    """Draw disks that touch.

    Args:
        side_px: height and width of the map.
        objects: how many, a square number.
        shift_px: by how much all of them lie further right, as objects that were not found quite in their place.

    Returns:
        Label map, int32 (side_px, side_px), 1 to `objects`, row by row.
    """
    a_side = round(objects**0.5)
    spacing = side_px / a_side
    rows, columns = np.indices((side_px, side_px), dtype=np.float32)
    row, column = (np.minimum(places // spacing, a_side - 1) for places in (rows, columns - shift_px))
    from_middle = np.hypot(rows - (row + 0.5) * spacing, columns - shift_px - (column + 0.5) * spacing)
    is_inside = (from_middle < spacing / 2) & (columns >= shift_px)
    return np.where(is_inside, row * a_side + column + 1, 0).astype(np.int32)
