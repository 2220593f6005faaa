"""Write the objects of a large image to the files that people use."""

from __future__ import annotations

import gzip
import io
import json
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import rasterio.shutil
import tifffile
from numpy.typing import NDArray

from medseg_ext.files import remove_path
from medseg_ext.images.blocks import BlockImage
from medseg_ext.images.boxes import Box
from medseg_ext.images.png import encode_png_fast
from medseg_ext.objects.geojson import to_features
from medseg_ext.objects.label_map_files import (
    LEVEL_STEP,
    ZARR_FORMATS,
    PixelSize,
    encode_label_nifti,
    label_dtype,
    level_sizes,
    tiff_resolution,
)
from medseg_ext.objects.label_zarr import write_label_zarr
from medseg_ext.objects.measurements import measure_objects, summarise_objects
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.objects.result_files import ShowPictures, output_paths
from medseg_ext.tables import Table, rows_of, to_csv
from medseg_ext.tiling.boundless_objects import coarse_feature, measure_in_bands
from medseg_ext.tiling.large_objects import LargeObjects
from medseg_ext.tiling.pixel_store import BLOCK_PX, PixelStore

LARGEST_OBJECT_PX = 2**26  # of its box
OVERLAY_PX = 3000  # longest side of an overlay: what a person looks at as a whole
BIGTIFF_FROM = 2**32 - 2**25  # bytes


def write_large_objects(
    folder: Path,
    workshop: Path,
    image_id: str,
    found: LargeObjects,
    image: BlockImage,
    *,
    class_names: Sequence[str],
    object_name: str,
    pixel_size_um: PixelSize | None = None,
    output_format: str = "tiff",
    compress_geojson: bool = False,
    remark: Callable[[str], None],
    show: ShowPictures | None = None,
) -> dict[str, Any]:
    """Write the same files as `medseg_ext.objects.write_objects`, block by block.

    The label map is an OME-TIFF of tiles with levels (a BigTIFF where it needs to be), or OME-Zarr; the overlay is
    reduced to `OVERLAY_PX`.

    Args:
        folder: an existing folder.
        workshop: another on the same disk: the files are moved from there when all are written.
        image_id: beginning of the files' names.
        found: the objects.
        image: the image as it came.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        output_format: of the label map, a key of `medseg_ext.objects.label_map_files.LABEL_ENDINGS`; for "nifti" the
            whole label map has to be in memory.
        compress_geojson: write polygons compressed by gzip.
        remark: takes what people are to be told: that the outline of a boundless object is coarse.
        show: takes the pictures, reduced, once the files are written.

    Returns:
        The summary, see `medseg_ext.objects.summarise_objects`.
    """
    unfinished = output_paths(workshop, image_id, output_format=output_format, compress_geojson=compress_geojson)
    instances_path, classes_path, overlay_path, table_path, geojson_path = unfinished
    if output_format == "nifti":
        instances_path.write_bytes(encode_label_nifti(found.read(Box(0, 0, *image.size)), pixel_size_um))
    elif output_format in ZARR_FORMATS:
        write_label_zarr(
            instances_path,
            found.read,
            image.size,
            highest=len(found.stitched.boxes),
            pixel_size_um=pixel_size_um,
            name=object_name,
            zarr_format=ZARR_FORMATS[output_format],
        )
    else:
        _write_label_tiff(instances_path, found, workshop, pixel_size_um)
    found.classes.flush()
    rasterio.shutil.copy(found.classes.path, classes_path, driver="PNG")
    picture, overlay = _pictures(found, image)
    overlay_path.write_bytes(encode_png_fast(overlay))

    options = {"class_names": class_names, "object_name": object_name, "pixel_size_um": pixel_size_um}
    tables: list[Table] = []
    with _opened(geojson_path, compress=compress_geojson) as file:
        file.write('{"type":"FeatureCollection","features":[')
        separator = ""
        for table, features in _described(found, image, image_id, options, remark):
            tables.append(table)
            for feature in features:
                file.write(separator + json.dumps(feature, separators=(",", ":"), ensure_ascii=False))
                separator = ","
        file.write("]}")
    table = _in_order(tables)
    table_path.write_bytes(to_csv(list(table), rows_of(table)))
    for path in unfinished:
        if path.is_dir():
            remove_path(folder / path.name)
        path.replace(folder / path.name)
    if show is not None:
        show(picture, overlay)
    return summarise_objects(table, image.size)


def _described(
    found: LargeObjects, image: BlockImage, image_id: str, options: Mapping[str, Any], remark: Callable[[str], None]
) -> Iterator[tuple[Table, Iterable[dict[str, Any]]]]:
    """Yield tables of all objects, each with the features of its rows."""
    for box, labels in _labels_by_place(found):
        scores, pixels = found.stitched.scores, image.read(box)
        table = measure_objects(labels, found.classes.read(box), scores, pixels, origin=box[:2], **options)
        yield table, to_features(labels, table, image_id=image_id, origin=box[:2])
    for number in _boundless(found):
        table = measure_in_bands(found, number, image, most_px=LARGEST_OBJECT_PX, **options)
        feature, side = coarse_feature(found, number, table, image_id=image_id, most_px=LARGEST_OBJECT_PX)
        height, width = found.stitched.boxes[number - 1].size
        remark(
            f"object {number} is {height} x {width} pixels large, and its outline is drawn around blocks of {side} x "
            f"{side}; is it an image for this bundle?"
        )
        yield table, [feature]


def _boundless(found: LargeObjects) -> list[int]:
    """Give the objects whose boxes are too large to be held at once."""
    boxes = enumerate(found.stitched.boxes, start=1)
    return [number for number, box in boxes if math.prod(box.size) > LARGEST_OBJECT_PX]


def _labels_by_place(found: LargeObjects) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield boxes, each with the label map of its own objects but for boundless ones; one empty box for no objects."""
    wanted = np.zeros(len(found.stitched.boxes) + 1, dtype=bool)
    if len(wanted) == 1:
        box = Box(0, 0, 1, 1)
        yield box, np.zeros(box.size, dtype=np.int32)
    boundless = set(_boundless(found))
    for box, ids in found.by_place():
        ids = ids[[number not in boundless for number in ids.tolist()]]
        if len(ids):
            labels = found.read(box)
            wanted[ids] = True
            yield box, np.where(wanted[labels], labels, 0).astype(np.int32)
            wanted[ids] = False


def _in_order(tables: Sequence[Table]) -> Table:
    ids = np.concatenate([table["id"] for table in tables])
    order = np.argsort(ids)
    return {name: np.concatenate([table[name] for table in tables])[order] for name in tables[0]}


@contextmanager
def _opened(path: Path, *, compress: bool) -> Iterator[TextIO]:
    with path.open("wb") as file:
        # mtime=0 and no name: the same bytes every time
        stream = gzip.GzipFile("", "wb", fileobj=file, mtime=0) if compress else file
        with io.TextIOWrapper(stream, encoding="utf-8") as text:
            yield text


def _write_label_tiff(path: Path, found: LargeObjects, workshop: Path, pixel_size_um: PixelSize | None) -> None:
    sizes = level_sizes(found.instances.size)
    dtype = label_dtype(len(found.stitched.boxes))
    options: dict[str, Any] = {
        "dtype": dtype,
        "tile": (BLOCK_PX, BLOCK_PX),
        "photometric": "minisblack",
        "compression": "zlib",
    }
    # By default another one each time, in a file that is the same otherwise.
    metadata: dict[str, Any] = {"axes": "YX", "UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, path.name))}
    if pixel_size_um is not None:
        for axis, side_um in zip("YX", pixel_size_um, strict=True):
            metadata |= {f"PhysicalSize{axis}": side_um, f"PhysicalSize{axis}Unit": "µm"}
    n_bytes = sum(math.prod(size) for size in sizes) * np.dtype(dtype).itemsize
    with tifffile.TiffWriter(path, bigtiff=n_bytes > BIGTIFF_FROM, ome=True) as file, ExitStack() as stack:
        read = found.read
        for number, size in enumerate(sizes):
            level = {"subifds": len(sizes) - 1, "metadata": metadata} if number == 0 else {"subfiletype": 1}
            resolution = tiff_resolution(_times(pixel_size_um, LEVEL_STEP**number))
            # Each level is picked out of the one before, which is kept as it is written.
            kept = None
            if number + 1 < len(sizes):
                store = PixelStore(workshop / f"level{number}.tif", sizes[number + 1], np.uint32)
                kept = stack.enter_context(store)
            file.write(_blocks(read, size, dtype, kept), shape=size, **options, **level, **resolution)
            if kept is not None:
                read = kept.read


def _times(size: PixelSize | None, factor: int) -> PixelSize | None:
    return None if size is None else (size[0] * factor, size[1] * factor)


def _blocks(
    read: Callable[[Box], np.ndarray],
    size: tuple[int, int],
    dtype: type[np.unsignedinteger],
    coarser: PixelStore | None,
) -> Iterator[np.ndarray]:
    """Yield the blocks of a level, and put each `LEVEL_STEP`th pixel both ways into the next one."""
    height, width = size
    for top in range(0, height, BLOCK_PX):
        for left in range(0, width, BLOCK_PX):
            box = Box(top, left, min(top + BLOCK_PX, height), min(left + BLOCK_PX, width))
            block = np.zeros((BLOCK_PX, BLOCK_PX), dtype=dtype)
            block[: box.size[0], : box.size[1]] = read(box)
            if coarser is not None and block.any():
                few = block[: box.size[0] : LEVEL_STEP, : box.size[1] : LEVEL_STEP].astype(np.uint32)
                corner = top // LEVEL_STEP, left // LEVEL_STEP
                coarser.write(Box(*corner, corner[0] + few.shape[0], corner[1] + few.shape[1]), few)
            yield block


def _pictures(found: LargeObjects, image: BlockImage) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make pictures of the image, reduced to `OVERLAY_PX`, without and with outlines."""
    height, width = image.size
    factor = -(-max(image.size) // OVERLAY_PX)
    level = max(each for each in image.reductions if each <= factor)
    factor = -(-factor // level) * level
    picture = brightened(image.read_shrunk(Box(0, 0, height, width), factor))
    labels, classes = (
        np.concatenate(
            [
                read(Box(row, 0, row + 1, width))[:, np.minimum(np.arange(0, width, factor) + factor // 2, width - 1)]
                for row in np.minimum(np.arange(0, height, factor) + factor // 2, height - 1).tolist()
            ]
        )
        for read in (found.read, found.classes.read)
    )
    return picture, draw_outlines(picture, labels.astype(np.int32), classes)
