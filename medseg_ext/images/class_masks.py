"""Read masks of one object as class indices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.raster import open_with_pillow, without_pillow_limit


def read_class_map(data: bytes, where: str, class_of_value: dict[int, int]) -> NDArray[np.uint8]:
    """Decode a mask of one object; colour channels must agree, an alpha channel is dropped.

    Args:
        data: content of the file.
        where: name of the file, for messages.
        class_of_value: class index of each grey value that may occur.
    Returns: uint8 class indices, shape (H, W).
    Raises: DataError: broken or cut short; in colour; more than 8 bits a pixel; any other grey value.
    """
    grey = _single_channel(open_with_pillow(data, where), where)
    # only the part that is not 0 is counted: it is small, and the files are many
    with without_pillow_limit():
        counts = grey.crop(grey.getbbox()).histogram()
    if unknown := [value for value, count in enumerate(counts) if count and value not in class_of_value]:
        expected = ", ".join(map(str, class_of_value))
        raise DataError(f"{where} holds the mask values {unknown[:5]}: only {expected} have a meaning, mend the mask")
    return np.asarray(grey.point([class_of_value.get(value, 0) for value in range(256)]))


def _single_channel(image: Image.Image, where: str) -> Image.Image:
    """Reduce a mask to 8-bit grey. Raises: DataError: it is in colour, or has more than 8 bits."""
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGB")
    grey, *others = image.split()
    # an alpha channel is no colour; "LA" has nothing else beside its grey
    if any(channel.tobytes() != grey.tobytes() for channel in others[:2] if len(others) > 1):
        raise DataError(f"{where} is a mask in colour: save it as grey, its channels must be equal")
    if grey.mode != "L":
        raise DataError(f"{where} is a mask with more than 8 bits a pixel: save it with 8 bits")
    return grey
