"""Decode PNG, BMP, JPEG and TIFF files into checked arrays."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from medseg_ext.errors import DataError

IMAGE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MAX_PIXELS = 2**31  # a slide of 46,000 x 46,000; a header that claims more is damaged, or made to fill the memory

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TAG_PHOTOMETRIC, TAG_ORIENTATION = 262, 274
# What is done to an array of each TIFF or EXIF orientation to set it upright; 1 is upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda array: np.rot90(array, 2),
    4: np.flipud,
    5: lambda array: np.swapaxes(array, 0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: np.swapaxes(np.rot90(array, 2), 0, 1),
    8: np.rot90,
}
_pillow_limit_lock = threading.Lock()


def decode_image(data: bytes, where: str, *, page: int = 0) -> np.ndarray:
    """Decode an image file as it is: values and their type are kept.

    Of a TIFF one page is read. The orientation (EXIF) and palettes are applied, white-is-zero is inverted, 1-bit
    pixels become 0 and 255, an alpha channel is dropped. Where Pillow has to read colours of 16 bits (PNG; TIFF
    compressed by LZW), it keeps the upper 8 bits only.

    Args:
        data: content of a PNG, BMP, JPEG or TIFF file.
        where: name of the file, for messages.
        page: number of a TIFF's page, from 0; other files have one.
    Returns: uint8, or the file's own type if it has more bits; grey (H, W) or RGB (H, W, 3).
    Raises: DataError: broken or cut short; neither grey nor RGB; more than `MAX_PIXELS`; fewer pages.
    """
    if page and page >= (n_pages := count_pages(io.BytesIO(data))):
        raise DataError(f"{where} has no page {page}: it has {n_pages}, counted from 0; choose another with --page")
    array = _decode_with_tifffile(data, page) if data.startswith(TIFF_STARTS) else None
    if array is None:
        array = _decode_with_pillow(data, where, page)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] > 4) or 0 in array.shape:
        raise DataError(f"{where} has the shape {array.shape}, expected grey, RGB or RGBA: save it again as such")
    if array.ndim == 3:
        array = array[..., :3] if array.shape[2] >= 3 else array[..., 0]
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def image_size(path: Path, *, page: int = 0) -> tuple[int, int] | None:
    """Tell the size (H, W) of an image from its header, before an orientation is applied; None if it has none."""
    try:
        with tifffile.TiffFile(path) as tiff:
            header = tiff.pages[page].aspage()
            return header.imagelength, header.imagewidth
    except Exception:  # no TIFF; or of the dozen kinds that tifffile raises: it is reported where it is read
        pass
    try:
        with without_pillow_limit(), Image.open(path) as image:
            return image.height, image.width
    except (OSError, ValueError, SyntaxError):
        return None


def count_pages(file: Path | io.BytesIO, *, reduced: bool = True) -> int:
    """Tell how many pages a TIFF has, as its header says; 1 for a file of another format, or a broken one.

    Args:
        file: path or content.
        reduced: count reduced copies of other pages, such as the levels of a slide, too.
    """
    try:
        with tifffile.TiffFile(file) as tiff:
            return len(tiff.pages) if reduced else sum(not page.aspage().is_reduced for page in tiff.pages)
    except Exception:  # of the dozen kinds that tifffile raises, for what is no TIFF, too; reading gives the reason
        return 1


def _decode_with_tifffile(data: bytes, page_number: int) -> np.ndarray | None:
    """Decode a page of a TIFF; None if it is for Pillow.

    Those are compressions for which tifffile needs `imagecodecs` (LZW, JPEG), colours that are to be converted
    (palette, YCbCr, CMYK), 2 or 4 bits a pixel; and damaged files and missing pages, for Pillow's reason.
    """
    kind = tifffile.PHOTOMETRIC
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            page = tiff.pages[page_number].aspage()
            plain = page.photometric in (kind.MINISWHITE, kind.MINISBLACK, kind.RGB)
            segment_ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            if (
                not plain
                or page.bitspersample not in (1, 8, 16, 32, 64)
                or page.imagewidth * page.imagelength > MAX_PIXELS
                or max(segment_ends) > len(data)  # cut short
            ):
                return None
            array = page.asarray()
            orientation = page.tags.valueof(TAG_ORIENTATION, 1)
            separate_planes = array.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
            white_is_zero = page.photometric == kind.MINISWHITE
    except Exception:  # tifffile raises a dozen kinds, too; what Pillow cannot read either, it names
        return None
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if white_is_zero and array.dtype.kind == "u":
        array = ~array
    if separate_planes:
        array = np.moveaxis(array, 0, -1)
    return UPRIGHT.get(orientation, np.asarray)(array) if array.ndim >= 2 else array


def _decode_with_pillow(data: bytes, where: str, page: int) -> np.ndarray:
    image = open_with_pillow(data, where, page)
    if image.mode.startswith("I;16"):
        array = np.asarray(image).astype(np.uint16)
        if getattr(image, "tag_v2", {}).get(_TAG_PHOTOMETRIC) == 0:  # white is zero: Pillow inverts 8 bits only
            array = ~array
    elif image.mode in ("I", "F"):  # converting to RGB would clip them
        array = np.asarray(image)
    else:
        try:
            array = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
        except ValueError as error:
            raise DataError(f"{where} has colours of the kind {image.mode}: save it again as RGB") from error
    try:
        orientation = image.getexif().get(TAG_ORIENTATION, 1)  # a TIFF's is gone: Pillow turned it while loading
    except Exception:  # broken EXIF data, of which Pillow complains in several ways, do not spoil the image
        orientation = 1
    return UPRIGHT.get(orientation, np.asarray)(array)


def open_with_pillow(data: bytes, where: str, page: int = 0) -> Image.Image:
    """Load an image with Pillow. Raises: DataError: it cannot be read, or has more than `MAX_PIXELS`; names it."""
    try:
        with without_pillow_limit():
            image = Image.open(io.BytesIO(data))
            image.seek(page)
        if image.width * image.height <= MAX_PIXELS:
            image.load()
            return image
    except Exception as error:  # Pillow's decoders raise a dozen kinds for broken files
        reason = "of no known format" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(
            f"{where} is not an image, or is cut short ({reason}): get it again, or save it again as PNG"
        ) from error
    raise DataError(f"{where} claims {image.width} x {image.height} pixels: cut it into smaller images")


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
