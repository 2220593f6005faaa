"""Keep the pixels of a large map in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from medseg_ext.images.boxes import Box

BLOCK_PX = 512


class PixelStore:
    """A map of one integer a pixel, in a file, of which boxes can be read and written in any order.

    Use it as a context, inside `pixel_io`: the file is closed at the end.

    Args:
        path: the file, a TIFF; it is made anew, and takes place only as boxes are written.
        size: (H, W).
        dtype: an unsigned type; every pixel is 0 at first.
        palette: colours (N, 3), uint8, in which a copy of the file as PNG shows the values; they stay what they are.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        dtype: type[np.unsignedinteger],
        *,
        palette: NDArray[np.uint8] | None = None,
    ) -> None:
        self.path = path
        self.size = size
        self._file = rasterio.open(
            path,
            "w+",
            driver="GTiff",
            height=size[0],
            width=size[1],
            count=1,
            dtype=dtype,
            tiled=True,
            blockxsize=BLOCK_PX,
            blockysize=BLOCK_PX,
            bigtiff="YES",
            sparse_ok=True,
        )
        if palette is not None:
            self._file.write_colormap(1, {value: (*colour, 255) for value, colour in enumerate(palette.tolist())})

    def __enter__(self) -> PixelStore:
        """Return the store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def read(self, box: Box) -> np.ndarray:
        """Read a box, (h, w)."""
        return self._file.read(1, window=_window(box))

    def write(self, box: Box, values: np.ndarray) -> None:
        """Write a box, (h, w)."""
        self._file.write(values, 1, window=_window(box))

    def flush(self) -> None:
        """Bring the file up to date, for others who read it."""
        self._file.close()
        self._file = rasterio.open(self.path, "r+")


def _window(box: Box) -> Window:
    return Window(box.left, box.top, *box.size[::-1])
