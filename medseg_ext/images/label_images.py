"""Read label maps: images whose values are the numbers of objects."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.numpy_files import NPY_START, decode_npy
from medseg_ext.images.orientation import TAG_ORIENTATION, upright
from medseg_ext.images.raster import TIFF_STARTS, decode_image, without_pillow_limit
from medseg_ext.images.sizes import MAX_PIXELS

LOSSY = (".jpg", ".jpeg", ".webp")
LARGEST_LABEL = 2**53  # up to there a float holds whole numbers


class LabelImage(NamedTuple):
    """A label map.

    Attributes:
        labels: int64, shape (H, W); 0 is the background.
        is_coloured: its colours stand for the objects, black for the background; then a label is 65536 red + 256 green
            + blue.
    """

    labels: NDArray[np.int64]
    is_coloured: bool = False


def read_label_image(data: bytes, where: str) -> LabelImage:
    """Decode a label map, by its stored values: neither palettes nor photometric interpretations change them.

    Args:
        data: content of a TIFF, PNG, NPY or other image file: integers of 1 to 64 bits, or floats of whole values.
        where: name of the file, for messages.
    Raises: DataError: broken; a JPEG, which changes values; of several pages; values below 0 or that are not whole.
    """
    if where.lower().endswith(LOSSY):
        raise DataError(f"{where}: this format changes values, so that no label map can be in it: save PNG or TIFF")
    array = _decode(data, where)
    if array.ndim == 3:
        if (array == array[..., :1]).all():
            array = array[..., 0]
        elif array.dtype == np.uint8:
            red, green, blue = (array[..., channel].astype(np.int64) for channel in range(3))
            return LabelImage(red << 16 | green << 8 | blue, is_coloured=True)
        else:
            raise DataError(f"{where} is in colour, of {array.dtype}: save the label map as grey integers")
    if array.dtype.kind == "f" and (not np.isfinite(array).all() or (array != np.rint(array)).any()):
        raise DataError(f"{where} has values that are no whole numbers: it is no label map; save integers")
    if array.size and (array.min() < 0 or array.max() > LARGEST_LABEL):
        value = array.min() if array.min() < 0 else array.max()
        raise DataError(
            f"{where} has the value {value}: labels must be 0, the background, or above; mend the label map"
        )
    return LabelImage(array.astype(np.int64))


def _decode(data: bytes, where: str) -> np.ndarray:
    if data.startswith(NPY_START) or where.lower().endswith(".npy"):
        return decode_npy(data, where)
    if data.startswith(TIFF_STARTS):
        return _decode_tiff(data, where)
    palette = _palette_indices(data)
    return decode_image(data, where) if palette is None else palette


def _decode_tiff(data: bytes, where: str) -> np.ndarray:
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            series, first = tiff.series[0], tiff.pages.first
            pages = [
                length
                for length, axis in zip(series.shape, series.axes, strict=True)
                if axis not in "YXS" and length > 1
            ]
            further = sum(not each.keyframe.is_reduced for each in tiff.series) - 1
            if pages or further > 0:
                raise DataError(
                    f"{where} is a label map of several pages ({series.axes} {series.shape}): save the one of its image"
                    " as a file of its own"
                )
            if series.size > 4 * MAX_PIXELS:
                raise DataError(f"{where} has the shape {series.shape}: cut it into smaller images")
            array = series.asarray()
            if "S" in series.axes:
                array = np.moveaxis(array, series.axes.index("S"), -1)[..., :3]
            array = array.reshape([length for length in array.shape if length > 1] or [1])
            tag = first.tags.get(TAG_ORIENTATION)
    except DataError:
        raise
    except Exception as error:  # tifffile and its decoders raise a dozen kinds
        raise DataError(f"{where} is no TIFF, or is cut short ({error}): save the label map again") from error
    if array.ndim < 2:
        raise DataError(f"{where} is a label map of the shape {array.shape}: expected rows and columns")
    return upright(array, int(tag.value) if tag is not None else 1)


def _palette_indices(data: bytes) -> np.ndarray | None:
    """Give the stored values of a file with a palette; what is shown as black is 0. None for other files."""
    try:
        with without_pillow_limit(), Image.open(io.BytesIO(data)) as image:
            if image.mode != "P" or getattr(image, "n_frames", 1) > 1 or image.width * image.height > MAX_PIXELS:
                return None
            image.load()
            indices, colours = np.asarray(image), np.reshape(image.getpalette("RGB") or [0, 0, 0], (-1, 3))
    except Exception:  # reading it otherwise gives the reason
        return None
    used = np.unique(indices)
    black = [index for index in used if index < len(colours) and not colours[index].any()]
    if 0 in used and len(colours) and colours[0].any() and black:
        return np.where(indices == black[0], 0, indices.astype(np.int64) + 1)
    return indices
