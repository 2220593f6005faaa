"""Rare kinds of microscopy are drawn more often."""

from collections import Counter

import pytest
import torch

from medseg_ext.datasets.balance import balancing_weights
from medseg_ext.errors import DataError

KINDS = ["f"] * 400 + ["b"] * 25
ITEMS = [{"id": str(number), "kind": kind} for number, kind in enumerate(KINDS)]


def share_drawn(strength, kind):
    generator = torch.Generator().manual_seed(0)
    weights = balancing_weights(ITEMS, strength=strength)
    drawn = torch.utils.data.WeightedRandomSampler(weights, 20000, generator=generator)
    return Counter(KINDS[index] for index in drawn)[kind] / 20000


@pytest.mark.parametrize(
    ("strength", "share"),
    [(0, 25 / 425), (0.5, 25**0.5 / (25**0.5 + 400**0.5)), (1, 1 / 2)],  # n images of weight n^-strength
)
def test_the_share_of_a_kind_follows_the_strength(strength, share):
    assert share_drawn(strength, "b") == pytest.approx(share, abs=0.01)


def test_images_of_unknown_kind_are_drawn_equally_often():
    assert len(set(balancing_weights([{"id": "a"}, {"id": "b"}], strength=0.7))) == 1


@pytest.mark.parametrize("strength", [-0.1, 1.5, "much", None])
def test_other_strengths_are_refused(strength):
    with pytest.raises(DataError, match=r"kind_balance is .*; it must be from 0, which balances nothing, to 1"):
        balancing_weights(ITEMS, strength=strength)
