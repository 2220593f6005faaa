"""Estimate how large the objects of an image are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from monai.inferers import Inferer

from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.objects.diameters import typical_diameter
from medseg_ext.objects.objects import Objects


class Decoder(Protocol):
    """Makes objects of a network's output, such as `medseg_ext.transforms.DecodeSemanticd`."""

    def decode(self, output: torch.Tensor) -> Objects:
        """Decode the output (C, h, w) of one image."""


class DiameterEstimator:
    """Estimate the diameter of a typical object of an image, by what a network finds at coarse scales.

    Args:
        inferer: runs the network on an image.
        decoder: makes objects of the output.
        working_diameter_px: the diameter that suits the network, in pixels that it sees.
    """

    def __init__(self, *, inferer: Inferer, decoder: Decoder, working_diameter_px: float) -> None:
        self.inferer = inferer
        self.decoder = decoder
        self.working_diameter_px = working_diameter_px

    def __call__(self, image: torch.Tensor, network: Callable[..., Any]) -> float | None:
        """Estimate the diameter in an image (1, 3, H, W), in its pixels; None where no object is found."""
        scale = 0.5
        diameter = None
        for _ in range(3):
            seen = resize_image(image, scaled_size((image.shape[2], image.shape[3]), scale))
            objects = self.decoder.decode(torch.as_tensor(self.inferer(seen, network))[0])
            found = typical_diameter(np.asarray(objects.instances))
            if found is None:
                break
            diameter = found / scale
            if 1 / 1.5 < found / self.working_diameter_px * 2 < 1.5:
                break
            scale = self.working_diameter_px / diameter / 2
        return diameter
