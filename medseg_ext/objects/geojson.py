"""Describe objects as GeoJSON, as QuPath imports it."""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from rasterio.features import shapes

from medseg_ext.tables import Table, rows_of

OBJECT_COLOUR = (255, 120, 0)
Ring = list[tuple[int, int]]


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


def to_geojson(instances: np.ndarray, table: Table, *, image_id: str) -> dict[str, Any]:
    """Make a FeatureCollection with one detection an object.

    Args:
        instances: label map, int32 (H, W).
        table: as of `medseg_ext.objects.measure_objects`; its numbers become the detections' measurements, but for
            those that are NaN, which JSON does not know.
        image_id: with the label it decides a detection's id, which is so the same in every run.

    Returns:
        GeoJSON with coordinates in pixels, (x, y) = (column, row), from the image's upper left corner.
    """
    return {"type": "FeatureCollection", "features": list(to_features(instances, table, image_id=image_id))}


def to_features(
    instances: np.ndarray, table: Table, *, image_id: str, origin: tuple[int, int] = (0, 0)
) -> Iterator[dict[str, Any]]:
    """Yield the features of `to_geojson`, of a part of an image whose first pixel is at `origin`, (row, column)."""
    polygons = outline_polygons(instances, origin=origin)
    for row in rows_of(table):
        yield _feature(row, polygons[row["id"]], image_id)


def _feature(row: dict[str, Any], parts: list[list[Ring]], image_id: str) -> dict[str, Any]:
    label, class_name = row.pop("id"), row.pop("class")
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image_id}/{label}")),
        "geometry": {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts},
        "properties": {
            "objectType": "detection",
            "name": str(label),  # leads back to the row of the CSV
            "classification": {"name": class_name, "color": OBJECT_COLOUR},
            "measurements": {name: value for name, value in row.items() if not math.isnan(value)},
        },
    }
