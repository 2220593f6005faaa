"""Tell which pages and channels a TIFF has."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree import ElementTree  # nosec B405 # Expat bounds entities since 2.4, and fetches none

import numpy as np
import tifffile

from medseg_ext.errors import DataError

# Formats of slide scanners, whose files hold pictures of the label and of the whole glass beside the image.
_SLIDES = {"svs", "scn", "qpi", "ndpi", "bif", "avs", "philips"}
_IMAGE_OF_SLIDE = "Baseline"
_OLD_REDUCED = 2  # of the tag SubfileType, which NewSubfileType replaced
_TAG_OLD_SUBFILE_TYPE = 255


class Plane(NamedTuple):
    """One page: the number of its directory in the file, and of the plane in that, which may hold a whole stack."""

    directory: int
    number: int = 0


class Stack(NamedTuple):
    """The planes of a microscope's stack that differ in their channel alone from one of them.

    Attributes:
        names: of the channels, empty where the file tells none.
        planes: of each channel.
        channel: number of the channel of the plane that they were asked for.
    """

    names: tuple[str, ...]
    planes: tuple[Plane, ...]
    channel: int


class TiffPages:
    """The pages of a TIFF that a person may choose, in the order of the file, and what is known of their channels.

    Reduced copies of other pages, such as previews, thumbnails and the levels of a pyramid, and masks are no pages; the
    planes of a stack that has only one directory are.

    Args:
        tiff: an open file.
    """

    def __init__(self, tiff: tifffile.TiffFile) -> None:
        self._tiff = tiff
        try:
            self._series = list(tiff.series)
        except Exception:  # descriptions of microscopes' programs that are damaged do not spoil the pages
            self._series = []
        self.planes = list(self._find_planes())

    def plane(self, page: int, where: str) -> Plane:
        """Give the plane of a page, counted from 0. Raises: DataError: there are fewer; names the file."""
        if not self.planes:
            raise DataError(f"{where} is cut short, or has no image: get it again from its origin")
        if page >= len(self.planes):
            raise DataError(
                f"{where} has no page {page}: it has {len(self.planes)}, counted from 0; choose another with --page"
            )
        return self.planes[page]

    def stack_of(self, plane: Plane) -> Stack | None:
        """Find the channels of a stack of which each is a page; None where there is one, or they are not pages."""
        for number, series in enumerate(self._series):
            planes = self._planes_of(series)
            if plane not in planes:
                continue
            axes, shape = self._leading(series)
            if len(planes) != math.prod(shape) or axes.count("C") != 1:
                return None
            axis = axes.index("C")
            place = list(np.unravel_index(planes.index(plane), shape))
            siblings = []
            for channel in range(shape[axis]):
                siblings.append(planes[int(np.ravel_multi_index([*place[:axis], channel, *place[axis + 1 :]], shape))])
            if len(siblings) < 2 or any(each is None for each in siblings):
                return None
            names = self._ome_names(number, len(siblings))
            return Stack(names, tuple(each for each in siblings if each is not None), int(place[axis]))
        return None

    def levels_of(self, plane: Plane) -> list[tifffile.TiffPage]:
        """List the reduced copies of a plane, as of a pyramid, the largest first; those of other files are left out."""
        for series in self._series:
            planes = self._planes_of(series)
            if plane in planes and len(planes) == len(list(series)):
                pages = [list(level)[planes.index(plane)] for level in series.levels[1:] if len(level) == len(planes)]
                return [page.aspage() for page in pages if page is not None and page.parent is self._tiff]
        return []

    def names_in(self, plane: Plane, n_channels: int) -> tuple[str, ...]:
        """Tell the names of the channels that are in one page, empty where the file tells none."""
        for number, series in enumerate(self._series):
            if plane in self._planes_of(series):
                return self._ome_names(number, n_channels)
        return ("",) * n_channels

    def _find_planes(self) -> Iterator[Plane]:
        directories = [self._tiff.pages[number].aspage() for number in range(len(self._tiff.pages))]
        for number in self._directories_of_pages(directories):
            depth = directories[number].imagedepth
            if len(directories) == 1 and len(self._series) == 1 and self._series[0].dataoffset is not None:
                depth = max(depth, math.prod(self._leading(self._series[0])[1]))
            yield from (Plane(number, each) for each in range(depth))

    def _directories_of_pages(self, directories: list[tifffile.TiffPage]) -> list[int]:
        levels = {page.index for series in self._series for level in series.levels[1:] for page in _own(level)}
        chosen = [
            number
            for number, page in enumerate(directories)
            if not (page.is_reduced or page.is_mask or number in levels or _is_reduced_in_the_old_way(page))
        ]
        if self._series and self._series[0].kind in _SLIDES:
            images = [series for series in self._series if series.name == _IMAGE_OF_SLIDE] or self._series
            chosen = [page.index for series in images for page in _own(series)]
        return chosen or list(range(len(directories)))

    def _planes_of(self, series: tifffile.TiffPageSeries) -> list[Plane | None]:
        """Give the planes of a series in its order; None for those of other files."""
        if len(self._tiff.pages) == 1 and len(self.planes) > 1:
            return list(self.planes)
        return [
            None if page is None or page.parent is not self._tiff or page.is_subifd else Plane(page.index)
            for page in series
        ]

    def _leading(self, series: tifffile.TiffPageSeries) -> tuple[str, tuple[int, ...]]:
        """Give the axes of a series, and their lengths, along which its planes lie."""
        axes, shape = series.get_axes(False), series.get_shape(False)
        within = len(series.keyframe.axes)
        in_page = series.keyframe.axes
        # Squeezed or not, what a page holds stands at the end; an S of length 1 is added by some.
        if axes.endswith("S") and not in_page.endswith("S"):
            within += 1
        return axes[:-within], tuple(shape[:-within])

    def _ome_names(self, series: int, n_channels: int) -> tuple[str, ...]:
        try:
            description = self._tiff.ome_metadata or ""
            images = ElementTree.fromstring(description).findall(".//{*}Pixels")  # nosec B314 # as above
            names = [channel.get("Name") or "" for channel in images[series].findall("{*}Channel")]
        except (ElementTree.ParseError, IndexError):
            names = []
        return tuple(names) if len(names) == n_channels else ("",) * n_channels


def _own(series: tifffile.TiffPageSeries) -> list[tifffile.TiffPage | tifffile.TiffFrame]:
    return [page for page in series if page is not None and not page.is_subifd]


def _is_reduced_in_the_old_way(page: tifffile.TiffPage) -> bool:
    return page.tags.valueof(_TAG_OLD_SUBFILE_TYPE) == _OLD_REDUCED
