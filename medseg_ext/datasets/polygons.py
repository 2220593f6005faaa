"""Draw objects that are stored as outlines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from medseg_ext.datasets.annotations import Remarks
from medseg_ext.datasets.label_maps import ObjectMask

BEYOND = "outline that leaves the image, cut off at its border"
OUTSIDE = "outline outside of the image"
CROSSING = "outline that crosses itself, of which only what is enclosed an odd number of times was taken"
NO_AREA = "outline without an area"
LARGEST_COORDINATE = 1e9  # px; a pixel's place is exact far beyond


class Drawn(NamedTuple):
    """A drawn object; `mask` is bool, shape (h, w), and its first pixel is at (`top`, `left`)."""

    mask: NDArray[np.bool_]
    top: int
    left: int
    leaves_image: bool
    crosses_itself: bool


def draw_polygons(polygons: Sequence[Sequence[ArrayLike]], shape: tuple[int, int]) -> Drawn:
    """Draw the union of polygons.

    Coordinates are those of QuPath, ImageJ and COCO: (0, 0) is the upper left corner of the first pixel, whose centre
    is at (0.5, 0.5). A pixel belongs to a polygon that holds its centre.

    Args:
        polygons: of each its rings, the outer one and holes: (x, y) of their corners, shape (N, 2), N of 3 or more.
            What an even number of its rings enclose is a hole.
        shape: rows and columns of the image, px.
    Returns: a mask of no pixels where nothing of them is in the image.
    Raises: ValueError: a ring is none, or a coordinate is no number.

    >>> drawn = draw_polygons([[[(1, 0), (3, 0), (3, 2), (1, 2)]]], (4, 5))
    >>> drawn.mask.astype(int).tolist(), (drawn.top, drawn.left)
    ([[1, 1], [1, 1]], (0, 1))
    """
    parts = [[_ring(ring) for ring in rings] for rings in polygons]
    corners = [ring for rings in parts for ring in rings]
    if not corners:
        raise ValueError("it has no corners")
    low = np.floor(np.min([ring.min(axis=0) for ring in corners], axis=0)).astype(int)
    high = np.ceil(np.max([ring.max(axis=0) for ring in corners], axis=0)).astype(int)
    left, top = np.maximum(low, 0)
    right, bottom = np.minimum(high, (shape[1], shape[0]))
    # half a pixel: outlines drawn by the centres of pixels, or smoothed, lie that far outside
    leaves = bool((low < -1).any() or (high > np.array((shape[1], shape[0])) + 1).any())
    if right <= left or bottom <= top:
        return Drawn(np.zeros((0, 0), bool), 0, 0, leaves, False)
    mask = np.zeros((bottom - top, right - left), bool)
    crosses = False
    for rings in parts:
        drawn = _draw(rings, top, left, mask.shape)
        if not leaves:
            alone = [drawn] if len(rings) == 1 else [_draw([ring], top, left, mask.shape) for ring in rings]
            crosses |= any(map(_crosses_itself, rings, alone))
        mask |= drawn
    return Drawn(mask, int(top), int(left), leaves, crosses)


def outlined_object(
    polygons: Sequence[Sequence[ArrayLike]], shape: tuple[int, int], *, name: str, label: str, remarks: Remarks
) -> ObjectMask | None:
    """Make an object of its polygons, see `draw_polygons`; None, with a remark, if nothing of it is in the image."""
    drawn = draw_polygons(polygons, shape)
    if not drawn.mask.any():
        remarks.skipped[OUTSIDE if drawn.leaves_image else NO_AREA].append(name)
        return None
    if drawn.leaves_image:
        remarks.told[BEYOND].append(name)
    if drawn.crosses_itself:
        remarks.told[CROSSING].append(name)
    return ObjectMask(drawn.mask.astype(np.uint8), name, drawn.top, drawn.left, label)


def _ring(points: ArrayLike) -> NDArray[np.float64]:
    try:
        ring = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("a corner is no pair of numbers") from error
    if ring.ndim != 2 or ring.shape[1] < 2 or len(ring) < 3:
        raise ValueError(f"an outline needs 3 corners (x, y) or more, got the shape {ring.shape}")
    if not np.isfinite(ring).all() or np.abs(ring).max() > LARGEST_COORDINATE:
        raise ValueError("a coordinate is not finite")
    return ring[:, :2]


def _draw(rings: Sequence[NDArray[np.float64]], top: int, left: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    closed = [np.vstack([ring, ring[:1]]).tolist() for ring in rings]
    geometry = {"type": "Polygon", "coordinates": closed}
    transform = Affine.translation(int(left), int(top))
    return rasterize([(geometry, 1)], out_shape=shape, transform=transform, dtype=np.uint8).astype(bool)


def _crosses_itself(ring: NDArray[np.float64], drawn: NDArray[np.bool_]) -> bool:
    """Say whether a ring's lobes turn in both directions, so that its signed area is not what it encloses."""
    perimeter = float(np.hypot(*(ring - np.roll(ring, 1, axis=0)).T).sum())
    return abs(int(np.count_nonzero(drawn)) - abs(_signed_area(ring))) > perimeter / 2 + 4


def _signed_area(ring: NDArray[np.float64]) -> float:
    x, y = (ring - ring.mean(axis=0)).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
