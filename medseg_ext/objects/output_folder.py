"""Refuse folders to which results must not be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medseg_ext.addresses import PathLike, address_of, place
from medseg_ext.errors import DataError
from medseg_ext.images.ome_zarr import is_ome_zarr
from medseg_ext.objects.done_images import Item


def refuse_output_folder(
    target: Path | str, named: Sequence[PathLike], images: Sequence[Item], *, recursive: bool = False
) -> None:
    """Stop before results are written where a later run would take them for images.

    Args:
        target: folder of the results, or what stands for its address, see `medseg_ext.addresses.place`.
        named: images, and folders of images, as they were given.
        images: those that were found.
        recursive: the folders inside those that were given are read, too.

    Raises:
        DataError: names the folder, and what is in it.
    """
    if recursive:
        _refuse_results_inside(target, named)
    if isinstance(target, Path):
        refuse_results_among_images(target, images)
    else:
        refuse_results_among_images_at(target, images)


def refuse_results_among_images(output_dir: Path, images: Sequence[Item]) -> None:
    """Refuse to write to a folder that images are in: whoever reads it later would take label maps for images.

    A folder above or inside that of the images is none, as no folder is read with those inside it.

    Raises:
        DataError: an image is in the folder, however that is spelt or linked; names both.
    """
    target = Path(os.path.realpath(output_dir))
    for item in images:
        path = Path(item["image"])
        if address_of(path) is None and is_ome_zarr(path) and Path(os.path.realpath(path)) in (target, *target.parents):
            raise DataError(
                f"{output_dir} is in the image {path}, where others would not know it: give another folder for the "
                "results"
            )
    if not output_dir.is_dir():
        return
    of_files = (item["image"] for item in reversed(images) if address_of(item["image"]) is None)
    first_in = {Path(image).parent: image for image in of_files}
    for folder, image in first_in.items():
        if folder.is_dir() and folder.samefile(output_dir):
            raise DataError(
                f"{output_dir} is the folder of the image {image}, and results beside images would be taken for images "
                "later: give another folder for the results"
            )


def refuse_results_among_images_at(address: str, images: Sequence[Item]) -> None:
    """Refuse to write to a folder at an address where images are, or to one in an OME-Zarr image.

    Raises: DataError: an image is there; names both.
    """
    for item in images:
        image = item["image"].rstrip("/")
        if image.rpartition("/")[0] == address.rstrip("/") or f"{address}/".startswith(f"{image}/"):
            raise DataError(
                f"{address} is where the image {image} is, and results there would be taken for images later: give "
                "another folder for the results"
            )


def _refuse_results_inside(target: Path | str, images: Sequence[PathLike]) -> None:
    """Refuse to write into a folder that is read with those inside it: a later run would take results for images."""
    for folder in map(place, images):
        if isinstance(folder, Path) and isinstance(target, Path):
            is_inside = folder.is_dir() and target.resolve().is_relative_to(folder.resolve())
        else:
            is_inside = f"{target}/".startswith(f"{str(folder).rstrip('/')}/")
        if is_inside:
            raise DataError(f"{target} is inside {folder}, whose folders are read, too: give a folder elsewhere")
