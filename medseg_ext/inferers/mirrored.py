"""Test-time augmentation by mirroring."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from itertools import chain, combinations
from typing import Any

import torch
from monai.inferers import Inferer

from medseg_ext.errors import DataError


class MirroredInferer(Inferer):
    """Average a network's output over an image and its mirror images, each mirrored back.

    For networks whose output has a value a pixel and class. It takes four times the time for images of two dimensions.

    Args:
        inferer: does the work.
        enabled: False gives what `inferer` gives.
        spatial_dims: of the images.

    Raises:
        DataError: `enabled` is a word, such as the image that follows a `--tta` without a value.
    """

    def __init__(self, inferer: Inferer, *, enabled: bool = True, spatial_dims: int = 2) -> None:
        super().__init__()
        if not isinstance(enabled, bool):
            raise DataError(f"tta is {enabled!r}; it must be True or False")
        self.inferer = inferer
        axes = range(2, 2 + spatial_dims)
        subsets = chain.from_iterable(combinations(axes, count) for count in range(spatial_dims + 1))
        self.flips = list(subsets) if enabled else [()]

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the mean output, a tensor like that of `inferer`."""
        if self.flips == [()]:
            output: torch.Tensor = self.inferer(inputs, network, *args, **kwargs)
            return output
        outputs = (self.inferer(inputs.flip(flip), network, *args, **kwargs).flip(flip) for flip in self.flips)
        return reduce(torch.add, outputs) / len(self.flips)
