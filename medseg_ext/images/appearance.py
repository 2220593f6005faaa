"""Measure how an image looks: its colours, brightness, contrast and detail."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter

from medseg_ext.images.composite import as_rgb

MOST_PX = 512  # side of the middle of an image that is looked at, in which detail is measured pixel by pixel
STEP_PX = 256  # at least so many pixels a side stand for the colours of all
DETAIL_PX = (1.0, 2.0, 4.0, 8.0)  # standard deviations of the blurs between which detail is measured
LEAST = 1e-3  # of a level: below it there is no detail
# What each measure says of an image, in words for people.
ASPECTS = {
    "red_green": "colours", "green_blue": "colours", "saturation": "colours", "saturation_spread": "colours",
    "dark": "brightness", "median": "brightness", "bright": "brightness", "contrast": "contrast",
    "noise": "noise and detail", "detail_1": "noise and detail", "detail_2": "noise and detail",
    "detail_4": "noise and detail",
}  # fmt: skip


def appearance(image: np.ndarray) -> dict[str, float]:
    """Measure how an image looks.

    Args:
        image: float (H, W, C) in [0, 1]; other than RGB is measured in the colours of `as_rgb`.

    Returns:
        The measures of `ASPECTS`: means of red minus green and green minus blue, mean and spread of the saturation;
        the percentiles 5, 50 and 95 of grey and its spread, as square roots, as dark images differ by factors; and
        the logarithm of the part that detail of each size has in the contrast.
    """
    image_rgb = as_rgb(image)
    steps = [max(1, side // STEP_PX) for side in image_rgb.shape[:2]]
    pixels = image_rgb[:: steps[0], :: steps[1]].reshape(-1, 3).astype(np.float32)
    red, green, blue = pixels.T
    largest = pixels.max(axis=1)
    saturation = (largest - pixels.min(axis=1)) / np.maximum(largest, 0.05)  # of black, colour is noise
    grey = pixels.mean(axis=1)
    contrast = float(grey.std())
    dark, median, bright = np.sqrt(np.percentile(grey, (5, 50, 95)))
    values = [
        float((red - green).mean()), float((green - blue).mean()), float(saturation.mean()), float(saturation.std()),
        float(dark), float(median), float(bright), math.sqrt(contrast),
    ]  # fmt: skip
    blurred = [_middle(image_rgb)]
    blurred += [gaussian_filter(blurred[0], sigma) for sigma in DETAIL_PX]
    whole = max(float(blurred[0].std()), LEAST)
    for finer, coarser in pairwise(blurred):
        values.append(math.log(max(float((finer - coarser).std()), LEAST * whole) / whole))
    return dict(zip(ASPECTS, values, strict=True))


def _middle(image_rgb: np.ndarray) -> np.ndarray:
    tops = [max(0, (side - MOST_PX) // 2) for side in image_rgb.shape[:2]]
    return image_rgb[tops[0] : tops[0] + MOST_PX, tops[1] : tops[1] + MOST_PX].mean(axis=2, dtype=np.float32)
