"""Read boxes of image files as RGB."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import tifffile
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.read import decode_file, to_unit_range, unit_range

TAG_ORIENTATION = 274
CACHE_MB = 128  # of the blocks that GDAL holds in memory, over all files; by default it takes a twentieth of the memory


class BlockImage(ABC):
    """An image of which boxes can be read.

    Attributes:
        size: (H, W).
    """

    size: tuple[int, int]

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
    """A TIFF of which only the blocks are read that a box touches."""

    def __init__(self, path: Path, page: int, *, white_is_zero: bool) -> None:
        self.path = path
        self._white_is_zero = white_is_zero
        self._file = rasterio.open(f"GTIFF_DIR:{page + 1}:{path}" if page else path)
        self.size = self._file.shape

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        bands = [1, 2, 3] if self._file.count >= 3 else [1, 1, 1]
        try:
            pixels = self._file.read(bands, window=Window(box.left, box.top, *box.size[::-1]))
        except rasterio.errors.RasterioError as error:
            raise DataError(f"{self.path} is damaged ({error}): get it again from its origin") from error
        pixels = np.moveaxis(~pixels if self._white_is_zero else pixels, 0, -1)
        return to_unit_range(pixels, (0, np.iinfo(pixels.dtype).max))


class _WholeImage(BlockImage):
    """An image that has to be decoded as a whole; it is held as it is stored, and turned into floats box by box."""

    def __init__(self, path: Path, page: int) -> None:
        self._pixels = decode_file(path, page=page)
        self._limits = unit_range(self._pixels, path)
        self.size = self._pixels.shape[:2]

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        pixels = to_unit_range(self._pixels[box.top : box.bottom, box.left : box.right], self._limits)
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)


def open_block_image(path: Path, *, page: int = 0) -> BlockImage:
    """Open an image, by blocks where its format has them: TIFF, grey or RGB, of 8 or 16 bits.

    Use inside `medseg_ext.images.pixel_io`.

    Args:
        path: a file of any format that `medseg_ext.images.read_rgb` reads.
        page: number of a TIFF's page, from 0.

    Raises:
        DataError: the file is not an image that can be read, or has no such page; names it.
        OSError: the file cannot be opened.
    """
    kind = tifffile.PHOTOMETRIC
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages[page].aspage()
            by_blocks = (
                first.photometric in (kind.MINISWHITE, kind.MINISBLACK, kind.RGB)
                and first.dtype in (np.uint8, np.uint16)
                and first.bitspersample in (8, 16)
                and first.tags.valueof(TAG_ORIENTATION, 1) == 1
                and first.samplesperpixel <= 4
            )
            white_is_zero = first.photometric == kind.MINISWHITE
        if by_blocks:
            return _TiffBlocks(path, page, white_is_zero=white_is_zero)
    except (tifffile.TiffFileError, rasterio.errors.RasterioError, IndexError):
        pass  # no TIFF, none that GDAL reads, or one of fewer pages
    return _WholeImage(path, page)


def _shrink(pixels: np.ndarray, factor: int) -> np.ndarray:
    rows, columns = (np.arange(0, length, factor) for length in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    heights = np.diff([*rows, pixels.shape[0]])
    widths = np.diff([*columns, pixels.shape[1]])
    return sums / (heights[:, None, None] * widths[None, :, None]).astype(np.float32)


@contextmanager
def pixel_io() -> Iterator[None]:
    """Give the surroundings in which large images are read and written: little memory, no files beside the images."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=CACHE_MB, GDAL_PAM_ENABLED=False):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # microscopes don't say where on Earth they stand
        yield
