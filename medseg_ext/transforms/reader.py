"""Read microscopy images of any common kind as RGB."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import tifffile
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys
from PIL import Image, ImageOps

TIFF_SUFFIXES = (".tif", ".tiff")


def read_rgb(path: PathLike) -> np.ndarray:
    """Read one image file as RGB.

    Grey images are repeated over the three channels, an alpha channel is dropped, palettes and the EXIF orientation
    are applied. Integers are divided by the largest value of their type; floats are taken as they are when they lie
    in [0, 1], else stretched from their own range. Of a multi-page TIFF the first page is read.

    Args:
        path: a PNG, BMP, JPEG or TIFF file.

    Returns:
        float32 array (H, W, 3) in [0, 1].

    Raises:
        ValueError: the file is not an image that can be read, or not one of 1 to 4 channels; names the file.
    """
    path = Path(path)
    try:
        array = _read_tiff(path) if path.suffix.lower() in TIFF_SUFFIXES else _read_with_pillow(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        # Pillow and tifffile raise a dozen types for a damaged file; people need the file's name and what to do.
        raise ValueError(f"{path}: cannot be read as an image ({error}); save it again as PNG or TIFF") from error
    return _to_rgb(_to_unit_range(array, path), path)


def _read_tiff(path: Path) -> np.ndarray:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        array = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return _read_with_pillow(path)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and np.issubdtype(array.dtype, np.unsignedinteger):
            array = np.iinfo(array.dtype).max - array
        if array.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
            array = np.moveaxis(array, 0, -1)
    return array


def _read_with_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):  # 16 or 32 bit grey: converting to RGB would clip it
            return np.asarray(upright, dtype=np.uint16 if upright.mode.startswith("I;16") else None)
        return np.asarray(upright.convert("RGB"))


def _to_unit_range(array: np.ndarray, path: Path) -> np.ndarray:
    if array.dtype == bool:
        return array.astype(np.float32)
    if np.issubdtype(array.dtype, np.unsignedinteger):
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: holds values that are not finite; replace them before segmenting")
    low, high = float(array.min()), float(array.max())
    if np.issubdtype(array.dtype, np.floating) and low >= 0 and high <= 1:
        return array.astype(np.float32)
    return ((array.astype(np.float64) - low) / max(high - low, 1e-12)).astype(np.float32)


def _to_rgb(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or not 1 <= array.shape[-1] <= 4 or 0 in array.shape:
        raise ValueError(f"{path}: expected a grey, RGB or RGBA image, got an array of shape {array.shape}")
    if array.shape[-1] <= 2:  # grey, or grey and alpha
        return np.repeat(array[..., :1], 3, axis=-1)
    return np.ascontiguousarray(array[..., :3])


class RGBReader(ImageReader):
    """MONAI image reader over `read_rgb`; rows stay the first axis (no transposition to W x H).

    Use as `LoadImaged(keys="image", reader=RGBReader(), ensure_channel_first=True)`, which gives float32 (3, H, W).
    """

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Say yes to every file: `read_rgb` itself reports what it cannot read."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[np.ndarray, str]:
        """Read one file; returns the array (H, W, 3) and its name."""
        path = data[0] if isinstance(data, (list, tuple)) else cast(PathLike, data)
        return read_rgb(path), str(path)

    def get_data(self, img: tuple[np.ndarray, str]) -> tuple[np.ndarray, dict]:
        """Return the array (H, W, 3) and its metadata, as `LoadImage` expects them."""
        array, name = img
        metadata = {
            "filename_or_obj": name,
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1,
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:2]),
            MetaKeys.AFFINE: np.eye(4),
            MetaKeys.ORIGINAL_AFFINE: np.eye(4),
            MetaKeys.SPACE: "RAS",
        }
        return array, metadata
