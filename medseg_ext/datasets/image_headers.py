"""See by their headers which images can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medseg_ext.errors import DataError, reason_of
from medseg_ext.images.channels import Choice
from medseg_ext.images.formats import read_header


def reason_not_to_read(item: Mapping[str, str], *, page: int = 0, channel: Choice = None) -> str | None:
    """Say why an image cannot be read, by its header; None where it tells of nothing.

    Args:
        item: as of `medseg_ext.datasets.list_images`.
        page: which page of a TIFF is read, from 0.
        channel: which channels are read, see `medseg_ext.images.read_rgb`.
    """
    try:
        read_header(item["image"], page=page, channel=channel)
    except Exception as error:  # of the many libraries that read
        return reason_of(error, item["image"])
    return None


def refuse_unreadable_images(items: Sequence[Mapping[str, str]], *, page: int = 0, channel: Choice = None) -> None:
    """Stop where no image can be read; the first that can ends the search.

    Args:
        items: as of `medseg_ext.datasets.list_images`.
        page: see `reason_not_to_read`.
        channel: see `reason_not_to_read`.

    Raises:
        DataError: names the first image, and its reason.
    """
    first: list[tuple[Mapping[str, str], str]] = []
    for item in items:
        reason = reason_not_to_read(item, page=page, channel=channel)
        if reason is None:
            return
        first = first or [(item, reason)]
    raise none_readable(len(items), first)


def none_readable(number: int, first: Sequence[tuple[Mapping[str, str], str]]) -> DataError:
    """Say that none of some images can be read; the first is told with its reason, if there is one."""
    told = "".join(f"; the first: {item['image']}: {reason}" for item, reason in first)
    return DataError(f"none of {number} images can be read{told}")
