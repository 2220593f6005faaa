"""Draw the objects of one image from the form that they are stored in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.mask_polarity import are_complements, without_complements
from medseg_ext.datasets.run_length import decode_run_length
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.images.class_masks import is_white_zero, read_class_map


@dataclass
class Remarks:
    """What is to be told of the objects of one image.

    Attributes:
        skipped: names of objects that are left out, under the reason.
        told: names of objects that are taken, and may be meant otherwise, under the reason.
        classes: how many objects of each class that the files name were taken for which class of the data set.
    """

    skipped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    told: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)


class Annotation(Protocol):
    """The objects of one image, in whatever form they are stored."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names in the source of the files that hold them."""

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw each object.

        Args:
            source: where the files are.
            shape: rows and columns of the image, px.
            remarks: what is to be told is added there.
        Raises: DataError: the files are unusable.
        """


@dataclass(frozen=True)
class MaskFiles:
    """Objects as one mask file each.

    Attributes:
        files: names in the source; their order is that of the labels.
        class_of_value: class index of each grey value.
    """

    files: tuple[str, ...]
    class_of_value: dict[int, int]

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Read the mask files, as they are shown or, where white is zero, as they are stored if that is what is meant.

        Raises: DataError: one is broken, has other values or another size, or shows all but its object.
        """
        stored = self._complements(source)
        maps = (self._class_map(source, name, shape, is_complement=name in stored) for name in self.files)
        objects = without_complements(maps, [source.where(name) for name in self.files])
        return map(ObjectMask, objects, self.files)

    def _class_map(
        self, source: Source, name: str, shape: tuple[int, int], *, is_complement: bool
    ) -> NDArray[np.uint8]:
        where = source.where(name)
        class_map = read_class_map(source.read(name), where, self.class_of_value, is_complement=is_complement)
        if class_map.shape != shape:
            raise DataError(other_size(where, class_map.shape, shape))
        return class_map

    def _complements(self, source: Source) -> set[str]:
        """Name the files whose objects are what is shown as black; only those are asked whose white is zero."""
        names = [name for name in self.files if is_white_zero(source.read(name))]
        if not names:
            return set()
        shown = dict.fromkeys(range(256), 1) | {0: 0}  # whatever the values mean
        masks = (read_class_map(source.read(name), source.where(name), shown) > 0 for name in names)
        complements = are_complements(masks)
        if complements is None:
            raise DataError(
                f"{source.where(names[0])}: white is zero there, and it cannot be told whether what is black or what is"
                " white is the object: save it as PNG, with the object bright and all else 0"
            )
        return set(names) if complements else set()


@dataclass(frozen=True)
class RunLengths:
    """Objects as rows of a table of run-length codes, all of class 1.

    Attributes:
        table: the file that the codes are from, for messages.
        image_id: the image, for messages.
        codes: one run-length code an object; their order is that of the labels.
        shape: rows and columns that the codes are meant for, px.
    """

    table: Path
    image_id: str
    codes: tuple[str, ...]
    shape: tuple[int, int]
    files: tuple[str, ...] = ()

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw the codes. Raises: DataError: one is no code, or they are meant for another size."""
        if self.shape != shape:
            raise DataError(other_size(f"{self.table}, image '{self.image_id}'", self.shape, shape))
        for number, code in enumerate(self.codes, start=1):
            name = f"{self.table.name}, image '{self.image_id}', object {number}"  # no folder: the same everywhere
            try:
                yield ObjectMask(decode_run_length(code, height=shape[0], width=shape[1]).astype(np.uint8), name)
            except ValueError as error:
                raise DataError(f"{self.table.parent / name}: {error}: get the table again from its origin") from error


def other_size(where: str, mask: tuple[int, ...], image: tuple[int, int]) -> str:
    """Say that a mask has another size than its image, both (H, W)."""
    return (
        f"{where} is a mask of {mask[0]} x {mask[1]} px (rows x columns), its image has {image[0]} x {image[1]} px: "
        "give both at one resolution"
    )


@dataclass(frozen=True)
class OneFile:
    """What stands in one file.

    Attributes:
        file: name in the source.
    """

    file: str

    @property
    def files(self) -> tuple[str, ...]:
        """The file."""
        return (self.file,)
