"""Put cells and nuclei that were labelled apart together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy import ndimage

from medseg_ext.datasets.annotations import Remarks
from medseg_ext.datasets.label_maps import ObjectMask

CELL_ALONE = "cell without a nucleus: it was taken as cytoplasm alone"
NUCLEUS_ALONE = "nucleus without a cell that holds half of it: it was taken as a cell of nucleus alone"
SEVERAL_NUCLEI = "cell with several nuclei"


def join_parts(
    cells: Sequence[ObjectMask], nuclei: Sequence[ObjectMask], shape: tuple[int, int], remarks: Remarks
) -> Iterator[ObjectMask]:
    """Give each nucleus to the cell that holds most of it, and at least half; holes of cells count as theirs.

    Args:
        cells: with or without their nuclei; a value above 0 is the cell.
        nuclei: likewise.
        shape: rows and columns of the image, px.
        remarks: cells and nuclei that stay alone are added there.
    Returns: objects with 1 for the cytoplasm and 2 for the nucleus.
    """
    owner = np.zeros(shape, np.int32)
    for number, cell in enumerate(cells, start=1):
        here = owner[cell.box]
        here[ndimage.binary_fill_holes(cell.class_map > 0) & (here == 0)] = number
    nuclei_of: list[list[ObjectMask]] = [[] for _ in cells]
    for nucleus in nuclei:
        held = np.bincount(owner[nucleus.box][nucleus.class_map > 0], minlength=1)
        area = held.sum()
        held[0] = 0
        best = int(held.argmax())
        if best and 2 * held[best] >= area:
            nuclei_of[best - 1].append(nucleus)
        else:
            remarks.told[NUCLEUS_ALONE].append(nucleus.name)
            yield nucleus._replace(class_map=2 * (nucleus.class_map > 0).astype(np.uint8))
    for cell, own in zip(cells, nuclei_of, strict=True):
        if not own:
            remarks.told[CELL_ALONE].append(cell.name)
        elif len(own) > 1:
            remarks.told[SEVERAL_NUCLEI].append(cell.name)
        yield with_nuclei(cell, own)


def with_nuclei(cell: ObjectMask, nuclei: Sequence[ObjectMask]) -> ObjectMask:
    """Draw a cell and its nuclei as one object: 1 for the cytoplasm, 2 for the nucleus."""
    boxes = [each.box for each in (cell, *nuclei)]
    top, left = min(rows.start for rows, _ in boxes), min(columns.start for _, columns in boxes)
    bottom, right = max(rows.stop for rows, _ in boxes), max(columns.stop for _, columns in boxes)
    class_map = np.zeros((bottom - top, right - left), np.uint8)
    for value, part in ((1, cell), *((2, nucleus) for nucleus in nuclei)):
        inside = class_map[part.top - top :, part.left - left :][: part.class_map.shape[0], : part.class_map.shape[1]]
        inside[part.class_map > 0] = value
    return cell._replace(class_map=class_map, top=top, left=left)
