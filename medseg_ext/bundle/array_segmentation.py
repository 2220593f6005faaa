"""Segment arrays as `medseg segment` does files of the same pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from medseg_ext.bundle.loaded import LoadedBundle
from medseg_ext.bundle.trained_settings import plan_for_weights
from medseg_ext.bundle.workflow import quiet, telling_the_cause
from medseg_ext.errors import DataError
from medseg_ext.files import usable_id
from medseg_ext.images.label_images import read_label_image
from medseg_ext.images.tiff_writing import write_image_tiff
from medseg_ext.objects.formats import LABEL_MAP
from medseg_ext.objects.result_folder import DONE, FAILED
from medseg_ext.objects.segmented_array import SegmentedArray
from medseg_ext.tables import read_table

NUCLEUS = "nucleus"  # a class that is a part of an object where there are others


class ArraySegmenter:
    """A bundle that segments one array after the other; its network is loaded once.

    An array goes through a file in a temporary folder, and from there on the way of every file, large ones tile by
    tile. So its objects are those that `medseg segment` finds in a TIFF of the same pixels.

    Args:
        bundle: the bundle's folder.
        overrides: values of the config's keys, such as `ckpt_path`; weights of a training bring their classes along, as
            for `medseg segment`.

    Attributes:
        object_name: what an object is, such as "nucleus".

    Raises:
        DataError: what people can mend, such as weights of another network.
        OverrideError: the config has no such key, or it does not take its value.
        RuntimeError: anything else; its message is the cause's.
    """

    def __init__(self, bundle: Path, *, overrides: Mapping[str, Any] | None = None) -> None:
        given = dict(overrides or {})
        settings = {**plan_for_weights(bundle, given, "inference").settings, **given}
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            self._loaded = LoadedBundle(bundle, {**settings, "output_dir": Path(folder), "formats": ["classes", "csv"]})
        self.object_name: str = self._loaded.results.object_name
        self._class_names: list[str] = self._loaded.results.class_names
        self._usual_diameter = self._loaded.large_images.inferer.object_diameter_px
        self._guard = Lock()

    def segment(
        self,
        pixels: np.ndarray,
        *,
        name: str = "image",
        pixel_size_um: tuple[float, float] | None = None,
        object_diameter_px: float | None = None,
        when_tile_done: Callable[[int, int], object] | None = None,
    ) -> SegmentedArray:
        """Segment an array; one at a time, whoever asks.

        Args:
            pixels: grey (H, W) or RGB (H, W, 3), integers or floats, as `medseg_ext.images.read_rgb` takes them.
            name: of the image, for messages.
            pixel_size_um: (height, width) of a pixel, None where it is unknown.
            object_diameter_px: diameter of a typical object; None estimates it.
            when_tile_done: of a large array, is called with the number of tiles that are done, and the number of all.

        Raises:
            DataError: it cannot be segmented; names it and the reason.
            RuntimeError: anything else; its message is the cause's.
        """
        with self._guard, _quiet(), tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{usable_id(name)}.tif")
            try:
                write_image_tiff(file, pixels, pixel_size_um=pixel_size_um)
            except DataError as error:
                raise DataError(str(error).replace(str(file), name)) from error
            results, large = self._loaded.results, self._loaded.large_images
            results.output_dir = Path(folder, "results")
            results.output_dir.mkdir()
            large.inferer.object_diameter_px = object_diameter_px or self._usual_diameter
            large.when_tile_done = when_tile_done
            item = {"image": str(file), "id": "image"}
            row = self._loaded.segment(item)
            if row["status"] != DONE:
                raise DataError(f"{name}: {row['status'].removeprefix(FAILED)}")
            paths = results.paths_of(item)
            objects = tifffile.imread(paths[LABEL_MAP]).astype(np.int32)
            return SegmentedArray(objects, self._nuclei(objects, paths["classes"]), read_table(paths["csv"]), row)

    def _nuclei(self, objects: NDArray[np.int32], classes: Path) -> NDArray[np.int32] | None:
        if len(self._class_names) < 3 or NUCLEUS not in self._class_names:
            return None
        class_map = read_label_image(classes.read_bytes(), str(classes)).labels
        return np.where(class_map == self._class_names.index(NUCLEUS), objects, 0).astype(np.int32)


@contextmanager
def _quiet() -> Iterator[None]:
    with quiet(log=True, warnings_too=True), telling_the_cause():
        yield
