"""Describe objects as GeoJSON, as QuPath imports it."""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from typing import Any

import numpy as np
from rasterio.features import shapes

from medseg_ext.inference.tables import Table, rows_of

OBJECT_COLOUR = (255, 120, 0)
Ring = list[tuple[int, int]]


def outline_polygons(instances: np.ndarray) -> dict[int, list[list[Ring]]]:
    """Trace objects along the edges of their pixels.

    Args:
        instances: label map, int32 (H, W).

    Returns:
        For each label its 4-connected parts, each a list of closed rings of (x, y) = (column, row): the outer one
        first, then its holes. The upper left corner of the first pixel is (0, 0).

    >>> outline_polygons(np.array([[0, 7]], dtype=np.int32))
    {7: [[[(1, 0), (1, 1), (2, 1), (2, 0), (1, 0)]]]}
    """
    polygons = defaultdict(list)
    for geometry, label in shapes(instances.astype(np.int32), mask=instances > 0, connectivity=4):
        rings = [[(int(x), int(y)) for x, y in ring] for ring in geometry["coordinates"]]
        polygons[int(label)].append(rings)
    return dict(polygons)


def to_geojson(instances: np.ndarray, table: Table, *, image_id: str) -> dict[str, Any]:
    """Make a FeatureCollection with one detection an object.

    Args:
        instances: label map, int32 (H, W).
        table: as of `medseg_ext.inference.measure_objects`; its numbers become the detections' measurements, but for
            those that are NaN, which JSON does not know.
        image_id: with the label it decides a detection's id, which is so the same in every run.

    Returns:
        GeoJSON with coordinates in pixels, (x, y) = (column, row), from the image's upper left corner.
    """
    polygons = outline_polygons(instances)
    features = [_feature(row, polygons[row["id"]], image_id) for row in rows_of(table)]
    return {"type": "FeatureCollection", "features": features}


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
