"""Mark the foreground of a training batch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform


class ForegroundOfLogitsd(MapTransform):
    """Mark the foreground of a training batch as one object: adds `pred_` and `true_` `instances` and `classes`.

    A cheap stand-in for decoding, good for the foreground IoU of a training batch.

    Args:
        keys: the logits, float (C + 1, H, W), or a list of them, of which the first counts.
        label_key: the target of `SemanticTargetd`, (2, H, W), from which the true maps are made likewise.
    """

    def __init__(self, keys: KeysCollection = "pred", *, label_key: str = "label") -> None:
        super().__init__(keys)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with foreground and class maps added, int32 and uint8 (1, H, W)."""
        result = dict(data)
        truth = torch.as_tensor(result[self.label_key])[:1].to(torch.uint8)
        result["true_classes"], result["true_instances"] = truth, (truth > 0).to(torch.int32)
        for key in self.key_iterator(result):
            heads = result[key]  # of a network with deep supervision, the final one first
            logits = torch.as_tensor(heads[0] if isinstance(heads, list) else heads).detach()
            predicted = logits[:-1].argmax(dim=0, keepdim=True).to(torch.uint8)
            result["pred_classes"], result["pred_instances"] = predicted, (predicted > 0).to(torch.int32)
        return result
