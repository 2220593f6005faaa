import pytest
import torch
from monai.losses import DiceCELoss

from medseg_ext.losses.semantic import ClassesAndDistanceLoss


def make_loss(distance_weight: float = 1.0) -> ClassesAndDistanceLoss:
    return ClassesAndDistanceLoss(
        classes=DiceCELoss(softmax=True, to_onehot_y=True),
        distance=torch.nn.BCEWithLogitsLoss(),
        distance_weight=distance_weight,
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


def test_the_distance_counts_by_its_weight():
    """A logit of 20 on the wrong side costs a cross-entropy of 20."""
    prediction, target = perfect_case()
    prediction[:, -1] *= -1
    losses = [make_loss(weight)(prediction, target).item() for weight in (0, 1, 2)]
    assert losses == pytest.approx([0, 20, 40], abs=1e-3)


def test_the_classes_count_whatever_the_weight_of_the_distance():
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
    with pytest.raises(ValueError, match="distance_weight"):
        make_loss(-1)


def test_the_distance_costs_least_where_it_is_right():
    logits = torch.linspace(-4, 4, 81)
    target = torch.zeros(1, 2, 1, 1)
    target[:, 1] = 0.3
    losses = [make_loss()(torch.tensor([20.0, -20.0, float(logit)])[None, :, None, None], target) for logit in logits]
    assert torch.sigmoid(logits[int(torch.stack(losses).argmin())]) == pytest.approx(0.3, abs=0.02)
