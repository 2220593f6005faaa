"""Read objects from label maps: images whose values are the numbers of objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg_ext.datasets.annotations import Remarks, other_size
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.pairing import Pairing, pair_files
from medseg_ext.datasets.raw_images import is_image_name
from medseg_ext.datasets.scattered_labels import are_scattered
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.images.label_images import read_label_image
from medseg_ext.images.numpy_files import NPY_SUFFIX

COMPONENTS = "--binary components takes each piece for an object (those that touch become one)"
COLOURED = "label map in colours: each colour was taken for an object"
ONE_VALUE = "label map of one value in one piece: it was taken for one object"
DETACHED = (
    "mask without numbers (--binary components): each piece was taken for an object, and those that touch are one"
)
MANY_PIECES = 3  # from so many pieces a value on, in the mean, values are classes rather than objects


@dataclass(frozen=True)
class LabelMapFile:
    """Objects as the values of a label map.

    Attributes:
        file: name in the source.
        by_components: whether each piece of a value is an object, as in a mask that does not number objects.
        image: name of its image in the source, by which the two are known where they are swapped; may be empty.
    """

    file: str
    by_components: bool = False
    image: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        """The label map."""
        return (self.file,)

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Cut the objects out. Raises: DataError: no label map, or of another size; see `objects_of_labels`."""
        where = source.where(self.file)
        try:
            labels, is_coloured = read_label_image(source.read(self.file), where)
        except DataError as error:
            if _looks_like_label_map(source, self.image):
                raise DataError(
                    f"{error}; or images and labels are swapped: {source.where(self.image)} looks like a label map"
                ) from error
            raise
        if are_scattered(labels) and _looks_like_label_map(source, self.image):
            raise DataError(
                f"images and labels seem swapped: {source.where(self.image)} looks like a label map, and {where} like "
                "a photograph: give each the other's name"
            )
        refuse_scattered(labels, where)
        if labels.shape != shape:
            raise DataError(other_size(where, labels.shape, shape))
        if is_coloured:
            remarks.told[COLOURED].append(self.file)
        yield from objects_of_labels(labels, self.file, where, remarks, by_components=self.by_components)


def objects_of_labels(
    labels: NDArray[np.integer], name: str, where: str, remarks: Remarks, *, by_components: bool = False
) -> Iterator[ObjectMask]:
    """Cut the objects out of a label map.

    Args:
        labels: integers, shape (H, W); 0 is the background.
        name: of the label map, for the objects' names.
        where: it is, for messages.
        remarks: what is to be told is added there.
        by_components: whether each piece of a value is an object.
    Raises: DataError: the values do not number objects, but are classes or a mask; the background has a number.
    """
    values, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape).astype(np.int32) + int(values.size > 0 and values[0] != 0)
    values = values[values != 0]
    if by_components:
        remarks.told[DETACHED].append(name)
        for value in range(1, values.size + 1):
            pieces, count = ndimage.label(dense == value, structure=np.ones((3, 3)))
            yield from _cut(pieces, [f"{name}, piece {number}" for number in range(1, count + 1)])
        return
    _refuse_other_maps(dense, values, name, where, remarks)
    yield from _cut(dense, [f"{name}, label {value}" for value in values])


def refuse_scattered(labels: NDArray[np.integer], where: str) -> None:
    """Refuse what has the values of a photograph. Raises: DataError: it has; names the file."""
    if are_scattered(labels):
        raise DataError(
            f"{where} does not look like a label map: its values change from pixel to pixel, as in a photograph, or in "
            "a map that was scaled with interpolation: give the label map, in which all pixels of an object have one "
            "value"
        )


def _looks_like_label_map(source: Source, image: str) -> bool:
    if not image:
        return False
    try:
        labels = read_label_image(source.read(image), source.where(image)).labels
    except DataError:
        return False
    return bool(labels.any()) and not are_scattered(labels)


def find_images(source: Source) -> Pairing:
    """Pair images with label maps. Raises: DataError: as `pair_files`."""
    return pair_files(source, is_picture_name, is_picture_name)


def is_picture_name(name: str) -> bool:
    """Say whether a file has a name of an image, or of an array of NumPy."""
    return is_image_name(name) or name.lower().endswith(NPY_SUFFIX)


def _cut(labels: NDArray[np.int32], names: list[str]) -> Iterator[ObjectMask]:
    for number, (name, box) in enumerate(zip(names, ndimage.find_objects(labels, len(names)), strict=True), start=1):
        if box is not None:
            yield ObjectMask((labels[box] == number).astype(np.uint8), name, box[0].start, box[1].start)


def _refuse_other_maps(
    dense: NDArray[np.int32], values: NDArray[np.int64], name: str, where: str, remarks: Remarks
) -> None:
    """Refuse what is no label map, though it is read as one.

    Args:
        dense: 0 for the background, then 1..N, shape (H, W).
        values: what these are in the file.
        name: of the label map.
        where: it is, for messages.
        remarks: what is to be told is added there.
    """
    if not values.size:
        return
    border = np.concatenate([dense[0], dense[-1], dense[:, 0], dense[:, -1]])
    largest = int(np.bincount(dense.ravel(), minlength=2)[1:].argmax()) + 1
    if np.count_nonzero(dense == largest) * 2 > dense.size and np.mean(border == largest) > 0.75:
        raise DataError(
            f"{where}: the label {values[largest - 1]} covers most of the image and its border, as a background does:"
            " give the background the value 0, and objects other values"
        )
    pieces = sum(
        ndimage.label(dense == value, structure=np.ones((3, 3)))[1] for value in range(1, min(values.size, 4) + 1)
    )
    shown = ", ".join(map(str, values[:4]))
    if values.size == 1 and pieces > 1:
        raise DataError(
            f"{where} has one value, {shown}, in {pieces} pieces: it is a mask that does not number its objects;"
            f" give a label map, or {COMPONENTS}"
        )
    if values.size == 1:
        remarks.told[ONE_VALUE].append(name)
    elif values.size <= 4 and pieces >= MANY_PIECES * values.size:
        raise DataError(
            f"{where} has the values {shown} in {pieces} pieces, so that they are classes and not objects: give a label"
            f" map, in which each object has a value of its own, or {COMPONENTS}"
        )
