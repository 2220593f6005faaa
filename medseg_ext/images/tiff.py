"""Read boxes of TIFF pages, and whole pages as one box."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import tifffile

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import Channels, Choice, LeftOut, choose_channels, is_list
from medseg_ext.images.colours import (
    are_shares,
    check_colours,
    n_channels,
    other_samples,
    samples_of_colour,
    to_full_range,
    to_rgb,
)
from medseg_ext.images.orientation import TAG_ORIENTATION, box_in_file, upright, upright_size
from medseg_ext.images.reductions import whole_reduction
from medseg_ext.images.sizes import MAX_PIXELS, MAX_SLIDE_PIXELS
from medseg_ext.images.tiff_pages import TiffPages
from medseg_ext.images.tiff_segments import TiffSegments
from medseg_ext.images.tiff_wholeness import missing_of

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KIND = tifffile.PHOTOMETRIC
_ROWS_AT_ONCE = 1024  # while the range of values is sought


class TiffImage:
    """One page of a TIFF, decoded by the strips and tiles that a box touches.

    The orientation, palettes and colours are applied, white-is-zero is inverted, alpha channels are dropped, 1-bit
    pixels become 0 and 255, and packed ones of other bits fill the range of their type.

    Args:
        source: the file, or its content.
        where: its name, for messages.
        page: number of the page, from 0; see `TiffPages`.
        channel: number, from 0, or name of the one channel to read, as grey; several are read as they are; None takes
            grey or RGB.

    Attributes:
        size: (H, W) of the upright image.
        dtype: of its values, in this machine's order of bytes.
        channels: those of the image, with names, and which are read.
        left_out: what a person is to be told: which of several pages, and of more channels than are read, were taken;
            how many strips or tiles were never written.
        reductions: of the image, 1, and of those of its reduced copies that are smaller by a whole factor; ascending.

    Raises:
        DataError: broken or cut short; of a compression or of colours that cannot be read; too many channels; no such
            page or channel; more than `MAX_PIXELS`, in tiles `MAX_SLIDE_PIXELS`. Names the file and the remedy.
        OSError: the file cannot be opened.
    """

    def __init__(self, source: Path | bytes, where: str, *, page: int = 0, channel: Choice = None) -> None:
        self._where = where
        self._each: list[TiffImage] = []  # one for each channel, where they do not lie side by side
        if isinstance(source, Path):
            source.open("rb").close()  # the system's own message where it cannot be opened
        try:
            # Files beside it, which may hold other planes of its stack, are left alone.
            with tifffile.TiffFile(
                source if isinstance(source, Path) else io.BytesIO(source), _multifile=False
            ) as tiff:
                if missing := missing_of(tiff):
                    raise _broken(where, missing)
                pages = TiffPages(tiff)
                plane = pages.plane(page, where)
                n_others = len(pages.planes) - 1
                stack = pages.stack_of(plane)
                if stack is not None and channel is not None:  # a page a channel
                    self.channels = choose_channels(stack.names, channel, where)
                    self._each = self._apart(source, page, channel)
                    plane, channel = stack.planes[self.channels.taken[0]], None
                    n_others -= len(stack.planes) - 1
                elif stack is not None:
                    self.channels = Channels(stack.names, (stack.channel,))
                    if len(stack.planes) == len(pages.planes):  # what is told of the channels says it
                        n_others = 0
                self._header = tiff.pages[plane.directory].aspage()
                self._check(tiff.filehandle.size)
                names = pages.names_in(plane, n_channels(self._header))
                if stack is None:
                    self.channels = choose_channels(names, channel, where)
                    if self._mixes_colours():
                        self._each, channel = self._apart(source, page, channel), self.channels.taken[0]
                self._in_page = self._choose_samples(names, channel)
                self._segments = TiffSegments(source, self._header, plane.number, where)
                self._find_levels(source, pages.levels_of(plane) if plane.number == 0 else [])
                self.left_out = [self.channels.left_out] if self.channels.left_out else []
                if n_never := self._n_never_written():
                    text = f"{n_never} of {len(self._header.dataoffsets)} strips or tiles were never written"
                    self.left_out.append(
                        LeftOut(f"{text}, and are taken for zeros", "get the file again, if they were")
                    )
                if n_others > 0:
                    number = pages.planes.index(plane)
                    text = f"of {len(pages.planes)} pages page {number} was taken, counted from 0"
                    self.left_out.insert(0, LeftOut(text, "--page chooses another"))
                of_each = (remark for each in self._each for remark in each.left_out)
                self.left_out = list(dict.fromkeys([*self.left_out, *of_each]))  # in the order of the channels
        except (DataError, OSError):
            raise
        except Exception as error:  # tifffile raises a dozen kinds for broken files
            raise _broken(where, error) from error
        self._orientation = self._header.tags.valueof(TAG_ORIENTATION, 1)
        self._size = self._header.imagelength, self._header.imagewidth
        self.size = upright_size(self._size, self._orientation)
        of_8_bits = self._header.dtype == bool or (self._of_colours and self._header.photometric == _KIND.PALETTE)
        self.dtype = np.dtype(np.uint8 if of_8_bits else self._header.dtype).newbyteorder("=")

    def _apart(self, source: Path | bytes, page: int, channel: Choice) -> list[TiffImage]:
        """Open each of several channels by itself; none if they are not read as several."""
        if not is_list(channel):
            return []
        return [TiffImage(source, self._where, page=page, channel=each) for each in channel]

    def _mixes_colours(self) -> bool:
        """Say whether of the channels that are taken some are colours and some are not."""
        n_colours = samples_of_colour(self._header)
        return n_colours > 0 and min(self.channels.taken) < 3 <= max(self.channels.taken)

    def _find_levels(self, source: Path | bytes, pages: Sequence[tifffile.TiffPage]) -> None:
        """Take those reduced copies of the page that are like it in all but their size."""
        page = self._header
        self._levels = {1: (page, self._segments)}
        for level in pages:
            reduction = whole_reduction((page.imagelength, page.imagewidth), (level.imagelength, level.imagewidth))
            is_alike = (level.dtype, level.photometric, level.samplesperpixel, level.bitspersample) == (
                page.dtype,
                page.photometric,
                page.samplesperpixel,
                page.bitspersample,
            )
            if reduction is not None and is_alike:
                self._levels[reduction] = (level, TiffSegments(source, level, 0, self._where))
        self.reductions = tuple(sorted(self._levels))

    def _check(self, n_bytes: int) -> None:
        """Refuse what the header alone says cannot be read."""
        page, where = self._header, self._where
        if page.imagewidth * page.imagelength > (MAX_SLIDE_PIXELS if page.is_tiled else MAX_PIXELS):
            raise DataError(f"{where} claims {page.imagewidth} x {page.imagelength} pixels: cut it into smaller images")
        if page.dtype is None or 0 in page.shaped or self._n_never_written() == len(page.dataoffsets):
            raise DataError(
                f"{where} holds no pixels that can be read (shape {page.shape}, {page.bitspersample} bits of the "
                f"format {page.sampleformat}): save it again as PNG"
            )
        if page.compression != tifffile.COMPRESSION.NONE and page.compression not in tifffile.TIFF.DECOMPRESSORS:
            name = getattr(page.compression, "name", page.compression)
            raise DataError(f"{where} is compressed by {name}, which cannot be read: save it again by LZW, or as PNG")
        check_colours(page, where)
        ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends) > n_bytes:
            raise _broken(where, "its pixels end before its header says")

    def _n_never_written(self) -> int:
        return sum(
            not (place and size)
            for place, size in zip(self._header.dataoffsets, self._header.databytecounts, strict=True)
        )

    def _choose_samples(self, names: Sequence[str], channel: Choice) -> Channels:
        """Choose the samples of the page that are read, and of those that become RGB which of these."""
        channels = choose_channels(names, channel, self._where)
        n_colours = samples_of_colour(self._header)
        self._of_colours = n_colours > 0 and channels.taken[0] < 3
        if self._of_colours:
            self._samples, self._taken = [*range(n_colours)], [*channels.taken]
        else:
            others = other_samples(self._header)
            numbers = [number - (3 if n_colours else 0) for number in channels.taken]
            self._samples, self._taken = [others[number] for number in numbers], [*range(len(numbers))]
        return channels

    def read(self, box: Box) -> np.ndarray:
        """Read a box of the upright image: grey (h, w) or of channels (h, w, C), of `dtype`.

        Raises:
            DataError: the file is damaged; names it.
        """
        if self._each:
            return np.stack([each.read(box) for each in self._each], axis=-1)
        values = self._in_file(box_in_file(box, self._orientation, self._size))
        if self._header.photometric == _KIND.MINISWHITE:
            # Integers stay in the range of their type, and floats in [0, 1] where they are.
            values = ~values if values.dtype.kind in "ui" else values.dtype.type(self._float_white) - values
        return upright(values, self._orientation)

    def reduced(self, reduction: int) -> TiffImage:
        """Give a reduced copy of the image, one of `reductions`, to be read as the image is."""
        level = copy.copy(self)
        level._each = [each.reduced(reduction) for each in self._each]
        level._header, level._segments = self._levels[reduction]
        level._size = level._header.imagelength, level._header.imagewidth
        level.size = upright_size(level._size, self._orientation)
        return level

    def read_all(self) -> np.ndarray:
        """Read the whole image, see `read`. Raises: DataError: it is damaged, or has more than `MAX_PIXELS`."""
        if self.size[0] * self.size[1] > MAX_PIXELS:
            raise DataError(f"{self._where} has {self.size[0]} x {self.size[1]} pixels: cut it into smaller images")
        return np.ascontiguousarray(self.read(Box(0, 0, *self.size)))

    @cached_property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value of the image, both NaN where one of its values is."""
        if self._each:
            lows, highs = zip(*(each.value_range for each in self._each), strict=True)
            return float(np.min(lows)), float(np.max(highs))
        low, high = self._range_in_file
        if self._header.photometric != _KIND.MINISWHITE:
            return low, high
        if self.dtype.kind == "f":
            return self._float_white - high, self._float_white - low
        return float(np.invert(self.dtype.type(high))), float(np.invert(self.dtype.type(low)))

    @cached_property
    def _range_in_file(self) -> tuple[float, float]:
        height, width = self._size
        parts = (
            self._in_file(Box(top, 0, min(top + _ROWS_AT_ONCE, height), width))
            for top in range(0, height, _ROWS_AT_ONCE)
        )
        lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
        return float(np.min(lows)), float(np.max(highs))

    @cached_property
    def _float_white(self) -> float:
        """What is white in an image of floats whose white is zero."""
        low, high = self._range_in_file
        return 1.0 if are_shares(low, high) else 0.0

    def _in_file(self, box: Box) -> np.ndarray:
        """Read a box as it lies in the file: grey (h, w) or of channels (h, w, C), its white as it is."""
        values = self._segments.read(box, self._samples)
        if not (self._of_colours and self._header.photometric == _KIND.PALETTE):
            values = to_full_range(values, self._header.bitspersample)
        if self._of_colours:
            values = to_rgb(values, self._header)
        return self._in_page.of(values[..., self._taken])


def _broken(where: str, reason: object) -> DataError:
    return DataError(f"{where} is not an image, or is cut short ({reason}): get it again, or save it again as PNG")
