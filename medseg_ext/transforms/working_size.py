"""Bring images to the size at which a network works."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Resized


class ResizeToWorkingSized(MapTransform):
    """Resize images so that their longer side has `working_size` pixels; keep the ratio of the sides.

    Args:
        keys: images or maps (C, H, W).
        working_size: length of the longer side in pixels; None keeps every image as it is.
        mode: interpolation of each key as in `monai.transforms.Resized`; "nearest" for label and class maps.
    """

    def __init__(
        self, keys: KeysCollection, *, working_size: int | None = None, mode: str | Sequence[str] = "bilinear"
    ) -> None:
        super().__init__(keys)
        if working_size is not None and working_size < 1:
            raise ValueError(f"working_size must be at least 1 pixel or None, got {working_size}")
        self.working_size = working_size
        self.modes = [mode] * len(self.keys) if isinstance(mode, str) else list(mode)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with its images resized; images that have the size already are not touched."""
        result = dict(data)
        sides = result[self.first_key(result)].shape[1:]
        if self.working_size is None or max(sides) == self.working_size:
            return result
        resize = Resized(
            self.keys,
            # at least 1: MONAI's size_mode="longest" shrinks a very narrow image to nothing
            spatial_size=[max(1, round(side * self.working_size / max(sides))) for side in sides],
            mode=self.modes,
            anti_aliasing=[each != "nearest" for each in self.modes],
        )
        return resize(result)
