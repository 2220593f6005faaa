"""Find the images of SegPC-2021 in its official layout."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any, Unpack

from medseg_ext.datasets.annotations import MaskFiles
from medseg_ext.datasets.preparation import DataSetFacts, SplitOptions, write_data_set
from medseg_ext.datasets.raw_images import RawImage, RawPart, is_image_name, refuse_other_files
from medseg_ext.datasets.sources import Source, open_source
from medseg_ext.errors import DataError

SEGPC2021 = DataSetFacts(
    name="SegPC-2021",
    class_names=("background", "cytoplasm", "nucleus"),
    object_name="cell",
    licence="CC-BY-NC-SA-4.0",
    origin="https://segpc-2021.grand-challenge.org",
)
CLASS_OF_VALUE = {0: 0, 20: 1, 40: 2}
SECTION_OF_FOLDER = {"train": None, "validation": "testing", "test": "testing"}
WITHOUT_MASKS = "image without any mask (one without cells has a mask that is all black)"
MASK_NAME = re.compile(r"(?P<image_id>.+)_(?P<number>\d+)")


def prepare_segpc2021(
    source: Path | str,
    target: Path | str,
    *,
    test: Path | str | None = None,
    facts: DataSetFacts = SEGPC2021,
    **options: Unpack[SplitOptions],
) -> dict[str, Any]:
    """Write the data set folder of SegPC-2021.

    Images without any mask are skipped: the official training set has one, and the truth of the test set is secret.

    Args:
        source: folder or ZIP that holds `x/<id>.bmp` and `y/<id>_<n>.bmp`, one cell each, 0 background,
            20 cytoplasm, 40 nucleus; below `train`, or anywhere. Images below `validation` become the section
            testing, and the others are shared out to training and validation.
        target: folder to write.
        test: a further folder or ZIP; all its images become the section testing.
        facts: what the data set is, where it is another one in this layout.
        options: see `SplitOptions`.
    Returns: the content of dataset.json.
    Raises: DataError: anything unusable, naming the file.
    """
    parts = [find_images(open_source(source))]
    if test:
        parts.append(find_images(open_source(test), section="testing"))
    return write_data_set(facts, parts, target, **options)


def find_images(source: Source, *, section: str | None = None) -> RawPart:
    """List the images of a source.

    Args:
        source: where the files are.
        section: section that all images are bound to; else the official folder decides.
    Raises: DataError: none found; masks without an image; a mask whose name has no number; two masks of one number.
    """
    pictures = [name for name in source.names if _folder(name) == "x" and is_image_name(name)]
    if not pictures:
        raise DataError(
            f"{source.path} holds no x/<id>.bmp (it begins with '{source.names[0]}'): give the official folder or ZIP "
            "with x and y inside; an archive inside an archive must be unpacked first"
        )
    masks_of = _masks_by_image(source)
    images = []
    skipped: dict[str, list[str]] = {
        WITHOUT_MASKS: [],
        "file in x that is no image": [
            each for each in source.names if _folder(each) == "x" and not is_image_name(each)
        ],
        "image in neither x nor y": [
            each for each in source.names if _folder(each) not in ("x", "y") and is_image_name(each)
        ],
    }
    seen: dict[tuple[PurePosixPath, str], str] = {}
    for name in pictures:
        path = PurePosixPath(name)
        image = path.parent.parent, path.stem
        if image in seen:
            raise DataError(f"{source.where(name)} and {source.where(seen[image])} have the same id: remove one")
        seen[image] = name
        masks = masks_of.pop(image, None)
        if masks:
            files = tuple(masks[number] for number in sorted(masks))
            bound_to = section or _official_section(source, name)
            images.append(RawImage(path.stem, name, MaskFiles(files, CLASS_OF_VALUE), bound_to))
        else:
            skipped[WITHOUT_MASKS].append(name)
    if masks_of:
        name = min(min(masks.values()) for masks in masks_of.values())
        raise DataError(f"{source.where(name)} is a mask without an image: add the image to x, or remove the mask")
    return RawPart(source, images, {reason: names for reason, names in skipped.items() if names})


def _masks_by_image(source: Source) -> dict[tuple[PurePosixPath, str], dict[tuple[int, str], str]]:
    """Sort the masks by the folder that x and y are in, the id of the image and their number."""
    masks: dict[tuple[PurePosixPath, str], dict[tuple[int, str], str]] = defaultdict(dict)
    names = [name for name in source.names if _folder(name) == "y"]
    refuse_other_files(source, [name for name in names if not is_image_name(name)], "y", "the mask of one cell")
    for name in names:
        path = PurePosixPath(name)
        match = MASK_NAME.fullmatch(path.stem)
        if not match:
            raise DataError(f"{source.where(name)} is no mask name: call it <id of the image>_<number of the cell>")
        digits = match["number"].lstrip("0")  # Python makes numbers of 4,300 digits at most
        of_image, number = masks[path.parent.parent, match["image_id"]], (len(digits), digits)
        if number in of_image:
            raise DataError(f"{source.where(name)} and {of_image[number]} are masks of the same cell: remove one")
        of_image[number] = name
    return masks


def _folder(name: str) -> str:
    return PurePosixPath(name).parent.name


def _official_section(source: Source, name: str) -> str | None:
    """Look for the nearest folder that has the name of an official part."""
    nearest = next((part for part in reversed(source.parts(name)[:-1]) if part in SECTION_OF_FOLDER), "train")
    return SECTION_OF_FOLDER[nearest]
