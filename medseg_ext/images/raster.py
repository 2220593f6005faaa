"""Decode PNG, BMP, JPEG and TIFF files into checked arrays."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from medseg_ext.errors import DataError
from medseg_ext.files import read_regular
from medseg_ext.images.channels import Choice, LeftOut, choose_channels
from medseg_ext.images.orientation import TAG_ORIENTATION, upright
from medseg_ext.images.sizes import MAX_PIXELS
from medseg_ext.images.tiff import TIFF_STARTS, TiffImage
from medseg_ext.images.tiff_segments import JPEG_END, JPEG_SCAN
from medseg_ext.memory import check_bytes

IMAGE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")

_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_BITS_AT = 24  # offset of the bits a channel
BYTES_OF_MODE = {"1": 1, "L": 1, "P": 3, "I;16": 2, "I;16B": 2}  # of a pixel; 4 of all others
_pillow_limit_lock = threading.Lock()


def decode_image(data: bytes, where: str, *, page: int = 0, channel: Choice = None) -> np.ndarray:
    """Decode an image file as it is: values and their type are kept.

    The orientation (EXIF) and palettes are applied, white-is-zero is inverted, 1-bit pixels become 0 and 255, an alpha
    channel is dropped. More of TIFF: `medseg_ext.images.tiff.TiffImage`.

    Args:
        data: content of a PNG, BMP, JPEG or TIFF file.
        where: name of the file, for messages.
        page: number of a TIFF's page, from 0; other files have one.
        channel: number, from 0, or name of the one channel to read, as grey; several are read as they are; None takes
            grey or RGB.
    Returns: uint8, or the file's own type if it has more bits; grey (H, W), RGB (H, W, 3), or several (H, W, C).
    Raises: DataError: broken or cut short; neither grey nor RGB; more than `MAX_PIXELS`; no such page or channel.
    """
    if data.startswith(TIFF_STARTS):
        return TiffImage(data, where, page=page, channel=channel).read_all()
    check_only_page(page, where)
    return take_channels(_decode_with_pillow(data, where), channel, where)


def decode_image_file(path: Path, *, page: int = 0, channel: Choice = None) -> np.ndarray:
    """Decode an image file, see `decode_image`; of a TIFF only the page is read."""
    if is_tiff(path):
        return TiffImage(path, str(path), page=page, channel=channel).read_all()
    return decode_image(read_regular(path), str(path), page=page, channel=channel)


def left_out_of(data: bytes, where: str, channel: Choice = None) -> list[LeftOut]:
    """Tell what `decode_image` leaves out of a file. Raises: DataError: as it does, by the header."""
    return TiffImage(data, where, channel=channel).left_out if data.startswith(TIFF_STARTS) else []


def is_tiff(path: Path) -> bool:
    """Say whether a file is a TIFF, by its content. Raises: OSError: it cannot be opened."""
    with path.open("rb") as file:
        return file.read(4) in TIFF_STARTS


def check_only_page(page: int, where: str) -> None:
    """Refuse another page than the first, of a file that has no others. Raises: DataError: names it."""
    if page:
        raise DataError(f"{where} has no page {page}: it has 1, counted from 0; choose another with --page")


def take_channels(array: np.ndarray, channel: Choice, where: str) -> np.ndarray:
    """Take channels of an image, grey (H, W) or of channels (H, W, C), or grey or RGB of it; alpha is none.

    Raises: DataError: no such channel; more than grey, RGB or RGBA.
    """
    names = ("",) * (1 if array.ndim == 2 else array.shape[2])
    channels = choose_channels(names, channel, where)
    array = array[..., None] if array.ndim == 2 else array
    return np.ascontiguousarray(channels.of(array[..., list(channels.taken)]))


def raster_header(path: Path) -> tuple[tuple[int, int], int, list[LeftOut]]:
    """Read the header of a PNG, BMP or JPEG.

    Returns: the size (H, W), before an orientation is applied; the number of channels, alpha not counted; remarks on
        further pictures, as of an animation.
    Raises: DataError: no image, or more than `MAX_PIXELS`; names it. OSError: it cannot be opened.
    """
    with path.open("rb") as file, _identified(file, str(path)) as image:
        is_grey = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
        n_pictures = getattr(image, "n_frames", 1)
        more = LeftOut(f"of {n_pictures} pictures the first was taken", "save another one alone to segment it")
        return (image.height, image.width), 1 if is_grey else 3, [more] if n_pictures > 1 else []


def _decode_with_pillow(data: bytes, where: str) -> np.ndarray:
    image = open_with_pillow(data, where)
    if data.startswith(_PNG_START) and data[_PNG_BITS_AT] == 16 and not image.mode.startswith("I"):
        array = _decode_deep_png(data, where)
    elif image.mode.startswith("I;16"):
        array = np.asarray(image).astype(np.uint16)
    elif image.mode in ("I", "F"):  # converting to RGB would clip them
        array = np.asarray(image)
    else:
        try:
            array = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
        except ValueError as error:
            raise DataError(f"{where} has colours of the kind {image.mode}: save it again as RGB") from error
    try:
        orientation = image.getexif().get(TAG_ORIENTATION, 1)
    except Exception:  # broken EXIF data, of which Pillow complains in several ways, do not spoil the image
        orientation = 1
    return upright(array, orientation)


def _decode_deep_png(data: bytes, where: str) -> np.ndarray:
    """Decode a PNG of 16 bits with alpha or colours, of which Pillow keeps the upper 8; without its alpha."""
    import imagecodecs  # where it is needed: a training does without

    try:
        array = imagecodecs.png_decode(data)
    except Exception as error:
        raise DataError(f"{where} is damaged ({error}): get it again, or save it again") from error
    return array[..., 0] if array.shape[2] < 3 else array[..., :3]


def open_with_pillow(data: bytes, where: str) -> Image.Image:
    """Load an image with Pillow. Raises: DataError: it cannot be read, or has more than `MAX_PIXELS`; names it."""
    image = _identified(io.BytesIO(data), where)
    with _reported(where):
        if image.format == "PNG":  # Pillow takes what is left of one for all of it, unless it is asked
            image.verify()
            image = _identified(io.BytesIO(data), where)
        elif image.format == "JPEG" and data.find(JPEG_END, data.find(JPEG_SCAN)) < 0:
            raise ValueError("its data have no end")
        image.load()
    return image


def _identified(file: BinaryIO, where: str) -> Image.Image:
    """Read an image's header. Raises: DataError: as `open_with_pillow`."""
    with _reported(where), without_pillow_limit():
        image = Image.open(file)
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{where} claims {image.width} x {image.height} pixels: cut it into smaller images")
    bytes_a_pixel = 2 * BYTES_OF_MODE.get(image.mode, 4)  # once as Pillow holds it, and once as an array
    check_bytes(image.width * image.height * bytes_a_pixel, where, remedy="save it as a TIFF in tiles, or cut it")
    return image


@contextmanager
def _reported(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow's decoders raise a dozen kinds for broken files
        reason = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{where} is not an image, or is cut short ({reason}): get it again, or save it again as PNG"
        ) from error


@contextmanager
def without_pillow_limit() -> Iterator[None]:
    """Lift Pillow's limit of 179 megapixels, made for web servers: people segment larger images of their own.

    The limit is one global variable, so it is lifted only while a header is read or an image cropped, which is short,
    and by one thread at a time; `MAX_PIXELS` takes its place. Other users of Pillow keep their limit.
    """
    with _pillow_limit_lock:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
