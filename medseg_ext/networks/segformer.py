"""SegFormer of `transformers`, with an optional convolutional branch for detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from monai.networks.blocks import Convolution
from monai.networks.nets.basic_unet import TwoConv
from torch import nn
from torch.nn.functional import interpolate

from medseg_ext.networks.efficientnet_lite import CHANNELS, EfficientNetLiteEncoder
from medseg_ext.networks.tracing import TracedForward

if TYPE_CHECKING:
    from transformers import SegformerConfig, SegformerModel

# Depths, widths and the decoder's width of the Mix Transformers: table 6 of the paper.
VARIANTS = {
    "b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}


class SegFormer(nn.Module):
    """A Mix Transformer encoder with an all-MLP decoder; logits at the size of the image.

    The standard variant (`detail_channels=None`) is the paper's: its logits have a quarter of the resolution and are
    interpolated. With `detail_channels` a thin convolutional branch sees the image at full and at half resolution, and
    the decoder's output is brought up through it, so that outlines are learnt and not interpolated. The encoder is the
    same in both and takes the same pretrained weights.

    With a `stem` the features of a convolutional encoder are added to what each of the four transformer stages gives
    (which has the same stride), so that the stages refine features and need not learn to see from few images.

    Args:
        out_channels: channels of the logits.
        in_channels: channels of the image.
        variant: "b0" (3.3 million parameters in the encoder) to "b5" (81 million).
        patch_stride: stride of the first, overlapping patch embedding; 4 in the paper. 2 makes four times the tokens.
        detail_channels: channels of the convolutional branch at full and at half resolution; None leaves it out.
        stem: None, or "efficientnet-lite0".
        pretrained: the stem starts from the weights of ImageNet, see `EfficientNetLiteEncoder`.
        decoder_channels: width of the all-MLP decoder; None takes the paper's for the variant.
        drop_path_rate: largest probability of stochastic depth.
        encoder_weights: a folder or a hub name such as `nvidia/mit-b0`, whose encoder weights are loaded.
        gradient_checkpointing: trade time for memory in training.

    Raises:
        ValueError: an unknown variant, stride or stem; pretrained without a stem; other than two detail_channels; a
            stem with a patch stride of 2; encoder weights of another variant.
        OSError: encoder weights that cannot be had, as on a machine without a network.
        ImportError: Transformers is not installed; says how to install it.

    Source: Xie et al., SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers. NeurIPS
    2021.

    >>> network = SegFormer(2, detail_channels=(8, 16)).eval()
    >>> network(torch.zeros(1, 3, 64, 96)).shape
    torch.Size([1, 2, 64, 96])
    """

    def __init__(
        self,
        out_channels: int,
        *,
        in_channels: int = 3,
        variant: str = "b0",
        patch_stride: int = 4,
        detail_channels: Sequence[int] | None = None,
        stem: str | None = None,
        pretrained: bool = False,
        decoder_channels: int | None = None,
        drop_path_rate: float = 0.1,
        encoder_weights: str | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {list(VARIANTS)}, got {variant!r}")
        if patch_stride not in (2, 4):
            raise ValueError(f"patch_stride must be 2 or 4, got {patch_stride}")
        if detail_channels is not None and len(detail_channels) != 2:
            raise ValueError(f"detail_channels must be two, at full and at half resolution, got {detail_channels}")
        if pretrained and stem is None:
            raise ValueError("pretrained is the stem's: name one, or give the transformer's encoder_weights")
        if stem is not None and patch_stride != 4:
            raise ValueError(f"with a stem patch_stride must be 4, the stride of its features, got {patch_stride}")
        depths, hidden_sizes, paper_decoder_channels = VARIANTS[variant]
        library = _transformers()
        config = library.SegformerConfig(
            num_channels=in_channels,
            depths=depths,
            hidden_sizes=hidden_sizes,
            strides=(patch_stride, 2, 2, 2),
            decoder_hidden_size=decoder_channels or paper_decoder_channels,
            drop_path_rate=drop_path_rate,
        )
        config.num_labels = out_channels if detail_channels is None else 2 * detail_channels[1]
        self.encoder = (
            _pretrained_encoder(encoder_weights, config) if encoder_weights else library.SegformerModel(config)
        )
        self.decoder = library.SegformerDecodeHead(config)
        self.detail = None if detail_channels is None else _DetailBranch(in_channels, detail_channels, out_channels)
        self.stem = None if stem is None else _Stem(stem, pretrained, in_channels, hidden_sizes)
        if gradient_checkpointing:
            self.encoder.gradient_checkpointing_enable()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits (B, C, H, W).

        Args:
            image: float (B, 3, H, W), at least 32 pixels a side.

        Raises:
            ValueError: a smaller image.
        """
        if not torch.jit.is_tracing() and min(image.shape[2:]) < 32:
            raise ValueError(f"image must be at least 32 pixels a side, got shape {tuple(image.shape)}")
        hidden, stages = image, []
        levels = [None] * len(self.encoder.stages) if self.stem is None else self.stem(image)
        for stage, level in zip(self.encoder.stages, levels, strict=True):
            hidden = stage(hidden)
            if level is not None:
                hidden = hidden + _resize(level, hidden)
            stages.append(hidden)
        coarse = self.decoder(stages)
        if self.detail is not None:
            return self.detail(image, coarse)
        return _resize(coarse, image)

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this module when it is scripted: `transformers` can be traced only."""
        device = next(self.parameters()).device
        return TracedForward(self, torch.zeros(1, self.encoder.config.num_channels, 64, 96, device=device))


class _Stem(nn.Module):
    """Features of EfficientNet-Lite0 at strides 4 to 32, brought to the widths of the transformer stages."""

    def __init__(self, name: str, pretrained: bool, in_channels: int, hidden_sizes: Sequence[int]) -> None:
        super().__init__()
        if name not in EfficientNetLiteEncoder.get_encoder_names():
            raise ValueError(f"stem must be efficientnet-lite0 or None, got {name!r}")
        self.encoder = EfficientNetLiteEncoder(pretrained=pretrained, in_channels=in_channels)
        self.projections = nn.ModuleList(
            Convolution(2, channels, hidden_size, kernel_size=1, act=None, norm="batch", bias=False)
            for channels, hidden_size in zip(CHANNELS[1:], hidden_sizes, strict=True)
        )

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        levels = self.encoder(image)[1:]
        return [project(level) for project, level in zip(self.projections, levels, strict=True)]


class _DetailBranch(nn.Module):
    """Convolutions at full and half resolution, through which coarse features are brought up."""

    def __init__(self, in_channels: int, channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        fine, half = channels
        block: dict[str, Any] = {"spatial_dims": 2, "act": "relu", "norm": "batch", "bias": False}
        self.full_size = Convolution(in_channels=in_channels, out_channels=fine, **block)
        self.half_size = Convolution(in_channels=fine, out_channels=half, strides=2, **block)
        self.join_half = TwoConv(in_chns=2 * half + half, out_chns=half, **block)
        self.join_full = Convolution(in_channels=half + fine, out_channels=fine, **block)
        self.classifier = nn.Conv2d(fine, out_channels, kernel_size=1)

    def forward(self, image: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        full_size = self.full_size(image)
        half_size = self.half_size(full_size)
        half_size = self.join_half(torch.cat([_resize(coarse, half_size), half_size], dim=1))
        return self.classifier(self.join_full(torch.cat([_resize(half_size, full_size), full_size], dim=1)))


def _resize(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return interpolate(features, size=like.shape[2:], mode="bilinear", align_corners=False)


def _transformers() -> Any:
    """Import the module of SegFormer's parts."""
    try:
        from transformers.models.segformer import modeling_segformer
    except ImportError as error:
        raise ImportError(f"SegFormer needs Transformers ({error}): pip install 'medseg-ext[segformer]'") from error
    return modeling_segformer


def _pretrained_encoder(source: str, config: SegformerConfig) -> SegformerModel:
    try:
        found = type(config).from_pretrained(source)  # the person says which; no code comes along
    except OSError as error:
        raise OSError(
            f"{source}: no pretrained SegFormer there. Give a folder that holds config.json and the weights (download "
            "it where there is a network: hf download nvidia/mit-b0), or a name on the hub"
        ) from error
    for field in ("depths", "hidden_sizes", "strides", "num_channels"):
        wanted, got = getattr(config, field), getattr(found, field)
        if list(wanted) != list(got) if isinstance(wanted, (list, tuple)) else wanted != got:
            raise ValueError(f"{source}: its encoder has {field} {got}, but this SegFormer has {wanted}")
    loaded: Any = _transformers().SegformerModel.from_pretrained(
        source, config=config, dtype=torch.float32, output_loading_info=True, weights_only=True
    )
    encoder, loading = loaded
    if loading["missing_keys"]:  # which would stay random, silently
        missing = sorted(loading["missing_keys"])
        raise ValueError(f"{source}: lacks {len(missing)} of the encoder's weights, such as {missing[0]}")
    return encoder
