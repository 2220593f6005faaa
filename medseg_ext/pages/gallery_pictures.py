"""Make the views of images that a gallery shows, while the images are at hand."""

from __future__ import annotations

from bisect import insort
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg_ext.objects.result_folder import Item, place_in_summary
from medseg_ext.pages.data_urls import reduced, reduced_as_data

SMALL_SIDE_PX, LARGE_SIDE_PX = 360, 1100
# So that a page of 500 images stays below 30 MB: of the characters of all pictures, small ones take up to the share.
PICTURE_CHARACTERS, SHARE_OF_SMALL = 23_000_000, 0.6
SMALL_BYTES, LARGE_BYTES = 22_000, 260_000  # of one picture at most
CHARACTERS_PER_BYTE = 4 / 3  # of base64

Views = dict[str, str]
"""Pictures of an image as data URLs: "image" without and "overlay" with the outlines of its objects."""


class _Large(NamedTuple):
    """The large views of an image; its place in the page is the first to be compared."""

    place: tuple[str, str]
    views: Views

    @property
    def characters(self) -> int:
        return sum(map(len, self.views.values()))


class GalleryPictures:
    """Small and large views of a run's images, of a limited size, however many images there are.

    Images may come in any order. All have small views; those larger than `SMALL_SIDE_PX` have large ones, too, as many
    of the first in the page as there is room for.

    Args:
        n_images: of the run.

    Attributes:
        small: the small views by the image's id.
    """

    def __init__(self, n_images: int) -> None:
        share_of_one = SHARE_OF_SMALL * PICTURE_CHARACTERS / CHARACTERS_PER_BYTE / (2 * n_images)
        self._small_bytes = int(min(SMALL_BYTES, share_of_one))
        self._room = PICTURE_CHARACTERS - 2 * n_images * self._small_bytes * CHARACTERS_PER_BYTE
        self._large: list[_Large] = []  # in order of the page
        self._left_out_from: tuple[str, str] | None = None  # place of the first image without large views
        self.small: dict[str, Views] = {}

    @property
    def large(self) -> dict[str, Views]:
        """The large views by the image's id."""
        return {large.place[1]: large.views for large in self._large}

    def add(self, item: Item, picture: NDArray[np.uint8], overlay: NDArray[np.uint8]) -> None:
        """Take an image of the run, as a viewer of `medseg_ext.objects.ResultFolder`."""
        pictures = {"image": picture, "overlay": overlay}
        place = place_in_summary(item)
        has_room = self._left_out_from is None or place < self._left_out_from
        if max(picture.shape[:2]) > SMALL_SIDE_PX and has_room:
            pictures = {name: reduced(each, LARGE_SIDE_PX) for name, each in pictures.items()}
            self._add_large(_Large(place, _views(pictures, LARGE_SIDE_PX, LARGE_BYTES)))
        self.small[item["id"]] = _views(pictures, SMALL_SIDE_PX, self._small_bytes)

    def _add_large(self, large: _Large) -> None:
        insort(self._large, large, key=lambda each: each.place)
        self._room -= large.characters
        while self._room < 0:
            last = self._large.pop()
            self._room += last.characters
            self._left_out_from = last.place


def _views(pictures: dict[str, NDArray[np.uint8]], side_px: int, max_bytes: int) -> Views:
    return {name: reduced_as_data(picture, side_px=side_px, max_bytes=max_bytes) for name, picture in pictures.items()}
