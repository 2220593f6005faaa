"""Make training targets of semantic networks from label maps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage


def object_boundaries(instances: np.ndarray, *, width_px: int = 1) -> np.ndarray:
    """Mark the pixels of objects that lie within `width_px` of another label.

    Another object counts like background, so that between two touching objects stands a line of twice `width_px`.
    The image's edge does not count: an object cut by it is not closed there.

    Args:
        instances: label map (H, W), 0 is background.
        width_px: thickness inside each object, in pixels, at least 1.

    Returns:
        bool array (H, W).

    >>> object_boundaries(np.array([[0, 1, 1, 1, 2, 2]])).astype(int)
    array([[0, 1, 0, 1, 1, 0]])
    """
    if width_px < 1:
        raise ValueError(f"width_px must be at least 1, got {width_px}")
    size = 2 * width_px + 1
    # A pixel whose neighbourhood holds a single label has equal minimum and maximum there.
    highest = ndimage.maximum_filter(instances, size=size, mode="nearest")
    lowest = ndimage.minimum_filter(instances, size=size, mode="nearest")
    return (instances > 0) & (highest != lowest)


class SemanticTargetd(MapTransform):
    """Make the target of a semantic network: the class map and, behind it, the boundaries of objects.

    Run it after every geometric augmentation, on the augmented label map: a crop then brings no false boundaries.

    Args:
        keys: the label map, int (1, H, W).
        classes_key: the class map, (1, H, W).
        target_key: where the target is put, float32 (2, H, W): class index; boundary 0 or 1.
        boundary_width_px: see `object_boundaries`.
    """

    def __init__(
        self,
        keys: KeysCollection = "instances",
        *,
        classes_key: str = "classes",
        target_key: str = "label",
        boundary_width_px: int = 1,
    ) -> None:
        super().__init__(keys)
        self.classes_key = classes_key
        self.target_key = target_key
        self.boundary_width_px = boundary_width_px

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with the target added."""
        result = dict(data)
        instances = np.asarray(data[self.first_key(result)])[0].astype(np.int32)
        boundary = object_boundaries(instances, width_px=self.boundary_width_px)
        classes = np.asarray(data[self.classes_key])[0]
        result[self.target_key] = torch.from_numpy(np.stack([classes, boundary]).astype(np.float32))
        return result
