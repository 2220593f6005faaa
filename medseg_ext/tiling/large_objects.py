"""Hold the objects of a large image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medseg_ext.images.boxes import Box
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitched


@dataclass(frozen=True)
class LargeObjects:
    """The objects of a large image.

    Attributes:
        instances: numbers, of which `stitched` tells the objects.
        classes: class map.
        stitched: what the numbers mean.
        cores: of the tiles, in rows from the upper left; together the image.
        regions: the cores with margins, likewise.
    """

    instances: PixelStore
    classes: PixelStore
    stitched: Stitched
    cores: Sequence[Box]
    regions: Sequence[Box]

    def read(self, box: Box) -> np.ndarray:
        """Read a box of the label map; uint32 (h, w)."""
        return self.stitched.final_ids[self.instances.read(box)]

    def by_place(self) -> Iterator[tuple[Box, np.ndarray]]:
        """Share the objects out: yields boxes, each with the ids of objects that lie wholly in it."""
        boxes = np.array(self.stitched.boxes, dtype=int).reshape(-1, 4)
        tops, lefts = (np.unique([core[side] for core in self.cores]) for side in (0, 1))
        row = np.searchsorted(tops, (boxes[:, 0] + boxes[:, 2]) // 2, side="right") - 1
        column = np.searchsorted(lefts, (boxes[:, 1] + boxes[:, 3]) // 2, side="right") - 1
        tile_of_object = row * len(lefts) + column
        for tile, region in enumerate(self.regions):
            ids = np.flatnonzero(tile_of_object == tile) + 1
            inside = np.array([region.contains(self.stitched.boxes[number - 1]) for number in ids], dtype=bool)
            if inside.any():
                yield region, ids[inside]
            for number in ids[~inside].tolist():  # longer than the margin
                yield self.stitched.boxes[number - 1], np.array([number])
