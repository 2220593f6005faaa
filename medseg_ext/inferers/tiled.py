"""Run a network on whole images where they fit, else on tiles with margins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.inferers import Inferer

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box


class Tile(NamedTuple):
    """A part of an image that is worked on at once.

    Attributes:
        core: the pixels for which this tile answers; the cores of all tiles make up the image.
        region: what is worked on: the core with a margin.
    """

    core: Box
    region: Box


class TiledInferer(Inferer):
    """Run a network on a whole image, or on tiles of one that has too many pixels.

    MONAI's `SlidingWindowInferer` averages windows that overlap, which makes nearly twice the network's work, for small
    images, too.

    Args:
        inferer: runs the network on what goes through it at once.
        whole_image_px: pixels of that, at most.
        margin_px: of a tile, a multiple of `divisor`.
        divisor: what the network sees has sides that are multiples of it, as the network halves them: it is filled up
            with its reflection.
        tile_size: height and width of all that goes through the network, as an engine made for one size wants it; in
            place of `whole_image_px`.

    Raises:
        DataError: tiles of `whole_image_px` would be all margin.
        ValueError: a margin or a tile size that is no such multiple, or a tile size that would be all margin.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        whole_image_px: int,
        margin_px: int,
        divisor: int = 32,
        tile_size: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if margin_px < 0 or margin_px % divisor:
            raise ValueError(f"margin_px must be a multiple of {divisor}, at least 0, got {margin_px}")
        least_side = 2 * margin_px + divisor
        if tile_size is not None and any(side < least_side or side % divisor for side in tile_size):
            raise ValueError(f"a tile_size must be of multiples of {divisor}, at least {least_side}, got {tile_size}")
        if tile_size is None and whole_image_px < least_side**2:
            raise DataError(
                f"--whole_image_px {whole_image_px} leaves nothing between the margins of {margin_px} pixels: give at "
                f"least {least_side**2}"
            )
        self.inferer = inferer
        self.whole_image_px = whole_image_px
        self.margin_px = margin_px
        self.divisor = divisor
        self.tile_size = None if tile_size is None else (int(tile_size[0]), int(tile_size[1]))

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the network's output, float32 (B, C', H, W), for an image (B, C, H, W)."""
        whole = Box(0, 0, inputs.shape[2], inputs.shape[3])
        output: torch.Tensor | None = None
        for tile in self.plan(whole.size):
            rows, columns = tile.region.intersection(whole).inside(whole)
            part = self.output_of(tile, inputs[:, :, rows, columns], network, *args, **kwargs)
            if tile.core == whole:
                return part
            if output is None:
                output = part.new_empty((*part.shape[:2], *whole.size))
            output[:, :, *tile.core.inside(whole)] = part
        assert output is not None
        return output

    def plan(self, size: tuple[int, int]) -> list[Tile]:
        """Cut an image of some size (H, W) into tiles, in rows from the upper left; a whole one is one tile.

        All regions have one size; those at the lower and right end may reach beyond the image.
        """
        sides = self._sides(size)
        rows, columns = (
            _spans(length, side=side, margin_px=self.margin_px, divisor=self.divisor)
            for length, side in zip(size, sides, strict=True)
        )
        return [
            Tile(
                core=Box(row.start, column.start, row.stop, column.stop),
                region=Box(row.first, column.first, row.first + sides[0], column.first + sides[1]),
            )
            for row, column in product(rows, columns)
        ]

    def output_of(
        self, tile: Tile, seen: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Run the network on a tile.

        Args:
            tile: one of `plan`.
            seen: the pixels (B, C, h, w) of its region, as far as the image goes.
            network: the network; it gets the other arguments, too.
            args: see `network`.
            kwargs: see `network`.

        Returns:
            The output of its core, float32 (B, C', h', w').
        """
        given = self.inferer(_filled_up(seen, tile.region.size), network, *args, **kwargs)
        return given[:, :, *tile.core.inside(tile.region)].float()

    def _sides(self, size: tuple[int, int]) -> tuple[int, int]:
        """Give height and width of what goes through the network, of a whole image or of each tile."""
        if self.tile_size is not None:
            return self.tile_size
        height, width = (math.ceil(length / self.divisor) * self.divisor for length in size)
        if height * width <= self.whole_image_px:
            return height, width
        # Square tiles have least margin, but those of a narrow image are as long as that allows.
        most = [self._multiple_below(math.sqrt(self.whole_image_px))] * 2
        for side, length in enumerate((height, width)):
            if length <= most[side]:
                most[side], most[1 - side] = length, self._multiple_below(self.whole_image_px / length)
        return self._even(height, most[0]), self._even(width, most[1])

    def _multiple_below(self, length: float) -> int:
        return int(length) // self.divisor * self.divisor

    def _even(self, length: int, most: int) -> int:
        """Give the least side of tiles that cover a length with as few tiles as those of the largest side do."""
        if length <= most:
            return length
        margins = 2 * self.margin_px
        count = math.ceil((length - margins) / (most - margins))
        return math.ceil((length - margins) / count / self.divisor) * self.divisor + margins


class _Span(NamedTuple):
    """A tile along one side: the `first` pixel of its region, the `start` and `stop` of its core."""

    first: int
    start: int
    stop: int


def _spans(length: int, *, side: int, margin_px: int, divisor: int) -> list[_Span]:
    """Cover a length by tiles of one side, of which the last ends with it, or less than a `divisor` beyond.

    >>> _spans(250, side=128, margin_px=32, divisor=32)
    [_Span(first=0, start=0, stop=96), _Span(first=64, start=96, stop=160), _Span(first=128, start=160, stop=250)]
    """
    last = max(0, math.ceil(length / divisor) * divisor - side)
    spans = [_Span(0, 0, length if last == 0 else side - margin_px)]
    while spans[-1].stop < length:
        first = min(spans[-1].first + side - 2 * margin_px, last)
        spans.append(_Span(first, spans[-1].stop, length if first == last else first + side - margin_px))
    return spans


def _filled_up(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Lengthen an image (B, C, H, W) by its reflection at the lower and right end."""
    for axis, length in zip((2, 3), size, strict=True):
        if image.shape[axis] < length:  # NumPy reflects a short image as often as is needed, PyTorch only once
            places = np.pad(np.arange(image.shape[axis]), (0, length - image.shape[axis]), mode="reflect")
            image = image.index_select(axis, torch.from_numpy(places).to(image.device))
    return image
