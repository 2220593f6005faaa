"""Tell what of a folder is no image to segment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from medseg_ext.datasets.pairing import labels_among
from medseg_ext.errors import DataError
from medseg_ext.files import as_text
from medseg_ext.images.formats import FORMAT_NAMES
from medseg_ext.images.result_names import results_among

NAMED = 5
OTHERS = f"passed over, as they are no {FORMAT_NAMES} files"
FOLDERS = "folders, not looked into"
LABELS = "passed over, as they are labels of images there (to segment such a file, name it itself)"
RESULTS = "passed over, as an earlier segmentation has written them"

logger = logging.getLogger(__name__)


def without_results(
    images: Sequence[str],
    where: Path | str,
    names: Collection[str],
    at_hand: Callable[[str], AbstractContextManager[Path]],
    *,
    is_all: bool,
) -> list[str]:
    """Leave out what an earlier segmentation has written into a folder, and log it.

    Args:
        images: names of files in the folder, or of OME-Zarr.
        where: the folder, for messages.
        names: of all that is in the folder.
        at_hand: gives a file of the folder by its name.
        is_all: whether no other folder is looked into.
    Raises: DataError: `is_all`, and no other image is there.
    """
    results = results_among(names, at_hand)
    left = [name for name in images if name not in results]
    if is_all and images and not left:
        raise DataError(
            f"{where} holds no image but the results of an earlier segmentation: give the folder of its images"
            " (to segment such a file, name it itself)"
        )
    tell(where, RESULTS, [name for name in images if name in results])
    return left


def without_labels(images: Sequence[str], where: Path | str) -> list[str]:
    """Leave out labels of other images, and log them.

    Args:
        images: names of files, from the folder `where` on.
        where: the folder, for messages.
    """
    labels = set(labels_among(images))
    tell(where, LABELS, [name for name in images if name in labels])
    return [name for name in images if name not in labels]


def tell(where: Path | str, what: str, names: Iterable[str], *, remedy: str = "") -> None:
    """Log the names of what is passed over in one line; nothing if there are none."""
    if names := list(names):
        logger.warning("%s: %s: %s%s", where, what, some(names), remedy)


def some(names: Sequence[str]) -> str:
    """Give the first few names, and how many more there are.

    >>> some(["a", "b"]), some(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{as_text(', '.join(names[:NAMED]))}{more}"
