"""U-Net++ with deep supervision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from monai.networks.nets import BasicUNetPlusPlus
from monai.networks.nets.basic_unet import UpCat
from torch import nn

from medseg_ext.networks.efficientnet_lite import CHANNELS, EfficientNetLiteEncoder
from medseg_ext.networks.tracing import TracedForward


class UNetPlusPlus(nn.Module):
    """MONAI's `BasicUNetPlusPlus`, with all its heads in training and the final one in evaluation.

    In training the final head stands first, as MONAI's `DeepSupervisionLoss` gives its first input the largest weight.

    With an `encoder` its features stand where the backbone nodes (X 1,0 to X 4,0) of the paper do; the finest node,
    which the encoder has nothing for, stays a block of convolutions.

    Args:
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the five levels, finest first, and of the final decoder node.
        encoder: None, or "efficientnet-lite0", for which `features` are (any, 16, 24, 40, 112, any).
        pretrained: the encoder starts from the weights of ImageNet, see `EfficientNetLiteEncoder`.
        deep_supervision: False trains the final head alone.
        dropout: probability in [0, 1).

    Raises:
        ValueError: an unknown encoder, or features that are not its; pretrained without an encoder.

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
        encoder: str | None = None,
        pretrained: bool = False,
        deep_supervision: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        _check_encoder(encoder, pretrained, features)
        network_type = BasicUNetPlusPlus if encoder is None else partial(_OnEncoder, pretrained=pretrained)
        self.network = network_type(
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
        final_head: nn.Module = _FinalHead(self.network)
        if isinstance(self.network, _OnEncoder):  # which looks up its nodes by name
            example = torch.zeros(1, self.in_channels, 32, 48, device=next(self.parameters()).device)
            final_head = TracedForward(final_head, example)
        return _OfChecked(final_head).train(self.training)


class _OnEncoder(BasicUNetPlusPlus):
    """A `BasicUNetPlusPlus` whose backbone nodes but for the finest one are an encoder's levels."""

    def __init__(self, *, pretrained: bool, **options: Any) -> None:
        super().__init__(**options)
        encoder = EfficientNetLiteEncoder(pretrained=pretrained, in_channels=options["in_channels"])
        self.levels = encoder.levels[:4]
        del self.conv_1_0, self.conv_2_0, self.conv_3_0, self.conv_4_0

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        nodes = [[self.conv_0_0(x)]]  # by level, then by column, as in the paper
        for part in self.levels:
            x = part(x)
            nodes.append([x])
        for column in range(1, 5):
            for level in range(5 - column):
                join = getattr(self, f"upcat_{level}_{column}")
                nodes[level].append(join(nodes[level + 1][column - 1], torch.cat(nodes[level], dim=1)))
        heads = range(1, 5) if self.deep_supervision else [4]
        return [getattr(self, f"final_conv_0_{column}")(nodes[0][column]) for column in heads]


class _FinalHead(nn.Module):
    """The network in evaluation only."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image)[-1]


class _OfChecked(nn.Module):
    """A network that takes images of fitting sizes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        _check_size(image)
        return self.network(image)


def _check_encoder(encoder: str | None, pretrained: bool, features: Sequence[int]) -> None:
    if encoder is None:
        if pretrained:
            raise ValueError("pretrained weights are those of an encoder: name one, such as efficientnet-lite0")
        return
    if encoder not in EfficientNetLiteEncoder.get_encoder_names():
        raise ValueError(f"encoder must be efficientnet-lite0 or None, got {encoder!r}")
    if tuple(features[1:5]) != CHANNELS[:4]:
        raise ValueError(f"features 1 to 4 must be the encoder's {CHANNELS[:4]}, got {tuple(features[1:5])}")


def _check_size(image: torch.Tensor) -> None:
    height, width = image.shape[2], image.shape[3]
    if height % 16 != 0 or width % 16 != 0:
        raise ValueError(f"U-Net++ takes images whose sides are multiples of 16, got {height} x {width}")
