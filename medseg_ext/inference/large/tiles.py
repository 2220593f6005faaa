"""Plan the tiles of a large image."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

from medseg_ext.inference.large.boxes import Box


class Tile(NamedTuple):
    """A part of an image that goes through the network at once.

    Attributes:
        core: the pixels for which this tile answers; the cores of all tiles make up the image.
        region: what the network sees: the core with a margin, as far as the image goes.
    """

    core: Box
    region: Box


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
    rows, columns = (
        _spans(length, tile_px=tile_px, margin_px=margin_px, step_px=step, overlap_px=overlap)
        for length, step, overlap in zip(size, step_px, overlap_px, strict=True)
    )
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


def _spans(length: int, *, tile_px: int, margin_px: int, step_px: int, overlap_px: int) -> list[_Span]:
    stride = math.ceil(tile_px / step_px) * step_px
    spans = []
    for start in range(0, length, stride):
        stop = min(start + stride, length)
        first = max(0, (start - margin_px) // step_px * step_px)
        last = math.ceil((stop + margin_px - overlap_px) / step_px) * step_px + overlap_px
        spans.append(_Span(start, stop, first, min(last, length)))
    return spans
