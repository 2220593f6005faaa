"""Loss of a network that gives classes and object boundaries."""

from __future__ import annotations

import torch
from torch import nn


class ClassesAndBoundaryLoss(nn.Module):
    """Sum of a loss over the class logits and a weighted loss over the boundary logit.

    Args:
        classes: loss of logits (B, C, H, W) against class indices (B, 1, H, W), such as MONAI's
            `DiceCELoss(softmax=True, to_onehot_y=True)`.
        boundary: loss of a logit (B, 1, H, W) against 0 or 1, such as `DiceCELoss(sigmoid=True)`.
        boundary_weight: weight of the second; 0 or more.

    Shapes:
        input float (B, C + 1, H, W); target float (B, 2, H, W) as `SemanticTargetd` makes it; result a scalar.
    """

    def __init__(self, *, classes: nn.Module, boundary: nn.Module, boundary_weight: float = 1.0) -> None:
        super().__init__()
        if boundary_weight < 0:
            raise ValueError(f"boundary_weight must be 0 or more, got {boundary_weight}")
        self.classes = classes
        self.boundary = boundary
        self.boundary_weight = boundary_weight

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss in float32: sums over many pixels would lose precision in less."""
        prediction = prediction.float()
        classes = self.classes(prediction[:, :-1], target[:, :1])
        return classes + self.boundary_weight * self.boundary(prediction[:, -1:], target[:, 1:])
