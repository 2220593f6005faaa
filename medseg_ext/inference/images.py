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
    end the run for the others.

    Args:
        data: items as of `medseg_ext.data.list_images`: path under "image", and a unique "id".
        transform: preprocessing; see `monai.data.Dataset`.

    Attributes:
        data: the readable items.
        unreadable: the other items, each with the reason.

    Raises:
        DataError: no image is readable; names the first and its reason.
    """

    def __init__(self, data: Sequence[dict[str, str]], transform: Callable[..., Any] | None = None) -> None:
        readable: list[dict[str, str]] = []
        self.unreadable: list[tuple[dict[str, str], str]] = []
        # disable=None: no bar where the output is no terminal
        for item in tqdm(data, desc="reading images", leave=False, disable=None if len(data) >= MANY_IMAGES else True):
            reason = _reason_not_to_read(item["image"])
            if reason is None:
                readable.append(item)
            else:
                self.unreadable.append((item, reason))
                logger.error("%s is left out: %s", item["image"], reason)
        if not readable:
            first = f"; the first: {self.unreadable[0][0]['image']}: {self.unreadable[0][1]}" if self.unreadable else ""
            raise DataError(f"none of {len(data)} images can be read{first}")
        super().__init__(readable, transform)


def _reason_not_to_read(path: str) -> str | None:
    try:
        read_rgb(path)
    except (ValueError, OSError) as error:
        return str(error).removeprefix(f"{path} ").replace(path, Path(path).name)
    return None
