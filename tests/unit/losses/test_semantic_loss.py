import pytest
import torch
from monai.losses import DiceCELoss

from medseg_ext.losses.semantic import ClassesAndBoundaryLoss


def make_loss(boundary_weight: float = 1.0) -> ClassesAndBoundaryLoss:
    return ClassesAndBoundaryLoss(
        classes=DiceCELoss(softmax=True, to_onehot_y=True),
        boundary=DiceCELoss(sigmoid=True),
        boundary_weight=boundary_weight,
    )


def perfect_case() -> tuple[torch.Tensor, torch.Tensor]:
    target = torch.zeros(1, 2, 8, 8)
    target[:, 0, 2:6, 2:6] = 1
    target[:, 1, 2:6, 2] = 1
    channels = torch.cat([1 - target[:, :1], target[:, :1], target[:, 1:]], dim=1)
    return (channels * 2 - 1) * 20, target


def test_a_perfect_prediction_costs_almost_nothing():
    prediction, target = perfect_case()
    assert make_loss()(prediction, target) < 1e-3


def test_the_boundary_counts_by_its_weight():
    """A logit of 20 on the wrong side costs a cross-entropy of 20, and a Dice loss of 1: nothing is hit."""
    prediction, target = perfect_case()
    prediction[:, -1] *= -1
    losses = [make_loss(weight)(prediction, target).item() for weight in (0, 1, 2)]
    assert losses == pytest.approx([0, 21, 42], abs=1e-3)


def test_the_classes_count_whatever_the_weight_of_the_boundary():
    """Both class logits are 20 on the wrong side: the right class lags by 40, and a Dice loss of 1 comes on top."""
    prediction, target = perfect_case()
    prediction[:, :-1] *= -1
    losses = [make_loss(weight)(prediction, target).item() for weight in (0, 1, 2)]
    assert losses == pytest.approx([41, 41, 41], abs=1e-3)


def test_half_precision_is_summed_in_float32():
    prediction, target = perfect_case()
    assert make_loss()(prediction.bfloat16(), target).dtype == torch.float32
    unsure = torch.randn(prediction.shape, generator=torch.Generator().manual_seed(0)).bfloat16()
    torch.testing.assert_close(make_loss()(unsure, target), make_loss()(unsure.float(), target), rtol=1e-6, atol=0)


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="boundary_weight"):
        make_loss(-1)
