"""Read masks of one object as class indices."""

from __future__ import annotations

import io
import math

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.raster import TIFF_STARTS, decode_image, without_pillow_limit

UNKNOWN = 255  # no class has this index
LABEL_MAPS = "one file an image: see --layout label_maps"


def read_class_map(
    data: bytes, where: str, class_of_value: dict[int, int], *, is_complement: bool = False
) -> NDArray[np.uint8]:
    """Decode a mask of one object; colour channels must agree, an alpha channel is dropped.

    Args:
        data: content of a file of any format that `medseg_ext.images.raster.decode_image` reads.
        where: name of the file, for messages.
        class_of_value: class index of each grey value that may occur.
        is_complement: what is shown as white is 0, and what as black 255: see `is_white_zero`.
    Returns: uint8 class indices, shape (H, W).
    Raises: DataError: broken or cut short; of several pages; in colour; more than 8 bits a pixel; any other grey value.
    """
    _refuse_pages(data, where)
    grey = decode_image(data, where)
    if grey.ndim == 3:
        if (grey != grey[..., :1]).any():
            raise DataError(f"{where} is a mask in colour: save it as grey, its channels must be equal")
        grey = grey[..., 0]
    if grey.dtype != np.uint8:
        raise DataError(
            f"{where} is a mask with more than 8 bits a pixel: if its values number objects, it is a label map"
            f" ({LABEL_MAPS}); else save it with 8 bits"
        )
    if is_complement:
        grey = ~grey
    classes = np.array([class_of_value.get(value, UNKNOWN) for value in range(256)], dtype=np.uint8)
    class_map = classes[grey]
    if class_map.max() == UNKNOWN:
        unknown = [int(value) for value in np.unique(grey) if value not in class_of_value]
        expected = ", ".join(map(str, class_of_value))
        raise DataError(
            f"{where} holds the mask values {unknown[:5]}: only {expected} have a meaning here; if the values number"
            f" objects, it is a label map ({LABEL_MAPS}); else mend the mask"
        )
    return class_map


def is_white_zero(data: bytes) -> bool:
    """Say whether a file shows its value 0 as white: by a TIFF's photometric interpretation, or by its palette.

    ImageJ stores masks so that it shows black on white: their objects are 255, which a reader takes for black. Others
    mean what is shown.

    Args:
        data: content of an image file; of a broken one False.
    """
    try:
        if data.startswith(TIFF_STARTS):
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                return tiff.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
        with without_pillow_limit(), Image.open(io.BytesIO(data)) as image:
            if image.mode != "P":
                return False
            shades = np.reshape(image.getpalette("RGB") or [0, 0, 0], (-1, 3)).astype(int)
    except Exception:  # a dozen kinds; reading it gives the reason
        return False
    return bool((shades[0] == 255).all() and (np.ptp(shades, axis=1) == 0).all() and (np.diff(shades[:, 0]) <= 0).all())


def _refuse_pages(data: bytes, where: str) -> None:
    """Refuse a file of several pages: each may hold an object, and one is read."""
    try:
        if data.startswith(TIFF_STARTS):
            with tifffile.TiffFile(io.BytesIO(data)) as tiff:
                pages = sum(
                    math.prod(length for length, axis in zip(each.shape, each.axes, strict=True) if axis not in "YXS")
                    for each in tiff.series
                    if not each.keyframe.is_reduced
                )
        else:
            with without_pillow_limit(), Image.open(io.BytesIO(data)) as image:
                pages = getattr(image, "n_frames", 1)
    except Exception:  # likewise
        return
    if pages > 1:
        raise DataError(f"{where} is a mask of {pages} pages: save each as a file of its own, one object each")
