"""What a raw data set says about its images, before any pixel is read."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from PIL import Image

from medseg_ext.datasets.annotations import Annotation
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.images.raster import IMAGE_SUFFIXES

UNSAFE_ID = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.|^$')  # it becomes a file name, on any system


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


@dataclass(frozen=True)
class RawImage:
    """One image of a raw data set.

    Attributes:
        id: its name in the prepared set.
        file: its name in the source.
        annotation: its objects.
        section: the section it is bound to, or None if the split is to choose.
    """

    id: str
    file: str
    annotation: Annotation
    section: str | None = None


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


def check_ids(parts: Collection[RawPart]) -> None:
    """Refuse ids that are unfit as file names, or that stand for two images.

    Raises: DataError: naming both files.
    """
    seen: dict[str, str] = {}
    for part in parts:
        for image in part.images:
            where = part.source.where(image.file)
            if UNSAFE_ID.search(image.id):
                raise DataError(f"{where}: the id '{image.id}' cannot be a file name: rename the image")
            key = image.id.casefold()  # macOS and Windows ignore case in file names
            if key in seen:
                raise DataError(f"{where} and {seen[key]} have the same id '{image.id}': remove or rename one")
            seen[key] = where
