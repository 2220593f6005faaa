"""Read images as RGB of 8 bits a channel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.contrast import Limit, step_of, stretch
from medseg_ext.images.numpy_files import NPY_START, decode_npy
from medseg_ext.images.raster import decode_image, take_channels
from medseg_ext.images.read import to_unit_range, unit_range

CONTRAST_PERCENTILES = (0.1, 99.9)  # those of the bundles: what they make black and white of every image


def read_rgb_8_bit(data: bytes, where: str, *, channel: Choice = None) -> NDArray[np.uint8]:
    """Decode an image for a prepared data set: 8 bits a channel, grey is repeated.

    8 bits stay as they are. Others are stretched by the percentiles by which the bundles stretch the contrast of every
    image: a camera of 12 bits fills a 16th of the 16 bits, and one saturated pixel the rest.

    Args:
        data: content of an image file, or of NumPy's NPY.
        where: name of the file, for messages.
        channel: see `medseg_ext.images.read_rgb`.
    Returns: uint8, shape (H, W, 3), or (H, W, C) of a list of channels.
    Raises: DataError: as `decode_image` or `decode_npy`; values that are not finite.
    """
    if not data.startswith(NPY_START):
        array = decode_image(data, where, channel=channel)
    elif channel is None:
        array = decode_npy(data, where)
    else:
        array = take_channels(decode_npy(data, where), channel, where)
    return as_rgb_8_bit(array, where, apart=is_list(channel))


def as_rgb_8_bit(array: np.ndarray, where: str, *, apart: bool = False) -> NDArray[np.uint8]:
    """Make 8 bits of pixels, as `read_rgb_8_bit` does.

    Args:
        array: grey (H, W), RGB (H, W, 3) or several channels (H, W, C).
        where: name of the file, for messages.
        apart: whether channels have nothing to do with each other: each is stretched by itself.
    Returns: uint8, shape (H, W, 3) or (H, W, C).
    Raises: DataError: values that are not finite.
    """
    if apart:
        return np.stack([as_rgb_8_bit(each, where)[..., 0] for each in np.moveaxis(array, -1, 0)], axis=-1)
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
    return rgb if rgb.dtype == np.uint8 else _stretched(to_unit_range(rgb, unit_range(rgb, where)))


def as_prepared(image: np.ndarray, *, apart: bool = False, limits: tuple[Limit, Limit] | None = None) -> np.ndarray:
    """Give an image the contrast that it gets in a preparation: 8 bits as they are, others stretched.

    Args:
        image: as `read_rgb` gives it, float (H, W, C) in [0, 1].
        apart: whether channels are stretched by themselves.
        limits: black and white, where `image` is a part of one of which they are known.
    """
    if step_of(image) == 1 / 255:
        return image
    return as_rgb_8_bit(image, "", apart=apart) / np.float32(255) if limits is None else stretch(image, *limits)


def _stretched(array: NDArray[np.float32]) -> NDArray[np.uint8]:
    black, white = np.percentile(array, CONTRAST_PERCENTILES)
    if black == white:  # of so few pixels that differ that the percentiles leave them out
        black, white = array.min(), array.max()
    if black == white:  # no range: its shade
        black, white = 0, 1
    stretched = (array - np.float32(black)) / np.float32(white - black)
    return np.rint(stretched.clip(0, 1) * 255).astype(np.uint8)
