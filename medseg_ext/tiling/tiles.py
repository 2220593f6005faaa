"""Plan the tiles of a large image."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.resize import scaled_size
from medseg_ext.images.sizes import LARGEST_WHOLE_PX
from medseg_ext.inferers.size_normalised import GRID_PX
from medseg_ext.inferers.tiled import Tile

LARGEST_REGION_PX = 2**26  # 67 megapixels: one field of view of a large camera


def plan_tiles_of_image(
    size: tuple[int, int],
    *,
    scale: float,
    tile_px: int,
    margin_px: int,
) -> list[Tile]:
    """Cut an image into tiles that fit in memory, at the scale at which a network sees it.

    Where each pixel seen stands for many of the image tiles are smaller than asked for, so that none is more than
    `LARGEST_WHOLE_PX` of the image. Where even the least ones are, an image that is seen reduced is one tile, if it is
    no more than `LARGEST_REGION_PX`: a field of view of a large camera.

    Args:
        size: (H, W) of the image.
        scale: at which the network sees it; below 1 it sees the image reduced.
        tile_px: least side of a core where it fits, in pixels that the network sees, as all below.
        margin_px: see `plan_tiles`.

    Returns:
        The tiles, in pixels that the network sees.

    Raises:
        DataError: the image does not fit, or tiles have no pixel or a negative margin; says what to change.
    """
    if tile_px < 1 or margin_px < 0:
        raise DataError(
            f"give a --tile_size of at least 1 and a --tile_margin of at least 0, not {tile_px} and {margin_px}"
        )
    tiles = _fitting_tiles(size, scale, tile_px, margin_px)
    if tiles:
        return tiles
    seen_size = scaled_size(size, scale)
    if math.prod(seen_size) < math.prod(size) <= LARGEST_REGION_PX:
        return plan_tiles(seen_size, tile_px=max(seen_size), margin_px=0)
    too_large = (
        f"of its {size[0]} x {size[1]} pixels more than {LARGEST_WHOLE_PX / 1e6:.0f} million would go through the "
        "network at once"
    )
    if scale >= 1 or not _fitting_tiles(size, 1.0, tile_px, margin_px):
        raise DataError(f"{too_large}: give a --tile_margin of less than {margin_px}")
    least = scale
    while not _fitting_tiles(size, least, tile_px, margin_px):
        least *= 1.01
    raise DataError(
        f"{too_large}, as its objects seem so large that it is reduced to {scale:.4f} of its size; with "
        f"{math.ceil(least * 1e4) / 1e4:.4f} or more it would fit: give the right --object_diameter_px, or reduce the "
        "image first"
    )


def plan_tiles(size: tuple[int, int], *, tile_px: int, margin_px: int) -> list[Tile]:
    """Cut an image into tiles, row by row.

    Cores and regions begin at multiples of `GRID_PX`, where a network halves the whole image, too.

    Args:
        size: (H, W) of the image.
        tile_px: side of a core; the next such multiple is taken.
        margin_px: least margin around a core, where the image does not end: longer than the largest usual object.

    Returns:
        The tiles, in rows from the upper left.

    Raises:
        ValueError: a tile of less than one pixel, a negative margin.

    >>> [tile.region for tile in plan_tiles((30, 200), tile_px=100, margin_px=20)]
    [Box(top=0, left=0, bottom=30, right=160), Box(top=0, left=96, bottom=30, right=200)]
    """
    if tile_px < 1 or margin_px < 0:
        raise ValueError(f"tiles must have at least 1 pixel and no negative margin, got {tile_px} and {margin_px}")
    rows, columns = (_spans(length, tile_px, margin_px) for length in size)
    return [
        Tile(
            core=Box(row.start, column.start, row.stop, column.stop),
            region=Box(row.first, column.first, row.last, column.last),
        )
        for row, column in product(rows, columns)
    ]


class _Span(NamedTuple):
    """A tile along one side: `start` and `stop` of the core, `first` and `last` of the region."""

    start: int
    stop: int
    first: int
    last: int


def _spans(length: int, tile_px: int, margin_px: int) -> list[_Span]:
    stride = math.ceil(tile_px / GRID_PX) * GRID_PX
    spans = []
    for start in range(0, length, stride):
        stop = min(start + stride, length)
        first = max(0, (start - margin_px) // GRID_PX * GRID_PX)
        last = math.ceil((stop + margin_px) / GRID_PX) * GRID_PX
        spans.append(_Span(start, stop, first, min(last, length)))
    return spans


def _fitting_tiles(size: tuple[int, int], scale: float, tile_px: int, margin_px: int) -> list[Tile]:
    """Plan the largest tiles of which none is more than `LARGEST_WHOLE_PX` of the image; none where none fit."""
    seen_size = scaled_size(size, scale)
    most_seen_px = LARGEST_WHOLE_PX * math.prod(seen_size) / math.prod(size)
    for steps in range(math.ceil(tile_px / GRID_PX), 0, -1):
        rows, columns = (_spans(length, steps * GRID_PX, margin_px) for length in seen_size)
        highest, widest = (max(span.last - span.first for span in spans) for spans in (rows, columns))
        if highest * widest <= most_seen_px:
            return plan_tiles(seen_size, tile_px=steps * GRID_PX, margin_px=margin_px)
    return []
