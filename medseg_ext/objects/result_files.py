"""Write the objects of an image to the files that people use."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg_ext.files import write_atomically
from medseg_ext.images.png import encode_png, encode_png_fast
from medseg_ext.objects.geojson import to_geojson
from medseg_ext.objects.label_map_files import ENCODERS, PixelSize
from medseg_ext.objects.measurements import measure_objects
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.tables import Table, rows_of, to_csv

ENDINGS = ("instances.tif", "classes.png", "overlay.png", "objects.csv", "objects.geojson")
NIFTI_ENDING = "instances.nii.gz"

ShowPictures = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
"""Takes pictures of an image, uint8 (H, W, 3), without and with the outlines of its objects."""


def output_paths(folder: Path, image_id: str, *, output_format: str = "tiff") -> list[Path]:
    """Name the files of one image, in the order of `ENDINGS`, of which the first depends on the format."""
    label_ending = {"tiff": ENDINGS[0], "nifti": NIFTI_ENDING}[output_format]
    return [folder / f"{image_id}_{ending}" for ending in (label_ending, *ENDINGS[1:])]


def write_objects(
    folder: Path,
    image_id: str,
    objects: Objects,
    image_rgb: np.ndarray,
    *,
    class_names: Sequence[str],
    object_name: str,
    pixel_size_um: PixelSize | None = None,
    output_format: str = "tiff",
    show: ShowPictures | None = None,
) -> Table:
    """Write label map, class map, overlay, table and polygons of one image, replacing older ones.

    Args:
        folder: an existing folder.
        image_id: beginning of the files' names.
        objects: the objects, in the size of the image.
        image_rgb: the image as it came, float (H, W, 3) in [0, 1].
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        output_format: of the label map, a key of `ENCODERS`.
        show: takes the pictures, once the files are written.

    Returns:
        The measurements, see `measure_objects`.

    Raises:
        ValueError: objects and image differ in size.
        DataError: the image is larger than NIfTI can be.
    """
    instances, classes = objects.instances[0].cpu().numpy(), objects.classes[0].cpu().numpy()
    table = measure_objects(
        instances,
        classes,
        objects.scores.cpu().numpy(),
        image_rgb,
        class_names=class_names,
        object_name=object_name,
        pixel_size_um=pixel_size_um,
    )
    geojson = to_geojson(instances, table, image_id=image_id)
    picture = brightened(image_rgb)
    overlay = draw_outlines(picture, instances, classes)
    contents = (
        ENCODERS[output_format](instances, pixel_size_um),
        encode_png(classes),
        encode_png_fast(overlay),
        to_csv(list(table), rows_of(table)),
        json.dumps(geojson, separators=(",", ":"), ensure_ascii=False).encode(),
    )
    paths = output_paths(folder, image_id, output_format=output_format)
    for path, content in zip(paths, contents, strict=True):
        write_atomically(path, content, at_once=False)
    if show is not None:
        show(picture, overlay)
    return table
