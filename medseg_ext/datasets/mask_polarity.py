"""Tell the objects of masks from their ground, where a mask may show all but its object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from medseg_ext.errors import DataError

INVERT = "invert the masks, so that objects are bright and all else is 0"


def are_complements(masks: Iterable[NDArray[np.bool_]]) -> bool | None:
    """Say whether the masks of one image hold their objects or all else, of those whose file leaves both open.

    Objects do not lie on one another, so those of an image cover no more than all of it together; of complements, two
    cover more. A single mask is judged by its area and by how much of the image's border it covers.

    Args:
        masks: one object each, or all but one object, all of one kind; shape (H, W).
    Returns: None where neither fits.

    >>> corner = np.array([[True, False, False], [False, False, False], [False, False, False]])
    >>> are_complements([corner]), are_complements([~corner, ~corner.T]), are_complements([corner, corner, ~corner])
    (False, True, None)
    """
    covered = on_border = 0
    count, size, border_size = 0, 1, 1
    for mask in masks:
        border = _border(mask)
        covered += int(np.count_nonzero(mask))
        on_border += int(np.count_nonzero(border))
        count, size, border_size = count + 1, mask.size, border.size
    if count == 1:
        as_object = 2 * covered <= size and 2 * on_border <= border_size
        as_complement = 2 * covered >= size and 2 * on_border >= border_size
    else:
        as_object, as_complement = covered <= size, count * size - covered <= size
    return as_complement if as_object != as_complement else None


def without_complements(class_maps: Iterable[NDArray[np.uint8]], where: Sequence[str]) -> Iterator[NDArray[np.uint8]]:
    """Hand on the masks of one image, unless one of them shows all but its object.

    Args:
        class_maps: class indices, shape (H, W), one mask each.
        where: name of each file, for messages.
    Raises: DataError: a mask covers most of the image, and so does another, or it holds most of what the others cover,
        or all of the border; no object does.
    """
    large: tuple[str, NDArray[np.bool_]] | None = None
    others: NDArray[np.bool_] | None = None
    for name, class_map in zip(where, class_maps, strict=True):
        if 2 * np.count_nonzero(class_map) > class_map.size:
            if large is not None:
                raise DataError(
                    f"{large[0]} and {name} each cover most of their image, as no two objects do, but complements: "
                    f"{INVERT}"
                )
            large = name, class_map > 0
        else:
            others = class_map > 0 if others is None else others | (class_map > 0)
        yield class_map
    if large is None:
        return
    name, inside = large
    if not inside.all() and _border(inside).all():
        raise DataError(f"{name} covers most of its image and all of its border, as a complement does: {INVERT}")
    if others is not None and 2 * np.count_nonzero(others & inside) > np.count_nonzero(others):
        raise DataError(f"{name} covers most of its image, other objects too, as a complement does: {INVERT}")


def _border(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
