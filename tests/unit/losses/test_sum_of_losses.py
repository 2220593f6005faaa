import pytest
import torch

from medseg_ext.losses.detection import SumOfLosses

LOSSES = {"loss_mask": torch.tensor(1.5), "loss_cls": torch.tensor(1.0), "loss_box": torch.tensor(0.25)}


def test_losses_without_a_weight_count_once():
    assert SumOfLosses()(LOSSES) == 2.75
    assert SumOfLosses(weights={"loss_mask": 2.0, "loss_box": 0.0})(LOSSES) == 4.0


def test_half_precision_is_summed_in_float32():
    total = SumOfLosses()({"a": torch.tensor(256.0).bfloat16(), "b": torch.tensor(1.0).bfloat16()})
    assert total.dtype == torch.float32
    assert total == 257  # bfloat16 has no such number


def test_a_weight_of_a_loss_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="name loss_msk, but the network returns loss_box, loss_cls, loss_mask"):
        SumOfLosses(weights={"loss_msk": 2.0})(LOSSES)


def test_a_network_without_losses_is_refused():
    with pytest.raises(ValueError, match="the network returned no losses"):
        SumOfLosses()({})


def test_the_sum_leads_back_to_every_loss():
    losses = {name: loss.clone().requires_grad_() for name, loss in LOSSES.items()}
    SumOfLosses(weights={"loss_cls": 3.0})(losses).backward()
    assert [loss.grad.item() for loss in losses.values()] == [1, 3, 1]
