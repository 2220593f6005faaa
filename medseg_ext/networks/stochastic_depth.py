"""Leave out residual branches at random, of a batch that several processes may share."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class WholeBatchDraws:
    """Random numbers for the rows of a batch, drawn for the whole of it, so that they are those of a single process.

    Attributes:
        start, stop, total: this process has the rows from `start` up to `stop` of `total`.
        generator: on the CPU, in the same state in all processes.
    """

    start: int
    stop: int
    total: int
    generator: torch.Generator = field(default_factory=torch.Generator)

    def rand(self, n_rows: int, device: torch.device) -> torch.Tensor:
        """Draw from [0, 1) for each row, float32 (N,)."""
        if n_rows != self.stop - self.start:  # of another batch than those of the training
            return torch.rand(n_rows, device=device)
        return torch.rand(self.total, generator=self.generator)[self.start : self.stop].to(device)


class StochasticDepth(nn.Module):
    """Set some rows of a batch to zero in training, at random, and scale the others so that the mean stays.

    Args:
        probability: that a row is left out, in [0, 1).

    Attributes:
        draws: where the random numbers come from; None is PyTorch's generator.

    Source: Huang et al., Deep Networks with Stochastic Depth. ECCV 2016.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.draws: WholeBatchDraws | None = None

    def forward(self, branch: torch.Tensor) -> torch.Tensor:
        """Return the branch (B, ...), thinned in training."""
        if not self.training or self.probability == 0:
            return branch
        n_rows = len(branch)
        drawn = self.draws.rand(n_rows, branch.device) if self.draws else torch.rand(n_rows, device=branch.device)
        kept = (drawn >= self.probability).to(branch.dtype).view(-1, *[1] * (branch.ndim - 1))
        return branch / (1 - self.probability) * kept

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted, which is done to a network that is trained."""
        return nn.Identity()
