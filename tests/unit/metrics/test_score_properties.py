import pytest
import torch
from metric_cases import scene
from metric_scenes import SCENES

from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.summary import image_statistics

DEFINITIONS = metrics_for(["background", "object"])
# Unlike these, the AJI and the official SegPC score look for the best prediction of each true object.
ASYMMETRIC = {"aji", "aji_per_image", "segpc_miou"}


def score(pred, true):
    image = compare_image(pred, true, (pred > 0).byte(), (true > 0).byte())
    rows = image_statistics(image, DEFINITIONS)
    return {name: float(definition.reduce(rows[name][None])) for name, definition in DEFINITIONS.items()}


def with_shuffled_ids(label_map, seed):
    """Give each object another id, of gaps and of any order; the background stays 0."""
    generator = torch.Generator().manual_seed(seed)
    new_ids = 1 + torch.randperm(10 * int(label_map.max()), generator=generator)[: int(label_map.max()) + 1]
    new_ids[0] = 0
    return new_ids[label_map.long()]


@pytest.mark.parametrize("name", SCENES)
def test_object_ids_do_not_matter(name):
    pred, true = scene(name)
    shuffled = score(with_shuffled_ids(pred, 1), with_shuffled_ids(true, 2))
    assert shuffled == pytest.approx(score(pred, true), nan_ok=True)


@pytest.mark.parametrize("name", SCENES)
def test_orientation_does_not_matter(name):
    pred, true = scene(name)
    assert score(pred.T.flip(0), true.T.flip(0)) == pytest.approx(score(pred, true), nan_ok=True)


@pytest.mark.parametrize("name", SCENES)
def test_swapping_prediction_and_truth_keeps_symmetric_scores(name):
    pred, true = scene(name)
    forth, back = score(pred, true), score(true, pred)
    symmetric = forth.keys() - ASYMMETRIC
    assert {key: back[key] for key in symmetric} == pytest.approx({key: forth[key] for key in symmetric}, nan_ok=True)


@pytest.mark.parametrize("name", SCENES)
def test_identical_maps_score_one(name):
    _, true = scene(name)
    assert set(score(true, true).values()) == {1.0}


@pytest.mark.parametrize("name", SCENES)
def test_scores_stay_between_zero_and_one_and_fall_with_the_threshold(name):
    scores = score(*scene(name))
    assert all(0 <= value <= 1 for value in scores.values())
    by_threshold = [scores[f"ap_{threshold}"] for threshold in range(50, 100, 5)]
    assert by_threshold == sorted(by_threshold, reverse=True)
    assert scores["pq"] <= scores["rq"] <= 1
    assert scores["segpc_miou_matched"] <= scores["segpc_miou"]
