"""Let MONAI read images and label maps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys

from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.read import read_labels, read_rgb


class _FileReader(ImageReader):
    """MONAI image reader over a function from path to array; rows stay the first axis (no transposition to W x H)."""

    @abstractmethod
    def decode(self, path: str) -> np.ndarray:
        """Give the array (H, W) or (H, W, C) of one file."""

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Say yes to every file: `decode` itself reports what it cannot read."""
        return True

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> str:
        """Give the file's path; `LoadImage` would replace an error here by its advice to install other readers."""
        return str(data[0] if isinstance(data, (list, tuple)) else cast(PathLike, data))

    def get_data(self, img: str) -> tuple[np.ndarray, dict]:
        """Read the file; returns its array and its metadata, as `LoadImage` expects them."""
        array = self.decode(img)
        metadata = {
            "filename_or_obj": img,
            MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if array.ndim == 3 else float("nan"),  # NaN: MONAI's "no channel"
            MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:2]),
            MetaKeys.AFFINE: np.eye(4),
            MetaKeys.ORIGINAL_AFFINE: np.eye(4),
            MetaKeys.SPACE: "RAS",
        }
        return array, metadata


class RGBReader(_FileReader):
    """MONAI image reader over `read_rgb`; rows stay the first axis.

    Use as `LoadImaged(keys="image", reader=RGBReader(), ensure_channel_first=True)`, which gives float32 (3, H, W).

    Args:
        page: see `read_rgb`.
        channel: see `read_rgb`.
    """

    def __init__(self, *, page: int = 0, channel: Choice = None) -> None:
        super().__init__()
        self.page, self.channel = page, channel

    def decode(self, path: str) -> np.ndarray:
        """Read the image, float32 (H, W, 3), or (H, W, C) of a list of channels."""
        return read_rgb(path, page=self.page, channel=self.channel)

    def get_data(self, img: str) -> tuple[np.ndarray, dict]:
        """Read the file; returns its array and its metadata, with the `page`."""
        array, metadata = super().get_data(img)
        return array, metadata | {"page": self.page}


class PreparedReader(RGBReader):
    """The same for images of a data set folder, which are prepared in their channels already.

    Args:
        channel: which channels of the raw images were taken, see `read_rgb`.
    """

    def __init__(self, *, channel: Choice = None) -> None:
        super().__init__(channel=channel if is_list(channel) else None)


class LabelReader(_FileReader):
    """MONAI image reader over `read_labels`; rows stay the first axis.

    Use as `LoadImaged(keys="instances", reader=LabelReader(), ensure_channel_first=True)`, which gives (1, H, W) in
    `LoadImaged`'s own `dtype`, by default float32: exact up to the id 2**24.
    """

    def decode(self, path: str) -> np.ndarray:
        """Read the label map, integers (H, W)."""
        return read_labels(path)
