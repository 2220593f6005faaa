"""Set images upright, whole or in boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from medseg_ext.images.boxes import Box

TAG_ORIENTATION = 274  # of TIFF and of EXIF
_TURNED = (5, 6, 7, 8)  # rows of the file are columns
_ROWS_FROM_BELOW, _COLUMNS_FROM_THE_RIGHT = (3, 4, 6, 7), (2, 3, 7, 8)
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: lambda array: np.swapaxes(array, 0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: np.swapaxes(np.rot90(array, 2), 0, 1),
    8: np.rot90,
}


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W) or (H, W, C) as its orientation of TIFF or EXIF says; 1 and unknown ones leave it."""
    return _UPRIGHT.get(orientation, np.asarray)(array)


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Give the size (H, W) of an image that is set upright.

    >>> upright_size((2, 3), 6)
    (3, 2)
    """
    return (size[1], size[0]) if orientation in _TURNED else size


def box_in_file(box: Box, orientation: int, size: tuple[int, int]) -> Box:
    """Find the place in the file of a box of the upright image.

    Args:
        box: of the upright image.
        orientation: of the file.
        size: (H, W) in the file.

    >>> box_in_file(Box(0, 0, 1, 2), 6, (4, 5))
    Box(top=2, left=0, bottom=4, right=1)
    """
    rows, columns = (box.top, box.bottom), (box.left, box.right)
    if orientation in _TURNED:
        rows, columns = columns, rows
    if orientation in _ROWS_FROM_BELOW:
        rows = size[0] - rows[1], size[0] - rows[0]
    if orientation in _COLUMNS_FROM_THE_RIGHT:
        columns = size[1] - columns[1], size[1] - columns[0]
    return Box(rows[0], columns[0], rows[1], columns[1])
