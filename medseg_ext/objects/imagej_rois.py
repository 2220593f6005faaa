"""Write objects as the ROIs of ImageJ, an archive an image."""

from __future__ import annotations

import zipfile
from typing import IO

import numpy as np
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from medseg_ext.objects.outlined import OutlinedObject, Ring

MOVE_TO, LINE_TO, CLOSE = 0.0, 1.0, 4.0  # segments of a composite
LARGEST_INTEGER = 32767  # px; beyond it the corners are floats, whose places are exact up to 2**24


class RoiArchive:
    """Write a ROI an object, called by its number, into an archive that ImageJ's ROI manager opens.

    An object in one piece without holes is a traced polygon along the edges of its pixels, and any other a composite,
    which has holes and pieces.

    Args:
        file: is written to.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)

    def add(self, found: OutlinedObject) -> None:
        """Write an object."""
        name = str(found.row["id"])
        rings = [ring for rings in found.parts for ring in rings]
        roi = _traced(rings[0]) if len(rings) == 1 else _composite(rings)
        roi.name = name
        # ZipInfo's own time, and not that of today: the same bytes every time
        self._archive.writestr(zipfile.ZipInfo(f"{name}.roi"), roi.tobytes(), zipfile.ZIP_DEFLATED)

    def close(self) -> None:
        """Write the end; the file stays open."""
        self._archive.close()


def _traced(ring: Ring) -> ImagejRoi:
    corners = np.array(ring[:-1], dtype=np.int64)
    roi = ImagejRoi.frompoints(corners if corners.max() <= LARGEST_INTEGER else corners.astype(np.float64))
    roi.roitype = ROI_TYPE.TRACED
    return roi


def _composite(rings: list[Ring]) -> ImagejRoi:
    segments = [np.array([CLOSE])]
    for ring in rings:
        path = np.empty((len(ring) - 1, 3))
        path[:, 0], path[:, 1:] = LINE_TO, ring[:-1]
        path[0, 0] = MOVE_TO
        segments += [path.ravel(), segments[0]]
    outline = np.concatenate(segments[1:]).astype(np.float32)
    corners = np.concatenate([np.array(ring) for ring in rings])
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    return ImagejRoi(
        roitype=ROI_TYPE.RECT,
        options=ROI_OPTIONS.OVERLAY_BACKGROUNDS | ROI_OPTIONS.OVERLAY_LABELS,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        multi_coordinates=outline,
        shape_roi_size=outline.size,
    )
