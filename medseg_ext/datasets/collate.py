"""Collate the items of a batch, which must have one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data import list_data_collate
from monai.utils.enums import CommonKeys

from medseg_ext.errors import DataError


def collate_same_size(batch: Sequence[Mapping[str, Any]]) -> Any:
    """Collate a batch with MONAI's `list_data_collate`; for the `collate_fn` of a `DataLoader`.

    Args:
        batch: items whose `image` is a tensor (C, H, W); or one item that failed, with the reason under `error`.

    Returns:
        The items' values, stacked; of one that failed the list of it.

    Raises:
        DataError: the images differ in size, or one of several failed.
    """
    failed = next((item for item in batch if "error" in item), None)
    if failed is not None:
        if len(batch) > 1:
            raise DataError(f"{failed[CommonKeys.IMAGE]} {failed['error']}")
        return list(batch)
    images = [item[CommonKeys.IMAGE] for item in batch]
    first, other = images[0], next((image for image in images if image.shape != images[0].shape), None)
    if other is not None:
        raise DataError(
            f"a batch must hold images of one size, but {_describe(first)} and {_describe(other)} differ: set the "
            "dataloader's batch_size to 1"
        )
    return list_data_collate(batch)


def _describe(image: torch.Tensor) -> str:
    channels, height, width = image.shape
    name = getattr(image, "meta", {}).get("filename_or_obj", "one")
    return f"{name} ({channels} x {height} x {width})"
