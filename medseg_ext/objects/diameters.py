"""How large objects are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

AUTO = "auto"  # as diameter of the objects: it is to be found out
DIAMETER = "object_diameter_px"  # in an image's metadata: diameter of a typical object of it, NaN where there is none
SCALE = "scale"  # likewise: at which the network saw the image


def object_diameters(instances: np.ndarray) -> np.ndarray:
    """Measure the diameter of each object: that of a circle of its area.

    Args:
        instances: label map, integers of any shape; 0 is background.

    Returns:
        float (N,), in pixels, in the order of the labels.

    >>> object_diameters(np.array([[1, 1, 0, 4]])).round(2)
    array([1.6 , 1.13])
    """
    areas = np.bincount(instances.ravel())[1:]
    return 2 * np.sqrt(areas[areas > 0] / np.pi)


def typical_diameter(instances: np.ndarray) -> float | None:
    """Give the median diameter of the objects of a label map, in pixels; None where it has none."""
    diameters = object_diameters(instances)
    return float(np.median(diameters)) if len(diameters) else None


def noted_sizes(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Take `object_diameter_px` and `scale` out of an image's metadata, as far as they are there."""
    return {key: float(np.asarray(metadata[key]).ravel()[0]) for key in (DIAMETER, SCALE) if key in metadata}
