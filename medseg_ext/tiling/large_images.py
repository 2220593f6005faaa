"""Segment large images tile by tile."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from monai.inferers import Inferer
from monai.transforms import Resize, ScaleIntensityRange
from tqdm import tqdm

from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import reason_of
from medseg_ext.images.blocks import BlockImage, open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.percentiles import percentiles_of
from medseg_ext.images.pixel_size import read_pixel_size_um
from medseg_ext.images.sizes import LARGEST_WHOLE_PX, size_at_work
from medseg_ext.objects.label_map_files import refuse_too_long_for_nifti
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.tiling.large_objects import LargeObjects
from medseg_ext.tiling.large_result_files import write_large_objects
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher
from medseg_ext.tiling.tiles import grid_px, plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeObjectsd

logger = logging.getLogger(__name__)


class LoadsWeights(Protocol):
    """What loads the weights of a network, such as `medseg_ext.handlers.WeightsLoader`."""

    def load(self) -> None:
        """Load them."""


class LargeImages:
    """Segment the large ones of some images, tile by tile; the evaluator of a bundle does the others.

    Only a tile and its results are in memory, and what is known of each object; the rest is read and written in
    blocks. A result depends on the tiles only where an object is longer than the margin, and, of a network that sees
    whole images, by what it makes of other surroundings.

    Args:
        images: those of the run.
        network: gives an output (1, C, h, w) for an image (1, 3, h, w).
        weights_loader: loads the network's weights; None where it has them.
        inferer: runs the network on a tile.
        decoder: makes objects of an output.
        results: the folder that takes the files, and writes the summary.
        device: where the network is.
        contrast_percentiles: become black and white, over the whole image.
        working_size: longer side at which the network sees the image, in pixels; None keeps the image's own.
        tile_size: least side of a tile, without its margin, in pixels that the network is given.
        tile_margin: least margin of a tile, likewise: longer than usual objects.
        window_size: (h, w) of the inferer's window; None where it has none.
        window_overlap: part of a window that the next one sees again.
        enlargement: of images within the network, see `medseg_ext.networks.Enlarging`.
        amp: run in mixed precision on a GPU.
    """

    def __init__(
        self,
        images: ReadableImages,
        *,
        network: Callable[..., Any],
        weights_loader: LoadsWeights | None,
        inferer: Inferer,
        decoder: DecodeObjectsd,
        results: ResultFolder,
        device: torch.device | str,
        contrast_percentiles: Sequence[float],
        working_size: int | None,
        tile_size: int,
        tile_margin: int,
        window_size: Sequence[int] | None = None,
        window_overlap: float = 0.0,
        enlargement: float = 1,
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
        self.working_size = working_size
        self.tile_size = tile_size
        self.tile_margin = tile_margin
        window = (grid_px(enlargement),) * 2 if window_size is None else (int(window_size[0]), int(window_size[1]))
        self.step_px = (int(window[0] * (1 - window_overlap)), int(window[1] * (1 - window_overlap)))
        self.overlap_px = (window[0] - self.step_px[0], window[1] - self.step_px[1])
        self.amp = amp

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

    def _segment(self, item: dict[str, str]) -> dict[str, Any]:
        output_dir = self.results.output_dir
        with pixel_io(), tempfile.TemporaryDirectory(dir=output_dir, prefix=".large-") as folder:
            image = open_block_image(Path(item["image"]), page=self.images.page)
            if self.results.output_format == "nifti":
                refuse_too_long_for_nifti(image.size)
            with (
                PixelStore(Path(folder) / "instances.tif", image.size, np.uint32) as instances,
                PixelStore(Path(folder) / "classes.tif", image.size, np.uint8) as classes,
            ):
                seen_size = size_at_work(image.size, self.working_size)
                scale = image.size[0] / seen_size[0], image.size[1] / seen_size[1]
                tiles = plan_tiles_of_image(
                    image.size,
                    working_size=self.working_size,
                    tile_px=self.tile_size,
                    margin_px=self.tile_margin,
                    step_px=self.step_px,
                    overlap_px=self.overlap_px,
                )
                cores, regions = ([box.scaled(scale) for box in boxes] for boxes in zip(*tiles, strict=True))
                stretch = self._contrast(image, cores, [tile.core.size for tile in tiles])
                stitcher = Stitcher(instances, classes)
                # disable=None: no bar where the output is no terminal
                for tile, core, region in zip(
                    tqdm(tiles, desc=item["id"], unit="tile", disable=None), cores, regions, strict=True
                ):
                    objects = self._objects_of(image, region, tile.region.size, stretch)
                    stitcher.add(objects, region=region, core=core)
                found = LargeObjects(instances, classes, stitcher.finish(), cores=cores, regions=regions)
                return write_large_objects(
                    output_dir,
                    Path(folder),
                    item["id"],
                    found,
                    image,
                    class_names=self.results.class_names,
                    object_name=self.results.object_name,
                    pixel_size_um=read_pixel_size_um(item["image"], page=self.images.page),
                    output_format=self.results.output_format,
                )

    def _contrast(
        self, image: BlockImage, parts: Sequence[Box], seen_sizes: Sequence[tuple[int, int]]
    ) -> ScaleIntensityRange:
        """Look at the whole image, and give what stretches the contrast of any part of it."""
        looked_at = tqdm(parts, desc="contrast", unit="tile", disable=None, leave=False)
        black, white = percentiles_of(
            (_seen(image, part, size).numpy() for part, size in zip(looked_at, seen_sizes, strict=True)),
            self.contrast_percentiles,
        )
        return ScaleIntensityRange(a_min=black, a_max=white, b_min=0.0, b_max=1.0, clip=True)

    def _objects_of(
        self, image: BlockImage, region: Box, seen_size: tuple[int, int], stretch: ScaleIntensityRange
    ) -> Objects:
        pixels = torch.as_tensor(stretch(_seen(image, region, seen_size)))[None].to(self.device)
        if isinstance(self.network, torch.nn.Module):
            self.network.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=self.amp):
            output = self.inferer(pixels, self.network)
        return _decoded(self.decoder, torch.as_tensor(output)[0], region.size)


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
    """Read a box as the network is to see it, float32 (3, h, w) of a `size`; see `ResizeToWorkingSized`."""
    # First by a whole factor while it is read: an image of which a tile is a large part is not held in full.
    factor = max(1, int(min(box.size[0] / size[0], box.size[1] / size[1])))
    pixels = torch.from_numpy(np.moveaxis(image.read_shrunk(box, factor), -1, 0).copy())
    if pixels.shape[1:] != size:
        pixels = torch.as_tensor(Resize(spatial_size=size, mode="bilinear", anti_aliasing=True)(pixels))
    return pixels
