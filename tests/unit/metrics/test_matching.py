import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from scipy.optimize import linear_sum_assignment

from medseg_ext.metrics.average_precision import average_precision
from medseg_ext.metrics.matching import match_objects, pairwise_iou
from medseg_ext.metrics.overlap import label_overlaps


@pytest.mark.parametrize("threshold", [0.3, 0.499, 1.0])
def test_ambiguous_thresholds_are_refused(threshold):
    with pytest.raises(ValueError, match=rf"threshold must be in \[0.5, 1\), got {threshold}"):
        match_objects(label_overlaps(square(), square()), threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.55, 0.75])
@pytest.mark.parametrize("name", SCENES)
def test_no_assignment_has_more_pairs_or_a_larger_sum(name, threshold):
    iou = pairwise_iou(*scene(name))
    costs = -(iou >= threshold).double() - iou / (2 * min(iou.shape))  # StarDist's
    pred_index, true_index = linear_sum_assignment(costs.numpy())
    best = iou[pred_index, true_index]
    best = best[best >= threshold]
    ours = match_objects(label_overlaps(*scene(name)), threshold)
    assert len(ours) == len(best)
    assert iou[ours[:, 0], ours[:, 1]].sum() == pytest.approx(float(best.sum()))


@pytest.mark.parametrize("name", SCENES)
def test_pairs_are_one_to_one(name):
    for side in match_objects(label_overlaps(*scene(name))).T:
        assert len(side.unique()) == len(side)


@pytest.mark.parametrize("pair", [(empty(), empty()), (empty(), halved_square()), (halved_square(), empty())])
def test_nothing_matches_nothing(pair):
    overlaps = label_overlaps(*pair)
    assert match_objects(overlaps).shape == (0, 2)
    assert pairwise_iou(*pair).shape == (overlaps.n_pred, overlaps.n_true)


def test_one_of_two_halves_matches_from_either_side():
    assert average_precision(label_overlaps(halved_square(), square())) == 1 / 2
    assert average_precision(label_overlaps(square(), halved_square())) == 1 / 2


def test_of_two_halves_the_first_matches():
    assert match_objects(label_overlaps(halved_square(), square())).tolist() == [[0, 0]]
    assert match_objects(label_overlaps(square(), halved_square())).tolist() == [[0, 0]]


def test_a_threshold_is_reached_by_equality():
    pred, true = torch.ones(1, 20, dtype=torch.int32), torch.ones(1, 20, dtype=torch.int32)
    true[0, 11:] = 0
    overlaps = label_overlaps(pred, true)
    assert overlaps.iou.tolist() == [11 / 20]
    assert average_precision(overlaps, 0.55) == 1
    assert average_precision(overlaps, 0.6) == 0
