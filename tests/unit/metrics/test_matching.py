import pytest
import torch
from metric_cases import halved_square, scene, square
from metric_scenes import SCENES
from scipy.optimize import linear_sum_assignment

from medseg_ext.metrics.average_precision import average_precision
from medseg_ext.metrics.matching import match_objects, pairwise_iou


@pytest.mark.parametrize("threshold", [0.3, 0.499, 1.0])
def test_ambiguous_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match=rf"threshold must be in \[0.5, 1\), got {threshold}"):
        match_objects(torch.eye(2), threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.55, 0.75])
@pytest.mark.parametrize("name", SCENES)
def test_no_assignment_has_more_pairs_or_a_larger_sum(name, threshold):
    iou = pairwise_iou(*scene(name))
    costs = -(iou >= threshold).double() - iou / (2 * min(iou.shape))  # StarDist's
    pred_index, true_index = linear_sum_assignment(costs.numpy())
    best = iou[pred_index, true_index]
    best = best[best >= threshold]
    ours = match_objects(iou, threshold)
    assert len(ours) == len(best)
    assert iou[ours[:, 0], ours[:, 1]].sum() == pytest.approx(float(best.sum()))


@pytest.mark.parametrize("name", SCENES)
def test_pairs_are_one_to_one(name):
    for side in match_objects(pairwise_iou(*scene(name))).T:
        assert len(side.unique()) == len(side)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_matches_nothing(shape):
    assert match_objects(torch.zeros(shape)).shape == (0, 2)


def test_one_of_two_halves_matches_from_either_side():
    assert average_precision(pairwise_iou(halved_square(), square())) == 1 / 2
    assert average_precision(pairwise_iou(square(), halved_square())) == 1 / 2


def test_a_threshold_is_reached_by_equality():
    iou = torch.tensor([[11 / 20]], dtype=torch.float64)
    assert average_precision(iou, 0.55) == 1
    assert average_precision(iou, 0.6) == 0
