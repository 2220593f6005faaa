"""Keep the images that can be read, and remember the others."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from monai.data import Dataset
from tqdm import tqdm

from medseg_ext.addresses import address_of, trace_without_secrets
from medseg_ext.datasets.image_headers import none_readable
from medseg_ext.errors import DataError, origin_of, reason_of
from medseg_ext.files import as_text
from medseg_ext.images.channels import Choice, check_channel
from medseg_ext.images.formats import read_header
from medseg_ext.images.sizes import LARGEST_WHOLE_PX

MANY_IMAGES = 20  # from here on a progress bar is worth its line

logger = logging.getLogger(__name__)


class ReadableImages(Dataset):
    """Those of some images that can be read by their headers, as a MONAI data set.

    Headers are read at construction, so that what is no image is found before the network is built, and does not end
    the run for the others. Pixels are read once, when an item is asked for: one whose preprocessing fails, such as that
    of a damaged image, has the reason under "error" instead of its image.

    Args:
        data: items as of `medseg_ext.datasets.list_images`: path under "image", and a unique "id".
        transform: preprocessing; see `monai.data.Dataset`.
        large_image_px: an image of more pixels than this is large: it is not decoded as a whole. Nor is one of more
            than `LARGEST_WHOLE_PX`.
        page: which page of a TIFF is read, from 0.
        channel: which channels are read, see `medseg_ext.images.read_rgb`.

    Attributes:
        data: the readable items, without the large ones.
        large: the large ones, for `medseg_ext.tiling.LargeImages`.
        unreadable: the other items, each with the reason.
        remarks: what a person is to be told of images, by the item's id, such as which of several pages is read.

    Raises:
        DataError: no image is readable; names the first and its reason. No page or channel has such a number.
    """

    def __init__(
        self,
        data: Sequence[dict[str, str]],
        transform: Callable[..., Any] | None = None,
        *,
        large_image_px: int = LARGEST_WHOLE_PX,
        page: int = 0,
        channel: Choice = None,
    ) -> None:
        if not isinstance(page, int) or isinstance(page, bool) or page < 0:
            raise DataError(f"page must be a number from 0, the first page, got {page!r}: give --page another value")
        check_channel(channel)
        self.page, self.channel = page, channel
        readable: list[dict[str, str]] = []
        self.large: list[dict[str, str]] = []
        self.unreadable: list[tuple[dict[str, str], str]] = []
        self.remarks: dict[str, list[str]] = {}
        # disable=None: no bar where the output is no terminal
        for item in tqdm(data, desc="reading headers", leave=False, disable=None if len(data) >= MANY_IMAGES else True):
            try:
                header = read_header(item["image"], page=page, channel=channel)
            except Exception as error:  # of the many libraries that read; whatever it is, the others are to be done
                reason = reason_of(error, item["image"])
                self.unreadable.append((item, reason))
                logger.error("%s is left out: %s", as_text(item["image"]), as_text(reason))
                continue
            is_large = math.prod(header.size) > min(LARGEST_WHOLE_PX, large_image_px)
            (self.large if is_large else readable).append(item)
            for text, remedy in header.left_out:
                remark = f"{text}; {remedy}"
                self.remarks.setdefault(item["id"], []).append(remark)
                logger.warning("%s: %s", as_text(item["image"]), as_text(remark))
        if not readable and not self.large:
            raise none_readable(len(data), self.unreadable[:1])
        super().__init__(readable, transform)

    def _transform(self, index: int) -> Any:
        address_of(self.data[index]["image"])  # remembers it in this process, for MONAI spells it as a path
        try:
            return super()._transform(index)
        except Exception as error:  # such as a damaged file; whatever it is, the others are to be done
            item = self.data[index]
            if not isinstance(origin_of(error), (DataError, OSError)):
                trace = trace_without_secrets(error)
                logger.error("%s failed before the network\n%s", as_text(item["image"]), trace)
            return item | {"error": reason_of(error, item["image"])}
