import pytest
import torch
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks.nets import BasicUNetPlusPlus
from monai.networks.utils import convert_to_torchscript

from medseg_ext.losses import ClassesAndBoundaryLoss
from medseg_ext.networks import UNetPlusPlus

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
    label = torch.zeros(2, 2, 48, 32, dtype=torch.int64)
    label[:, 0, 8:24, 8:24] = 1
    loss = ClassesAndBoundaryLoss(classes=DiceCELoss(softmax=True, to_onehot_y=True), boundary=DiceCELoss(sigmoid=True))
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
