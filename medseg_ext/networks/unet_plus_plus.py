"""U-Net++ with deep supervision."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import BasicUNetPlusPlus
from monai.networks.nets.basic_unet import UpCat
from torch import nn


class UNetPlusPlus(nn.Module):
    """MONAI's `BasicUNetPlusPlus`, with all its heads in training and the final one in evaluation.

    In training the final head stands first, as MONAI's `DeepSupervisionLoss` gives its first input the largest weight.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the five levels, finest first, and of the final decoder node.
        deep_supervision: False trains the final head alone.
        dropout: probability in [0, 1).

    Source: Zhou et al., UNet++: A Nested U-Net Architecture for Medical Image Segmentation, DLMIA 2018.

    >>> network = UNetPlusPlus(3, 2, features=(8, 8, 8, 8, 8, 8))
    >>> [tuple(head.shape) for head in network(torch.zeros(1, 3, 32, 48))]
    [(1, 2, 32, 48), (1, 2, 32, 48), (1, 2, 32, 48), (1, 2, 32, 48)]
    >>> network.eval()(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 2, 32, 48])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        features: Sequence[int] = (16, 32, 64, 128, 256, 16),
        deep_supervision: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = BasicUNetPlusPlus(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            features=tuple(features),
            deep_supervision=deep_supervision,
            norm="batch",
            act=("relu", {"inplace": True}),
            bias=False,  # before a batch normalisation
            dropout=dropout,
        )
        for module in self.network.modules():
            if isinstance(module, UpCat):
                # Padding to equal sizes is done in float32 and in another memory format even where nothing is to be
                # padded: without it a step takes 0.6 times the time.
                module.is_pad = False

    def forward(self, image: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Return logits (B, C, H, W); in training a list of them, one a head, the final one first.

        Args:
            image: float (B, 3, H, W); H and W are multiples of 16.

        Raises:
            ValueError: another size.
        """
        _check_size(image)
        heads: list[torch.Tensor] = self.network(image)
        return heads[::-1] if self.training else heads[-1]

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted: TorchScript wants one type of output."""
        return _FinalHead(self.network).train(self.training)


class _FinalHead(nn.Module):
    """The network in evaluation only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        _check_size(image)
        return self.network(image)[-1]


def _check_size(image: torch.Tensor) -> None:
    height, width = image.shape[2], image.shape[3]
    if height % 16 != 0 or width % 16 != 0:
        raise ValueError(f"U-Net++ takes images whose sides are multiples of 16, got {height} x {width}")
