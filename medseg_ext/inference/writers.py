"""Write the objects of an image to the files that people use."""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from medseg_ext.data.errors import DataError
from medseg_ext.data.pixels import encode_png
from medseg_ext.inference.geojson import to_geojson
from medseg_ext.inference.measure import measure_objects
from medseg_ext.inference.overlay import draw_overlay
from medseg_ext.inference.tables import Table, rows_of, to_csv
from medseg_ext.transforms import Objects

ENDINGS = ("instances.tif", "classes.png", "overlay.png", "objects.csv", "objects.geojson")
NIFTI_ENDING = "instances.nii.gz"
LONGEST_NIFTI_SIDE = 2**15 - 1

PixelSize = tuple[float, float]  # height and width in micrometres


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
    contents = (
        ENCODERS[output_format](instances, pixel_size_um),
        encode_png(classes),
        encode_png(draw_overlay(image_rgb, instances, classes)),
        to_csv(list(table), rows_of(table)),
        json.dumps(geojson, separators=(",", ":"), ensure_ascii=False).encode(),
    )
    for path, content in zip(output_paths(folder, image_id, output_format=output_format), contents, strict=True):
        write_atomically(path, content)
    return table


def encode_label_tiff(instances: np.ndarray, pixel_size_um: PixelSize | None = None) -> bytes:
    """Encode a label map as a compressed TIFF, of uint16 or, with labels above 65535, of uint32.

    Its resolution is in pixels a centimetre; it has none where the size of a pixel is unknown.
    """
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        _fitting(instances),
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": "YX"},
        **tiff_resolution(pixel_size_um),
    )
    return buffer.getvalue()


def tiff_resolution(pixel_size_um: PixelSize | None) -> dict[str, Any]:
    """Give the options of `tifffile.imwrite` for the size of a pixel; none where it is unknown."""
    if pixel_size_um is None:
        return {}
    height_um, width_um = pixel_size_um
    return {"resolution": (1e4 / width_um, 1e4 / height_um), "resolutionunit": "CENTIMETER"}


def encode_label_nifti(instances: np.ndarray, pixel_size_um: PixelSize | None = None) -> bytes:
    """Encode a label map as .nii.gz, of uint16 or, with labels above 65535, of uint32.

    Columns run along the first axis and rows along the second, as ITK has it; their directions are ITK's, too. The
    zooms are in mm; they have no unit where the size of a pixel is unknown.

    Raises:
        DataError: a side is longer than `LONGEST_NIFTI_SIDE`.
    """
    import nibabel  # where it is needed: most write TIFF

    refuse_too_long_for_nifti(instances.shape)
    height_mm, width_mm = (side / 1000 for side in pixel_size_um) if pixel_size_um is not None else (1.0, 1.0)
    affine = np.diag([-width_mm, -height_mm, 1.0, 1.0])  # x and y of ITK run against those of NIfTI
    image = nibabel.Nifti1Image(_fitting(instances).T, affine)
    if pixel_size_um is not None:
        image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)  # the same bytes every time


def refuse_too_long_for_nifti(size: tuple[int, ...]) -> None:
    """Raise DataError for a label map of a size (H, W) that NIfTI does not have."""
    if max(size) > LONGEST_NIFTI_SIDE:
        raise DataError(
            f"its label map of {size[0]} x {size[1]} pixels has a side of more than {LONGEST_NIFTI_SIDE}, the most "
            "that NIfTI has: use --output_format tiff"
        )


ENCODERS: dict[str, Callable[[np.ndarray, PixelSize | None], bytes]] = {
    "tiff": encode_label_tiff,
    "nifti": encode_label_nifti,
}


def _fitting(instances: np.ndarray) -> np.ndarray:
    return instances.astype(np.uint16 if instances.max() <= np.iinfo(np.uint16).max else np.uint32)


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so that an interruption leaves no half-written file."""
    temporary = path.with_name(f".{os.getpid()}.part")  # short: the path itself may be as long as names can be
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
