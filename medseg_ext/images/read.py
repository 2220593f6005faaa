"""Read microscopy images of any common kind as RGB, and label maps as they are."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medseg_ext.addresses import PathLike, shown
from medseg_ext.errors import DataError
from medseg_ext.files import check_regular, read_regular, told_if_unreadable
from medseg_ext.images.channels import Choice
from medseg_ext.images.colours import are_shares
from medseg_ext.images.dicom import decode_dicom, is_dicom
from medseg_ext.images.nifti import decode_nifti, is_nifti
from medseg_ext.images.ome_zarr import OmeZarrImage, is_ome_zarr
from medseg_ext.images.raster import check_only_page, decode_image, decode_image_file, is_tiff, take_channels
from medseg_ext.images.tiff import TiffImage
from medseg_ext.object_stores import at_hand


def read_rgb(path: PathLike, *, page: int = 0, channel: Choice = None) -> np.ndarray:
    """Read one image file as RGB, or several of its channels.

    Grey images are repeated over the three channels, an alpha channel is dropped, palettes and the EXIF orientation
    are applied. Integers are divided by the largest value of their type; floats are taken as they are when they lie
    in [0, 1], else, or where none is above `LEAST_SHARE`, stretched from their own range, as are signed integers. One
    value alone, other than a float in [0, 1], is black.

    Args:
        path: a PNG, BMP, JPEG, TIFF, NIfTI or DICOM file, or the folder of an OME-Zarr image; or the address of one.
        page: number of the page of a TIFF, or of the plane of an OME-Zarr, from 0; other files have one.
        channel: number, from 0, or name of the one channel to read, as grey; a list of such takes these channels as
            they are; None takes grey or RGB, of two channels the first, of four the first three.

    Returns:
        float32 array (H, W, 3) in [0, 1]; of a list of C channels (H, W, C).

    Raises:
        DataError: the file is not an image that can be read, not one of 1 to 4 channels, a volume, or has no such page
            or channel; or it cannot be opened; names the file.
    """
    array = decode_file(path, page=page, channel=channel)
    array = to_unit_range(array, unit_range(array, path))
    return array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)


def read_prepared(path: PathLike) -> np.ndarray:
    """Read an image of a data set folder: RGB, or all channels of a TIFF of several.

    Returns:
        float32 array (H, W, C) in [0, 1].

    Raises: DataError: as `read_rgb`.
    """
    return read_rgb(path, channel=channels_prepared(Path(path)))


def channels_prepared(path: Path) -> Choice:
    """Say as which channels an image of a data set folder is read, see `read_rgb`."""
    if path.suffix.lower() not in (".tif", ".tiff"):
        return None
    with told_if_unreadable(path):
        check_regular(path)
        names = TiffImage(path, str(path), channel=[0]).channels.names if is_tiff(path) else ()
    if len(names) < 2 and not any(names):  # a list of one was prepared with a name
        return None
    return list(names) if all(names) and len(set(names)) == len(names) else list(range(len(names)))


def decode_file(path: PathLike, *, page: int = 0, channel: Choice = None) -> np.ndarray:
    """Decode a file of any format as it is: grey (H, W) or of channels (H, W, C), of its own type; see `read_rgb`."""
    if is_ome_zarr(path):
        return OmeZarrImage(path, shown(path), page=page, channel=channel).read_all()
    with at_hand(path) as file, told_if_unreadable(file):
        check_regular(file)  # before libraries tell in their own words that it cannot be opened
        return _decode_file(file, page=page, channel=channel)


def _decode_file(path: Path, *, page: int, channel: Choice) -> np.ndarray:
    where = str(path)
    if not (is_nifti(path) or is_dicom(path)):
        return decode_image_file(path, page=page, channel=channel)
    check_only_page(page, where)
    array = decode_nifti(where) if is_nifti(path) else decode_dicom(where)
    if 0 in array.shape:
        raise DataError(f"{where} has the shape {array.shape}, expected grey, RGB or RGBA: save it again as such")
    return take_channels(array.astype(array.dtype.newbyteorder("="), copy=False), channel, where)


def read_labels(path: PathLike) -> np.ndarray:
    """Read one label map.

    Args:
        path: a grey PNG, BMP or TIFF file.

    Returns:
        integer array (H, W) of the file's own type, at least 8 bits; 0 is the background.

    Raises:
        DataError: the file is not an image that can be read, in colour, or not of integers; or it cannot be opened;
            names the file.
    """
    with told_if_unreadable(os.fspath(path)):
        data = read_regular(path)
    labels = decode_image(data, str(path))
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise DataError(f"{path} is no label map, but {labels.dtype} of shape {labels.shape}: save grey integers")
    return labels


def unit_range(array: np.ndarray, path: PathLike) -> tuple[float, float]:
    """Tell which of an image's values become 0 and 1: see `read_rgb`.

    Raises:
        DataError: values of a kind that no image has, or that are not finite; names the file.
    """
    return unit_range_of(array.dtype, lambda: (array.min(), array.max()), path)


def unit_range_of(
    dtype: np.dtype, value_range: Callable[[], tuple[float, float]], path: PathLike
) -> tuple[float, float]:
    """Do the same for an image of which only the type is known, and what tells its least and greatest value.

    Of unsigned integers these are not asked for.
    """
    if dtype.kind == "u":
        return 0, float(np.iinfo(dtype).max)
    if dtype.kind not in "if":
        raise DataError(f"{path} holds values of the type {dtype}: save it again as PNG")
    low, high = map(float, value_range())
    if not math.isfinite(low) or not math.isfinite(high):
        raise DataError(f"{path} holds values that are not finite: replace them before segmenting")
    return (0, 1) if dtype.kind == "f" and are_shares(low, high) else (low, high)


def to_unit_range(array: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Scale an image or a part of it so that `limits` become 0 and 1; float32. Where they are one value, it is 0."""
    low, high = limits
    if array.dtype.kind == "u" or (low, high) == (0, 1):
        return array.astype(np.float32) / np.float32(high)
    values = array.astype(np.float64)
    if not math.isfinite(high - low):  # beyond the largest float
        values, low, high = values / 2, low / 2, high / 2
    return ((values - low) / ((high - low) or 1)).astype(np.float32)
