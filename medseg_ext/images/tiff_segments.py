"""Decode the strips and tiles of a TIFF page that a box touches."""

from __future__ import annotations

import io
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from medseg_ext.errors import DataError
from medseg_ext.files import unreadable
from medseg_ext.images.boxes import Box
from medseg_ext.memory import check_bytes

JPEG = (6, 7, 33007, 34892)  # compressions
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"  # markers, which pixels do not hold
# Compressions whose decoders make pixels of whatever follows where data break off: by what their end is known.
_MARKERS = {  # before the pixels, and after them
    **dict.fromkeys((7, 33007, 34892), (JPEG_SCAN, JPEG_END)),
    **dict.fromkeys((33003, 33004, 33005, 34712), (b"\xff\x93", b"\xff\xd9")),  # JPEG 2000
}
_WITHOUT_MARKERS = (34927, 50001, 50002, 22610, 34934)  # WebP and JPEG XR: they end with at most 3 zeros, as tried
_NEVER_WRITTEN = bytes(32)
CACHE_BYTES = 2**27  # of decoded strips and tiles, of each image


class TiffSegments:
    """The pixels of one plane of a page, as they are stored.

    Pixels that lie in one piece are taken from the file as they are; of others the strips and tiles are decoded, by
    tifffile and imagecodecs, and the last of them are kept.

    Args:
        source: the file, or its content.
        page: of the open file.
        number: of the plane in the page, of one that holds a stack.
        where: name of the file, for messages.
    """

    def __init__(self, source: Path | bytes, page: tifffile.TiffPage, number: int, where: str) -> None:
        self._source, self._page, self._number, self._where = source, page, number, where
        self._cache: OrderedDict[int, np.ndarray | None] = OrderedDict()
        self._cached_bytes = 0
        # One directory may describe a stack: as a block of some depth, or as pages that lie one after the other.
        self._depth = number if page.imagedepth > 1 else 0
        self._offset = page.dataoffsets[0] + (0 if page.imagedepth > 1 else number * page.nbytes)
        if page.is_tiled:
            self._segment_shape = page.tiledepth, page.tilelength, page.tilewidth
        else:
            self._segment_shape = 1, min(page.rowsperstrip, page.imagelength), page.imagewidth
        if not page.is_final:  # of strips and tiles, which are decoded as wholes, and by some decoders copied
            n_values = math.prod(self._segment_shape) * (page.samplesperpixel if page.shaped[0] == 1 else 1)
            check_bytes(2 * n_values * np.dtype(page.dtype).itemsize, where, remedy="save it again in tiles, or cut it")
        # Asked for now, as it reads from the file, which is closed afterwards.
        self._decode = None if page.is_final else page.decode
        self._options = {}
        if page.compression in JPEG:
            self._options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}

    def read(self, box: Box, samples: Sequence[int]) -> np.ndarray:
        """Read the samples of a box, (h, w, S). Raises: DataError: the file is damaged or gone; names it."""
        n_bytes = math.prod(box.size) * len(samples) * np.dtype(self._page.dtype).itemsize
        check_bytes(2 * n_bytes, self._where)
        out = np.empty((*box.size, len(samples)), self._page.dtype)
        is_separate = self._page.shaped[0] > 1
        try:
            for plane in samples if is_separate else [0]:
                for segment, pixels in self._touched(box, plane):
                    part = box.intersection(segment)
                    for position, sample in enumerate(samples):
                        if not is_separate:
                            out[(*part.inside(box), position)] = pixels[(*part.inside(segment), sample)]
                        elif sample == plane:
                            out[(*part.inside(box), position)] = pixels[(*part.inside(segment), 0)]
        except OSError as error:
            raise unreadable(self._where, error) from error
        except Exception as error:  # of the many decoders
            name = getattr(self._page.compression, "name", self._page.compression)
            raise DataError(
                f"{self._where} is damaged, or is not an image that can be read (compression {name}: {error}): "
                "get it again from its origin, or save it again as PNG"
            ) from error
        return out

    def _touched(self, box: Box, plane: int) -> Iterator[tuple[Box, np.ndarray]]:
        """Find what a box touches of a plane of samples; gives the place of each piece, and its pixels (h, w, S)."""
        page = self._page
        image = Box(0, 0, page.imagelength, page.imagewidth)
        if self._decode is None:
            part = box.intersection(image)
            yield part, self._as_stored(plane, part)
            return
        depth, height, width = self._segment_shape
        n_layers, n_rows, n_columns = -(-page.imagedepth // depth), -(-image.bottom // height), -(-image.right // width)
        first = (plane * n_layers + self._depth // depth) * n_rows * n_columns
        for row in range(box.top // height, -(-box.bottom // height)):
            for column in range(box.left // width, -(-box.right // width)):
                place = Box(row * height, column * width, (row + 1) * height, (column + 1) * width).intersection(image)
                pixels = self._decoded(first + row * n_columns + column)
                if pixels is None:  # never written
                    yield place, np.full((*place.size, page.samplesperpixel), page.nodata)
                else:
                    yield place, pixels[self._depth % depth]

    def _as_stored(self, plane: int, box: Box) -> np.ndarray:
        """Read a box (h, w, S) of pixels that lie in one piece; by no map, as the file may be cut meanwhile."""
        _, depth, height, width, n_samples = self._page.shaped
        dtype = np.dtype(self._page.dtype).newbyteorder(self._page.parent.byteorder)
        n_bytes = box.size[1] * n_samples * dtype.itemsize
        first = ((plane * depth + self._depth) * height + box.top) * width + box.left
        offsets = [self._offset + (first + row * width) * n_samples * dtype.itemsize for row in range(box.size[0])]
        data = b"".join(self._pieces(offsets, n_bytes))
        if len(data) < len(offsets) * n_bytes:
            raise ValueError("it is cut short")
        return np.frombuffer(data, dtype).reshape(*box.size, n_samples)

    def _decoded(self, index: int) -> np.ndarray | None:
        """Give a strip or tile (depth, height, width, samples); None of one that was never written."""
        if index not in self._cache:
            offset, n_bytes = self._page.dataoffsets[index], self._page.databytecounts[index]
            data = self._bytes(offset, n_bytes) if offset and n_bytes else None
            if data:
                _refuse_without_end(data, self._page.compression)
            assert self._decode is not None
            self._cache[index] = pixels = self._decode(data, index, **self._options)[0]
            self._cached_bytes += 0 if pixels is None else pixels.nbytes
            while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= 0 if oldest is None else oldest.nbytes
        self._cache.move_to_end(index)
        return self._cache[index]

    def _bytes(self, offset: int, n_bytes: int) -> Any:
        (data,) = self._pieces([offset], n_bytes)
        return data

    def _pieces(self, offsets: Sequence[int], n_bytes: int) -> Iterator[Any]:
        """Read parts of the file, as far as it goes."""
        with self._source.open("rb") if isinstance(self._source, Path) else io.BytesIO(self._source) as file:
            for offset in offsets:
                file.seek(offset)
                yield file.read(n_bytes)


def _refuse_without_end(data: Any, compression: int) -> None:
    """Refuse the data of a strip or tile that break off. Raises: ValueError."""
    before, after = _MARKERS.get(compression, (b"", b""))
    if data.find(after, data.find(before)) < 0 or (compression in _WITHOUT_MARKERS and data.endswith(_NEVER_WRITTEN)):
        raise ValueError("its data have no end")
