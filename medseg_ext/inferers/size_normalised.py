"""Show a network every image at the scale at which objects have the size that suits it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer

from medseg_ext.errors import DataError
from medseg_ext.images.pixel_size import UNKNOWN_SIZE, given_pixel_size_um, read_pixel_size_um
from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.images.sizes import LARGEST_SEEN_PX
from medseg_ext.inferers.diameter_estimate import DiameterEstimator
from medseg_ext.objects.diameters import AUTO, DIAMETER, SCALE

LEAST_SCALE, LARGEST_SCALE = 1 / 32, 8
GRID_PX = 32  # networks halve an image up to five times


class SizeNormalisedInferer(Inferer):
    """Scale each image so that a typical object has the diameter that suits the network, and run the network on it.

    How large an object is in the image is, in this order: what the image's metadata have under `object_diameter_px`;
    `object_diameter_px`, or `object_diameter_um` with the size of a pixel; what `estimator` finds. An image in which
    it finds no object is taken as it is.

    The output has the size at which the network saw the image; decoders bring it to that of the image. The metadata of
    the image, where it has some, then hold `object_diameter_px` (NaN where no object was found) and `scale`.

    Args:
        inferer: runs the network on the scaled image.
        working_diameter_px: the diameter that suits the network, in pixels that it sees.
        estimator: estimates the diameter of the objects of an image.
        object_diameter_px: diameter of a typical object of all images in pixels, or "auto".
        object_diameter_um: likewise in micrometres.
        pixel_size_um: length of a pixel, in micrometres, or (height, width); None takes what the image's file tells.

    Raises:
        DataError: an option is not a size; two diameters are given; later, an image whose file does not tell how large
            its pixels are, or that would be scaled to more than `LARGEST_SEEN_PX`.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        working_diameter_px: float,
        estimator: DiameterEstimator,
        object_diameter_px: float | str = AUTO,
        object_diameter_um: float | None = None,
        pixel_size_um: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _refuse_no_length("working_diameter_px", working_diameter_px)
        if object_diameter_px != AUTO:
            _refuse_no_length("object_diameter_px", object_diameter_px, or_else=' or "auto"')
        if object_diameter_um is not None:
            _refuse_no_length("object_diameter_um", object_diameter_um)
            if object_diameter_px != AUTO:
                raise DataError("object_diameter_px and object_diameter_um are both given: give one of them")
        self.inferer = inferer
        self.working_diameter_px = float(working_diameter_px)
        self.estimator = estimator
        self.object_diameter_px = object_diameter_px
        self.object_diameter_um = object_diameter_um
        self.pixel_size_um = given_pixel_size_um(pixel_size_um)

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output for one image (1, 3, H, W), of the size at which the network saw it.

        Raises:
            ValueError: more than one image, which may differ in scale.
        """
        if inputs.shape[0] != 1:
            raise ValueError(f"images are scaled one by one: set the dataloader's batch_size to 1, not {len(inputs)}")
        meta = inputs.meta if isinstance(inputs, MetaTensor) else {}
        image = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        diameter = self.diameter_of(image, network, meta)
        scale = self.scale_for(diameter)
        meta[DIAMETER] = torch.tensor([math.nan if diameter is None else diameter])
        meta[SCALE] = torch.tensor([scale])
        size = scaled_size((image.shape[2], image.shape[3]), scale)
        if math.prod(size) > LARGEST_SEEN_PX:
            raise DataError(
                f"as its objects seem to be {diameter or math.nan:.3g} pixels across it would be scaled to "
                f"{math.prod(size) / 1e6:.0f} megapixels: give the right --object_diameter_px, or to segment it tile "
                f"by tile --large_image_px {image.shape[2] * image.shape[3] - 1}"
            )
        seen = resize_image(image, size)
        return self.inferer(seen, network, *args, **kwargs)

    def diameter_of(
        self, image: torch.Tensor, network: Callable[..., Any], meta: dict[str, Any] | None = None
    ) -> float | None:
        """Say how large a typical object of an image (1, 3, H, W) is, in its pixels; None where there is no object."""
        known = self.known_diameter(meta or {})
        if known is not None:
            return known
        estimate = self.estimator(image, network)
        return None if estimate is None else estimate.diameter_px

    def known_diameter(self, meta: dict[str, Any]) -> float | None:
        """Give the diameter in pixels that is known without looking at the image; None where it is not."""
        if DIAMETER in meta:
            told = float(torch.as_tensor(meta[DIAMETER]).flatten()[0])
            return None if math.isnan(told) else told
        if self.object_diameter_um is not None:
            file, page = (_first(meta.get(key)) for key in ("filename_or_obj", "page"))
            size = self.pixel_size_um
            if size is None and file is not None:
                size = read_pixel_size_um(file, page=int(page or 0))
            if size is None:
                raise DataError(UNKNOWN_SIZE)
            return self.object_diameter_um / math.sqrt(size[0] * size[1])
        return None if self.object_diameter_px == AUTO else float(self.object_diameter_px)

    def scale_for(self, diameter_px: float | None) -> float:
        """Give the scale at which the network sees an image whose typical object has this diameter.

        `GRID_PX` pixels that the network sees are a whole number of the image's, so that tiles of it lie on its
        pixels.
        """
        if diameter_px is None:
            return 1.0
        scale = min(max(self.working_diameter_px / diameter_px, LEAST_SCALE), LARGEST_SCALE)
        return GRID_PX / round(GRID_PX / scale)


def _first(value: Any) -> Any:
    """Take the value of the first image of a batch."""
    return value[0] if isinstance(value, (list, tuple)) or (torch.is_tensor(value) and value.ndim) else value


def _refuse_no_length(name: str, value: Any, *, or_else: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise DataError(f"{name} must be a length above 0{or_else}, got {value!r}")
