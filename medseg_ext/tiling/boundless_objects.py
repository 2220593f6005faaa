"""Measure and outline an object whose box is too large to be held at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from medseg_ext.images.blocks import BlockImage
from medseg_ext.images.boxes import Box
from medseg_ext.objects.measurements import join_measurements, measure_objects
from medseg_ext.objects.outlined import OutlinedObject, outlined_objects
from medseg_ext.tables import Table
from medseg_ext.tiling.large_objects import LargeObjects


def measure_in_bands(found: LargeObjects, number: int, image: BlockImage, *, most_px: int, **options: Any) -> Table:
    """Measure an object band by band, exactly as at once.

    Args:
        found: the objects.
        number: of the object.
        image: the image as it came.
        most_px: pixels that are held at once.
        options: of `medseg_ext.objects.measure_objects`.

    Returns:
        Its row.
    """
    score = found.stitched.scores[number - 1 : number]
    parts = []
    for band, inside in _bands(found, number, max(1, most_px // found.stitched.boxes[number - 1].size[1])):
        if inside.any():
            labels, classes = inside.astype(np.int32), found.classes.read(band)
            parts.append(measure_objects(labels, classes, score, image.read(band), origin=band[:2], **options))
    return join_measurements(parts) | {"id": np.array([number])}


def coarsely_outlined(found: LargeObjects, number: int, table: Table, *, most_px: int) -> tuple[OutlinedObject, int]:
    """Outline an object around the square blocks of pixels that it touches.

    Args:
        found: the objects.
        number: of the object.
        table: its row.
        most_px: blocks at most.

    Returns:
        The object, and the side of a block in pixels.
    """
    box = found.stitched.boxes[number - 1]
    side = math.ceil(math.sqrt(math.prod(box.size) / most_px))
    columns = np.arange(0, box.size[1], side)
    rows = [np.logical_or.reduceat(inside.any(axis=0), columns) for _, inside in _bands(found, number, side)]
    (coarse,) = outlined_objects(np.stack(rows).astype(np.int32) * number, table)

    def placed(corner: tuple[int, int]) -> tuple[int, int]:
        x, y = corner
        return min(x * side + box.left, box.right), min(y * side + box.top, box.bottom)

    parts = [[[placed(corner) for corner in ring] for ring in rings] for rings in coarse.parts]
    return coarse._replace(parts=parts), side


def _bands(found: LargeObjects, number: int, rows: int) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield bands of an object's box, of so many rows, each with the mask of the object in it."""
    box = found.stitched.boxes[number - 1]
    for top in range(box.top, box.bottom, rows):
        band = box._replace(top=top, bottom=min(top + rows, box.bottom))
        yield band, found.read(band) == number
