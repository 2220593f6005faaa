"""Plan the tiles of a large image."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.resize import scaled_size
from medseg_ext.images.sizes import LARGEST_WHOLE_PX

LARGEST_REGION_PX = 2**26  # 67 megapixels: one field of view of a large camera


class Tile(NamedTuple):
    """A part of an image that goes through the network at once.

    Attributes:
        core: the pixels for which this tile answers; the cores of all tiles make up the image.
        region: what the network sees: the core with a margin, as far as the image goes.
    """

    core: Box
    region: Box


def plan_tiles_of_image(
    size: tuple[int, int],
    *,
    scale: float,
    tile_px: int,
    margin_px: int,
    step_px: tuple[int, int] = (1, 1),
    overlap_px: tuple[int, int] = (0, 0),
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
        step_px: see `plan_tiles`.
        overlap_px: see `plan_tiles`.

    Returns:
        The tiles, in pixels that the network sees.

    Raises:
        DataError: the image does not fit, or tiles have no pixel or a negative margin; says what to change.
    """
    if tile_px < 1 or margin_px < 0:
        raise DataError(
            f"give a --tile_size of at least 1 and a --tile_margin of at least 0, not {tile_px} and {margin_px}"
        )
    margins = {"margin_px": margin_px, "step_px": step_px, "overlap_px": overlap_px}
    tiles = _fitting_tiles(size, scale, tile_px, **margins)
    if tiles:
        return tiles
    seen_size = scaled_size(size, scale)
    if math.prod(seen_size) < math.prod(size) <= LARGEST_REGION_PX:
        return plan_tiles(seen_size, tile_px=max(seen_size), margin_px=0)
    too_large = (
        f"of its {size[0]} x {size[1]} pixels more than {LARGEST_WHOLE_PX / 1e6:.0f} million would go through the "
        "network at once"
    )
    if scale >= 1 or not _fitting_tiles(size, 1.0, tile_px, **margins):
        raise DataError(f"{too_large}: give a --tile_margin of less than {margin_px}")
    least = scale
    while not _fitting_tiles(size, least, tile_px, **margins):
        least *= 1.01
    raise DataError(
        f"{too_large}, as its objects seem so large that it is reduced to {scale:.4f} of its size; with "
        f"{math.ceil(least * 1e4) / 1e4:.4f} or more it would fit: give the right --object_diameter_px, or reduce the "
        "image first"
    )


def plan_tiles(
    size: tuple[int, int],
    *,
    tile_px: int,
    margin_px: int,
    step_px: tuple[int, int] = (1, 1),
    overlap_px: tuple[int, int] = (0, 0),
) -> list[Tile]:
    """Cut an image into tiles, row by row.

    Where a network looks through a sliding window, the windows of a region are those of the whole image: a region
    begins at a multiple of the windows' step, and ends with a window. What the network says of a pixel at least
    `overlap_px` inside its region is then the same whatever the tiles.

    Args:
        size: (H, W) of the image.
        tile_px: side of a core; the next multiple of the step is taken.
        margin_px: least margin around a core, where the image does not end: longer than the largest usual object.
        step_px: of the windows, down and across.
        overlap_px: pixels that neighbouring windows share, likewise.

    Returns:
        The tiles, in rows from the upper left.

    Raises:
        ValueError: a tile of less than one pixel, a negative margin.

    >>> [tile.region for tile in plan_tiles((10, 20), tile_px=10, margin_px=3)]
    [Box(top=0, left=0, bottom=10, right=13), Box(top=0, left=7, bottom=10, right=20)]
    """
    if tile_px < 1 or margin_px < 0:
        raise ValueError(f"tiles must have at least 1 pixel and no negative margin, got {tile_px} and {margin_px}")
    rows, columns = _rows_and_columns(size, tile_px, margin_px, step_px, overlap_px)
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


def _rows_and_columns(
    size: tuple[int, int], tile_px: int, margin_px: int, step_px: tuple[int, int], overlap_px: tuple[int, int]
) -> tuple[list[_Span], list[_Span]]:
    rows, columns = (
        _spans(length, tile_px=tile_px, margin_px=margin_px, step_px=step, overlap_px=overlap)
        for length, step, overlap in zip(size, step_px, overlap_px, strict=True)
    )
    return rows, columns


def _spans(length: int, *, tile_px: int, margin_px: int, step_px: int, overlap_px: int) -> list[_Span]:
    stride = math.ceil(tile_px / step_px) * step_px
    spans = []
    for start in range(0, length, stride):
        stop = min(start + stride, length)
        first = max(0, (start - margin_px) // step_px * step_px)
        last = math.ceil((stop + margin_px - overlap_px) / step_px) * step_px + overlap_px
        spans.append(_Span(start, stop, first, min(last, length)))
    return spans


def _fitting_tiles(size: tuple[int, int], scale: float, tile_px: int, **margins: Any) -> list[Tile]:
    """Plan the largest tiles of which none is more than `LARGEST_WHOLE_PX` of the image; none where none fit."""
    seen_size = scaled_size(size, scale)
    most_seen_px = LARGEST_WHOLE_PX * math.prod(seen_size) / math.prod(size)
    step = max(margins["step_px"])
    for steps in range(max(1, math.ceil(tile_px / step)), 0, -1):
        fitting_px = min(steps * step, tile_px)
        rows, columns = _rows_and_columns(seen_size, fitting_px, **margins)
        highest, widest = (max(span.last - span.first for span in spans) for spans in (rows, columns))
        if highest * widest <= most_seen_px:
            return plan_tiles(seen_size, tile_px=fitting_px, **margins)
    return []
