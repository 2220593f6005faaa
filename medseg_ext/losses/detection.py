"""Loss of a network that works out its losses itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class SumOfLosses(nn.Module):
    """Weighted sum of the losses that a network returns in training.

    Args:
        weights: weight of a loss by its name; 1 for those not named.

    >>> SumOfLosses(weights={"loss_mask": 2.0})({"loss_mask": torch.tensor(1.5), "loss_cls": torch.tensor(1.0)})
    tensor(4.)
    """

    def __init__(self, *, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = dict(weights or {})

    def forward(self, losses: Mapping[str, torch.Tensor], label: torch.Tensor | None = None) -> torch.Tensor:
        """Return the sum in float32; the label is there because trainers hand it over.

        Raises:
            ValueError: no losses, or a weight for a loss that the network does not return.
        """
        if not losses:
            raise ValueError("the network returned no losses")
        if unknown := sorted(self.weights.keys() - losses.keys()):
            raise ValueError(f"weights name {', '.join(unknown)}, but the network returns {', '.join(sorted(losses))}")
        return torch.stack([self.weights.get(name, 1.0) * loss.float() for name, loss in losses.items()]).sum()
