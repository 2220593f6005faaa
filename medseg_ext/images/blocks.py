"""Read boxes of image files as RGB."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from medseg_ext.addresses import PathLike, shown
from medseg_ext.files import check_regular, told_if_unreadable
from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import Choice
from medseg_ext.images.dicom import is_dicom
from medseg_ext.images.nifti import is_nifti
from medseg_ext.images.ome_zarr import OmeZarrImage, is_ome_zarr
from medseg_ext.images.raster import is_tiff
from medseg_ext.images.read import decode_file, to_unit_range, unit_range, unit_range_of
from medseg_ext.images.tiff import TiffImage
from medseg_ext.object_stores import at_hand

CACHE_MB = 128  # of the blocks that GDAL holds in memory, over all files; by default it takes a twentieth of the memory


class BlockImage(ABC):
    """An image of which boxes can be read.

    Attributes:
        size: (H, W).
        has_blocks: only what a box touches is read, and not the whole image before.
        reductions: of the levels of its pyramid: whole factors by which they are smaller, ascending; the first, 1, is
            the image itself.
    """

    size: tuple[int, int]
    has_blocks = False
    reductions: Sequence[int] = (1,)

    @abstractmethod
    def read(self, box: Box) -> np.ndarray:
        """Read a box as `medseg_ext.images.read_rgb` reads a whole image: float32 (h, w, 3) in [0, 1]."""

    def read_level(self, box: Box, reduction: int) -> np.ndarray:
        """Read a box of a level, in the level's pixels, as `read` does; where the level ends, its last are repeated."""
        if reduction != 1:
            raise ValueError(f"the image has no level that is reduced by {reduction}")
        return self.read(box)

    def finest_enough(self, factor: float) -> int:
        """Give the whole factor, at most `factor` and at least 1, at which a box is read from the smallest level."""
        reduction = max(each for each in self.reductions if each <= max(1, factor))
        return reduction * max(1, int(factor / reduction))

    def read_shrunk(self, box: Box, factor: int) -> np.ndarray:
        """Read a box with each `factor` x `factor` pixels averaged; rows and columns beyond are averaged alone.

        Of an image with levels the smallest is read of which a whole number of pixels makes one, where the box begins
        with one of its pixels. Only a few rows are held in full at a time.
        """
        if factor == 1:
            return self.read(box)
        level = max(each for each in self.reductions if not (factor % each or box.top % each or box.left % each))
        rest, place = (
            factor // level,
            Box(box.top // level, box.left // level, -(-box.bottom // level), -(-box.right // level)),
        )
        if rest == 1:
            return self.read_level(place, level)
        rows_at_once = rest * max(1, 2**22 // (rest * max(place.size[1], 1)))
        bands = [
            _shrink(self.read_level(place._replace(top=top, bottom=min(top + rows_at_once, place.bottom)), level), rest)
            for top in range(place.top, place.bottom, rows_at_once)
        ]
        return np.concatenate(bands)


class _StoredImage(Protocol):
    """An image in a file of which boxes are read, such as `TiffImage`."""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""

    @property
    def dtype(self) -> np.dtype:
        """Type of its values."""

    @property
    def reductions(self) -> Sequence[int]:
        """See `BlockImage`."""

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value."""

    def read(self, box: Box) -> np.ndarray:
        """Read a box, grey (h, w) or RGB (h, w, 3)."""

    def reduced(self, reduction: int) -> _StoredImage:
        """Give a level."""


class _StoredBlocks(BlockImage):
    """An image of which only the strips, tiles or chunks are read that a box touches."""

    has_blocks = True

    def __init__(self, image: _StoredImage, path: PathLike) -> None:
        self._limits = unit_range_of(image.dtype, lambda: image.value_range, path)
        self.size = image.size
        self.reductions = image.reductions
        self._levels = {each: image.reduced(each) if each > 1 else image for each in image.reductions}

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        return self.read_level(box, 1)

    def read_level(self, box: Box, reduction: int) -> np.ndarray:
        """Read a box of a level, see `BlockImage`."""
        level = self._levels[reduction]
        beyond = [max(0, box.bottom - level.size[0]), max(0, box.right - level.size[1])]
        # The level's last pixel, where the box begins beyond it: it may lack the one that the image's last rows make.
        inside = Box(
            min(box.top, level.size[0] - 1),
            min(box.left, level.size[1] - 1),
            box.bottom - beyond[0],
            box.right - beyond[1],
        )
        pixels = _as_rgb(level.read(inside), self._limits)
        if any(beyond):
            pixels = np.pad(pixels, [(0, n) for n in (*beyond, 0)], mode="edge")[-box.size[0] :, -box.size[1] :]
        return pixels


class _WholeImage(BlockImage):
    """An image that has to be decoded as a whole; it is held as it is stored, and turned into floats box by box."""

    def __init__(self, pixels: np.ndarray, path: PathLike) -> None:
        self._pixels = pixels
        self._limits = unit_range(pixels, path)
        self.size = pixels.shape[:2]

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        return _as_rgb(self._pixels[box.top : box.bottom, box.left : box.right], self._limits)


def open_block_image(path: PathLike, *, page: int = 0, channel: Choice = None) -> BlockImage:
    """Open an image, by blocks where its format has them: TIFF and OME-Zarr.

    Args:
        path: a file of any format that `medseg_ext.images.read_rgb` reads, or its address; boxes are to be read before
            two others are fetched.
        page: number of the page of a TIFF, or of the plane of an OME-Zarr, from 0.
        channel: see `medseg_ext.images.read_rgb`.

    Raises:
        DataError: the file is not an image that can be read, or has no such page or channel; or it cannot be opened;
            names it.
    """
    if is_ome_zarr(path):
        return _StoredBlocks(OmeZarrImage(path, shown(path), page=page, channel=channel), path)
    with at_hand(path) as file, told_if_unreadable(file):
        check_regular(file)
        if not (is_nifti(file) or is_dicom(file)) and is_tiff(file):
            return _StoredBlocks(TiffImage(file, shown(path), page=page, channel=channel), path)
    return _WholeImage(decode_file(path, page=page, channel=channel), path)


def _as_rgb(pixels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    pixels = to_unit_range(pixels, limits)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def _shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (np.arange(0, length, factor) for length in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    heights = np.diff([*rows, pixels.shape[0]])
    widths = np.diff([*columns, pixels.shape[1]])
    return sums / (heights[:, None, None] * widths[None, :, None]).astype(np.float32)


@contextmanager
def pixel_io() -> Iterator[None]:
    """Give the surroundings in which large maps are kept in files: little memory, no files beside them."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_PAM_ENABLED=False):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes don't say where on Earth they stand
        yield
