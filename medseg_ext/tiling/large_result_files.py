"""Write the objects of a large image to the files that people use."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
import tifffile
from numpy.typing import NDArray

from medseg_ext.files import put_in_place
from medseg_ext.images.blocks import BlockImage
from medseg_ext.images.boxes import Box
from medseg_ext.images.png import encode_png_fast
from medseg_ext.objects.annotations import annotate
from medseg_ext.objects.formats import LABEL_MAP, ResultFormats
from medseg_ext.objects.label_map_files import (
    LEVEL_STEP,
    PixelSize,
    encode_label_nifti,
    label_dtype,
    level_sizes,
    tiff_options,
)
from medseg_ext.objects.label_zarr import write_label_zarr
from medseg_ext.objects.measurements import COLOURS, measure_objects, summarise_objects
from medseg_ext.objects.outline_files import outline_files
from medseg_ext.objects.outlined import OutlinedObject, outlined_objects
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.objects.result_files import ShowPictures
from medseg_ext.tables import Table, rows_of, to_csv
from medseg_ext.tiling.boundless_objects import coarsely_outlined, measure_in_bands
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
    intensities: Sequence[str] = COLOURS,
    formats: ResultFormats | None = None,
    source: Path | str | None = None,
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
        intensities: names of the columns of the channels' means.
        formats: which files; by default those of `ResultFormats`. For NIfTI the whole label map has to be in memory.
        source: path of the image's file, which COCO tells; by default its id.
        remark: takes what people are to be told: that the outline of a boundless object is coarse.
        show: takes the pictures, reduced, once the files are written.

    Returns:
        The summary, see `medseg_ext.objects.summarise_objects`.
    """
    formats = formats or ResultFormats()
    unfinished = formats.paths(workshop, image_id)
    _write_label_maps(unfinished, found, formats, workshop, pixel_size_um, image_id=image_id, object_name=object_name)
    if path := unfinished.get("classes"):
        found.classes.flush()
        rasterio.shutil.copy(found.classes.path, path, driver="PNG")
    picture, overlay = _pictures(found, image, pixel_size_um)
    if path := unfinished.get("overlay"):
        path.write_bytes(encode_png_fast(overlay))

    options = {
        "class_names": class_names,
        "object_name": object_name,
        "pixel_size_um": pixel_size_um,
        "image_size": image.size,
        "intensities": intensities,
    }
    tables: list[Table] = []
    with outline_files(unfinished, image_id=image_id, source=source or image_id, size=image.size) as files:
        for table, objects in _described(found, image, options, remark):
            tables.append(table)
            for outlined in objects if files else ():
                for file in files:
                    file.add(outlined)
    table = _in_order(tables)
    if path := unfinished.get("csv"):
        path.write_bytes(to_csv(list(table), rows_of(table)))
    for path in unfinished.values():
        put_in_place(path, folder / path.name)
    if show is not None:
        show(picture, overlay)
    return summarise_objects(table, image.size)


def _described(
    found: LargeObjects, image: BlockImage, options: Mapping[str, Any], remark: Callable[[str], None]
) -> Iterator[tuple[Table, Iterable[OutlinedObject]]]:
    """Yield tables of all objects, each with the outlines of its rows."""
    for box, labels in _labels_by_place(found):
        scores, pixels = found.stitched.scores, image.read(box)
        table = measure_objects(labels, found.classes.read(box), scores, pixels, origin=box[:2], **options)
        yield table, outlined_objects(labels, table, origin=box[:2])
    for number in _boundless(found):
        table = measure_in_bands(found, number, image, most_px=LARGEST_OBJECT_PX, **options)
        outlined, side = coarsely_outlined(found, number, table, most_px=LARGEST_OBJECT_PX)
        height, width = found.stitched.boxes[number - 1].size
        remark(
            f"object {number} is {height} x {width} pixels large, and its outline is drawn around blocks of {side} x "
            f"{side}; is it an image for this bundle?"
        )
        yield table, [outlined]


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


def _write_label_maps(
    paths: Mapping[str, Path],
    found: LargeObjects,
    formats: ResultFormats,
    workshop: Path,
    pixel_size_um: PixelSize | None,
    *,
    image_id: str,
    object_name: str,
) -> None:
    """Write the label map, and what else is one among the files of an image."""
    size, path = found.instances.size, paths[LABEL_MAP]
    tiffs = [paths["ome-tiff"]] if "ome-tiff" in paths else []
    if formats.output_format == "tiff":
        tiffs.append(path)
    elif formats.zarr_format is None:
        path.write_bytes(encode_label_nifti(found.read(Box(0, 0, *size)), pixel_size_um))
    else:
        write_label_zarr(
            path,
            found.read,
            size,
            highest=len(found.stitched.boxes),
            pixel_size_um=pixel_size_um,
            name=object_name,
            zarr_format=formats.zarr_format,
        )
    if tiffs:
        _write_label_tiff(tiffs[0], found, workshop, pixel_size_um, name=image_id)
        for same in tiffs[1:]:
            shutil.copyfile(tiffs[0], same)


def _write_label_tiff(
    path: Path, found: LargeObjects, workshop: Path, pixel_size_um: PixelSize | None, *, name: str
) -> None:
    """Write an OME-TIFF of tiles with its levels, of which each is picked out of the one before."""
    sizes = level_sizes(found.instances.size)
    dtype = label_dtype(len(found.stitched.boxes))
    n_bytes = sum(math.prod(size) for size in sizes) * np.dtype(dtype).itemsize
    with tifffile.TiffWriter(path, bigtiff=n_bytes > BIGTIFF_FROM, ome=True) as file, ExitStack() as stack:
        read = found.read
        for number, size in enumerate(sizes):
            options = tiff_options(_times(pixel_size_um, LEVEL_STEP**number), ome_name=name)
            if number == 0:
                options["subifds"] = len(sizes) - 1
            else:
                options |= {"subfiletype": 1, "metadata": {}}
            kept = None
            if number + 1 < len(sizes):
                store = PixelStore(workshop / f"level{number}.tif", sizes[number + 1], np.uint32)
                kept = stack.enter_context(store)
            blocks = _blocks(read, size, dtype, kept)
            file.write(blocks, shape=size, dtype=dtype, tile=(BLOCK_PX, BLOCK_PX), **options)
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


def overlay_factor(image: BlockImage) -> int:
    """Say by which factor an overlay is smaller than its image: a multiple of the level that is read for it."""
    factor = -(-max(image.size) // OVERLAY_PX)
    level = max(each for each in image.reductions if each <= factor)
    return -(-factor // level) * level


def _pictures(
    found: LargeObjects, image: BlockImage, pixel_size_um: PixelSize | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Make pictures of the image, reduced to `OVERLAY_PX`, without and with outlines and what explains them."""
    height, width = image.size
    factor = overlay_factor(image)
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
    labels = labels.astype(np.int32)
    reduced_um = None if pixel_size_um is None else (pixel_size_um[0] * factor, pixel_size_um[1] * factor)
    return picture, annotate(draw_outlines(picture, labels, classes), labels, pixel_size_um=reduced_um)
