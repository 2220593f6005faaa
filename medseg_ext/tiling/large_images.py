"""Segment large images tile by tile."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from monai.transforms import ScaleIntensityRange
from tqdm import tqdm

from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import reason_of
from medseg_ext.files import temporary_folder
from medseg_ext.images.blocks import BlockImage, open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.contrast import find_contrast
from medseg_ext.images.pixel_size import read_pixel_size_um
from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.images.sizes import LARGEST_WHOLE_PX
from medseg_ext.inferers.size_normalised import GRID_PX, SizeNormalisedInferer
from medseg_ext.objects.diameters import DIAMETER, SCALE
from medseg_ext.objects.label_map_files import refuse_too_long_for_nifti
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import Item, ResultFolder
from medseg_ext.tiling.large_objects import LargeObjects
from medseg_ext.tiling.large_result_files import write_large_objects
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher
from medseg_ext.tiling.tiles import Tile, plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeObjectsd

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LoadsWeights(Protocol):
    """What loads the weights of a network, such as `medseg_ext.handlers.WeightsLoader`."""

    def load(self) -> None:
        """Load them."""


class View(NamedTuple):
    """How the network sees a large image, the same in all its tiles.

    Attributes:
        black: value in [0, 1] that becomes 0.
        white: value that becomes 1.
        diameter_px: of a typical object, in pixels of the image; None where there is none.
        scale: at which the network sees the image.
    """

    black: float
    white: float
    diameter_px: float | None
    scale: float


class LargeImages:
    """Segment the large ones of some images, tile by tile; the evaluator of a bundle does the others.

    Only a tile and its results are in memory, and what is known of each object; the rest is read and written in
    blocks. A result depends on the tiles only where an object is longer than the margin, and, of a network that sees
    whole images, by what it makes of other surroundings.

    Args:
        images: those of the run.
        network: gives an output (1, C, h, w) for an image (1, 3, h, w).
        weights_loader: loads the network's weights; None where it has them.
        inferer: says at which scale the network is to see the image, and runs it on tiles of that scale.
        decoder: makes objects of an output.
        results: the folder that takes the files, and writes the summary.
        device: where the network is.
        contrast_percentiles: become black and white, over the whole image.
        tile_size: least side of a tile, without its margin, in pixels that the network sees.
        tile_margin: least margin of a tile, likewise: longer than usual objects.
        window_size: (h, w) of the inferer's window; None where it has none.
        window_overlap: part of a window that the next one sees again.
        amp: run in mixed precision on a GPU.

    Attributes:
        shows_progress: show bars where the output is a terminal.
    """

    def __init__(
        self,
        images: ReadableImages,
        *,
        network: Callable[..., Any],
        weights_loader: LoadsWeights | None,
        inferer: SizeNormalisedInferer,
        decoder: DecodeObjectsd,
        results: ResultFolder,
        device: torch.device | str,
        contrast_percentiles: Sequence[float],
        tile_size: int,
        tile_margin: int,
        window_size: Sequence[int] | None = None,
        window_overlap: float = 0.0,
        amp: bool = False,
    ) -> None:
        self.images = images
        self.network = network
        self.weights_loader = weights_loader
        self.inferer = inferer
        self.decoder = decoder
        self.results = results
        self.device = torch.device(device)
        self.contrast_percentiles = tuple(contrast_percentiles)
        self.tile_size = tile_size
        self.tile_margin = tile_margin
        # Tiles of a network without windows begin where it halves the whole image, too.
        window = (GRID_PX, GRID_PX) if window_size is None else (int(window_size[0]), int(window_size[1]))
        self.step_px = (int(window[0] * (1 - window_overlap)), int(window[1] * (1 - window_overlap)))
        self.overlap_px = (window[0] - self.step_px[0], window[1] - self.step_px[1])
        self.amp = amp
        self.shows_progress = True

    def run(self) -> None:
        """Segment every large image, and write the summary if there are no others.

        Raises:
            DataError: there are only large images, and not one is done; names the first and its reason.
        """
        if not self.images.large:
            return
        if self.weights_loader is not None:
            self.weights_loader.load()
        self.results.start()
        for item in self.images.large:
            try:
                self.results.add(item, self._segment(item))
            except Exception as error:  # of the many libraries that read, write and compute: the others are to be done
                logger.exception("%s failed", item["image"])
                self.results.add_failure(item, reason_of(error, item["image"]))
        if len(self.images) == 0:
            self.results.summarise()

    def open(self, item: Item) -> BlockImage:
        """Open a large image; to be done, with what follows, inside `pixel_io`.

        Raises:
            DataError: it cannot be read, or its label map cannot be written.
        """
        image = open_block_image(Path(item["image"]), page=self.images.page, channel=self.images.channel)
        if self.results.output_format == "nifti":
            refuse_too_long_for_nifti(image.size)
        return image

    def view(self, item: Item, image: BlockImage) -> View:
        """Look at a whole image; say how the network is to see it."""
        black, white, places = self._look_at(image)
        diameter_px = self._diameter_of(image, item, places, _stretch(black, white))
        return View(black, white, diameter_px, self.inferer.scale_for(diameter_px))

    def tiles(self, image: BlockImage, view: View) -> list[Tile]:
        """Plan the tiles of an image, in pixels that the network sees."""
        return plan_tiles_of_image(
            image.size,
            scale=view.scale,
            tile_px=self.tile_size,
            margin_px=self.tile_margin,
            step_px=self.step_px,
            overlap_px=self.overlap_px,
        )

    def objects_of(self, image: BlockImage, view: View, tile: Tile) -> Objects:
        """Segment one tile; the objects of its region, in pixels of the image."""
        region, stretch = _in_image(tile.region, image.size, view.scale), _stretch(view.black, view.white)
        pixels = torch.as_tensor(stretch(_seen(image, region, tile.region.size)))[None].to(self.device)
        with self._network_at_work():
            output = self.inferer.inferer(pixels, self.network)
        return _decoded(self.decoder, torch.as_tensor(output)[0], region.size)

    def join(
        self, item: Item, image: BlockImage, view: View, objects: Iterable[Objects], *, workshop: Path
    ) -> dict[str, Any]:
        """Join the objects of all tiles, and write the files of an image.

        Args:
            item: the image.
            image: the same, opened.
            view: as of `view`.
            objects: of each tile, in the order of `tiles`.
            workshop: an empty folder on the disk of the results.

        Returns:
            What `ResultFolder.add` takes.
        """
        cores, regions = (
            [_in_image(box, image.size, view.scale) for box in boxes]
            for boxes in zip(*self.tiles(image, view), strict=True)
        )
        with (
            PixelStore(workshop / "instances.tif", image.size, np.uint32) as instances,
            PixelStore(workshop / "classes.tif", image.size, np.uint8) as classes,
        ):
            stitcher = Stitcher(instances, classes)
            for objects_of_tile, core, region in zip(objects, cores, regions, strict=True):
                stitcher.add(objects_of_tile, region=region, core=core)
            found = LargeObjects(instances, classes, stitcher.finish(), cores=cores, regions=regions)
            summary = write_large_objects(
                self.results.output_dir,
                workshop,
                item["id"],
                found,
                image,
                class_names=self.results.class_names,
                object_name=self.results.object_name,
                pixel_size_um=read_pixel_size_um(item["image"], page=self.images.page),
                output_format=self.results.output_format,
                remark=partial(self.results.remark, item),
                show=partial(self.results.show, item),
            )
        return summary | {DIAMETER: math.nan if view.diameter_px is None else view.diameter_px, SCALE: view.scale}

    def _segment(self, item: Item) -> dict[str, Any]:
        with pixel_io(), temporary_folder(self.results.output_dir) as folder:
            image = self.open(item)
            view = self.view(item, image)
            tiles = self._watched(self.tiles(image, view), desc=item["id"], unit="tile")
            objects = (self.objects_of(image, view, tile) for tile in tiles)
            return self.join(item, image, view, objects, workshop=folder)

    def _look_at(self, image: BlockImage) -> tuple[float, float, list[Box]]:
        """Look at the whole image; give its black and white, and the places that show most."""
        watch = partial(self._watched, desc="contrast", unit="part", leave=False)
        return find_contrast(image.read, image.size, self.contrast_percentiles, watch=watch)

    def _diameter_of(
        self, image: BlockImage, item: Item, places: Sequence[Box], stretch: ScaleIntensityRange
    ) -> float | None:
        """Say how large a typical object is: one size for the image, the median of what several places show."""
        known = self.inferer.known_diameter({"filename_or_obj": item["image"], "page": self.images.page})
        if known is not None:
            return known
        found = []
        for place in self._watched(places, desc="size of objects", unit="place", leave=False):
            pixels = torch.as_tensor(stretch(_seen(image, place, place.size)))[None].to(self.device)
            with self._network_at_work():
                diameter = self.inferer.estimator(pixels, self.network)
            if diameter is not None:
                found.append(diameter)
        return float(np.median(found)) if found else None

    def _watched(self, parts: Sequence[T], **texts: Any) -> Iterable[T]:
        # disable=None: no bar where the output is no terminal
        bar: Iterable[T] = tqdm(parts, disable=None if self.shows_progress else True, **texts)
        return bar

    @contextmanager
    def _network_at_work(self) -> Iterator[None]:
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=self.amp):
            yield


def _stretch(black: float, white: float) -> ScaleIntensityRange:
    return ScaleIntensityRange(a_min=black, a_max=white, b_min=0.0, b_max=1.0, clip=True)


def _in_image(box: Box, size: tuple[int, int], scale: float) -> Box:
    """Find a box of pixels that the network sees in the image, whose end is theirs."""
    seen_size = scaled_size(size, scale)
    ends = [
        length if end == seen_length else round(end / scale)
        for end, length, seen_length in zip((box.bottom, box.right), size, seen_size, strict=True)
    ]
    return Box(round(box.top / scale), round(box.left / scale), *ends)


def _decoded(decoder: DecodeObjectsd, output: torch.Tensor, size: tuple[int, int]) -> Objects:
    """Decode at a size (H, W); where that is more than `LARGEST_WHOLE_PX`, at less, and repeat pixels."""
    # Sides are rounded when tiles are scaled to the image: a hundredth more is none.
    factor = max(1, math.ceil(math.sqrt(math.prod(size) / (1.01 * LARGEST_WHOLE_PX))))
    if factor == 1:
        return decoder.decode(output, size=size)
    objects = decoder.decode(output, size=(math.ceil(size[0] / factor), math.ceil(size[1] / factor)))
    instances, classes = (
        label_map.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[:, : size[0], : size[1]]
        for label_map in (objects.instances, objects.classes)
    )
    return Objects(instances, classes, objects.scores)


def _seen(image: BlockImage, box: Box, size: tuple[int, int]) -> torch.Tensor:
    """Read a box as the network is to see it, float32 (3, h, w) of a `size`."""
    # First by a whole factor while it is read: an image of which a tile is a large part is not held in full.
    factor = max(1, int(min(box.size[0] / size[0], box.size[1] / size[1])))
    pixels = torch.from_numpy(np.moveaxis(image.read_shrunk(box, factor), -1, 0).copy())
    return resize_image(pixels, size)
