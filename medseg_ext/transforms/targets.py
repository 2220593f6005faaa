"""Make training targets of semantic networks from label maps."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage


def centre_distances(instances: np.ndarray) -> np.ndarray:
    """Measure how deep in its object each pixel lies: its distance to the outline, relative to the deepest pixel's.

    Another object counts like background, so that two that touch have a valley between. The image's edge does not
    count: an object cut by it is not closed there.

    Args:
        instances: label map (H, W), 0 is background.

    Returns:
        float32 array (H, W) in [0, 1]; 0 is background, 1 the middle of an object.

    Source: Naylor et al., Segmentation of Nuclei in Histopathology Images by Deep Regression of the Distance Map. IEEE
        TMI 2019, whose distances are not normalised.

    >>> centre_distances(np.array([[0, 1, 1, 1, 1, 1, 2]])).round(2)
    array([[0.  , 0.33, 0.67, 1.  , 0.67, 0.33, 1.  ]], dtype=float32)
    """
    distances = np.zeros(instances.shape, dtype=np.float32)
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        # A frame of what is around; beyond the image the object goes on.
        padding = [(int(s.start == 0), int(s.stop == length)) for s, length in zip(box, instances.shape, strict=True)]
        around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)
        inside = np.pad(instances[around] == number, padding, mode="edge")
        depth = ndimage.distance_transform_edt(inside)
        rows, columns = (
            slice(before, length - after) for (before, after), length in zip(padding, inside.shape, strict=True)
        )
        own = (depth * inside)[rows, columns]
        distances[around] = np.maximum(distances[around], own / own.max())
    return distances


class SemanticTargetd(MapTransform):
    """Make the target of a semantic network: the class map and, behind it, the centre distances of objects.

    Run it after every geometric augmentation, on the augmented label map: a crop then closes no object.

    Args:
        keys: the label map, int (1, H, W).
        classes_key: the class map, (1, H, W).
        target_key: where the target is put, float32 (2, H, W): class index; `centre_distances`.
    """

    def __init__(
        self, keys: KeysCollection = "instances", *, classes_key: str = "classes", target_key: str = "label"
    ) -> None:
        super().__init__(keys)
        self.classes_key = classes_key
        self.target_key = target_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with the target added."""
        result = dict(data)
        instances = np.asarray(data[self.first_key(result)])[0].astype(np.int32)
        classes = np.asarray(data[self.classes_key])[0]
        result[self.target_key] = torch.from_numpy(np.stack([classes.astype(np.float32), centre_distances(instances)]))
        return result
