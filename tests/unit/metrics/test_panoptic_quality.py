import math

import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from torchmetrics.detection import PanopticQuality as TorchmetricsPanopticQuality

from medseg_ext.handlers.object_metric import ObjectMetric
from medseg_ext.metrics.overlap import label_overlaps
from medseg_ext.metrics.panoptic_quality import panoptic_quality


def oracle() -> TorchmetricsPanopticQuality:
    return TorchmetricsPanopticQuality(
        things={1}, stuffs={0}, return_sq_and_rq=True, return_per_class=True, allow_unknown_preds_category=False
    )


def with_category(label_map):
    """torchmetrics' form: (1, H, W, 2), category and id of each pixel."""
    return torch.stack([(label_map > 0).int(), label_map], dim=-1)[None]


@pytest.mark.parametrize("name", SCENES)
def test_an_image_scores_as_in_torchmetrics(name):
    pred, true = scene(name)
    metric = oracle()
    metric.update(with_category(pred), with_category(true))
    theirs = dict(zip([*metric.things, *metric.stuffs], metric.compute().squeeze(0).tolist(), strict=True))[1]
    assert panoptic_quality(label_overlaps(pred, true)) == pytest.approx(theirs)


def test_a_pooled_set_scores_as_in_torchmetrics():
    metric = oracle()
    ours = {name: ObjectMetric(name) for name in ("pq_pooled", "mean_matched_iou", "rq_pooled")}
    for name in SCENES:
        pred, true = scene(name)
        metric.update(with_category(pred), with_category(true))
        for accumulated in ours.values():
            accumulated([pred[None]], [true[None]])
    theirs = metric.compute().squeeze(0).tolist()[0]
    assert [accumulated.aggregate() for accumulated in ours.values()] == pytest.approx(theirs)


def test_an_iou_of_exactly_one_half_is_no_match():
    score = panoptic_quality(label_overlaps(halved_square(), square()))
    assert (score.pq, score.rq) == (0, 0)
    assert math.isnan(score.sq)


def test_an_image_without_objects_is_undefined_and_one_half_empty_is_zero():
    assert all(math.isnan(part) for part in panoptic_quality(label_overlaps(empty(), empty())))
    assert panoptic_quality(label_overlaps(empty(), square())).pq == 0
    assert panoptic_quality(label_overlaps(square(), empty())).pq == 0


def test_undefined_images_are_left_out_of_the_mean():
    metric = ObjectMetric("pq")
    metric([square()[None], empty()[None]], [square()[None], empty()[None]])
    assert metric.aggregate() == 1
