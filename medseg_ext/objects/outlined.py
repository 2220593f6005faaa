"""Objects as their outlines and measurements: what all formats of outlines are written from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from rasterio.features import shapes

from medseg_ext.tables import Table, rows_of

Ring = list[tuple[int, int]]


class OutlinedObject(NamedTuple):
    """An object.

    Attributes:
        row: its measurements, as of `medseg_ext.objects.measure_objects`.
        parts: its outlines, as of `outline_polygons`.
    """

    row: dict[str, Any]
    parts: list[list[Ring]]


def outline_polygons(instances: np.ndarray, *, origin: tuple[int, int] = (0, 0)) -> dict[int, list[list[Ring]]]:
    """Trace objects along the edges of their pixels.

    Args:
        instances: label map, int32 (H, W).
        origin: row and column of its first pixel in the image.

    Returns:
        For each label its 4-connected parts, each a list of closed rings of (x, y) = (column, row): the outer one
        first, then its holes. The upper left corner of the image is (0, 0).

    >>> outline_polygons(np.array([[0, 7]], dtype=np.int32))
    {7: [[[(1, 0), (1, 1), (2, 1), (2, 0), (1, 0)]]]}
    """
    polygons = defaultdict(list)
    for geometry, label in shapes(instances.astype(np.int32), mask=instances > 0, connectivity=4):
        rings = [[(int(x) + origin[1], int(y) + origin[0]) for x, y in ring] for ring in geometry["coordinates"]]
        polygons[int(label)].append(rings)
    return dict(polygons)


def outlined_objects(
    instances: np.ndarray, table: Table, *, origin: tuple[int, int] = (0, 0)
) -> Iterator[OutlinedObject]:
    """Yield the objects of an image, or of a part of one whose first pixel is at `origin`, (row, column).

    Args:
        instances: label map, int32 (H, W).
        table: as of `medseg_ext.objects.measure_objects`.
        origin: of the first pixel.
    """
    polygons = outline_polygons(instances, origin=origin)
    for row in rows_of(table):
        yield OutlinedObject(row, polygons[row["id"]])
