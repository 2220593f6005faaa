"""Write the objects of an image to the files that people use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg_ext.files import replacing, write_atomically
from medseg_ext.images.png import encode_png, encode_png_fast
from medseg_ext.objects.annotations import annotate
from medseg_ext.objects.formats import LABEL_MAP, ResultFormats
from medseg_ext.objects.label_map_files import ENCODERS, PixelSize, encode_label_ome_tiff
from medseg_ext.objects.label_zarr import encode_label_zarr
from medseg_ext.objects.measurements import COLOURS, measure_objects
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.outline_files import OUTLINE_FORMATS, outline_files
from medseg_ext.objects.outlined import outlined_objects
from medseg_ext.objects.overlay import CLASS_COLOURS, brightened, draw_outlines
from medseg_ext.tables import Table, rows_of, to_csv

ShowPictures = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
"""Takes pictures of an image, uint8 (H, W, 3), without and with outlines, numbers and scale bar."""


def write_objects(
    folder: Path,
    image_id: str,
    objects: Objects,
    image: np.ndarray,
    *,
    class_names: Sequence[str],
    object_name: str,
    pixel_size_um: PixelSize | None = None,
    intensities: Sequence[str] = COLOURS,
    formats: ResultFormats | None = None,
    source: Path | str | None = None,
    show: ShowPictures | None = None,
) -> Table:
    """Write the files of one image, replacing older ones.

    Args:
        folder: an existing folder.
        image_id: beginning of the files' names.
        objects: the objects, in the size of the image.
        image: as it came, float (H, W, C) in [0, 1].
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        intensities: names of the columns of the channels' means.
        formats: which files; by default those of `ResultFormats`.
        source: path of the image's file, which COCO tells; by default its id.
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
        image,
        class_names=class_names,
        object_name=object_name,
        pixel_size_um=pixel_size_um,
        intensities=intensities,
    )
    picture = brightened(image)
    overlay = annotate(draw_outlines(picture, instances, classes), instances, pixel_size_um=pixel_size_um)
    formats = formats or ResultFormats()
    encoders: dict[str, Callable[[], bytes]] = {
        "classes": lambda: encode_png(classes, palette=CLASS_COLOURS),
        "overlay": lambda: encode_png_fast(overlay),
        "csv": lambda: to_csv(list(table), rows_of(table)),
        "ome-tiff": lambda: encode_label_ome_tiff(instances, pixel_size_um, name=image_id),
    }
    paths = formats.paths(folder, image_id)
    if formats.zarr_format is None:
        encoders[LABEL_MAP] = lambda: ENCODERS[formats.output_format](instances, pixel_size_um)
    else:
        with replacing(paths[LABEL_MAP], at_once=False) as made:
            encode_label_zarr(made, instances, pixel_size_um, name=object_name, zarr_format=formats.zarr_format)
    for name, path in paths.items():
        if name in encoders:
            write_atomically(path, encoders[name](), at_once=False)
    with ExitStack() as stack:
        unfinished = {
            name: stack.enter_context(replacing(paths[name], at_once=False))
            for name in OUTLINE_FORMATS
            if name in paths
        }
        if unfinished:
            size = instances.shape[:2]
            with outline_files(unfinished, image_id=image_id, source=source or image_id, size=size) as files:
                for found in outlined_objects(instances, table):
                    for file in files:
                        file.add(found)
    if show is not None:
        show(picture, overlay)
    return table
