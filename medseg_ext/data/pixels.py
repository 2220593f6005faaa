"""Turn the bytes of image files into checked arrays, and arrays into PNG bytes."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.data.errors import DataError

IMAGE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")


def read_rgb(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image of 8 or 16 bits a channel; an alpha channel is dropped, grey is repeated.

    Args:
        data: content of the file.
        where: name of the file, for messages.
    Returns: uint8, shape (H, W, 3).
    Raises: DataError: broken or cut short; more than 16 bits a channel.
    """
    image = _decode(data, where)
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) // 257).astype(np.uint8)  # 65535 is white, as it is at inference
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise DataError(f"{where} has more than 16 bits a channel: save it with 8 bits")
    return np.asarray(image.convert("RGB"))


def read_class_map(data: bytes, where: str, class_of_value: dict[int, int]) -> NDArray[np.uint8]:
    """Decode a mask of one object; colour channels must agree, an alpha channel is dropped.

    Args:
        data: content of the file.
        where: name of the file, for messages.
        class_of_value: class index of each grey value that may occur.
    Returns: uint8 class indices, shape (H, W).
    Raises: DataError: broken or cut short; in colour; more than 8 bits a pixel; any other grey value.
    """
    grey = _single_channel(_decode(data, where), where)
    # only the part that is not 0 is counted: it is small, and the files are many
    counts = grey.crop(grey.getbbox()).histogram()
    if unknown := [value for value, count in enumerate(counts) if count and value not in class_of_value]:
        expected = ", ".join(map(str, class_of_value))
        raise DataError(f"{where} holds the mask values {unknown[:5]}: only {expected} have a meaning, mend the mask")
    return np.asarray(grey.point([class_of_value.get(value, 0) for value in range(256)]))


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode a grey (H, W) or RGB (H, W, 3) array as PNG, without loss and without a time stamp."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)  # a tenth larger than 6, in half the time
    return buffer.getvalue()


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


def _decode(data: bytes, where: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception as error:  # Pillow's decoders raise a dozen kinds for broken files
        raise DataError(f"{where} is not an image, or is cut short ({error}): get it again from its origin") from error
    return image
