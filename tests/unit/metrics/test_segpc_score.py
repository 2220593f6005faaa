from itertools import permutations

import pytest
import torch
from metric_cases import empty, halved_square, scene, square

from medseg_ext.handlers.object_metric import ObjectMetric
from medseg_ext.metrics.matching import pairwise_iou
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
    iou = pairwise_iou(*scene("random_0"))[:6, :7]
    best = max(float(iou[range(6), chosen].sum()) for chosen in permutations(range(7), 6))
    assert float(segpc_miou_matched_terms(iou)[0]) == pytest.approx(best)


def test_predictions_that_touch_nothing_stay_unpaired():
    iou = torch.tensor([[0.4, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert segpc_miou_matched_terms(iou).tolist() == [pytest.approx(0.4), 3]
