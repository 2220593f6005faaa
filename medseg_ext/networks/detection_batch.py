"""Hand the label of a batch to a network that needs it in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.utils.enums import CommonKeys


def prepare_detection_batch(
    batchdata: Mapping[str, torch.Tensor],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict[str, Any]]:
    """Prepare a batch for MONAI's `SupervisedTrainer` (its `prepare_batch`), so that it calls network(image, label).

    Args:
        batchdata: `image` and `label`.
        device: where they are moved.
        non_blocking: whether the move is asynchronous.
        kwargs: further arguments of `Tensor.to`.

    Returns:
        image, label; further arguments of the network: the label; no keyword arguments.
    """
    image, label = (
        batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
        for key in (CommonKeys.IMAGE, CommonKeys.LABEL)
    )
    return image, label, (label,), {}
