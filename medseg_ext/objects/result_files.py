"""Write the objects of an image to the files that people use."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg_ext.files import remove_path, temporary_folder, write_atomically
from medseg_ext.images.png import encode_png, encode_png_fast
from medseg_ext.objects.geojson import to_geojson
from medseg_ext.objects.label_map_files import ENCODERS, LABEL_ENDINGS, ZARR_FORMATS, PixelSize
from medseg_ext.objects.label_zarr import encode_label_zarr
from medseg_ext.objects.measurements import measure_objects
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.tables import Table, rows_of, to_csv

ENDINGS = (LABEL_ENDINGS["tiff"], "classes.png", "overlay.png", "objects.csv", "objects.geojson")

ShowPictures = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
"""Takes pictures of an image, uint8 (H, W, 3), without and with the outlines of its objects."""


def output_paths(
    folder: Path, image_id: str, *, output_format: str = "tiff", compress_geojson: bool = False
) -> list[Path]:
    """Name the files of one image, in the order of `ENDINGS`, of which the first depends on the format.

    A label map in OME-Zarr is a folder.
    """
    *others, geojson = ENDINGS[1:]
    endings = (LABEL_ENDINGS[output_format], *others, geojson + (".gz" if compress_geojson else ""))
    return [folder / f"{image_id}_{ending}" for ending in endings]


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
    compress_geojson: bool = False,
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
        output_format: of the label map, a key of `LABEL_ENDINGS`.
        compress_geojson: write the polygons compressed by gzip.
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
    polygons = json.dumps(geojson, separators=(",", ":"), ensure_ascii=False).encode()
    label_map, *others = output_paths(folder, image_id, output_format=output_format, compress_geojson=compress_geojson)
    if output_format in ZARR_FORMATS:
        with temporary_folder(folder) as workshop:
            made = workshop / label_map.name
            zarr_format = ZARR_FORMATS[output_format]
            encode_label_zarr(made, instances, pixel_size_um, name=object_name, zarr_format=zarr_format)
            remove_path(label_map)
            made.replace(label_map)
    else:
        write_atomically(label_map, ENCODERS[output_format](instances, pixel_size_um))
    contents = (
        encode_png(classes),
        encode_png_fast(overlay),
        to_csv(list(table), rows_of(table)),
        gzip.compress(polygons, mtime=0) if compress_geojson else polygons,
    )
    for path, content in zip(others, contents, strict=True):
        write_atomically(path, content)
    if show is not None:
        show(picture, overlay)
    return table
