"""Read boxes of image files as RGB."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from medseg_ext.files import check_regular, told_if_unreadable
from medseg_ext.images.boxes import Box
from medseg_ext.images.dicom import is_dicom
from medseg_ext.images.nifti import is_nifti
from medseg_ext.images.raster import is_tiff
from medseg_ext.images.read import decode_file, to_unit_range, unit_range, unit_range_of
from medseg_ext.images.tiff import TiffImage

CACHE_MB = 128  # of the blocks that GDAL holds in memory, over all files; by default it takes a twentieth of the memory


class BlockImage(ABC):
    """An image of which boxes can be read.

    Attributes:
        size: (H, W).
        has_blocks: only what a box touches is read, and not the whole image before.
    """

    size: tuple[int, int]
    has_blocks = False

    @abstractmethod
    def read(self, box: Box) -> np.ndarray:
        """Read a box as `medseg_ext.images.read_rgb` reads a whole image: float32 (h, w, 3) in [0, 1]."""

    def read_shrunk(self, box: Box, factor: int) -> np.ndarray:
        """Read a box with each `factor` x `factor` pixels averaged; rows and columns beyond are averaged alone.

        Only a few rows are held in full at a time.
        """
        if factor == 1:
            return self.read(box)
        rows_at_once = factor * max(1, 2**22 // (factor * max(box.size[1], 1)))
        bands = [
            _shrink(self.read(box._replace(top=top, bottom=min(top + rows_at_once, box.bottom))), factor)
            for top in range(box.top, box.bottom, rows_at_once)
        ]
        return np.concatenate(bands)


class _TiffBlocks(BlockImage):
    """A TIFF of which only the strips and tiles are read that a box touches."""

    has_blocks = True

    def __init__(self, image: TiffImage, path: Path) -> None:
        self._image = image
        self._limits = unit_range_of(image.dtype, lambda: image.value_range, path)
        self.size = image.size

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        return _as_rgb(self._image.read(box), self._limits)


class _WholeImage(BlockImage):
    """An image that has to be decoded as a whole; it is held as it is stored, and turned into floats box by box."""

    def __init__(self, pixels: np.ndarray, path: Path) -> None:
        self._pixels = pixels
        self._limits = unit_range(pixels, path)
        self.size = pixels.shape[:2]

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        return _as_rgb(self._pixels[box.top : box.bottom, box.left : box.right], self._limits)


def open_block_image(path: Path, *, page: int = 0, channel: int | str | None = None) -> BlockImage:
    """Open an image, by blocks where its format has them: TIFF.

    Args:
        path: a file of any format that `medseg_ext.images.read_rgb` reads.
        page: number of a TIFF's page, from 0.
        channel: see `medseg_ext.images.read_rgb`.

    Raises:
        DataError: the file is not an image that can be read, or has no such page or channel; or it cannot be opened;
            names it.
    """
    with told_if_unreadable(path):
        check_regular(path)
        if not (is_nifti(path) or is_dicom(path)) and is_tiff(path):
            return _TiffBlocks(TiffImage(path, str(path), page=page, channel=channel), path)
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
