"""Keep the images that can be read, and remember the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai.data import Dataset
from tqdm import tqdm

from medseg_ext.data.errors import DataError
from medseg_ext.transforms import read_rgb

MANY_IMAGES = 20  # from here on a progress bar is worth its line

logger = logging.getLogger(__name__)


class ReadableImages(Dataset):
    """The readable ones of some images, as a MONAI data set.

    Every image is decoded once at construction, so that a damaged one is found before the network runs, and does not
    end the run for the others. An item whose preprocessing fails has the reason under "error" instead of its image.

    Args:
        data: items as of `medseg_ext.data.list_images`: path under "image", and a unique "id".
        transform: preprocessing; see `monai.data.Dataset`.
        page: which page of a TIFF is read, from 0.

    Attributes:
        data: the readable items.
        unreadable: the other items, each with the reason.

    Raises:
        DataError: no image is readable; names the first and its reason. No page has such a number.
    """

    def __init__(
        self, data: Sequence[dict[str, str]], transform: Callable[..., Any] | None = None, *, page: int = 0
    ) -> None:
        if not isinstance(page, int) or isinstance(page, bool) or page < 0:
            raise DataError(f"page must be a number from 0, the first page, got {page!r}: give --page another value")
        self.page = page
        readable: list[dict[str, str]] = []
        self.unreadable: list[tuple[dict[str, str], str]] = []
        # disable=None: no bar where the output is no terminal
        for item in tqdm(data, desc="reading images", leave=False, disable=None if len(data) >= MANY_IMAGES else True):
            reason = _reason_not_to_read(item["image"], page)
            if reason is None:
                readable.append(item)
            else:
                self.unreadable.append((item, reason))
                logger.error("%s is left out: %s", item["image"], reason)
        if not readable:
            first = f"; the first: {self.unreadable[0][0]['image']}: {self.unreadable[0][1]}" if self.unreadable else ""
            raise DataError(f"none of {len(data)} images can be read{first}")
        super().__init__(readable, transform)

    def _transform(self, index: int) -> Any:
        try:
            return super()._transform(index)
        except Exception as error:  # such as a file that is gone meanwhile
            item = self.data[index]
            logger.error("%s failed before the network", item["image"], exc_info=True)
            return item | {"error": reason_of(error, item["image"])}


def _reason_not_to_read(path: str, page: int) -> str | None:
    try:
        read_rgb(path, page=page)
    except Exception as error:  # of the many libraries that read; whatever it is, the others are to be done
        return reason_of(error, path)
    return None


def reason_of(error: BaseException, path: str) -> str:
    """Say in one line why an image failed, with its name instead of its path.

    >>> reason_of(ValueError("/images/a.png is cut short"), "/images/a.png")
    'is cut short'
    """
    while error.__cause__ is not None and not isinstance(error, DataError):  # MONAI wraps what its transforms raise
        error = error.__cause__
    message = " ".join(str(error).split()) or type(error).__name__
    return message.removeprefix(f"{path} ").replace(path, Path(path).name)
