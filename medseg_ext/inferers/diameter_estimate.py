"""Estimate how large the objects of an image are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from monai.inferers import Inferer
from torch.nn.functional import avg_pool2d

from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.objects.diameters import object_diameters
from medseg_ext.objects.objects import Objects

# In working diameters:
FIRST_SIDE = 1.6  # longer side of the first look, in which even an object as large as the image is not too large
LARGEST_SIDE = 6.4  # of a look: of hundreds of objects a part of the image shows enough
LEAST_SEEN, SURELY_SEEN = 0.75, 2.0  # objects: from there on no heap of them passes for one, or they are no noise
MOST_OFF = 1.5  # times, between two looks that agree: what networks are trained to bear
MOST_SCALE = 4.0  # of a look: smaller objects than this shows are a few pixels
FEW = 3  # objects: fewer may be all that a coarse look shows of many small ones
LEAST_SCORE = 0.85  # of an object that counts where there are any: specks and heaps have less


class Decoder(Protocol):
    """Makes objects of a network's output, such as `medseg_ext.transforms.DecodeSemanticd`."""

    def decode(self, output: torch.Tensor) -> Objects:
        """Decode the output (C, h, w) of one image."""


class DiameterEstimator:
    """Estimate the diameter of a typical object of an image, by what a network finds in cheap looks at it.

    The first look is so coarse that no object is too large for the network; each further one is twice as fine, until
    objects are large enough to be told from noise and two looks agree. So it comes from the side on which a network
    sees too little and errs upwards, and stops before objects are so large that it takes their parts for objects. One
    or two objects are believed only where no finer look shows more: a field of small ones far away can pass for a
    single one. Of a large image finer looks see a part: where the last look found most objects, or where the contrast
    is highest.

    Args:
        inferer: runs the network on an image.
        decoder: makes objects of the output.
        working_diameter_px: the diameter that suits the network, in pixels that it sees.
    """

    def __init__(self, *, inferer: Inferer, decoder: Decoder, working_diameter_px: float) -> None:
        self.inferer = inferer
        self.decoder = decoder
        self.working_diameter_px = float(working_diameter_px)

    def __call__(self, image: torch.Tensor, network: Callable[..., Any]) -> float | None:
        """Estimate the diameter in an image (1, 3, H, W), in its pixels.

        Returns:
            The median diameter of the objects; None where no two looks agree, as in an image without objects.
        """
        view, foreground = image, None
        scale = min(FIRST_SIDE * self.working_diameter_px / max(image.shape[2:]), MOST_SCALE)
        earlier = agreed = few = None
        while scale <= MOST_SCALE:
            view = self._part(view, foreground, side=math.ceil(LARGEST_SIDE * self.working_diameter_px / scale))
            seen = resize_image(view, scaled_size((view.shape[2], view.shape[3]), scale))
            objects = self.decoder.decode(torch.as_tensor(self.inferer(seen, network))[0])
            foreground = (objects.instances > 0).float()[None]
            diameters = _sure_diameters(objects)
            diameter = float(np.median(diameters)) / scale if len(diameters) else None
            if diameter is not None:
                agrees = earlier is not None and max(diameter / earlier, earlier / diameter) <= MOST_OFF
                least_seen = LEAST_SEEN if agrees else SURELY_SEEN
                if diameter * scale >= least_seen * self.working_diameter_px:
                    if len(diameters) >= FEW:
                        return diameter
                    few = few or diameter
                if agrees:
                    agreed = diameter
            earlier = diameter
            scale *= 2
        return few or agreed

    @staticmethod
    def _part(view: torch.Tensor, foreground: torch.Tensor | None, *, side: int) -> torch.Tensor:
        """Cut the part of a view (1, 3, H, W) out that shows most; `side` is that of the part, at most."""
        size = min(side, view.shape[2]), min(side, view.shape[3])
        if size == tuple(view.shape[2:]):
            return view
        # A quarter of the part is fine enough to choose by.
        cell = max(1, min(size) // 4)
        if foreground is not None and bool(foreground.any()):
            amount = resize_image(foreground, (max(1, view.shape[2] // cell), max(1, view.shape[3] // cell)))
        else:
            grey = view.mean(dim=1, keepdim=True)
            amount = avg_pool2d(grey**2, cell) - avg_pool2d(grey, cell) ** 2
        window = [max(1, min(length // cell, cells)) for length, cells in zip(size, amount.shape[2:], strict=True)]
        sums = avg_pool2d(amount, window, stride=1)
        row, column = divmod(int(sums.argmax()), sums.shape[3])
        top, left = (
            min(index * cell, whole - part)
            for index, whole, part in zip((row, column), view.shape[2:], size, strict=True)
        )
        return view[:, :, top : top + size[0], left : left + size[1]]


def _sure_diameters(objects: Objects) -> np.ndarray:
    """Give the diameters (N,) of the objects of which a network is sure or, where there are none, of all."""
    diameters = object_diameters(np.asarray(objects.instances))
    sure = diameters[np.asarray(objects.scores) >= LEAST_SCORE]
    return sure if len(sure) else diameters
