"""Describe objects as GeoJSON, as QuPath imports it."""

from __future__ import annotations

import json
import math
import uuid
from typing import IO, Any

from medseg_ext.objects.outlined import OutlinedObject

OBJECT_COLOUR = (255, 120, 0)


class GeojsonFile:
    """Write a FeatureCollection with one detection an object, object by object.

    Coordinates are in pixels, (x, y) = (column, row), from the image's upper left corner.

    Args:
        file: is written to.
        image_id: with the label it decides a detection's id, which is so the same in every run.
    """

    def __init__(self, file: IO[bytes], *, image_id: str) -> None:
        self._file = file
        self._image_id = image_id
        self._before = '{"type":"FeatureCollection","features":['

    def add(self, found: OutlinedObject) -> None:
        """Write an object."""
        feature = json.dumps(to_feature(found, self._image_id), separators=(",", ":"), ensure_ascii=False)
        self._file.write((self._before + feature).encode())
        self._before = ","

    def close(self) -> None:
        """Write the end; the file stays open."""
        self._file.write(((self._before if self._before != "," else "") + "]}").encode())


def to_feature(found: OutlinedObject, image_id: str) -> dict[str, Any]:
    """Make a detection of an object; its numbers become measurements, but for NaN, which JSON does not know."""
    measured = {name: value for name, value in found.row.items() if name not in ("id", "class")}
    label, parts = found.row["id"], found.parts
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image_id}/{label}")),
        "geometry": {"type": "Polygon", "coordinates": parts[0]}
        if len(parts) == 1
        else {"type": "MultiPolygon", "coordinates": parts},
        "properties": {
            "objectType": "detection",
            "name": str(label),  # leads back to the row of the CSV
            "classification": {"name": found.row["class"], "color": OBJECT_COLOUR},
            "measurements": {name: value for name, value in measured.items() if not math.isnan(value)},
        },
    }
