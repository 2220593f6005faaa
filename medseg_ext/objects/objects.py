"""Hold what every decoder makes of a network's output."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Objects:
    """What every decoder makes of a network's output, whatever the network.

    Attributes:
        instances: label map, int32 (1, H, W): 0 is background, 1..N are objects.
        classes: class map, uint8 (1, H, W); 0 exactly where `instances` is 0.
        scores: float32 (N,) in [0, 1]; entry i belongs to object i + 1.
    """

    instances: torch.Tensor
    classes: torch.Tensor
    scores: torch.Tensor
