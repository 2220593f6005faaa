"""Work out a loss over the batch of all processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from medseg_ext.processes import n_processes, process_rank


class LossOfWholeBatch(nn.Module):
    """Give each process the loss of the batch of all: a Dice over a batch, for one, is no mean of those of its parts.

    Its gradient is that of a network in `DistributedDataParallel`, which takes the mean over the processes. They
    exchange their predictions and targets.

    Args:
        loss: of predictions and targets, whose first dimension are the rows of a batch. Predictions may be a list of
            such tensors, as of a network with deep supervision.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Return the loss, the same in all processes."""
        if n_processes() == 1:
            return self.loss(prediction, target)
        n_rows = _rows_of_each(target)
        if isinstance(prediction, torch.Tensor):
            return self.loss(_Gather.apply(prediction, n_rows), _gathered(target, n_rows))
        return self.loss([_Gather.apply(head, n_rows) for head in prediction], _gathered(target, n_rows))


def _rows_of_each(target: torch.Tensor) -> list[int]:
    """Ask each process how many rows of the batch it has."""
    counts = [torch.zeros(1, dtype=torch.int64, device=target.device) for _ in range(n_processes())]
    dist.all_gather(counts, torch.tensor([len(target)], device=target.device))
    return [int(count) for count in counts]


def _gathered(rows: torch.Tensor, n_rows: Sequence[int]) -> torch.Tensor:
    """Put the rows of all processes below each other."""
    padded = rows.new_zeros(max(n_rows), *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = [torch.empty_like(padded) for _ in n_rows]
    dist.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, n_rows, strict=True)])


class _Gather(torch.autograd.Function):
    """`_gathered`, through which a gradient goes back to the own rows."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor, n_rows: Sequence[int]) -> torch.Tensor:
        first = sum(n_rows[: process_rank()])
        context.own = slice(first, first + len(rows))
        context.dtype = rows.dtype
        return _gathered(rows.float(), n_rows)  # Gloo knows no bfloat16

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        # All processes have the same loss, whose gradient is the sum of theirs; the mean is taken afterwards.
        return n_processes() * gradient[context.own].to(context.dtype), None
