"""Place outlines in an image so that they touch but hardly overlap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg_ext.synthetic.shapes import FloatImage, Outline

ATTEMPTS = 25  # tries for each object before the image counts as full


class Arrangement:
    """Outlines in an image, and the label map of what is visible of each.

    Attributes:
        labels: int32 label map, shape (H, W); object k of `outlines` has label k + 1.
        outlines: the outlines, in the order of their labels.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels: NDArray[np.int32] = np.zeros(shape, dtype=np.int32)
        self.outlines: list[Outline] = []

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image."""
        return self.labels.shape[0], self.labels.shape[1]

    def add(self, outline: Outline, *, max_overlap: float = 0.06, min_area_px: int = 20) -> bool:
        """Add an outline unless too much of it lies on others; earlier outlines keep their pixels.

        Args:
            outline: the new outline.
            max_overlap: share of its pixels that may belong to others already.
            min_area_px: visible pixels that it must have.

        Returns:
            Whether it was added.
        """
        window = outline.window(self.shape)
        if window is None:
            return False
        inside = outline.depth_px(window) > 0
        free = inside & (self.labels[window] == 0)
        if free.sum() < min_area_px or inside.sum() - free.sum() > max_overlap * inside.sum():
            return False
        parts, count = ndimage.label(free)
        if count > 1:  # an overlap may cut a tip off
            free = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        self.outlines.append(outline)
        self.labels[window][free] = len(self.outlines)
        return True


def scatter(
    rng: np.random.Generator,
    arrangement: Arrangement,
    draw: Callable[[np.random.Generator], Outline],
    *,
    count: int,
    crowding: float = 0.3,
    density: FloatImage | None = None,
    max_overlap: float = 0.06,
    overhang: float = 0.6,
) -> list[int]:
    """Add outlines at random places, some of them against one that is there already.

    Args:
        rng: source of randomness.
        arrangement: where to add; changed in place.
        draw: draws an outline at the origin.
        count: how many to add; fewer when the image is full.
        crowding: share of the outlines that are put against another.
        density: chance in [0, 1] that a place is accepted, shape (H, W); 1 everywhere when None.
        max_overlap: see `Arrangement.add`.
        overhang: how far outside of the image a centre may lie, as a share of the radius; negative for inside.

    Returns:
        Labels of the outlines that were added.
    """
    height, width = arrangement.shape
    added: list[int] = []
    for _ in range(count):
        for _ in range(ATTEMPTS):
            outline = draw(rng)
            if arrangement.outlines and rng.uniform() < crowding:
                neighbour = arrangement.outlines[int(rng.integers(len(arrangement.outlines)))]
                centre = _beside(rng, neighbour, outline)
            else:
                room = overhang * outline.radius_px  # so that the border cuts some of them
                centre = (float(rng.uniform(-room, height + room)), float(rng.uniform(-room, width + room)))
            if not _is_near(centre, arrangement.shape, overhang * outline.radius_px):
                continue
            if density is not None:
                row, column = int(np.clip(centre[0], 0, height - 1)), int(np.clip(centre[1], 0, width - 1))
                if rng.uniform() > density[row, column]:
                    continue
            if arrangement.add(outline.moved_to(centre), max_overlap=max_overlap):
                added.append(len(arrangement.outlines))
                break
    return added


def _is_near(centre_yx: tuple[float, float], shape: tuple[int, int], room_px: float) -> bool:
    return all(-room_px <= middle < length + room_px for middle, length in zip(centre_yx, shape, strict=True))


def _beside(rng: np.random.Generator, neighbour: Outline, outline: Outline) -> tuple[float, float]:
    direction = float(rng.uniform(0, 2 * np.pi))
    touching = neighbour.reach_px(direction) + outline.reach_px(direction + np.pi)
    distance = touching * float(rng.uniform(0.92, 1.04))
    return (
        neighbour.centre_yx[0] + distance * float(np.sin(direction)),
        neighbour.centre_yx[1] + distance * float(np.cos(direction)),
    )
