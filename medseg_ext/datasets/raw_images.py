"""What a raw data set says about its images, before any pixel is read."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from medseg_ext.datasets.annotations import Annotation
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError

UNSAFE_ID = re.compile(r'[\\/:*?"<>|\x00-\x1f]|^\.|^$')  # it becomes a file name, on any system


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
