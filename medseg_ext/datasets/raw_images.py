"""What a raw data set says about its images, before any pixel is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.datasets.annotations import Annotation
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.files import check_ids
from medseg_ext.images.channels import Choice
from medseg_ext.images.eight_bit import read_rgb_8_bit
from medseg_ext.images.raster import IMAGE_SUFFIXES, left_out_of

NOT_ON_EVERY_SYSTEM = re.compile(r'[:*?"<>|]|^\.')  # a data set folder may be carried to Windows


@cache
def _suffixes() -> frozenset[str]:
    return frozenset(Image.registered_extensions()) | frozenset(IMAGE_SUFFIXES)


def is_image_name(name: str) -> bool:
    """Say whether a file has a name of an image, of any format that is known.

    >>> [is_image_name(name) for name in ("a/x.PNG", "x.gif", "notes.txt", "png")]
    [True, True, False, False]
    """
    return PurePosixPath(name).suffix.lower() in _suffixes()


def refuse_other_files(source: Source, names: Collection[str], folder: str, what: str) -> None:
    """Refuse files in a folder of masks that are none: one that is left out is an object that is missing.

    Args:
        source: where they are.
        names: the files.
        folder: of masks, such as "masks".
        what: a file there is, such as "the mask of one nucleus".
    Raises: DataError: there is one; naming the first, and telling how many more.
    """
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise DataError(
            f"{source.where(min(names))}{more}: every file in {folder}/ is taken for {what}, and this is no image: "
            "move it away, or save the mask as PNG"
        )


def read_image_file(source: Source, name: str, *, channel: Choice = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Read an image that is a file.

    Args:
        source: where it is.
        name: of the file.
        channel: see `medseg_ext.images.read_rgb`.
    Returns: uint8, shape (H, W, 3), or (H, W, C) of a list of channels; what of the file was left out.
    Raises: DataError: it cannot be used.
    """
    data, where = source.read(name), source.where(name)
    return read_rgb_8_bit(data, where, channel=channel), [each.text for each in left_out_of(data, where, channel)]


@dataclass(frozen=True)
class RawImage:
    """One image of a raw data set.

    Attributes:
        id: its name in the prepared set.
        file: its name in the source.
        annotation: its objects.
        section: the section it is bound to, or None if the split is to choose.
        read: gives its pixels, as `read_image_file`.
        parts: the files that it consists of, where it is a folder.
    """

    id: str
    file: str
    annotation: Annotation
    section: str | None = None
    read: Callable[[Source, str], tuple[NDArray[np.uint8], list[str]]] = read_image_file
    parts: tuple[str, ...] = ()


@dataclass
class RawPart:
    """The images of one source.

    Attributes:
        source: where their files are.
        images: all that can be used.
        skipped: names of what is left out, under the reason.
    """

    source: Source
    images: list[RawImage]
    skipped: dict[str, list[str]] = field(default_factory=dict)


def check_ids_of_parts(parts: Collection[RawPart]) -> None:
    """Refuse ids that are unfit as file names on any system, or that stand for two images.

    Raises: DataError: naming the file, or both files.
    """
    where_of = [(image.id, part.source.where(image.file)) for part in parts for image in part.images]
    check_ids(where_of)
    for image_id, where in where_of:
        if NOT_ON_EVERY_SYSTEM.search(image_id):
            raise DataError(f"{where}: the id '{image_id}' cannot be a file name on every system: rename the image")
