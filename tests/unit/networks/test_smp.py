"""Networks of segmentation-models-pytorch take the weights that the index package has, and keep what is frozen."""

import pytest
import torch

from medseg_ext.networks.efficientnet_lite import EfficientNetLiteEncoder
from medseg_ext.networks.smp import SMPNetwork, _MeansOfParts

OPTIONS = {"deeplabv3plus": {"decoder_aspp_dropout": 0.0}, "pspnet": {"psp_dropout": 0.0}}


def smooth_image(side: int = 192) -> torch.Tensor:
    noise = torch.rand(1, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, scale_factor=8, mode="bicubic").clip(0, 1)


def test_pretrained_features_are_those_of_the_own_encoder_at_the_same_places():
    """The own one pads as TensorFlow does: its strides begin a pixel further on, 3 and 7 pixels of the image."""
    own, image = EfficientNetLiteEncoder(pretrained=True).eval(), smooth_image()
    network = SMPNetwork("pspnet", 3, pretrained=True, **OPTIONS["pspnet"]).eval()
    with torch.no_grad():
        wanted = own(image)
        for level, offset, rim in ((1, 3, 4), (2, 7, 5)):
            moved = torch.roll(image, (-offset, -offset), (2, 3))
            features = network.model.encoder(network.scaling(moved))[level + 1]
            inner = (..., slice(rim, -rim), slice(rim, -rim))
            torch.testing.assert_close(features[inner], wanted[level][inner], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", OPTIONS)
def test_frozen_stacks_do_not_learn_and_nothing_is_drawn_at_random(architecture):
    network = SMPNetwork(architecture, 3, pretrained=True, **OPTIONS[architecture]).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    image = smooth_image(64).repeat(2, 1, 1, 1)
    assert torch.equal(network(image), network(image))
    network(image).square().mean().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    frozen = tuple(f"model.encoder.{name}." for name in ("conv_stem", "bn1", "blocks.0", "blocks.1"))
    assert not any(name.startswith(frozen) for name in changed)
    assert any(name.startswith("model.encoder.blocks.2.") for name in changed)
    assert all(each.requires_grad for each in SMPNetwork(architecture, 3, **OPTIONS[architecture]).parameters())


@pytest.mark.parametrize("architecture", OPTIONS)
def test_an_output_has_the_size_of_the_image(architecture):
    network = SMPNetwork(architecture, 4, **OPTIONS[architecture]).eval()
    assert network(torch.zeros(2, 3, 96, 160)).shape == (2, 4, 96, 160)


@pytest.mark.parametrize(("architecture", "depth"), [("deeplabv3plus", 5), ("pspnet", 3), ("pspnet", 4)])
def test_every_weight_learns(architecture, depth):
    """No stack that the depth does not reach, nor a classifier: DistributedDataParallel would wait for them."""
    network = SMPNetwork(architecture, 3, encoder_depth=depth, **OPTIONS[architecture]).train()
    network(smooth_image(64).repeat(2, 1, 1, 1)).square().mean().backward()
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


@pytest.mark.parametrize("architecture", OPTIONS)
def test_other_channels_than_rgb_start_from_the_mean_of_the_published_weights(architecture):
    rgb = SMPNetwork(architecture, 3, pretrained=True, **OPTIONS[architecture]).eval()
    four = SMPNetwork(architecture, 3, in_channels=4, pretrained=True, **OPTIONS[architecture]).eval()
    grey = smooth_image(64).mean(1, keepdim=True)
    with torch.no_grad():
        of_rgb = rgb.model.encoder(rgb.scaling(grey.repeat(1, 3, 1, 1)))[1]
        of_four = four.model.encoder(four.scaling(grey.repeat(1, 4, 1, 1)))[1]
    torch.testing.assert_close(of_four, of_rgb, rtol=1e-4, atol=1e-4)
    assert four.model.encoder.conv_stem.weight.requires_grad
    assert not rgb.model.encoder.conv_stem.weight.requires_grad


@pytest.mark.parametrize("size", [(7, 11), (12, 6), (40, 33), (3, 100), (150, 149)])
def test_means_of_parts_are_those_of_adaptive_pooling(size):
    features = torch.rand(2, 5, *size)
    for n_parts in (1, 2, 3, 6):
        pooled = torch.nn.AdaptiveAvgPool2d(n_parts)(features)
        torch.testing.assert_close(_MeansOfParts(n_parts)(features), pooled, rtol=1e-5, atol=1e-6)
