"""Reduce overlays so that thin outlines can still be seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GAIN = 2.5  # an outline that covers this part's inverse of a reduced pixel fills it


def reduce_overlay(overlay: NDArray[np.uint8], image: NDArray[np.uint8], *, side_px: int) -> NDArray[np.uint8]:
    """Reduce an image with outlines drawn in; plain reduction would let them fade.

    Args:
        overlay: uint8 RGB (H, W, 3): the image, but where outlines are.
        image: uint8 RGB (H, W, 3), as bright as in the overlay.
        side_px: length of the longer side at most; a smaller picture is not enlarged.

    Returns:
        uint8 RGB.
    """
    if max(image.shape[:2]) <= side_px:
        return overlay
    outline = (overlay != image).any(axis=2)
    small = _reduced(image, side_px)
    share = _reduced(outline.astype(np.uint8) * 255, side_px)[..., None] / 255
    colour = _reduced(np.where(outline[..., None], overlay, np.uint8(0)), side_px) / np.maximum(share, 1 / 255)
    opacity = np.minimum(1, GAIN * share)
    return (small * (1 - opacity) + np.minimum(colour, 255) * opacity).round().astype(np.uint8)


def _reduced(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    reduced = Image.fromarray(picture)
    reduced.thumbnail((side_px, side_px), Image.Resampling.BOX)
    return np.asarray(reduced)
