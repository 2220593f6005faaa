import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks.nets import BasicUNetPlusPlus
from monai.networks.utils import convert_to_torchscript

from medseg_ext.losses.semantic import ClassesAndDistanceLoss
from medseg_ext.networks.efficientnet_lite import EfficientNetLiteEncoder
from medseg_ext.networks.unet_plus_plus import UNetPlusPlus

FEATURES = (8, 8, 16, 16, 32, 8)


def image(height: int = 48, width: int = 32) -> torch.Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def network(**options: object) -> UNetPlusPlus:
    torch.manual_seed(0)
    return UNetPlusPlus(3, 4, features=FEATURES, **options)


def test_it_gives_what_monai_s_network_gives():
    ours = network().eval()
    theirs = BasicUNetPlusPlus(
        2, 3, 4, FEATURES, deep_supervision=True, norm="batch", act=("relu", {"inplace": True}), bias=False
    ).eval()
    theirs.load_state_dict(ours.network.state_dict())
    with torch.no_grad():
        heads = theirs(image())
        torch.testing.assert_close(ours(image()), heads[-1])
        for one, other in zip(ours.train()(image()), theirs.train()(image())[::-1], strict=True):
            torch.testing.assert_close(one, other)


def test_the_final_head_counts_most_in_the_loss():
    heads = [head.detach().requires_grad_() for head in network().train()(image())]
    assert len(heads) == 4
    label = torch.zeros(2, 2, 48, 32)
    label[:, 0, 8:24, 8:24] = 1
    loss = ClassesAndDistanceLoss(
        classes=DiceCELoss(softmax=True, to_onehot_y=True), distance=torch.nn.BCEWithLogitsLoss()
    )
    total = DeepSupervisionLoss(loss)(heads, label)
    singles = [loss(head, label) for head in heads]
    expected = sum(single / 2**level for level, single in enumerate(singles))
    torch.testing.assert_close(total, expected)


def test_without_deep_supervision_one_head_is_trained():
    single = network(deep_supervision=False).train()(image())
    assert len(single) == 1
    assert network(deep_supervision=False).eval()(image()).shape == (2, 4, 48, 32)


def test_torchscript_gives_the_same_at_other_sizes(tmp_path):
    eager = network().eval()
    convert_to_torchscript(eager, filename_or_obj=str(tmp_path / "model.ts"))
    exported = torch.jit.load(tmp_path / "model.ts").eval()
    for size in ((64, 80), (96, 16)):
        with torch.no_grad():
            torch.testing.assert_close(exported(image(*size)), eager(image(*size)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(48, 40), (20, 32)])
def test_another_size_than_a_multiple_of_16_is_refused(size):
    with pytest.raises(ValueError, match=f"multiples of 16, got {size[0]} x {size[1]}"):
        network()(image(*size))


def with_encoder(**options: object) -> UNetPlusPlus:
    torch.manual_seed(0)
    return UNetPlusPlus(3, 4, features=(8, 16, 24, 40, 112, 8), encoder="efficientnet-lite0", **options)


def test_an_encoder_stands_where_the_backbone_nodes_do(tmp_path):
    eager = with_encoder(pretrained=True).eval()
    x = image(64, 96)
    seen = []
    for join in (eager.network.upcat_0_1, eager.network.upcat_1_1, eager.network.upcat_2_1, eager.network.upcat_3_1):
        join.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        logits = eager(x)
        expected = EfficientNetLiteEncoder(pretrained=True).eval()(x)
    assert logits.shape == (2, 4, 64, 96)
    assert all(torch.equal(one, other) for one, other in zip(seen, expected[:4], strict=True))
    convert_to_torchscript(with_encoder(pretrained=True).eval(), filename_or_obj=str(tmp_path / "model.ts"))
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.ts")(x), logits, rtol=1e-5, atol=1e-5)


def test_the_nodes_are_joined_as_monai_joins_them():
    joined = with_encoder().eval()
    plain = UNetPlusPlus(3, 4, features=(8, 16, 24, 40, 112, 8)).eval()
    plain.network.load_state_dict(joined.network.state_dict(), strict=False)
    for level, part in enumerate(joined.network.levels, start=1):
        setattr(plain.network, f"conv_{level}_0", _Of(part, image(64, 96)) if level == 1 else part)
    with torch.no_grad():
        for one, other in zip(joined.network(image(64, 96)), plain.network(image(64, 96)), strict=True):
            torch.testing.assert_close(one, other)


class _Of(torch.nn.Module):
    """A module that takes an image of its own, whatever it is given."""

    def __init__(self, module: torch.nn.Module, image: torch.Tensor) -> None:
        super().__init__()
        self.module, self.image = module, image

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(self.image)


def test_every_part_of_a_network_with_an_encoder_learns():
    eager = with_encoder().train()
    torch.stack(eager(image(64, 96))).square().mean().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in eager.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "resnet18"}, "encoder must be efficientnet-lite0 or None, got 'resnet18'"),
        ({"encoder": "efficientnet-lite0"}, r"features 1 to 4 must be the encoder's \(16, 24, 40, 112\)"),
        ({"pretrained": True}, "pretrained weights are those of an encoder"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)
