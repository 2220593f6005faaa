"""Write the objects of an image to the files that people use."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from medseg_ext.data.pixels import encode_png
from medseg_ext.inference.geojson import to_geojson
from medseg_ext.inference.measure import measure_objects
from medseg_ext.inference.overlay import draw_overlay
from medseg_ext.inference.tables import Table, rows_of, to_csv
from medseg_ext.transforms import Objects

ENDINGS = ("instances.tif", "classes.png", "overlay.png", "objects.csv", "objects.geojson")


def output_paths(folder: Path, image_id: str) -> list[Path]:
    """Name the files of one image, in the order of `ENDINGS`."""
    return [folder / f"{image_id}_{ending}" for ending in ENDINGS]


def write_objects(
    folder: Path,
    image_id: str,
    objects: Objects,
    image_rgb: np.ndarray,
    *,
    class_names: Sequence[str],
    object_name: str,
) -> Table:
    """Write label map, class map, overlay, table and polygons of one image, replacing older ones.

    Args:
        folder: an existing folder.
        image_id: beginning of the files' names.
        objects: the objects, in the size of the image.
        image_rgb: the image as it came, float (H, W, 3) in [0, 1].
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".

    Returns:
        The measurements, see `measure_objects`.

    Raises:
        ValueError: objects and image differ in size.
    """
    instances, classes = objects.instances[0].cpu().numpy(), objects.classes[0].cpu().numpy()
    table = measure_objects(
        instances,
        classes,
        objects.scores.cpu().numpy(),
        image_rgb,
        class_names=class_names,
        object_name=object_name,
    )
    geojson = to_geojson(instances, table, image_id=image_id)
    contents = (
        encode_label_tiff(instances),
        encode_png(classes),
        encode_png(draw_overlay(image_rgb, instances, classes)),
        to_csv(list(table), rows_of(table)),
        json.dumps(geojson, separators=(",", ":"), ensure_ascii=False).encode(),
    )
    for path, content in zip(output_paths(folder, image_id), contents, strict=True):
        write_atomically(path, content)
    return table


def encode_label_tiff(instances: np.ndarray) -> bytes:
    """Encode a label map as a compressed TIFF, of uint16 or, with labels above 65535, of uint32."""
    buffer = io.BytesIO()
    dtype = np.uint16 if instances.max() <= np.iinfo(np.uint16).max else np.uint32
    tifffile.imwrite(
        buffer, instances.astype(dtype), photometric="minisblack", compression="zlib", metadata={"axes": "YX"}
    )
    return buffer.getvalue()


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so that an interruption leaves no half-written file."""
    temporary = path.with_name(f".{os.getpid()}.part")  # short: the path itself may be as long as names can be
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
