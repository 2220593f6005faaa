"""Segment large images tile by tile."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from medseg_ext.addresses import trace_without_secrets
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import reason_of
from medseg_ext.files import temporary_folder
from medseg_ext.images.blocks import BlockImage, open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import is_list
from medseg_ext.images.contrast import Contrast, ContrastApart, Limit, find_contrast, find_contrast_apart, stretch
from medseg_ext.images.resize import resize_image, scaled_size
from medseg_ext.images.sides import Sides
from medseg_ext.images.sizes import LARGEST_WHOLE_PX
from medseg_ext.images.tissue import Tissue, find_tissue
from medseg_ext.inferers.diameter_estimate import median_diameter
from medseg_ext.inferers.size_normalised import GRID_PX, SizeNormalisedInferer
from medseg_ext.inferers.tiled import Tile, TiledInferer
from medseg_ext.objects.diameters import DIAMETER, SCALE
from medseg_ext.objects.label_map_files import refuse_too_long_for_nifti
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.overlay import CLASS_COLOURS
from medseg_ext.objects.result_folder import Item, ResultFolder
from medseg_ext.tiling.large_objects import LargeObjects
from medseg_ext.tiling.large_result_files import write_large_objects
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher
from medseg_ext.tiling.tile_outputs import read_output
from medseg_ext.tiling.tiles import plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeObjectsd

T = TypeVar("T")

SAMPLE_PX = 512  # side of the part of an image that is compared with the training images, which are as small

logger = logging.getLogger(__name__)


class LoadsWeights(Protocol):
    """What loads the weights of a network, such as `medseg_ext.handlers.WeightsLoader`."""

    def load(self) -> None:
        """Load them."""


class View(NamedTuple):
    """How the network sees a large image, the same in all its tiles.

    Attributes:
        black: value in [0, 1] that becomes 0; of each channel one where they are read apart.
        white: value that becomes 1, likewise.
        diameter_px: of a typical object, in pixels of the image; None where there is none.
        scale: at which the network sees the image.
        glass: numbers of the tiles that show no tissue, and are left out.
        sample: a part of the image that shows something, to be compared with the training images; None for any.
    """

    black: Limit
    white: Limit
    diameter_px: float | None
    scale: float
    glass: frozenset[int] = frozenset()
    sample: Box | None = None


class LargeImages:
    """Segment the large ones of some images, tile by tile; the evaluator of a bundle does the others.

    Only a tile and its results are in memory, and what is known of each object; the rest is read and written in
    blocks. Objects are found tile by tile, with a margin. What the network sees at once is another matter: with a
    `TiledInferer` it is what it sees of the image in memory, so that the objects depend on the tiles only where one is
    longer than the margin. A network that sees whole images sees each tile as one, and makes a little of other
    surroundings.

    Of an image with levels, such as a whole slide, the smallest is read that has as many pixels as the network sees;
    all results are in pixels of the image itself. Where it shows glass, nothing is looked for.

    Args:
        images: those of the run.
        network: gives an output (1, C, h, w) for an image (1, 3, h, w).
        weights_loader: loads the network's weights; None where it has them.
        inferer: says at which scale the network is to see the image, and runs it.
        decoder: makes objects of an output.
        results: the folder that takes the files, and writes the summary.
        device: where the network is.
        contrast_percentiles: become black and white, over the whole image.
        tile_size: least side of a tile, without its margin, in pixels that the network sees.
        tile_margin: least margin of a tile, likewise: longer than usual objects.
        skip_glass: leave out tiles of images with levels that show no tissue, see `medseg_ext.images.tissue`.
        amp: run in mixed precision on a GPU.

    Attributes:
        shows_progress: show bars where the output is a terminal.
        when_tile_done: is called with the number of an image's tiles that are done, and the number of all; None for
            nothing.
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
        skip_glass: bool = True,
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
        self.skip_glass = skip_glass
        self.amp = amp
        self.shows_progress = True
        self.when_tile_done: Callable[[int, int], object] | None = None

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
                logger.error("%s failed\n%s", item["image"], trace_without_secrets(error))
                self.results.add_failure(item, reason_of(error, item["image"]))
        if len(self.images) == 0:
            self.results.summarise()

    def open(self, item: Item) -> BlockImage:
        """Open a large image; to be done, with what follows, inside `pixel_io`.

        Raises:
            DataError: it cannot be read, or its label map cannot be written.
        """
        image = open_block_image(item["image"], page=self.images.page, channel=self.images.channel)
        if self.results.formats.output_format == "nifti":
            refuse_too_long_for_nifti(image.size)
        return image

    def view(self, item: Item, image: BlockImage) -> View:
        """Look at a whole image; say how the network is to see it."""
        is_slide = self.skip_glass and len(image.reductions) > 1
        tissue = find_tissue(image, apart=is_list(self.images.channel)) if is_slide else None
        black, white, places = self._look_at(image, tissue)
        diameter_px = self._diameter_of(item, places, _Seen(image, View(black, white, None, 1.0)))
        scale = _scale_of_levels(self.inferer.scale_for(diameter_px), image.reductions)
        view = View(black, white, diameter_px, scale)
        if tissue is None:
            return view
        cores = (_in_image(tile.core, image.size, scale) for tile in self.tiles(image, view))
        glass = frozenset(number for number, core in enumerate(cores) if not tissue.touches(core))
        return view._replace(glass=glass, sample=max(places, key=lambda place: float(image.read(place).std())))

    def tiles(self, image: BlockImage, view: View) -> list[Tile]:
        """Plan the tiles of an image, in pixels that the network sees."""
        return plan_tiles_of_image(image.size, scale=view.scale, tile_px=self.tile_size, margin_px=self.tile_margin)

    def objects_of(self, image: BlockImage, view: View, tile: Tile, *, workshop: Path) -> Objects:
        """Segment one tile.

        Args:
            image: opened by `open`.
            view: as of `view`.
            tile: one of `tiles`.
            workshop: a folder, the same for all tiles of an image, whoever does them. It takes what the network gives
                for the surroundings of a tile, and hence for its neighbours.

        Returns:
            The objects of the tile's region, in pixels of the image.
        """
        output = self._output_of(tile.region, _Seen(image, view), workshop)
        region = _in_image(tile.region, image.size, view.scale)
        return _decoded(self.decoder, output, region.size, region.sides_on_border(image.size))

    def join(
        self, item: Item, image: BlockImage, view: View, objects: Iterable[Objects], *, workshop: Path
    ) -> dict[str, Any]:
        """Join the objects of all tiles, and write the files of an image.

        Args:
            item: the image.
            image: the same, opened.
            view: as of `view`.
            objects: of each tile that is not glass, in the order of `tiles`.
            workshop: an empty folder on the disk of the results.

        Returns:
            What `ResultFolder.add` takes.
        """
        self.results.compare_with_training_images(item, sample_of(image, view.sample), limits=(view.black, view.white))
        cores, regions = (
            [_in_image(box, image.size, view.scale) for box in boxes]
            for boxes in zip(*self.tiles(image, view), strict=True)
        )
        with (
            PixelStore(workshop / "instances.tif", image.size, np.uint32) as instances,
            PixelStore(workshop / "classes.tif", image.size, np.uint8, palette=CLASS_COLOURS) as classes,
        ):
            stitcher = Stitcher(instances, classes)
            shown = [number for number in range(len(cores)) if number not in view.glass]
            for objects_of_tile, number in zip(objects, shown, strict=True):
                stitcher.add(objects_of_tile, region=regions[number], core=cores[number])
            if view.glass:
                text = f"of {len(cores)} tiles {len(view.glass)} are glass, and were left out"
                self.results.remark(item, f"{text}; --skip_glass False looks at all")
            stitched = stitcher.finish()
            stitched = replace(stitched, scores=self.decoder.calibrate(stitched.scores))
            found = LargeObjects(instances, classes, stitched, cores=cores, regions=regions)
            summary = write_large_objects(
                self.results.output_dir,
                workshop,
                item["id"],
                found,
                image,
                class_names=self.results.class_names,
                object_name=self.results.object_name,
                pixel_size_um=self.results.pixel_size_um(item),
                intensities=self.results.intensities,
                formats=self.results.formats,
                source=item["image"],
                remark=partial(self.results.remark, item),
                show=partial(self.results.show, item),
            )
        return summary | {DIAMETER: math.nan if view.diameter_px is None else view.diameter_px, SCALE: view.scale}

    def _segment(self, item: Item) -> dict[str, Any]:
        with pixel_io(), temporary_folder(self.results.output_dir) as folder:
            image = self.open(item)
            view = self.view(item, image)
            shown = [tile for number, tile in enumerate(self.tiles(image, view)) if number not in view.glass]
            objects = self._objects_of_all(item, image, view, shown, workshop=folder)
            return self.join(item, image, view, objects, workshop=folder)

    def _objects_of_all(
        self, item: Item, image: BlockImage, view: View, tiles: Sequence[Tile], *, workshop: Path
    ) -> Iterator[Objects]:
        for number, tile in enumerate(self._watched(tiles, desc=item["id"], unit="tile"), start=1):
            yield self.objects_of(image, view, tile, workshop=workshop)
            if self.when_tile_done is not None:
                self.when_tile_done(number, len(tiles))

    def _look_at(self, image: BlockImage, tissue: Tissue | None) -> tuple[Limit, Limit, list[Box]]:
        """Look at the whole image, or its tissue; give its black and white, and places that show something."""
        watch = partial(self._watched, desc="contrast", unit="part", leave=False)
        wanted = {} if tissue is None else {"wanted": tissue.touches}
        find: Callable[..., Contrast | ContrastApart] = (
            find_contrast_apart if is_list(self.images.channel) else find_contrast
        )
        return find(image.read, image.size, self.contrast_percentiles, watch=watch, **wanted)

    def _diameter_of(self, item: Item, places: Sequence[Box], seen: _Seen) -> float | None:
        """Say how large a typical object is: one size for the image, of the objects that several places show."""
        known = self.inferer.known_diameter({"filename_or_obj": item["image"], "page": self.images.page})
        if known is not None:
            return known
        found = []
        for place in self._watched(places, desc="size of objects", unit="place", leave=False):
            with self._network_at_work():
                estimate = self.inferer.estimator(seen.read(place).to(self.device), self.network)
            if estimate is not None:
                found.append(estimate)
        return median_diameter(found)

    def _output_of(self, region: Box, seen: _Seen, workshop: Path) -> torch.Tensor:
        """Give the network's output (C, h, w) for a region of what it sees."""
        inferer = self.inferer.inferer
        if not isinstance(inferer, TiledInferer):
            with self._network_at_work():
                return torch.as_tensor(inferer(seen.read(region).to(self.device), self.network))[0]

        def of_core(tile: Tile) -> torch.Tensor:
            pixels = seen.read(tile.region.intersection(seen.whole)).to(self.device)
            with self._network_at_work():
                return inferer.output_of(tile, pixels, self.network)[0]

        return read_output(region, inferer.plan(seen.whole.size), compute=of_core, folder=workshop)

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


@dataclass(frozen=True)
class _Seen:
    """A large image as the network sees it: at some scale, with its contrast stretched."""

    image: BlockImage
    view: View

    @property
    def whole(self) -> Box:
        """The box of all pixels that the network sees."""
        return Box(0, 0, *scaled_size(self.image.size, self.view.scale))

    def read(self, box: Box) -> torch.Tensor:
        """Read a box of what the network sees, float32 (1, 3, h, w)."""
        place = _in_image(box, self.image.size, self.view.scale)
        # First by a whole factor while it is read: an image of which a tile is a large part is not held in full.
        factor = self.image.finest_enough(min(place.size[0] / box.size[0], place.size[1] / box.size[1]))
        pixels = _Stretched(self.image, self.view).read_shrunk(place, factor)
        return resize_image(torch.from_numpy(np.moveaxis(pixels, -1, 0).copy()), box.size)[None]


class _Stretched(BlockImage):
    """A large image with its contrast stretched: before it shrinks, as values beyond black or white are clipped."""

    def __init__(self, image: BlockImage, view: View) -> None:
        self._image = image
        self._stretch = partial(stretch, black=view.black, white=view.white)
        self.size = image.size
        self.reductions = image.reductions

    def read(self, box: Box) -> np.ndarray:
        """Read a box, see `BlockImage`."""
        return self._stretch(self._image.read(box))

    def read_level(self, box: Box, reduction: int) -> np.ndarray:
        """Read a box of a level, see `BlockImage`."""
        return self._stretch(self._image.read_level(box, reduction))


def sample_of(image: BlockImage, place: Box | None = None) -> np.ndarray:
    """Read the part that shows most, float32 (h, w, 3), of nine that are spread over an image, or over a box of it."""
    whole = place or Box(0, 0, *image.size)
    height, width = (min(SAMPLE_PX, side) for side in whole.size)
    tops, lefts = (
        start + np.linspace(0, side - part, 5)[1:4]
        for start, side, part in zip(whole[:2], whole.size, (height, width), strict=True)
    )
    boxes = [Box(int(top), int(left), int(top) + height, int(left) + width) for top in tops for left in lefts]
    return max(map(image.read, boxes), key=lambda pixels: float(pixels.std()))


def _scale_of_levels(scale: float, reductions: Sequence[int]) -> float:
    """Move a scale, by a fiftieth at most, so that `GRID_PX` pixels that are seen are whole ones of the level read."""
    level = max(each for each in reductions if each <= max(1, 1 / scale))
    return scale if level == 1 else GRID_PX / (level * round(GRID_PX / scale / level))


def _in_image(box: Box, size: tuple[int, int], scale: float) -> Box:
    """Find a box of pixels that the network sees in the image, whose end is theirs."""
    seen_size = scaled_size(size, scale)
    ends = [
        length if end == seen_length else round(end / scale)
        for end, length, seen_length in zip((box.bottom, box.right), size, seen_size, strict=True)
    ]
    return Box(round(box.top / scale), round(box.left / scale), *ends)


def _decoded(decoder: DecodeObjectsd, output: torch.Tensor, size: tuple[int, int], border: Sides) -> Objects:
    """Decode at a size (H, W); where that is more than `LARGEST_WHOLE_PX`, at less, and repeat pixels."""
    # Sides are rounded when tiles are scaled to the image: a hundredth more is none.
    factor = max(1, math.ceil(math.sqrt(math.prod(size) / (1.01 * LARGEST_WHOLE_PX))))
    if factor == 1:
        return decoder.decode(output, size=size, border=border)
    objects = decoder.decode(output, size=(math.ceil(size[0] / factor), math.ceil(size[1] / factor)), border=border)
    instances, classes = (
        label_map.repeat_interleave(factor, 1).repeat_interleave(factor, 2)[:, : size[0], : size[1]]
        for label_map in (objects.instances, objects.classes)
    )
    return Objects(instances, classes, objects.scores)
