"""Decode colours of 16 bits, of which Pillow keeps the upper 8."""

from __future__ import annotations

import io
import warnings

import numpy as np
import tifffile
from PIL import Image

from medseg_ext.images.raster import TAG_ORIENTATION, TIFF_STARTS, UPRIGHT, without_pillow_limit

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_BITS_AT = 24  # offset of the bits a channel


def decode_deep_colours(data: bytes, array: np.ndarray, *, page: int = 0) -> np.ndarray:
    """Give the colours of a PNG or TIFF their 16 bits, with GDAL, where `decode_image` found 8.

    Args:
        data: content of an image file.
        array: what `medseg_ext.images.raster.decode_image` made of it, which so has shown that the file is whole.
        page: number of a TIFF's page, from 0.

    Returns:
        uint16 (H, W, 3), or `array` if that has all there is.
    """
    if array.ndim != 3 or array.dtype != np.uint8:
        return array
    if data.startswith(_PNG_START) and data[_PNG_BITS_AT] == 16:
        with without_pillow_limit(), Image.open(io.BytesIO(data)) as image:
            return _decode_with_gdal(data, "{}", image.getexif().get(TAG_ORIENTATION, 1))
    if data.startswith(TIFF_STARTS):
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            found = tiff.pages[page].aspage()
            if found.bitspersample == 16 and found.photometric == tifffile.PHOTOMETRIC.RGB:
                name = f"GTIFF_DIR:{page + 1}:{{}}"
                return _decode_with_gdal(data, name, found.tags.valueof(TAG_ORIENTATION, 1))
    return array


def _decode_with_gdal(data: bytes, name: str, orientation: int) -> np.ndarray:
    import rasterio  # where it is needed: a training does without
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.io import MemoryFile

    with warnings.catch_warnings(), MemoryFile(data) as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it is no map
        with rasterio.open(name.format(memory.name)) as dataset:
            array = np.moveaxis(dataset.read((1, 2, 3)), 0, -1)
    return UPRIGHT.get(orientation, np.asarray)(array)
