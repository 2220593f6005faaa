"""Draw whole slides as the scanners of Aperio write them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from medseg_ext.images.boxes import Box
from medseg_ext.synthetic.tissue import STYLES, draw_tissue

TILE_PX, PIECE_PX = 256, 640
REDUCTIONS = (4, 16)
THUMBNAIL_PX = 1024
EDGE_PX = 12  # over which tissue fades into glass
GLASS = 238
_LABEL_PAGE, _MACRO_PAGE = 1, 9  # of the tag NewSubfileType


class Slide:
    """A slide with an island of stained tissue on empty glass, of which boxes are drawn.

    Args:
        size: (H, W).
        tissue: share of the slide that is tissue, in (0, 1].
        seed: the same gives the same pixels.
    """

    def __init__(self, size: tuple[int, int], *, tissue: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        piece, _ = draw_tissue(rng, (PIECE_PX, PIECE_PX), STYLES["violet"])
        row = np.concatenate([piece, piece[:, ::-1]], axis=1)
        self._piece = np.concatenate([row, row[::-1]])  # its edges meet
        self._noise = rng.normal(GLASS, 1.5, (*self._piece.shape[:2], 1)).round().astype(np.uint8)
        self.size = size
        stretch = math.sqrt(tissue / (math.pi / 4))  # an ellipse fills pi / 4 of its box
        self._radii = [length * stretch / 2 for length in size]
        self._centre = [length * 0.55 for length in size] if stretch < 0.8 else [length / 2 for length in size]

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Draw a box, RGB (h, w, 3)."""
        return self._drawn(np.arange(box.top, box.bottom), np.arange(box.left, box.right))

    def read_reduced(self, box: Box, reduction: int) -> NDArray[np.uint8]:
        """Draw a box of a reduced copy, in its pixels; rows and columns that fill none are left out."""
        full = Box(*(reduction * side for side in box))
        if self._is_glass(full):
            return self.read(box._replace(top=-box.size[0], bottom=0))  # glass is the same everywhere
        height, width = box.size
        means = self.read(full).reshape(height, reduction, width, reduction, 3).mean(axis=(1, 3))
        return means.round().astype(np.uint8)

    def overview(self, step: int) -> NDArray[np.uint8]:
        """Draw each `step`th pixel both ways."""
        return self._drawn(np.arange(0, self.size[0], step), np.arange(0, self.size[1], step))

    def _is_glass(self, box: Box) -> bool:
        """Say whether a box is far from the tissue."""
        starts_and_ends = zip(self._centre, box[:2], box[2:], self._radii, strict=True)
        nearest = [(min(max(c, start), end) - c) / radius for c, start, end, radius in starts_and_ends]
        return math.hypot(*nearest) >= 1

    def _drawn(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
        of_piece = np.ix_(rows % len(self._piece), columns % len(self._piece))
        glass = np.repeat(self._noise[of_piece], 3, axis=2)
        if self._is_glass(Box(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))):
            return glass
        down, across = (
            ((places - centre) / radius) ** 2
            for places, centre, radius in zip((rows, columns), self._centre, self._radii, strict=True)
        )
        cover = np.clip((1 - np.sqrt(down[:, None] + across)) * min(self._radii) / EDGE_PX, 0, 1)[..., None]
        share = cover.astype(np.float32)
        return (share * self._piece[of_piece] + (1 - share) * glass).astype(np.uint8)


def write_slide(
    path: Path, size: tuple[int, int], *, tissue: float, pixel_size_um: float | None = 0.5, seed: int = 0
) -> None:
    """Write a slide as an SVS: tiles of JPEG in levels, with pages of a thumbnail, the label and the whole glass.

    Only a tile and what it is made of are in memory.

    Args:
        path: the file.
        size: (H, W).
        tissue: see `Slide`.
        pixel_size_um: the MPP in the description; None leaves it out.
        seed: see `Slide`.
    """
    slide = Slide(size, tissue=tissue, seed=seed)
    height, width = size
    told = "" if pixel_size_um is None else f"|MPP = {pixel_size_um}"
    head = (
        f"Aperio Image Library v12.0.15\r\n{width}x{height} [0,0 {width}x{height}] ({TILE_PX}x{TILE_PX}) JPEG/RGB Q=85"
    )
    options: dict[str, Any] = {
        "photometric": "rgb",
        "compression": "jpeg",
        "compressionargs": {"level": 85},
        "metadata": None,
    }
    coarse = max(1, math.ceil(max(size) / THUMBNAIL_PX))
    thumbnail = slide.overview(coarse)
    with tifffile.TiffWriter(path, bigtiff=height * width > 2**30) as file:
        tiled: dict[str, Any] = {"tile": (TILE_PX, TILE_PX), "dtype": np.uint8, **options}
        file.write(_tiles(slide, 1), shape=(*size, 3), description=f"{head}|AppMag = 20{told}", **tiled)
        file.write(thumbnail, description=f"{head} -> {thumbnail.shape[1]}x{thumbnail.shape[0]} - ", **options)
        for reduction in REDUCTIONS:
            level = (height // reduction, width // reduction)
            described = f"{head} -> {level[1]}x{level[0]} JPEG/RGB Q=85"
            file.write(_tiles(slide, reduction), shape=(*level, 3), description=described, **tiled)
        for name, subfile in (("label", _LABEL_PAGE), ("macro", _MACRO_PAGE)):
            described = f"Aperio Image Library v12.0.15\r\n{name} {thumbnail.shape[1]}x{thumbnail.shape[0]}"
            file.write(thumbnail, subfiletype=subfile, description=described, **options)


def _tiles(slide: Slide, reduction: int) -> Iterator[NDArray[np.uint8]]:
    height, width = (side // reduction for side in slide.size)
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            yield slide.read_reduced(Box(top, left, top + TILE_PX, left + TILE_PX), reduction)
