"""Write label maps as OME-Zarr (NGFF)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medseg_ext.addresses import address_of, shown
from medseg_ext.errors import DataError
from medseg_ext.files import temporary_folder
from medseg_ext.images.boxes import Box
from medseg_ext.images.ome_zarr import LABELS_FOLDER, is_ome_zarr, ome_attributes, open_zarr, zarr_package
from medseg_ext.objects.label_map_files import LEVEL_STEP, PixelSize, label_dtype, level_sizes

CHUNK_PX = 1024
VERSIONS = {2: "0.4", 3: "0.5"}  # of NGFF, by the format of Zarr


def write_label_zarr(
    path: Path,
    read: Callable[[Box], np.ndarray],
    size: tuple[int, int],
    *,
    highest: int,
    pixel_size_um: PixelSize | None = None,
    name: str,
    zarr_format: int = 2,
    source: str | None = None,
) -> None:
    """Write a label map with its levels, a few chunks at a time.

    Args:
        path: a folder to make.
        read: gives a box of the label map.
        size: (H, W).
        highest: label.
        pixel_size_um: (height, width) of a pixel; None where it is unknown.
        name: of the labels, such as "nucleus".
        zarr_format: 2, which is NGFF 0.4, or 3, NGFF 0.5.
        source: path from here to the image; None where there is none.

    Raises:
        DataError: a package is missing.
    """
    group = zarr_package(str(path)).open_group(str(path), mode="w-", zarr_format=zarr_format)
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    height_um, width_um = pixel_size_um or (1.0, 1.0)
    datasets: list[dict[str, Any]] = []
    finer = read
    for number, level_size in enumerate(level_sizes(size)):
        array = group.create_array(
            str(number),
            shape=level_size,
            dtype=label_dtype(highest),
            chunks=(CHUNK_PX, CHUNK_PX),
            fill_value=0,
            chunk_key_encoding={"name": "default" if zarr_format == 3 else "v2", "separator": "/"},
            **_compression(zarr_format),
        )
        for box in _boxes(level_size):
            part = box if number == 0 else Box(*(LEVEL_STEP * side for side in box))
            labels = (
                finer(part) if number == 0 else finer(part)[::LEVEL_STEP, ::LEVEL_STEP][: box.size[0], : box.size[1]]
            )
            if labels.any():
                array[box.top : box.bottom, box.left : box.right] = labels
        finer = _reader(array)
        factor = LEVEL_STEP**number
        scale = {"type": "scale", "scale": [factor * height_um, factor * width_um]}
        datasets.append({"path": str(number), "coordinateTransformations": [scale]})
    axes = [{"name": axis, "type": "space", **unit} for axis in "yx"]
    version = VERSIONS[zarr_format]
    told: dict[str, Any] = {
        "multiscales": [{"version": version, "name": name, "axes": axes, "datasets": datasets}],
        "image-label": {"version": version, **({} if source is None else {"source": {"image": source}})},
    }
    if zarr_format == 2:
        group.attrs.update(told)
    else:
        del told["multiscales"][0]["version"]
        group.attrs["ome"] = {"version": version, **told}


def encode_label_zarr(
    path: Path, instances: np.ndarray, pixel_size_um: PixelSize | None, *, name: str, zarr_format: int
) -> None:
    """Write a label map (H, W) that is in memory, see `write_label_zarr`."""
    write_label_zarr(
        path,
        lambda box: instances[box.top : box.bottom, box.left : box.right],
        (instances.shape[0], instances.shape[1]),
        highest=int(instances.max(initial=0)),
        pixel_size_um=pixel_size_um,
        name=name,
        zarr_format=zarr_format,
    )


def labels_in(image: Path, name: str) -> Path:
    """Name the folder in which an OME-Zarr image has labels of some name."""
    return image / LABELS_FOLDER / name


def refuse_labels_in(image: Path, name: str) -> None:
    """Refuse to write labels into an image. Raises: DataError: it is no OME-Zarr, or has labels of this name."""
    if address_of(image) is not None:
        raise DataError(
            f"{shown(image)} is at an address, and only local images get labels: leave out --labels_in_image"
        )
    if not is_ome_zarr(image):
        raise DataError(f"{image} is no OME-Zarr, into which alone labels are written: leave out --labels_in_image")
    if labels_in(image, name).exists():
        raise DataError(f"{labels_in(image, name)} is there already: move it away, or leave out --labels_in_image")


def write_labels_into(image: Path, label_map: Path, *, name: str, pixel_size_um: PixelSize | None) -> None:
    """Write a label map into the folder `labels` of an OME-Zarr image, in the image's own version of NGFF.

    Args:
        image: folder of the image.
        label_map: of `write_label_zarr`.
        name: of the labels; those of other names stay.
        pixel_size_um: see `write_label_zarr`.

    Raises:
        DataError: the image has labels of this name.
        OSError: the image cannot be written to.
    """
    refuse_labels_in(image, name)
    zarr_format = open_zarr(image, str(image)).metadata.zarr_format
    array = open_zarr(label_map, str(label_map))["0"]
    labels = zarr_package(str(image)).open_group(str(image / LABELS_FOLDER), mode="a", zarr_format=zarr_format)
    with temporary_folder(image / LABELS_FOLDER) as folder:
        write_label_zarr(
            folder / name,
            _reader(array),
            array.shape,
            highest=int(np.iinfo(array.dtype).max),
            pixel_size_um=pixel_size_um,
            name=name,
            zarr_format=zarr_format,
            source="../../",
        )
        (folder / name).replace(labels_in(image, name))
    names = [*dict.fromkeys([*ome_attributes(labels).get("labels", []), name])]
    if zarr_format == 2:
        labels.attrs["labels"] = names
    else:
        labels.attrs["ome"] = {**ome_attributes(labels), "version": VERSIONS[3], "labels": names}


def _compression(zarr_format: int) -> dict[str, Any]:
    if zarr_format == 3:
        return {}
    import numcodecs

    return {"compressors": numcodecs.Blosc(cname="zstd", clevel=3)}  # as Java's readers know it


def _reader(array: Any) -> Callable[[Box], np.ndarray]:
    return lambda box: np.asarray(array[box.top : box.bottom, box.left : box.right])


def _boxes(size: tuple[int, int]) -> Iterator[Box]:
    for top in range(0, size[0], CHUNK_PX):
        for left in range(0, size[1], CHUNK_PX):
            yield Box(top, left, min(top + CHUNK_PX, size[0]), min(left + CHUNK_PX, size[1]))
