"""Let a network see images at a larger size."""

from __future__ import annotations

import math
from copy import copy
from fractions import Fraction

import torch
from torch import nn
from torch.nn.functional import interpolate


class Enlarging(nn.Module):
    """A network that sees each image enlarged, and whose output is brought back to the size of the image.

    Outlines of small objects get finer, as a network's own features are coarser than the image: its first convolution
    halves it. The time grows with the square of the enlargement. As the weights are those of the network, a network
    that was trained with several sizes of objects can be run with another enlargement than it was trained with.

    Args:
        network: takes images (B, C, H, W) whose sides are multiples of `divisor`, and gives an output of that size, or
            a list of such.
        enlargement: at least 1, rounded to a fraction of at most 1000ths; 1 leaves images as they are.
        divisor: enlarged sides are rounded up to a multiple of it, in pixels. Where they are none before, height and
            width may be enlarged by slightly different factors.

    Raises:
        ValueError: an enlargement below 1.

    >>> network = Enlarging(nn.Conv2d(3, 2, kernel_size=3, padding=1), enlargement=1.5)
    >>> network(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 2, 64, 96])
    """

    def __init__(self, network: nn.Module, *, enlargement: float = 1.0, divisor: int = 32) -> None:
        super().__init__()
        if not 1 <= enlargement < math.inf:
            raise ValueError(f"enlargement must be at least 1, got {enlargement}")
        self.network = network
        self.numerator, self.denominator = Fraction(enlargement).limit_denominator(1000).as_integer_ratio()
        self.enlargement = self.numerator / self.denominator
        self.divisor = divisor

    # No annotation of what it returns: TorchScript takes a tensor or, in training, a list, as the network gives.
    def forward(self, image: torch.Tensor):
        """Return what the network gives, at the size of the image."""
        if self.enlargement == 1.0:
            return self.network(image)
        height, width = image.shape[2], image.shape[3]
        output = self.network(_resized(image, self._side_at_work(height), self._side_at_work(width)))
        if isinstance(output, torch.Tensor):
            return _resized(output, height, width)
        return [_resized(each, height, width) for each in output]

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted: PyTorch puts the stand-ins of its parts into it."""
        stand_in = copy(self)
        stand_in._modules = dict(self._modules)
        return stand_in

    def _side_at_work(self, side: int) -> int:
        # In whole numbers: a trace would keep the result of a float's rounding as a constant.
        divisor = self.denominator * self.divisor
        return (side * self.numerator + divisor - 1) // divisor * self.divisor


def _resized(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return interpolate(image, size=[height, width], mode="bilinear", align_corners=False)
