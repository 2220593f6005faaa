"""Make the views of images that a gallery shows, while the images are at hand."""

from __future__ import annotations

import math
from bisect import insort
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
from numpy.typing import NDArray

from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.ome_zarr import open_zarr
from medseg_ext.images.raster import decode_image
from medseg_ext.images.result_names import LABEL_MAP_ENDINGS
from medseg_ext.objects.annotations import annotate
from medseg_ext.objects.formats import LABEL_MAP, ResultFormats
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.objects.result_folder import Item, place_in_summary
from medseg_ext.pages.data_urls import reduced, reduced_as_data
from medseg_ext.tiling.large_result_files import overlay_factor

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
        small_bytes: of one of their pictures, at most.
    """

    def __init__(self, n_images: int) -> None:
        share_of_one = SHARE_OF_SMALL * PICTURE_CHARACTERS / CHARACTERS_PER_BYTE / (2 * n_images)
        self.small_bytes = int(min(SMALL_BYTES, share_of_one))
        self._room = PICTURE_CHARACTERS - 2 * n_images * self.small_bytes * CHARACTERS_PER_BYTE
        self._large: list[_Large] = []  # in order of the page
        self._left_out_from: tuple[str, str] | None = None  # place of the first image without large views
        self.small: dict[str, Views] = {}

    def wants_large(self, item: Item) -> bool:
        """Say whether there may be room for the large views of an image."""
        return self._left_out_from is None or place_in_summary(item) < self._left_out_from

    @property
    def large(self) -> dict[str, Views]:
        """The large views by the image's id."""
        return {large.place[1]: large.views for large in self._large}

    def add(self, item: Item, picture: NDArray[np.uint8], overlay: NDArray[np.uint8]) -> None:
        """Take an image of the run, as a viewer of `medseg_ext.objects.ResultFolder`."""
        self.take(item, *make_views(picture, overlay, small_bytes=self.small_bytes, with_large=self.wants_large(item)))

    def take(self, item: Item, small: Views, large: Views) -> None:
        """Take the views of an image of the run, as of `make_views`."""
        self.small[item["id"]] = small
        if large and self.wants_large(item):
            self._add_large(_Large(place_in_summary(item), large))

    def _add_large(self, large: _Large) -> None:
        insort(self._large, large, key=lambda each: each.place)
        self._room -= large.characters
        while self._room < 0:
            last = self._large.pop()
            self._room += last.characters
            self._left_out_from = last.place


def make_views(
    picture: NDArray[np.uint8], overlay: NDArray[np.uint8], *, small_bytes: int, with_large: bool
) -> tuple[Views, Views]:
    """Make the small and, where they are wanted and the image is larger than these, the large views of an image."""
    pictures = {"image": reduced(picture, LARGE_SIDE_PX), "overlay": reduced(overlay, LARGE_SIDE_PX)}
    is_larger = max(picture.shape[:2]) > SMALL_SIDE_PX
    large = _views(pictures, LARGE_SIDE_PX, LARGE_BYTES) if with_large and is_larger else {}
    return _views(pictures, SMALL_SIDE_PX, small_bytes), large


def read_pictures(
    output_dir: Path,
    item: Item,
    *,
    formats: ResultFormats,
    page: int,
    channel: int | str | None,
    pixel_size_um: tuple[float, float] | None,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the pictures of an image that an earlier run has done: as bright as in its overlay, and the overlay.

    Without an overlay among its files, it is drawn again; of that alone `pixel_size_um`, (height, width) of a pixel, or
    None where it is unknown, is asked.

    Raises:
        DataError: one of its files cannot be read.
    """
    paths = formats.paths(output_dir, item["id"])
    overlay = decode_image(paths["overlay"].read_bytes(), str(paths["overlay"])) if "overlay" in paths else None
    with pixel_io():
        image = open_block_image(item["image"], page=page, channel=channel)
        # Those of large images are reduced.
        factor = overlay_factor(image) if overlay is None else math.ceil(max(image.size) / max(overlay.shape[:2]))
        picture = brightened(image.read_shrunk(Box(0, 0, *image.size), factor))
        if overlay is None:
            labels = _read_reduced(paths[LABEL_MAP], factor).astype(np.int32)
            classes = _read_reduced(paths["classes"], factor) if "classes" in paths else (labels > 0).astype(np.uint8)
            reduced_um = None if pixel_size_um is None else (pixel_size_um[0] * factor, pixel_size_um[1] * factor)
            overlay = annotate(draw_outlines(picture, labels, classes), labels, pixel_size_um=reduced_um)
    return picture, overlay


def _read_reduced(path: Path, factor: int) -> np.ndarray:
    """Read the middle of each `factor` x `factor` pixels of a map that a run has written."""
    if path.name.endswith(LABEL_MAP_ENDINGS["nifti"]):
        import nibabel  # where it is needed: most write TIFF

        nifti: Any = nibabel.load(path)
        whole = np.asarray(nifti.dataobj).T
        rows, columns = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in whole.shape)
        return whole[rows][:, columns]
    if path.is_dir():
        array = open_zarr(path, str(path))["0"]
        rows, columns = (np.minimum(np.arange(0, n, factor) + factor // 2, n - 1) for n in array.shape)
        return np.asarray(array.oindex[rows, columns])
    with rasterio.open(path) as file:
        return file.read(1, out_shape=(math.ceil(file.height / factor), math.ceil(file.width / factor)))


def _views(pictures: dict[str, NDArray[np.uint8]], side_px: int, max_bytes: int) -> Views:
    return {name: reduced_as_data(picture, side_px=side_px, max_bytes=max_bytes) for name, picture in pictures.items()}
