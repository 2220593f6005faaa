"""Tell whether a data set's truth has objects of which the border of the image leaves little."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg_ext.errors import DataError
from medseg_ext.images.read import read_labels
from medseg_ext.images.sides import Sides

# Of a typical object's area, below which an object at the border is small: 0.8 of its diameter. Decoders that leave cut
# objects out drop what is smaller.
SMALL_PART = 0.64
FEW = 8  # objects at borders; fewer that are all large may be so by chance
# Of the objects at borders that are small, where annotators left cut ones out: .05 in SegPC-2021's training images.
# Where they did not, borders cut objects anywhere: a third to a half in each kind of microscopy of DSB2018 and in data
# of three other sources.
LARGEST_SHARE = 0.15
ENOUGH = 400  # objects at borders: more tell no more


def keeps_cut_objects(folder: Path, items: Iterable[Any]) -> bool | None:
    """Say whether label maps have objects that the border cuts to a small part, as chance would have it.

    An object at the border is compared with the median of those inside its image, else with that of all images.

    Args:
        folder: the data set folder.
        items: of its `dataset.json`; those without a label map that can be read are passed over.

    Returns:
        None where too few objects lie at borders to tell, or none lie inside.
    """
    inside: list[float] = []
    parts: list[float] = []  # of a typical object of the image that objects at its border are
    alone: list[float] = []  # areas of objects at the borders of images that have none inside
    for item in items:
        areas, at_border = _areas(folder, item)
        within = areas[~at_border]
        inside.extend(within)
        if len(within):
            parts.extend(areas[at_border] / np.median(within))
        else:
            alone.extend(areas[at_border])
        if len(parts) + len(alone) >= ENOUGH:
            break
    if not inside:
        return None
    parts.extend(np.array(alone) / np.median(inside))
    n_small = sum(bool(part < SMALL_PART) for part in parts)
    if len(parts) < FEW:
        return True if n_small > 1 else None
    return n_small > LARGEST_SHARE * len(parts)


def _areas(folder: Path, item: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give the areas of the objects of an image, in pixels, and whether each lies at its border."""
    try:
        labels = read_labels(folder / str(item["instances"]))
    except (DataError, OSError, KeyError, TypeError, ValueError):  # whatever uses the image says so
        labels = np.zeros((1, 1), np.uint8)
    ids, numbers = np.unique(labels, return_inverse=True)
    numbers = numbers.reshape(labels.shape)
    is_object = ids > 0
    return np.bincount(numbers.ravel())[is_object], Sides().touched_by(numbers)[is_object]
