"""Read from image files how large a pixel is."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from medseg_ext.images.dicom import dicom_pixel_size_um, is_dicom
from medseg_ext.images.nifti import is_nifti, nifti_pixel_size_um

UM_OF_UNIT = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,  # micro sign
    "μm": 1.0,  # Greek letter
    "\\u00B5m": 1.0,  # as ImageJ writes it
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "nm": 1e-3,
    "inch": 25400.0,
    "in": 25400.0,
}
# Dots an inch of screens and printers, which programs write when they know no size of a pixel.
MADE_UP_DPI = (1, 72, 96, 100, 120, 144, 150, 200, 240, 300, 400, 600, 1200)

_TAG_ORIENTATION, _TAG_X_RESOLUTION, _TAG_Y_RESOLUTION, _TAG_RESOLUTION_UNIT = 274, 282, 283, 296
_UM_OF_RESOLUTION_UNIT = {2: 25400.0, 3: 1e4}  # inch, centimetre; 1 is no unit


def read_pixel_size_um(path: Path | str, *, page: int = 0) -> tuple[float, float] | None:
    """Read how large a pixel is.

    From a TIFF's OME description, ImageJ's description, or resolution with a unit, in this order; from DICOM's Pixel
    Spacing; from the zooms of NIfTI with a unit. Sizes that programs make up, such as 72 dots an inch, are unknown.

    Args:
        path: an image file that can be read.
        page: number of a TIFF's page.

    Returns:
        (height, width) of a pixel in micrometres, of the image as it is read (upright); None where the file does not
        tell both.
    """
    path = Path(path)
    if is_nifti(path):
        size = nifti_pixel_size_um(str(path))
    elif is_dicom(path):
        size = dicom_pixel_size_um(str(path))
    else:
        size = _tiff_pixel_size_um(path, page)
    return size if size is not None and all(math.isfinite(side) and side > 0 for side in size) else None


def _tiff_pixel_size_um(path: Path, page_number: int) -> tuple[float, float] | None:
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[page_number].aspage()
            if tiff.is_ome and (size := _ome_pixel_size_um(tiff.ome_metadata or "")):
                return size
            tags = tiff.pages.first.tags if tiff.is_imagej else page.tags  # ImageJ describes the first page only
            unit_um = UM_OF_UNIT.get(
                str((tiff.imagej_metadata or {}).get("unit")).strip()
            ) or _UM_OF_RESOLUTION_UNIT.get(tags.valueof(_TAG_RESOLUTION_UNIT))
            if unit_um is None:
                return None
            pixels, units = zip(tags.valueof(_TAG_Y_RESOLUTION), tags.valueof(_TAG_X_RESOLUTION), strict=True)
            height, width = (unit_um * n_units / n_pixels for n_pixels, n_units in zip(pixels, units, strict=True))
            if _is_made_up(height, width):
                return None
            turned = page.tags.valueof(_TAG_ORIENTATION, 1) >= 5
            return (width, height) if turned else (height, width)
    except Exception:  # no TIFF, or tags that are damaged: the size is unknown
        return None


def _ome_pixel_size_um(xml: str) -> tuple[float, float] | None:
    """Read the size in which all images of an OME description agree; it describes pages as they are stored."""
    sizes = set()
    for pixels in ElementTree.fromstring(xml).iterfind(".//{*}Pixels"):
        sides = []
        for axis in "YX":
            value = pixels.get(f"PhysicalSize{axis}")
            unit_um = UM_OF_UNIT.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))  # OME's own default
            sides.append(None if value is None or unit_um is None else float(value) * unit_um)
        sizes.add((sides[0], sides[1]))
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    return None if height is None or width is None else (height, width)


def _is_made_up(height_um: float, width_um: float) -> bool:
    dpi = 25400 / width_um
    return math.isclose(height_um, width_um) and any(math.isclose(dpi, each, rel_tol=1e-3) for each in MADE_UP_DPI)
