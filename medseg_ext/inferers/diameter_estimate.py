"""Estimate how large the objects of an image are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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
SHOWN = 0.5  # objects: from there on they may be what heaps are made of
MOST_OFF = 1.5  # times, between two looks that agree: what networks are trained to bear
MOST_SCALE = 4.0  # of a look: smaller objects than this shows are a few pixels
FEW = 3  # objects: fewer may be all that a coarse look shows of many small ones
LEAST_SCORE = 0.85  # of an object that counts where there are any: specks and heaps have less
SURE_PART = 0.6  # of the objects that a look shows; with less of them sure, heaps may pass for objects
ENOUGH = 50  # objects of a place: more of them tell no more of the image
HEAP_COUNT, HEAP_SIZE = 2, 3  # objects that a heap is made of, and how many times it is wider than one, at least


class Decoder(Protocol):
    """Makes objects of a network's output, such as `medseg_ext.transforms.DecodeSemanticd`."""

    def decode(self, output: torch.Tensor) -> Objects:
        """Decode the output (C, h, w) of one image."""


class Estimate(NamedTuple):
    """How large the objects of an image are.

    Attributes:
        diameter_px: median diameter of the objects, in pixels of the image.
        n_objects: about how many there are, if all of the image is as what was looked at.
    """

    diameter_px: float
    n_objects: float


def median_diameter(estimates: Sequence[Estimate]) -> float | None:
    """Give the middle one of the diameters that several places show; None without one.

    A place that shows `ENOUGH` nuclei says more of a slide than one with a fold or a speck of dust, and as much as any
    other that does.

    >>> median_diameter([Estimate(400.0, 2.0), Estimate(390.0, 3.0), Estimate(20.0, 150.0)])
    20.0
    """
    ordered = sorted(estimates)
    ends = np.cumsum([min(estimate.n_objects, ENOUGH) for estimate in ordered])
    return ordered[int(np.searchsorted(ends, ends[-1] / 2))].diameter_px if ordered else None


class DiameterEstimator:
    """Estimate the diameter of a typical object of an image, by what a network finds in cheap looks at it.

    The first look is so coarse that no object is too large for the network; each further one is twice as fine, until
    objects are large enough to be told from noise and two looks agree. So it comes from the side on which a network
    sees too little and errs upwards, and stops before objects are so large that it takes their parts for objects. One
    or two objects are believed only where no finer look shows more: a field of small ones far away can pass for a
    single one. Where it is unsure of many, a finer look tells whether they are heaps. Of a large image finer looks see
    a part: where the last look found most objects, or where the contrast is highest.

    Args:
        inferer: runs the network on an image.
        decoder: makes objects of the output.
        working_diameter_px: the diameter that suits the network, in pixels that it sees.
    """

    def __init__(self, *, inferer: Inferer, decoder: Decoder, working_diameter_px: float) -> None:
        self.inferer = inferer
        self.decoder = decoder
        self.working_diameter_px = float(working_diameter_px)

    def __call__(self, image: torch.Tensor, network: Callable[..., Any]) -> Estimate | None:
        """Estimate the diameter in an image (1, 3, H, W), in its pixels.

        Returns:
            None where no two looks agree, as in an image without objects.
        """
        look = self._best_look(image, network)
        if look is None:
            return None
        return Estimate(look.diameter_px, look.count * image.shape[2] * image.shape[3] / look.area_px)

    def _best_look(self, image: torch.Tensor, network: Callable[..., Any]) -> _Look | None:
        """Look at an image until the size of its objects is known."""
        view, foreground, working_px = image, None, self.working_diameter_px
        scale = min(FIRST_SIDE * working_px / max(image.shape[2:]), MOST_SCALE)
        earlier: _Look | None = None
        agreed = few = parts = heaps = None
        while scale <= MOST_SCALE:
            view = self._part(view, foreground, side=math.ceil(LARGEST_SIDE * working_px / scale))
            seen = resize_image(view, scaled_size((view.shape[2], view.shape[3]), scale))
            objects = self.decoder.decode(torch.as_tensor(self.inferer(seen, network))[0])
            foreground = (objects.instances > 0).float()[None]
            look = _Look.of(objects, scale=scale, area_px=view.shape[2] * view.shape[3])
            if heaps is not None:
                return look if look.shows_parts_of(heaps) and look.shows(SHOWN * working_px) else heaps
            if few is not None and look.shows_parts_of(few) and look.shows(LEAST_SEEN * working_px):
                parts = look
            if look.count:
                agrees = earlier is not None and look.agrees_with(earlier)
                least_seen = LEAST_SEEN if agrees else SURELY_SEEN
                is_seen = look.diameter_px * scale >= least_seen * working_px
                if is_seen and look.count >= FEW:
                    if look.sure_part >= SURE_PART:
                        return look
                    heaps = look
                elif is_seen:
                    few = few or look
                if agrees:
                    agreed = look
            earlier = look
            scale *= 2
        return heaps or parts or few or agreed

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


@dataclass(frozen=True)
class _Look:
    """What a look shows.

    Attributes:
        scale: at which it was taken.
        area_px: of what was looked at, in pixels of the image.
        count: objects of which the network is sure; all, where it is sure of none.
        sure_part: part of the objects of which it is sure, in [0, 1].
        diameter_px: median diameter of the objects that count, in pixels of the image; NaN without objects.
    """

    scale: float
    area_px: int
    count: int
    sure_part: float
    diameter_px: float

    @classmethod
    def of(cls, objects: Objects, *, scale: float, area_px: int) -> _Look:
        """Sum up the objects that a network found."""
        diameters = object_diameters(np.asarray(objects.instances))
        sure = diameters[np.asarray(objects.scores) >= LEAST_SCORE]
        counted = sure if len(sure) else diameters
        median = float(np.median(counted)) / scale if len(counted) else math.nan
        return cls(scale, area_px, len(counted), len(sure) / max(1, len(diameters)), median)

    def agrees_with(self, other: _Look) -> bool:
        """Say whether objects are about as large as in another look."""
        ratio = self.diameter_px / other.diameter_px
        return max(ratio, 1 / ratio) <= MOST_OFF

    def shows(self, least_px: float) -> bool:
        """Say whether most of its objects are sure, and at least so large, in pixels that the network saw."""
        return self.sure_part >= SURE_PART and self.diameter_px * self.scale >= least_px

    def shows_parts_of(self, coarser: _Look) -> bool:
        """Say whether what a coarser look showed, and was unsure of, are heaps of these: more and far smaller."""
        is_denser = self.count / self.area_px >= HEAP_COUNT * coarser.count / coarser.area_px
        is_smaller = self.diameter_px <= coarser.diameter_px / HEAP_SIZE
        return coarser.sure_part < SURE_PART and self.count >= FEW and is_denser and is_smaller
