"""Save images with their label maps in a folder that a preparation reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medseg_ext.datasets.label_map_files import find_images
from medseg_ext.datasets.pairing import Pair
from medseg_ext.datasets.raw_images import NOT_ON_EVERY_SYSTEM
from medseg_ext.datasets.sources import FolderSource
from medseg_ext.errors import DataError
from medseg_ext.files import check_id, replacing
from medseg_ext.images.tiff_writing import write_image_tiff

IMAGES, LABELS = "images", "labels"
ENDINGS = {"": "", "cell": "_cell", "nucleus": "_nucleus"}  # of label maps, by the part that they show
LARGEST_LABEL = np.iinfo(np.uint32).max


def save_labelled_image(
    folder: Path,
    name: str,
    image: np.ndarray,
    objects: np.ndarray,
    *,
    nuclei: np.ndarray | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Save an image and its label map as `images/<name>.tif` and `labels/<name>.tif`, for `medseg prepare`.

    Args:
        folder: takes any number of images; it is made where it is missing.
        name: of the image, which becomes its id.
        image: grey (H, W) or RGB (H, W, 3).
        objects: label map, integers (H, W); 0 is background.
        nuclei: that of the nuclei, where objects are cells: two files are written then, `labels/<name>_cell.tif` and
            `labels/<name>_nucleus.tif`. The nuclei need not have the numbers of their cells.
        pixel_size_um: (height, width) of a pixel of the image, None where it is unknown.
        overwrite: replace the files of an image of this name, which are refused otherwise.

    Returns:
        The files, that of the image first.

    Raises:
        DataError: the name cannot be a file's, or would make it labels of another image; there is an image of this
            name; the other images of the folder have no nuclei and this one has, or the other way round; a label map is
            none, or of another size. Names the file.
        OSError: a file cannot be written.
    """
    check_id(name, str(folder))
    if NOT_ON_EVERY_SYSTEM.search(name):
        raise DataError(
            f'{folder}: {name!r} cannot name a file on every system: leave out : * ? " < > | and a first dot'
        )
    maps = {"": objects} if nuclei is None else {"cell": objects, "nucleus": nuclei}
    arrays = {role: _label_map(labels, name, role, image.shape[:2]) for role, labels in maps.items()}
    files = {role: f"{LABELS}/{name}{ENDINGS[role]}.tif" for role in arrays}
    image_file = f"{IMAGES}/{name}.tif"
    there = [
        f for f in (image_file, *(f"{LABELS}/{name}{end}.tif" for end in ENDINGS.values())) if (folder / f).exists()
    ]
    if there and not overwrite:
        raise DataError(f"{folder / there[0]} is there already: give the image another name, or overwrite it")
    _refuse_other_pairing(folder, Pair(image_file, name, files), replaced=there)
    written = {image_file: image, **{files[role]: array for role, array in arrays.items()}}
    for file, array in written.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        size = pixel_size_um if file == image_file else None
        with replacing(folder / file) as unfinished:
            write_image_tiff(unfinished, array, pixel_size_um=size, compressed=True)
    for file in set(there) - set(written):  # of the image as it was before, with or without nuclei
        (folder / file).unlink()
    return [folder / file for file in written]


def _label_map(labels: np.ndarray, name: str, role: str, size: tuple[int, ...]) -> np.ndarray:
    what = f"{name}: the label map{f' of {role}' if role else ''}"
    if labels.shape != size or labels.dtype.kind not in "ui":
        raise DataError(
            f"{what} must be integers of the image's size {size[0]} x {size[1]}, got {labels.dtype} of the shape "
            f"{labels.shape}"
        )
    least, most = (int(labels.min()), int(labels.max())) if labels.size else (0, 0)
    if least < 0 or most > LARGEST_LABEL:
        value = least if least < 0 else most
        raise DataError(f"{what} has the label {value}: give labels from 0, the background, to {LARGEST_LABEL}")
    return labels.astype(np.uint16 if most <= np.iinfo(np.uint16).max else np.uint32)


def _refuse_other_pairing(folder: Path, wanted: Pair, *, replaced: list[str]) -> None:
    """Refuse an image that a preparation would pair otherwise than it is meant, or take with another kind of labels."""
    kept = [name for name in (FolderSource.open(folder).names if folder.is_dir() else []) if name not in replaced]
    names = sorted([*kept, wanted.image, *wanted.labels.values()])
    try:
        found = find_images(FolderSource(folder, names)).pairs
    except DataError as error:
        raise DataError(f"{folder}: {wanted.id!r} would be mistaken beside the files there ({error})") from error
    if not any((each.image, each.id, each.labels) == (wanted.image, wanted.id, wanted.labels) for each in found):
        raise DataError(
            f"{folder}: {wanted.id!r} would be taken for labels of another image, or another image's labels for its "
            "own: give it another name"
        )
    others = [each for each in found if each.image != wanted.image and each.labels.keys() != wanted.labels.keys()]
    if others:
        has = "with nuclei of their own" if "nucleus" in others[0].labels else "without nuclei of their own"
        raise DataError(
            f"{folder} has images {has}, such as {others[0].id}, and a data set has objects of one kind: give another"
            " folder"
        )
