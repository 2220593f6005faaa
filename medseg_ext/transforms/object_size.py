"""Show a network objects at the size that suits it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from medseg_ext.errors import DataError
from medseg_ext.images.resize import resize_image, resize_labels, scaled_size
from medseg_ext.objects.diameters import AUTO, DIAMETER, typical_diameter


class ObjectDiameterd(MapTransform):
    """Measure how large the objects of an image typically are: their median diameter goes to the image's metadata.

    Args:
        keys: the label map, integers (1, H, W).
        image_key: the image, a `MetaTensor`, whose metadata take the diameter under `object_diameter_px`, a float in
            pixels; NaN where the image has no objects.
        object_diameter_px: "auto" measures; a number is taken for the diameter of every image.
    """

    def __init__(
        self,
        keys: KeysCollection = "instances",
        *,
        image_key: str = "image",
        object_diameter_px: float | str = AUTO,
    ) -> None:
        super().__init__(keys)
        if object_diameter_px != AUTO and not (isinstance(object_diameter_px, (int, float)) and object_diameter_px > 0):
            raise DataError(f'object_diameter_px must be a length above 0 or "auto", got {object_diameter_px!r}')
        self.image_key = image_key
        self.object_diameter_px = object_diameter_px

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the diameter noted."""
        result = dict(data)
        diameter: float | str | None = self.object_diameter_px
        if diameter == AUTO:
            diameter = typical_diameter(np.asarray(result[self.first_key(result)]).astype(np.int64))
        result[self.image_key].meta[DIAMETER] = math.nan if diameter is None else float(diameter)
        return result


class RandCropAtObjectSized(RandomizableTransform, MapTransform):
    """Cut a crop out of an image at a random place, zoomed so that its objects have about the wanted diameter.

    Images shrink by area and label maps by majority, so that labels stay under their image. An image that is smaller
    than the crop is given whole.

    Args:
        keys: the image, a float `MetaTensor` (C, H, W) of which `ObjectDiameterd` noted how large its objects are (one
            without objects is taken for one of objects of the wanted size), and maps, integers (1, H, W).
        diameter_px: the wanted diameter of a typical object, in pixels of the crop.
        crop_size: height and width of the crop, in pixels.
        spread: the diameter is drawn log-uniformly from the wanted one divided by this to that times this.
        far_share: share of the crops whose diameter is drawn from `far_spread`.
        far_spread: likewise, such as 4.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        diameter_px: float,
        crop_size: Sequence[int],
        spread: float = 1.8,
        far_share: float = 0.0,
        far_spread: float = 4.0,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        if not diameter_px > 0:
            raise ValueError(f"diameter_px must be above 0, got {diameter_px}")
        if min(spread, far_spread) < 1:
            raise ValueError(f"spread and far_spread must be at least 1, got {spread} and {far_spread}")
        self.diameter_px = diameter_px
        self.crop_size = tuple(crop_size)
        self.spread = spread
        self.far_share = far_share
        self.far_spread = far_spread

    def randomize(self, data: object = None) -> None:
        """Draw the next crop's zoom, relative to the wanted diameter, and its place."""
        super().randomize(None)
        spread = self.far_spread if self.R.uniform() < self.far_share else self.spread
        self._zoom = spread ** self.R.uniform(-1, 1)
        self._place = self.R.uniform(size=2)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with crops, alike in all keys."""
        result = dict(data)
        self.randomize()
        diameter = float(result[self.first_key(result)].meta[DIAMETER])
        scale = self._zoom * (1.0 if math.isnan(diameter) else self.diameter_px / diameter)
        sides = result[self.first_key(result)].shape[1:]
        taken = [min(side, max(1, math.ceil(crop / scale))) for side, crop in zip(sides, self.crop_size, strict=True)]
        starts = [int(place * (side - take + 1)) for place, side, take in zip(self._place, sides, taken, strict=True)]
        rows, columns = (slice(start, start + take) for start, take in zip(starts, taken, strict=True))
        size = scaled_size((taken[0], taken[1]), scale)
        size = min(size[0], self.crop_size[0]), min(size[1], self.crop_size[1])
        for key in self.key_iterator(result):
            whole = result[key]
            crop = (whole.as_tensor() if isinstance(whole, MetaTensor) else torch.as_tensor(whole))[:, rows, columns]
            result[key] = resize_image(crop, size) if crop.is_floating_point() else resize_labels(crop, size)
        return result
