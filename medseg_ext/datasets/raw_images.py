"""What a raw data set says about its images, before any pixel is read."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from medseg_ext.datasets.annotations import Annotation
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.files import check_ids

NOT_ON_EVERY_SYSTEM = re.compile(r'[:*?"<>|]|^\.')  # a data set folder may be carried to Windows


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


def check_ids_of_parts(parts: Collection[RawPart]) -> None:
    """Refuse ids that are unfit as file names on any system, or that stand for two images.

    Raises: DataError: naming the file, or both files.
    """
    where_of = [(image.id, part.source.where(image.file)) for part in parts for image in part.images]
    check_ids(where_of)
    for image_id, where in where_of:
        if NOT_ON_EVERY_SYSTEM.search(image_id):
            raise DataError(f"{where}: the id '{image_id}' cannot be a file name on every system: rename the image")
