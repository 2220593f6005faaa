"""Loss of a network that gives classes and centre distances of objects."""

from __future__ import annotations

import torch
from torch import nn


class ClassesAndDistanceLoss(nn.Module):
    """Sum of a loss over the class logits and a weighted loss over the logit of the centre distance.

    Args:
        classes: loss of logits (B, C, H, W) against class indices (B, 1, H, W), such as MONAI's
            `DiceCELoss(softmax=True, to_onehot_y=True)`.
        distance: loss of a logit (B, 1, H, W) against values in [0, 1], such as `torch.nn.BCEWithLogitsLoss`, which is
            least where the sigmoid is the value.
        distance_weight: weight of the second; 0 or more.

    Shapes:
        input float (B, C + 1, H, W); target float (B, 2, H, W) as `SemanticTargetd` makes it; result a scalar.
    """

    def __init__(self, *, classes: nn.Module, distance: nn.Module, distance_weight: float = 1.0) -> None:
        super().__init__()
        if distance_weight < 0:
            raise ValueError(f"distance_weight must be 0 or more, got {distance_weight}")
        self.classes = classes
        self.distance = distance
        self.distance_weight = distance_weight

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss in float32: sums over many pixels would lose precision in less."""
        prediction = prediction.float()
        classes = self.classes(prediction[:, :-1], target[:, :1])
        return classes + self.distance_weight * self.distance(prediction[:, -1:], target[:, 1:])
