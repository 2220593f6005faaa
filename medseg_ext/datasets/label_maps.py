"""Lay the masks of single objects into one label map with its class map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ObjectMask(NamedTuple):
    """One object, in a box of its image.

    Attributes:
        class_map: uint8, shape (h, w): index of the class, 0 outside the object.
        name: what to call the object in messages and in dataset.json.
        top: row of the box in the image, px.
        left: column of the box in the image, px.
        label: the class that its file gives it; empty if none.
    """

    class_map: NDArray[np.uint8]
    name: str = ""
    top: int = 0
    left: int = 0
    label: str = ""

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the mask covers."""
        height, width = self.class_map.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


class LabelMaps(NamedTuple):
    """What an image's masks say together.

    Attributes:
        instances: uint16, shape (H, W): 0 background, 1..N objects in the order of their masks.
        classes: uint8, shape (H, W): index of the class.
        overlap_px: how many pixels were claimed by a further object.
        hidden: positions of the masks of which no pixel is left, empty ones among them.
    """

    instances: NDArray[np.uint16]
    classes: NDArray[np.uint8]
    overlap_px: int
    hidden: list[int]


def merge_objects(masks: Iterable[ObjectMask], height: int, width: int) -> LabelMaps:
    """Give every pixel to one object: the higher class wins (nucleus over cytoplasm), then the earlier object.

    Args:
        masks: one an object.
        height: rows, px.
        width: columns, px.
    Raises: OverflowError: more objects than 16 bits can number.

    >>> first, second = np.array([[1, 1, 0]], np.uint8), np.array([[0, 2, 1]], np.uint8)
    >>> maps = merge_objects([ObjectMask(first), ObjectMask(second)], 1, 3)
    >>> maps.instances.tolist(), maps.classes.tolist(), maps.overlap_px
    ([[1, 2, 2]], [[1, 2, 1]], 1)
    """
    order = np.zeros((height, width), dtype=np.int32)
    classes = np.zeros((height, width), dtype=np.uint8)
    overlap_px, count = 0, 0
    for count, mask in enumerate(masks, start=1):
        box = _bounding_box(mask.class_map)
        inside, classes_inside, order_inside = mask.class_map[box], classes[mask.box][box], order[mask.box][box]
        overlap_px += int(np.count_nonzero((inside > 0) & (classes_inside > 0)))
        wins = inside > classes_inside
        order_inside[wins] = count
        classes_inside[wins] = inside[wins]
    visible = np.unique(order[order > 0])
    if visible.size > np.iinfo(np.uint16).max:
        raise OverflowError(f"{visible.size} objects, more than the 65535 that a 16-bit label map can number")
    label_of = np.zeros(count + 1, dtype=np.uint16)
    label_of[visible] = np.arange(1, visible.size + 1)
    hidden = sorted(set(range(count)) - {int(number) - 1 for number in visible})
    return LabelMaps(label_of[order], classes, overlap_px, hidden)


def _bounding_box(class_map: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Find rows and columns that hold the object; large images of many small objects are much faster with it."""
    rows = np.flatnonzero(class_map.any(axis=1))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    columns = np.flatnonzero(class_map[rows[0] : rows[-1] + 1].any(axis=0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
