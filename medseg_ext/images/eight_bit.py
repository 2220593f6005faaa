"""Read images as RGB of 8 bits a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg_ext.errors import DataError
from medseg_ext.images.raster import decode_image


def read_rgb_8_bit(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image for a prepared data set: 8 bits a channel, grey is repeated.

    8 bits stay as they are. 16 bits are scaled from the image's own range: a camera of 12 bits fills a 16th of the 16
    bits, which would leave it 16 grey levels. The bundles stretch the contrast of every image, which undoes the scale.

    Args:
        data: content of the file.
        where: name of the file, for messages.
    Returns: uint8, shape (H, W, 3).
    Raises: DataError: as `decode_image`; more than 16 bits a channel, signed or floating point.
    """
    array = decode_image(data, where)
    if array.dtype == np.uint16:
        array = _scale_to_8_bits(array)
    if array.dtype != np.uint8:
        raise DataError(f"{where} has more than 16 bits a channel, or signs ({array.dtype}): save it with 8 or 16 bits")
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)


def _scale_to_8_bits(array: NDArray[np.uint16]) -> NDArray[np.uint8]:
    low, high = int(array.min()), int(array.max())
    if low == high:  # no range: its shade between 0, black, and 65535, white
        low, high = 0, 65535
    shades = np.rint((np.arange(low, high + 1) - low) * (255 / (high - low))).astype(np.uint8)
    return shades[array - np.uint16(low)]
