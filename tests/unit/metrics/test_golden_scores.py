"""Scores of other packages, recorded by make_golden_scores.py in golden_scores.json."""

import json
from pathlib import Path

import pytest
import torch
from metric_cases import scene
from metric_scenes import SCENES

from medseg_ext.metrics.average_precision import AP_THRESHOLDS, average_precision_terms
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.summary import image_statistics, per_image_values, stack_statistics

GOLDEN = json.loads(Path(__file__).with_name("golden_scores.json").read_text())
AP_NAMES = [f"ap_{100 * threshold:.0f}" for threshold in AP_THRESHOLDS]
DEFINITIONS = metrics_for()
SINGLE_PRECISION = 1e-6  # StarDist's


@pytest.fixture(scope="module")
def statistics():
    return stack_statistics([image_statistics(compare_image(*scene(name)), DEFINITIONS) for name in SCENES])


@pytest.mark.parametrize("name", SCENES)
def test_counts_equal_those_of_stardist(name):
    image, golden = compare_image(*scene(name)), GOLDEN["scenes"][name]
    true_positives, total = average_precision_terms(
        image.matched_iou, image.overlaps.n_pred, image.overlaps.n_true, GOLDEN["thresholds"]
    ).chunk(2)
    assert true_positives.tolist() == golden["tp"]
    assert total.tolist() == [sum(counts) for counts in zip(golden["tp"], golden["fp"], golden["fn"], strict=True)]


def test_scores_of_each_image_equal_those_of_other_packages(statistics):
    values = per_image_values(statistics, DEFINITIONS)
    for position, golden in enumerate(GOLDEN["scenes"].values()):
        ours = {name: float(values[name][position]) for name in values}
        assert [ours[name] for name in AP_NAMES] == pytest.approx(golden["accuracy"])
        assert ours["pq"] == pytest.approx(golden["panoptic_quality"], rel=SINGLE_PRECISION)
        assert ours["sq"] == pytest.approx(golden["mean_matched_score"], rel=SINGLE_PRECISION)
        assert ours["aji"] == pytest.approx(golden["aji"])


def test_scores_of_the_set_equal_those_of_stardist(statistics):
    golden = GOLDEN["set"]
    ours = {name: float(DEFINITIONS[name].reduce(rows)) for name, rows in statistics.items()}
    assert [ours[name] for name in AP_NAMES] == pytest.approx(golden["accuracy_pooled"])
    assert [ours[f"{name}_per_image"] for name in AP_NAMES] == pytest.approx(golden["accuracy_per_image"])
    assert ours["map"] == pytest.approx(sum(golden["accuracy_pooled"]) / len(AP_NAMES))
    assert ours["map_per_image"] == pytest.approx(sum(golden["accuracy_per_image"]) / len(AP_NAMES))
    assert ours["pq_pooled"] == pytest.approx(golden["panoptic_quality_pooled"], rel=SINGLE_PRECISION)
    assert ours["mean_matched_iou"] == pytest.approx(golden["mean_matched_score_pooled"], rel=SINGLE_PRECISION)


def test_the_installed_stardist_still_agrees():
    matching = pytest.importorskip("stardist.matching").matching
    for pred, true in SCENES.values():
        theirs = [scores.tp for scores in matching(true, pred, thresh=AP_THRESHOLDS)]
        image = compare_image(torch.from_numpy(pred), torch.from_numpy(true))
        assert [int((image.matched_iou >= threshold).sum()) for threshold in AP_THRESHOLDS] == theirs
