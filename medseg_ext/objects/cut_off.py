"""Tell which objects the border of an image has cut off."""

from __future__ import annotations

import numpy as np

from medseg_ext.images.sides import Sides

WHOLE_BORDER = Sides()


def cut_off(instances: np.ndarray, areas: np.ndarray, *, border: Sides, min_border_area_px: float) -> np.ndarray:
    """Mark the objects that an image's border cuts, and of which less than an area is left.

    Annotators may leave out what is hardly in the image: of the 157 true cells at the border in the training images of
    SegPC-2021 six have a diameter below 0.8 times the typical one of their image, and all but one more than 0.7.

    Args:
        instances: label map, int (h, w), of an image or of a tile.
        areas: by label, from that of 0, in pixels.
        border: the sides of the map that are the border of the image. What touches another is not marked: how large it
            is can't be seen.
        min_border_area_px: the least area of an object at the border; 0 marks none.

    Returns:
        bool, by label.

    >>> labels = np.array([[1, 0, 2], [0, 0, 2], [0, 3, 0], [0, 0, 0]])
    >>> cut_off(labels, np.bincount(labels.ravel()), border=Sides(), min_border_area_px=2)
    array([False,  True, False, False])
    """
    is_small = areas < min_border_area_px
    is_small[0] = False
    return is_small & border.touched_by(instances) & ~border.others().touched_by(instances)
