import math

import pytest
import torch
from metric_cases import empty, halved_square, square

from medseg_ext.metrics.aggregated_jaccard import aggregated_jaccard_index
from medseg_ext.metrics.overlap import label_overlaps


def aji(pred, true):
    return aggregated_jaccard_index(label_overlaps(torch.as_tensor(pred), torch.as_tensor(true)))


def test_a_case_worked_by_hand():
    """Truth 1 takes prediction 1: 3 / 5. Truth 2 is missed: 2. Prediction 2 is spurious: 4. So 3 / (5 + 2 + 4)."""
    true = [[1, 1, 1, 1, 0, 2, 2, 0, 0, 0, 0, 0]]
    pred = [[0, 1, 1, 1, 1, 0, 0, 0, 2, 2, 2, 2]]
    assert aji(pred, true) == pytest.approx(3 / 11)


def test_a_prediction_may_serve_two_true_objects():
    """Both true objects take the one prediction: (4 + 2) / (6 + 6), where one-to-one pairing would give 4 / 8."""
    assert aji([[1, 1, 1, 1, 1, 1]], [[1, 1, 1, 1, 2, 2]]) == pytest.approx(6 / 12)


def test_a_true_object_takes_the_prediction_of_largest_iou_and_not_of_largest_intersection():
    """Prediction 1 has IoU 3 / 9, prediction 2 has 2 / 5 and is taken; the 7 px of prediction 1 are spurious."""
    true = [[1, 1, 1, 1, 1, 0, 0, 0, 0]]
    pred = [[2, 2, 1, 1, 1, 1, 1, 1, 1]]
    assert aji(pred, true) == pytest.approx(2 / (5 + 7))


def test_of_equal_iou_the_larger_intersection_is_taken():
    """IoU 1 / 4 and 2 / 8: the second is taken, whatever the ids, and the first (1 px) is spurious."""
    true = [[1, 1, 1, 1, 0, 0, 0, 0]]
    for first, second in ((1, 2), (2, 1)):
        pred = [[first, second, second, 0, second, second, second, second]]
        assert aji(pred, true) == pytest.approx(2 / (8 + 1))


def test_two_halves_leave_one_spurious():
    """50 / (100 + 50)."""
    assert aji(halved_square(), square()) == pytest.approx(1 / 3)


def test_it_is_undefined_without_objects_and_zero_with_one_side_empty():
    assert math.isnan(aji(empty(), empty()))
    assert aji(empty(), square()) == aji(square(), empty()) == 0
