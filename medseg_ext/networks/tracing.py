"""Stand in for networks that TorchScript can trace but not compile."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn


class TracedForward(nn.Module):
    """The forward pass of a network in evaluation, recorded on an example.

    A network returns one from `__prepare_scriptable__`, which `torch.jit.script` asks for: so MONAI's `ckpt_export`
    and everything else that scripts needs no other call for it.

    Args:
        network: its forward pass does the same steps whatever the size of the image.
        example: float (B, C, H, W).
    """

    def __init__(self, network: nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            self.traced = torch.jit.trace(deepcopy(network).eval(), example, check_trace=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the network gives."""
        return self.traced(image)
