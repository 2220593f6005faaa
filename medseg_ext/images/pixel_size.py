"""Read from image files how large a pixel is."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree  # nosec B405 # Expat bounds entities since 2.4, and fetches none

import tifffile

from medseg_ext.addresses import PathLike, shown
from medseg_ext.errors import DataError
from medseg_ext.images.dicom import dicom_pixel_size_um, is_dicom
from medseg_ext.images.nifti import is_nifti, nifti_pixel_size_um
from medseg_ext.images.ome_zarr import OmeZarrImage, is_ome_zarr
from medseg_ext.images.tiff_pages import TiffPages
from medseg_ext.object_stores import at_hand

UM_OF_UNIT = {
    "m": 1e6,
    "meter": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek letter
    "\\u00B5m": 1.0,  # as ImageJ writes it
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "Å": 1e-4,
    "inch": 25400.0,
    "in": 25400.0,
}
# What a light microscope's pixel can be, in micrometres. Light resolves 0.2 um (Abbe), which cameras sample twice or
# more, and super-resolution some 0.01 um; a stereo microscope's or a slide overview's pixel has up to some 20 um.
# Resolutions of screens, printers and scanners lie beyond: 1200 dots an inch are 21 um.
LEAST_UM, LARGEST_UM = 0.01, 20.0

_TAG_DESCRIPTION, _TAG_ORIENTATION, _TAG_X_RESOLUTION, _TAG_Y_RESOLUTION, _TAG_RESOLUTION_UNIT = 270, 274, 282, 283, 296
_UM_OF_RESOLUTION_UNIT = {2: 25400.0, 3: 1e4}  # inch, centimetre; 1 is no unit
_APERIO_SIZE = re.compile(r"\bMPP\s*=\s*([0-9.]+)")

UNKNOWN_SIZE = "its file does not tell how large a pixel is: give --pixel_size_um"

logger = logging.getLogger(__name__)


def given_pixel_size_um(value: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Take the size of a pixel that a person gives: a length, or height and width, in micrometres.

    Raises:
        DataError: it is no length above 0, or not one or two.
    """
    if value is None:
        return None
    sides: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value] * 2
    is_size = len(sides) == 2 and all(
        isinstance(side, (int, float)) and not isinstance(side, bool) and 0 < side < math.inf for side in sides
    )
    if not is_size:
        raise DataError(f"pixel_size_um must be a length above 0, or height and width, got {value!r}")
    return float(sides[0]), float(sides[1])


def read_pixel_size_um(path: PathLike, *, page: int = 0) -> tuple[float, float] | None:
    """Read how large a pixel is.

    From a TIFF's OME description, Aperio's MPP, ImageJ's description, or resolution with a unit, in this order; from
    DICOM's Pixel Spacing; from the zooms of NIfTI and the scale of OME-Zarr with a unit. A size that no microscope's
    pixel has, below `LEAST_UM` or above `LARGEST_UM`, is left out, with a remark in the log: programs write 72 or 180
    dots an inch, or one pixel a centimetre, where they know none.

    Args:
        path: an image file that can be read, or its address.
        page: number of a TIFF's page.

    Returns:
        (height, width) of a pixel in micrometres, of the image as it is read (upright); None where the file does not
        tell both.
    """
    if is_ome_zarr(path):
        size = OmeZarrImage(path, shown(path), page=page, channel=0).pixel_size_um
    else:
        with at_hand(path) as file:
            if is_nifti(file):
                size = nifti_pixel_size_um(str(file))
            elif is_dicom(file):
                size = dicom_pixel_size_um(str(file))
            else:
                size = _tiff_pixel_size_um(file, page)
    if size is None or not all(math.isfinite(side) and side > 0 for side in size):
        return None
    if not all(LEAST_UM <= side <= LARGEST_UM for side in size):
        _remark_once(shown(path), size)
        return None
    return size


def refuse_unknown_sizes(paths: Sequence[PathLike], *, page: int = 0) -> None:
    """Stop where no image tells how large its pixels are; the first that does ends the search.

    Args:
        paths: of images; at least one.
        page: number of a TIFF's page.

    Raises:
        DataError: names the first image, and the remedy.
    """
    if all(read_pixel_size_um(path, page=page) is None for path in paths):
        more = f" (nor does any of the other {len(paths) - 1})" if len(paths) > 1 else ""
        raise DataError(f"{shown(paths[0])}: {UNKNOWN_SIZE}{more}")


@cache
def _remark_once(path: str, size: tuple[float, float]) -> None:
    logger.warning(
        "%s gives its pixels %.4g x %.4g micrometres, which no microscope's have (%g to %g): it is left out; "
        "--pixel_size_um tells the right one",
        path,
        *size,
        LEAST_UM,
        LARGEST_UM,
    )


def _tiff_pixel_size_um(path: Path, page_number: int) -> tuple[float, float] | None:
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[TiffPages(tiff).planes[page_number].directory].aspage()
            if tiff.is_ome and (size := _ome_pixel_size_um(tiff.ome_metadata or "")):
                return size
            if found := _APERIO_SIZE.search(str(page.tags.valueof(_TAG_DESCRIPTION) or "")):
                return float(found[1]), float(found[1])
            tags = tiff.pages.first.tags if tiff.is_imagej else page.tags  # ImageJ describes the first page only
            unit_um = UM_OF_UNIT.get(
                str((tiff.imagej_metadata or {}).get("unit")).strip()
            ) or _UM_OF_RESOLUTION_UNIT.get(tags.valueof(_TAG_RESOLUTION_UNIT))
            if unit_um is None:
                return None
            pixels, units = zip(tags.valueof(_TAG_Y_RESOLUTION), tags.valueof(_TAG_X_RESOLUTION), strict=True)
            height, width = (unit_um * n_units / n_pixels for n_pixels, n_units in zip(pixels, units, strict=True))
            turned = page.tags.valueof(_TAG_ORIENTATION, 1) >= 5
            return (width, height) if turned else (height, width)
    except Exception:  # no TIFF, or tags that are damaged: the size is unknown
        return None


def _ome_pixel_size_um(xml: str) -> tuple[float, float] | None:
    """Read the size in which all images of an OME description agree; it describes pages as they are stored."""
    sizes = set()
    for pixels in ElementTree.fromstring(xml).iterfind(".//{*}Pixels"):  # nosec B314 # as above
        sides = []
        for axis in "YX":
            value = pixels.get(f"PhysicalSize{axis}")
            unit_um = UM_OF_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))  # OME's own default
            sides.append(None if value is None or unit_um is None else float(value) * unit_um)
        sizes.add((sides[0], sides[1]))
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    return None if height is None or width is None else (height, width)
