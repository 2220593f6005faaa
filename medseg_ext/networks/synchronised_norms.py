"""Normalise over the batch of all processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from medseg_ext.processes import n_processes


def synchronise_batch_norms(network: nn.Module) -> nn.Module:
    """Let every batch norm of a network take the statistics of the batch of all processes, as a single one would.

    Names of weights stay, and so do norms that are frozen. On GPUs it is PyTorch's `SyncBatchNorm`, which CPUs lack.

    Args:
        network: on its device; is changed.

    Returns:
        The network.
    """
    if next(network.parameters()).device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = BatchNormOfProcesses  # which has the same parameters, buffers and options
    return network


class BatchNormOfProcesses(_BatchNorm):
    """A batch norm on CPUs that takes its statistics of the batch of all processes."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any number of dimensions."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the normalised input (B, C, ...)."""
        if not self.training or n_processes() == 1:
            return super().forward(input)
        normalised, mean, variance, count = _NormaliseOverProcesses.apply(input.float(), self.eps)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean), share)
                self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), share)
        if self.affine:
            shape = [1, -1, *[1] * (input.ndim - 2)]
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)


class _NormaliseOverProcesses(torch.autograd.Function):
    """Bring each channel of float32 (B, C, ...) to mean 0 and variance 1; also gives those, and how many values it has.

    Sums over processes are in float64.
    """

    @staticmethod
    def forward(context: Any, x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        own_count = x.numel() // x.shape[1]
        own_variance, own_mean = (each.double() for each in torch.var_mean(x, dims, correction=0))
        moments = torch.cat([own_count * own_mean, own_count * (own_variance + own_mean**2), torch.tensor([own_count])])
        dist.all_reduce(moments)
        count = float(moments[-1])
        mean, square = (moments[:-1] / count).chunk(2)
        variance = (square - mean**2).clamp(min=0)
        shape = [1, -1, *[1] * (x.ndim - 2)]
        scale = (variance + eps).rsqrt().float().view(shape)
        normalised = (x - mean.float().view(shape)) * scale
        context.save_for_backward(normalised, scale)
        context.dims, context.count = dims, count
        context.mark_non_differentiable(mean, variance)
        return normalised, mean, variance, count

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor, *_: Any) -> tuple[torch.Tensor, None]:
        normalised, scale = context.saved_tensors
        sums = torch.cat([each.sum(context.dims, dtype=torch.float64) for each in (gradient, gradient * normalised)])
        dist.all_reduce(sums)
        mean, slope = (each.float().view(scale.shape) for each in (sums / context.count).chunk(2))
        return scale * (gradient - mean - normalised * slope), None
