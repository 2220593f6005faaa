"""Tell whether a data set's truth has objects of which the border of the image leaves little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.images.read import read_labels
from medseg_ext.images.sides import Sides

# Of a typical object's area, below which an object at the border is small: 0.8 of its diameter. Decoders that leave cut
# objects out drop what is smaller.
SMALL_PART = 0.64
FEW = 8  # objects at borders; fewer that are all large may be so by chance
# Of the objects at borders that are small, where annotators left cut ones out: .055 in SegPC-2021. Where they did not,
# borders cut objects anywhere: .34 to .50 in each kind of microscopy of DSB2018 and in data of three other sources.
LARGEST_SHARE = 0.15
ENOUGH = 400  # objects at borders: more tell no more


def keeps_cut_objects(folder: Path, items: Iterable[Mapping[str, Any]]) -> bool | None:
    """Say whether label maps have objects that the border cuts to a small part, as chance would have it.

    Args:
        folder: the data set folder.
        items: of its `dataset.json`; those without a label map that can be read are passed over.

    Returns:
        None where too few objects lie at borders to tell.
    """
    n_at_border = n_small = 0
    for item in items:
        try:
            labels = read_labels(folder / str(item["instances"]))
        except (DataError, OSError, KeyError):  # whatever uses the image says so
            continue
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        if not areas.any():
            continue
        at_border = areas[Sides().touched_by(labels) & (areas > 0)]
        n_at_border += len(at_border)
        n_small += int((at_border < SMALL_PART * np.median(areas[areas > 0])).sum())
        if n_at_border >= ENOUGH:
            break
    if n_at_border < FEW:
        return True if n_small else None
    return n_small > LARGEST_SHARE * n_at_border
