"""Bring objects of people's own files to the classes of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from medseg_ext.datasets.annotations import Annotation, Remarks
from medseg_ext.datasets.cell_parts import join_parts
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.roles import role_of
from medseg_ext.datasets.sources import Source

SMALL_PX = 9
SMALL = f"object of fewer than {SMALL_PX} px"
PIECES = "object of several pieces that do not touch: two objects may share a label"
LOBES = "object with a deep notch and larger than usual: two touching objects may share a label"
LARGE_FACTOR, MOST_SOLID = 1.25, 0.85  # of the median area; of the convex hull
NAMES_NO_PART = "object whose class is neither cell nor nucleus"
NOT_PREPARED = "{} (nuclei alone are prepared: --objects nucleus)"
NO_CLASS = "(no class)"


@dataclass(frozen=True)
class OwnObjects:
    """The objects of an image, from one file or from one for each part.

    Attributes:
        layers: the part that each annotation shows, "cell" or "nucleus", or "" where its objects' own classes tell.
        objects: what an object of the data set is: "nucleus", of one class; or "cell", of cytoplasm and nucleus.
        tells_parts: whether cells and nuclei are told apart, in this image or in others of the data set.
        left_out: classes of objects to leave out.
    """

    layers: tuple[tuple[str, Annotation], ...]
    objects: str
    tells_parts: bool
    left_out: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[str, ...]:
        """Those of all layers."""
        return tuple(file for _, layer in self.layers for file in layer.files)

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw the objects, with cells and their nuclei put together. Raises: DataError: as the layers do."""
        masks: list[ObjectMask] = []
        cells: list[ObjectMask] = []
        nuclei: list[ObjectMask] = []
        for role, layer in self.layers:
            for mask in layer.masks(source, shape, remarks):
                if mask.label in self.left_out:
                    self._skip(f"object of the class {mask.label}, as asked for (--leave-out)", mask, remarks)
                elif self.objects == "nucleus":
                    masks += self._nucleus(mask, role, remarks)
                elif mask.class_map.max(initial=0) > 1:  # cell and nucleus in one
                    self._take(mask, "cell", remarks)
                    masks.append(mask)
                elif part := role or role_of(mask.label):
                    self._take(mask, part, remarks)
                    (cells if part == "cell" else nuclei).append(mask)
                else:
                    self._skip(NAMES_NO_PART, mask, remarks)
        masks += join_parts(cells, nuclei, shape, remarks)
        tell_what_looks_wrong(masks, remarks)
        return iter(masks)

    def _nucleus(self, mask: ObjectMask, role: str, remarks: Remarks) -> list[ObjectMask]:
        is_both = mask.class_map.max(initial=0) > 1
        if self.tells_parts and not is_both and (role or role_of(mask.label)) == "cell":
            self._skip(NOT_PREPARED.format("cell"), mask, remarks)
            return []
        self._take(mask, "nucleus", remarks)
        return [mask._replace(class_map=(mask.class_map > is_both).astype(np.uint8))]

    def _take(self, mask: ObjectMask, taken_for: str, remarks: Remarks) -> None:
        remarks.classes[mask.label or NO_CLASS, taken_for] += 1

    def _skip(self, reason: str, mask: ObjectMask, remarks: Remarks) -> None:
        remarks.skipped[reason].append(mask.name)
        remarks.classes[mask.label or NO_CLASS, ""] += 1


def tell_what_looks_wrong(masks: list[ObjectMask], remarks: Remarks) -> None:
    """Tell which objects of an image are very small, in pieces, or of the shape of two that touch.

    Args:
        masks: the objects.
        remarks: their names are added there.
    """
    areas = np.array([np.count_nonzero(mask.class_map) for mask in masks])
    usual = np.median(areas[areas > 0]) if areas.any() else 0
    for mask, area in zip(masks, areas, strict=True):
        if not area:
            continue
        if area < SMALL_PX:
            remarks.told[SMALL].append(mask.name)
        if ndimage.label(mask.class_map, structure=np.ones((3, 3)))[1] > 1:
            remarks.told[PIECES].append(mask.name)
        elif area > LARGE_FACTOR * usual and len(masks) > 1 and _solidity(mask) < MOST_SOLID:
            remarks.told[LOBES].append(mask.name)


def _solidity(mask: ObjectMask) -> float:
    """Give the share of its convex hull that an object without its holes fills."""
    filled = ndimage.binary_fill_holes(mask.class_map > 0)
    rows, columns = np.nonzero(filled & ~ndimage.binary_erosion(filled))
    corners = np.concatenate([np.stack([rows + y, columns + x], 1) for y in (0, 1) for x in (0, 1)])
    try:
        return float(np.count_nonzero(filled) / ConvexHull(corners).volume)
    except QhullError:  # no area, which pixels always have
        return 1.0
