"""Estimate how large the objects of an image are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from monai.inferers import Inferer
from torch.nn.functional import avg_pool2d

from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.images.sides import Sides
from medseg_ext.objects.diameters import object_diameters
from medseg_ext.objects.objects import Objects

# In working diameters:
FIRST_SIDE = 1.6  # longer side of the first look, in which even an object as large as the image is not too large
LARGEST_SIDE = 6.4  # of a look: of hundreds of objects a part of the image shows enough
SEEN_WELL = 0.8  # objects: smaller ones may be heaps, or cells, in which a finer look shows nuclei
SHOWN = 0.5  # objects: from there on they may be what a heap is made of

MOST_OFF = 1.5  # times, between two looks that agree; so far objects differ from the size that suits a network, too
MOST_SCALE = 4.0  # of a look: smaller objects than this shows are a few pixels
SURE_SCORE = 0.85  # of an object whose size counts where there are any: specks and heaps have less
SURENESS = 6  # power of its score that an object is as evidence
FEW = 2  # objects, at their best, which are half the evidence that hundreds are
OF_CUT, OF_UNCONFIRMED = 0.5, 0.1  # part of its evidence that an object at a side is, and a look that none confirms
ENOUGH_EVIDENCE = 0.2  # of 1, for a look to be the last
LEAST_EVIDENCE = 0.004  # of 1, for a size to be believed: a lone speck two pixels wide is less at any scale
SURE_PART = 0.6  # of the objects of the last look; with less of them sure, a finer one may show that they are heaps
SEVERAL = 3  # objects, which one or two are heaps of
HEAP_COUNT, HEAP_SIZE = 2, 3  # objects that a heap is made of, and how many times it is wider than one, at least
ENOUGH = 50  # objects of a place: more of them tell no more of the image


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

    The first look is so coarse that no object is too large for the network; each further one is twice as fine. The one
    is believed whose objects are the best evidence: there are several, the network is sure of them, and sees them about
    as large as suits it. Two looks confirm one another that agree, if the finer shows the objects as large as that:
    seen smaller, they may be heaps, or cells that are taken for nuclei from afar. Where the network is unsure of many,
    a finer look that surely shows parts of them counts more. With enough evidence the looks end, before objects are so
    large that the network takes their parts for objects. Of a large image finer looks see a part: where the last look
    found most objects, or where the contrast is highest.

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
            None where no look shows more than a speck.
        """
        best = earlier = NOTHING_SEEN
        for look in self._looks(image, network):
            are_confirmed = look.seen_diameters >= SEEN_WELL and look.agrees_with(earlier)
            candidates = (best, earlier, look) if are_confirmed else (best, look.unconfirmed())
            shows_parts = look.shows_parts_of(best)
            best = look if shows_parts else max(candidates, key=lambda candidate: candidate.evidence)
            if best.evidence >= ENOUGH_EVIDENCE and best.sure_part >= SURE_PART:
                break
            earlier = look
        if best.evidence < LEAST_EVIDENCE:
            return None
        return Estimate(best.diameter_px, best.count * image.shape[2] * image.shape[3] / best.area_px)

    def _looks(self, image: torch.Tensor, network: Callable[..., Any]) -> Iterator[_Look]:
        """Look at an image, finer and finer."""
        view, foreground, working_px = image, None, self.working_diameter_px
        scale = min(FIRST_SIDE * working_px / max(image.shape[2:]), MOST_SCALE)
        while scale <= MOST_SCALE:
            view = self._part(view, foreground, side=math.ceil(LARGEST_SIDE * working_px / scale))
            seen = resize_image(view, scaled_size((view.shape[2], view.shape[3]), scale))
            objects = self.decoder.decode(torch.as_tensor(self.inferer(seen, network))[0])
            foreground = (objects.instances > 0).float()[None]
            area_px = view.shape[2] * view.shape[3]
            yield _Look.of(objects, scale=scale, area_px=area_px, working_diameter_px=working_px)
            scale *= 2

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
        area_px: of what was looked at, in pixels of the image.
        count: objects of which the network is sure; all, where it is sure of none.
        sure_part: part of the objects of which it is sure, in [0, 1].
        diameter_px: median diameter of the objects that count, in pixels of the image; NaN without objects.
        seen_diameters: the same diameter, as the network saw it, in working diameters.
        evidence: that this is the diameter of the objects, in [0, 1].
    """

    area_px: int
    count: int
    sure_part: float
    diameter_px: float
    seen_diameters: float
    evidence: float

    @classmethod
    def of(cls, objects: Objects, *, scale: float, area_px: int, working_diameter_px: float) -> _Look:
        """Sum up the objects that a network found in a look at some scale."""
        instances, scores = np.asarray(objects.instances)[0], np.asarray(objects.scores)
        diameters = object_diameters(instances) / working_diameter_px
        if not len(diameters):
            return NOTHING_SEEN
        is_sure = scores >= SURE_SCORE
        counted = diameters[is_sure] if is_sure.any() else diameters
        seen_diameters = float(np.median(counted))
        suitable = np.exp(-((np.log(diameters) / math.log(MOST_OFF)) ** 2) / 2)
        whole = np.where(Sides().touched_by(instances)[1:], OF_CUT, 1)
        weights = scores**SURENESS * suitable * whole
        evidence = np.average(weights, weights=diameters**2) * weights.sum() / (weights.sum() + FEW)
        diameter_px = seen_diameters * working_diameter_px / scale
        return cls(area_px, len(counted), float(is_sure.mean()), diameter_px, seen_diameters, float(evidence))

    def agrees_with(self, other: _Look) -> bool:
        """Say whether both are evidence, of about the same size."""
        ratio = self.diameter_px / other.diameter_px
        return min(self.evidence, other.evidence) > 0 and max(ratio, 1 / ratio) <= MOST_OFF

    def shows_parts_of(self, coarser: _Look) -> bool:
        """Say whether what a coarser look showed unsurely are heaps of these: more, far smaller, and sure."""
        are_sure = self.sure_part >= SURE_PART > coarser.sure_part and self.seen_diameters >= SHOWN
        is_denser = self.count * coarser.area_px >= HEAP_COUNT * coarser.count * self.area_px
        is_smaller = self.diameter_px <= coarser.diameter_px / HEAP_SIZE
        return are_sure and is_denser and is_smaller and self.count >= SEVERAL

    def unconfirmed(self) -> _Look:
        """Give what it is worth alone."""
        return replace(self, evidence=OF_UNCONFIRMED * self.evidence)


NOTHING_SEEN = _Look(0, count=0, sure_part=0.0, diameter_px=math.nan, seen_diameters=math.nan, evidence=0.0)
