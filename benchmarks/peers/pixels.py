"""Images in memory, as networks take them."""

from __future__ import annotations

import numpy as np
from PIL import Image

from benchmarks.pictures import images


def unit_images(megapixels: float, *, multiple_of: int = 1) -> tuple[list[np.ndarray], float]:
    """Read the images that ours segments.

    Args:
        megapixels: about how many.
        multiple_of: what sides are padded to.

    Returns:
        float32 (H, W, 3) in [0, 1] each; megapixels of all, without padding.
    """
    paths, total = images("dsb2018", megapixels=megapixels)
    pixels = (np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in paths)
    return [_padded(image, multiple_of) for image in pixels], total


def _padded(image: np.ndarray, multiple_of: int) -> np.ndarray:
    height, width = (-side % multiple_of for side in image.shape[:2])
    return np.pad(image, ((0, height), (0, width), (0, 0)), mode="reflect")
