"""Stand in for networks that TorchScript can trace but not compile."""

from __future__ import annotations

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
        training = network.training
        try:
            with torch.no_grad():
                self.traced = torch.jit.trace(network.eval(), example, check_trace=False)
        finally:
            network.train(training)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return what the network gives."""
        return self.traced(image)
