"""Make grey or RGB of what a TIFF holds: white-is-zero, palettes, CMYK, YCbCr, values of fewer bits than their type."""

from __future__ import annotations

import numpy as np
import tifffile
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.tiff_segments import JPEG

LEAST_SHARE = 1e-12

_KIND = tifffile.PHOTOMETRIC
_GREY = (_KIND.MINISWHITE, _KIND.MINISBLACK)
_COLOURS: dict[int, int] = {
    _KIND.RGB: 3,
    _KIND.PALETTE: 1,
    _KIND.YCBCR: 3,
    _KIND.SEPARATED: 4,
}  # and how many samples they take
_YCBCR_JPEG_2000 = 33003  # Aperio's


def check_colours(page: tifffile.TiffPage, where: str) -> None:
    """Refuse kinds of colours that cannot be made RGB; the file is still open.

    Raises:
        DataError: names the file and the kind.
    """
    kind = page.photometric
    if kind in _GREY:
        return
    name = getattr(kind, "name", str(kind))
    if kind not in _COLOURS or page.samplesperpixel < _COLOURS[kind]:
        raise DataError(f"{where} has colours of the kind {name}: save it again as RGB")
    if page.is_subsampled and page.compression not in JPEG:
        raise DataError(f"{where} has colours of the kind {name}, of fewer pixels than its grey: save it as RGB")
    if kind == _KIND.PALETTE and (page.colormap is None or page.colormap.shape[1] < 2**page.bitspersample):
        raise DataError(f"{where} has no palette for its colours: save it again as RGB")
    if kind != _KIND.RGB and page.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{where} has colours of the kind {name} of the type {page.dtype}: save it again as RGB")


def samples_of_colour(page: tifffile.TiffPage) -> int:
    """Say how many of a page's samples make its colours; 0 of one whose samples are channels of their own."""
    return _COLOURS.get(page.photometric, 0)


def other_samples(page: tifffile.TiffPage) -> list[int]:
    """Tell which of a page's samples make no colours, and are not its opacity either."""
    first_extra = page.samplesperpixel - len(page.extrasamples)
    alpha = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)
    transparent = {first_extra + number for number, kind in enumerate(page.extrasamples) if kind in alpha}
    return [number for number in range(samples_of_colour(page), page.samplesperpixel) if number not in transparent]


def n_channels(page: tifffile.TiffPage) -> int:
    """Count the channels of a page, three of colours; its opacity is none."""
    return (3 if samples_of_colour(page) else 0) + len(other_samples(page))


def to_rgb(samples: np.ndarray, page: tifffile.TiffPage) -> np.ndarray:
    """Convert the samples of colours.

    Args:
        samples: (h, w, S), those of `samples_of_colour`.
        page: whose they are.
    Returns: (h, w, 3).
    """
    if page.photometric == _KIND.PALETTE:
        colours = np.asarray(page.colormap)  # (3, 2**bits)
        if colours.max() > 255:  # else of a program that wrote 8 bits; libtiff does the same
            colours = colours >> 8
        return np.moveaxis(colours.astype(np.uint8)[:, samples[..., 0]], 0, -1)
    if page.photometric == _KIND.SEPARATED:  # as Pillow does
        white = np.iinfo(samples.dtype).max
        inks = white - samples.astype(np.float64)
        return np.rint(inks[..., :3] * inks[..., 3:] / white).astype(samples.dtype)
    is_ycbcr = page.photometric == _KIND.YCBCR and page.compression not in JPEG
    if (is_ycbcr or page.compression == _YCBCR_JPEG_2000) and samples.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(samples), "YCbCr").convert("RGB"))
    return samples


def are_shares(low: float, high: float) -> bool:
    """Say whether floats from `low` to `high` are shares of full brightness, which are taken as they are.

    They lie in [0, 1]. Where all are next to nothing, less than `LEAST_SHARE`, they are values in a large unit: as
    shares, float32 would not hold what is computed of them.
    """
    return low >= 0 and LEAST_SHARE <= high <= 1


def to_full_range(values: np.ndarray, bits: int | tuple[int, ...]) -> np.ndarray:
    """Spread values of fewer bits than their type has over all that it has; one bit becomes 0 and 255.

    >>> to_full_range(np.array([0, 1, 15], dtype=np.uint8), 4)
    array([  0,  17, 255], dtype=uint8)
    """
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind != "u" or isinstance(bits, tuple) or bits >= 8 * values.itemsize:
        return values  # a tuple is of colours of unequal bits, which tifffile spreads
    return np.rint(values * (np.iinfo(values.dtype).max / (2**bits - 1))).astype(values.dtype)
