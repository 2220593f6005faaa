"""Read objects from the ROIs of ImageJ, one archive or one .roi an image."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg_ext.datasets.annotations import OneFile, Remarks
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.pairing import Pairing, pair_files
from medseg_ext.datasets.polygons import outlined_object
from medseg_ext.datasets.raw_images import is_image_name
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.memory import TEXT_GROWS, check_bytes

OTHER_PLANE = "ROI of another slice or frame than the first"
NO_OUTLINE = "ROI that encloses nothing ({})"
OVAL_POINTS = 256
ZIP_START = b"PK"


@dataclass(frozen=True)
class RoiFile(OneFile):
    """Objects as the ROIs of an archive (`RoiSet.zip`), or a single one (`.roi`)."""

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw the ROIs. Raises: DataError: the archive or a ROI is broken."""
        from roifile import ImagejRoi  # where it is needed: a training does without

        for name, data in _members(source, self.file):
            where = f"{source.path}/{name}"
            try:
                roi = ImagejRoi.frombytes(data)
                rings = _rings(roi)
            except Exception as error:  # of broken bytes roifile has several kinds
                raise DataError(f"{where} is no ROI of ImageJ, or is cut short ({error}): save it again") from error
            if max(roi.position, roi.z_position, roi.t_position) > 1:
                remarks.skipped[OTHER_PLANE].append(name)
            elif not rings:
                remarks.skipped[NO_OUTLINE.format(roi.roitype.name.lower())].append(name)
            else:
                try:
                    mask = outlined_object([rings], shape, name=name, label="", remarks=remarks)
                except ValueError as error:
                    raise DataError(f"{where}: {error}: draw it again") from error
                if mask is not None:
                    yield mask


def find_images(source: Source) -> Pairing:
    """Pair images with archives of ROIs. Raises: DataError: as `pair_files`."""
    return pair_files(source, is_image_name, is_roi_name)


def is_roi_name(name: str) -> bool:
    """Say whether a file has a name of ROIs."""
    return name.lower().endswith((".roi", ".zip"))


def _members(source: Source, file: str) -> Iterator[tuple[str, bytes]]:
    data = source.read(file)
    if not data.startswith(ZIP_START):
        yield file, data
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if member.filename.lower().endswith(".roi"):
                    check_bytes(TEXT_GROWS * member.file_size, source.where(file), remedy="save its ROIs again")
                    yield f"{file}/{member.filename}", archive.read(member)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(
            f"{source.where(file)} is no archive of ROIs, or is cut short ({error}): save it again"
        ) from error


def _rings(roi: Any) -> list[NDArray[np.floating]]:
    """Give the rings of a ROI, of which an even number around a pixel is a hole; none of points and lines."""
    from roifile import ROI_TYPE

    if roi.multi_coordinates is not None:  # a composite; of any type
        return [ring for ring in roi.coordinates(multi=True) if len(ring) > 2]
    if roi.roitype in (ROI_TYPE.OVAL, ROI_TYPE.RECT):
        left, top, right, bottom = float(roi.left), float(roi.top), float(roi.right), float(roi.bottom)
        if roi.subpixelrect:
            left, top, right, bottom = roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
        if roi.roitype == ROI_TYPE.OVAL:
            angles = np.linspace(0, 2 * np.pi, OVAL_POINTS, endpoint=False)
            unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
            return [((left + right) / 2, (top + bottom) / 2) + unit * ((right - left) / 2, (bottom - top) / 2)]
        return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
    if roi.roitype in (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED):
        return [np.asarray(roi.coordinates(), dtype=float)]
    return []
