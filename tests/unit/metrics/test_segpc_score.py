from itertools import permutations

import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from scipy.optimize import linear_sum_assignment

from medseg_ext.handlers.object_metric import ObjectMetric
from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.metrics.overlap import label_overlaps
from medseg_ext.metrics.segpc import segpc_miou_matched_terms


def score(name, *pairs):
    metric = ObjectMetric(name)
    for pred, true in pairs:
        metric([pred[None]], [true[None]])
    return metric.aggregate()


def test_a_shifted_square_scores_its_iou():
    assert score("segpc_miou", (square(column=11), square())) == pytest.approx(1 / 3)
    assert score("segpc_miou_matched", (square(column=11), square())) == pytest.approx(1 / 3)


def test_only_the_matched_form_punishes_false_positives():
    """Halves: IoU 1/2 and one prediction too many: 0.5 / (1 + 1)."""
    assert score("segpc_miou", (halved_square(), square())) == pytest.approx(1 / 2)
    assert score("segpc_miou_matched", (halved_square(), square())) == pytest.approx(1 / 4)


def test_only_the_official_form_lets_a_prediction_count_twice():
    """One prediction over two halves: each half has IoU 1/2 with it; one-to-one, 0.5 / 2."""
    assert score("segpc_miou", (square(), halved_square())) == pytest.approx(1 / 2)
    assert score("segpc_miou_matched", (square(), halved_square())) == pytest.approx(1 / 4)


def test_a_missing_image_scores_zero_for_each_of_its_cells():
    """Three true cells, one found."""
    pairs = [(square(), square()), (empty(), halved_square())]
    assert score("segpc_miou", *pairs) == pytest.approx(1 / 3)
    assert score("segpc_miou_matched", *pairs) == pytest.approx(1 / 3)


def test_an_image_without_cells_has_no_weight_but_its_false_positives_have_in_the_matched_form():
    pairs = [(square(), square()), (square(), empty())]
    assert score("segpc_miou", *pairs) == 1
    assert score("segpc_miou_matched", *pairs) == pytest.approx(1 / 2)


def test_the_pairing_has_the_largest_sum_of_all():
    pred, true = scene("random_0")
    few = [torch.where(side <= side.unique()[count], side, 0) for side, count in ((pred, 6), (true, 7))]
    iou = pairwise_iou(*few)
    assert iou.shape == (6, 7)
    best = max(float(iou[range(6), chosen].sum()) for chosen in permutations(range(7), 6))
    assert float(segpc_miou_matched_terms(label_overlaps(*few))[0]) == pytest.approx(best)


@pytest.mark.parametrize("name", SCENES)
def test_the_sum_is_that_of_a_dense_assignment(name):
    iou = pairwise_iou(*scene(name)).numpy()
    best = iou[linear_sum_assignment(iou, maximize=True)].sum()
    assert float(segpc_miou_matched_terms(label_overlaps(*scene(name)))[0]) == pytest.approx(best, abs=1e-12)


def test_objects_that_all_hang_together_are_paired_as_a_dense_assignment_does():
    """Squares of 4 px, shifted by half their side: each touches four, all in a lattice, with some pixels off."""
    rows = torch.arange(48) // 4
    true = (rows[:, None] * 12 + rows + 1).int()
    pred = true.roll((2, 2), (0, 1)) * (torch.rand(48, 48, generator=torch.Generator().manual_seed(0)) < 0.9)
    iou = pairwise_iou(pred, true).numpy()
    best = iou[linear_sum_assignment(iou, maximize=True)].sum()
    assert float(segpc_miou_matched_terms(label_overlaps(pred, true))[0]) == pytest.approx(best, abs=1e-12)


def test_predictions_that_touch_nothing_stay_unpaired():
    """IoU 2 / 5; one prediction and one true cell touch nothing: 0.4 / (2 true + 1 unpaired prediction)."""
    pred, true = torch.tensor([[1, 1, 1, 0, 0, 2, 0]]), torch.tensor([[0, 1, 1, 1, 1, 0, 2]])
    assert segpc_miou_matched_terms(label_overlaps(pred, true)).tolist() == [pytest.approx(0.4), 3]


def test_of_equal_sums_the_pairing_of_most_pairs_is_taken():
    """IoU 4 / 8 of the first two, or 1 / 6 and 3 / 9 crosswise: 1 / 2 either way, and crosswise nothing is left."""
    pred = torch.tensor([[1] * 4 + [2] * 3 + [1, 0, 2, 2]])
    true = torch.tensor([[1] * 4 + [1] * 3 + [2, 2, 0, 0]])
    for one, other in ((pred, true), (pred, (3 - true) * (true > 0)), ((3 - pred) * (pred > 0), true)):
        assert segpc_miou_matched_terms(label_overlaps(one, other)).tolist() == [pytest.approx(1 / 2), 2]
