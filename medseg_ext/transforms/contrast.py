"""Stretch the contrast of an image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, ScaleIntensityRange

from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.contrast import find_contrast, find_contrast_apart


class StretchContrastd(MapTransform):
    """Stretch an image between two percentiles of its values, but not its noise: see `find_contrast`.

    MONAI's `ScaleIntensityRangePercentilesd` makes full contrast of the noise of an image that shows nothing.

    Args:
        keys: images, floats (C, H, W), which become floats in [0, 1]; what lies beyond the percentiles is clipped.
        lower: the percentage of values that becomes black, in [0, 100].
        upper: the percentage above which values become white, likewise.
        channel: as which the images were read, see `medseg_ext.images.read_rgb`: each channel of a list is stretched by
            itself.
    """

    def __init__(
        self, keys: KeysCollection = "image", *, lower: float = 0.1, upper: float = 99.9, channel: Choice = None
    ) -> None:
        super().__init__(keys)
        self.percentages = (lower, upper)
        self.apart = is_list(channel)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with the images stretched."""
        result = dict(data)
        for key in self.key_iterator(result):
            image = result[key]
            pixels = np.moveaxis(torch.as_tensor(image).cpu().numpy().astype(np.float32, copy=False), 0, -1)
            size = (pixels.shape[0], pixels.shape[1])
            whole = Box(0, 0, *size)

            def read(box: Box, pixels: np.ndarray = pixels, whole: Box = whole) -> np.ndarray:
                return pixels[box.inside(whole)]

            if self.apart:
                found = find_contrast_apart(read, size, self.percentages)
                black, white = (
                    torch.tensor(each, dtype=image.dtype)[:, None, None] for each in (found.black, found.white)
                )
                result[key] = ((image - black) / (white - black)).clamp(0, 1)
                continue
            contrast = find_contrast(read, size, self.percentages)
            stretch = ScaleIntensityRange(contrast.black, contrast.white, b_min=0.0, b_max=1.0, clip=True)
            result[key] = cast(torch.Tensor, stretch(image))
        return result
