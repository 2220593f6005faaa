"""Make an image look as if another kind of microscopy had taken it.

Functions with a name, for MONAI's `RandLambdad`: where processes are spawned, a data loader's workers get their
transforms pickled, and a lambda cannot be.
"""

from __future__ import annotations

import torch


def inverted(image: torch.Tensor) -> torch.Tensor:
    """Show dark on bright for bright on dark; float (C, H, W) in [0, 1].

    >>> inverted(torch.tensor([[[0.0, 0.25, 1.0]]]))
    tensor([[[1.0000, 0.7500, 0.0000]]])
    """
    return 1 - image


def one_channel_in_grey(image: torch.Tensor) -> torch.Tensor:
    """Show one channel of a stain, drawn at random by PyTorch's generator, in grey; float (3, H, W)."""
    return image[torch.randint(3, ())].expand(3, -1, -1).clone()
