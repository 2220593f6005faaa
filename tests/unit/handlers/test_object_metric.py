import math

import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from monai.data import MetaTensor
from process_groups import run_joined

from medseg_ext.handlers.object_metric import ObjectMetric

PAIRS = [tuple(label_map[None] for label_map in scene(name)) for name in SCENES if name.startswith("random")]
PREDICTIONS, TRUTHS = [pred for pred, _ in PAIRS], [true for _, true in PAIRS]


@pytest.mark.parametrize("name", ["foreground_iou", "foreground_iou_pooled", "map", "pq", "aji", "segpc_miou"])
def test_two_updates_equal_one(name):
    at_once, in_two = ObjectMetric(name), ObjectMetric(name)
    at_once(PREDICTIONS, TRUTHS)
    in_two(PREDICTIONS[:3], TRUTHS[:3])
    in_two(PREDICTIONS[3:], TRUTHS[3:])
    assert in_two.aggregate() == at_once.aggregate()
    assert isinstance(in_two.aggregate(), float)


def test_a_batch_equals_a_list():
    batch, as_list = ObjectMetric("pq"), ObjectMetric("pq")
    batch(torch.stack(PREDICTIONS), torch.stack(TRUTHS))
    as_list(PREDICTIONS, TRUTHS)
    assert batch.aggregate() == as_list.aggregate()


def test_images_of_a_list_may_differ_in_size():
    metric = ObjectMetric("foreground_iou")
    metric([square()[None], PREDICTIONS[0]], [square()[None], TRUTHS[0]])
    assert metric.per_image_values()[0] == 1
    assert len(metric.per_image_values()) == 2


def test_the_second_channel_is_the_class_map():
    """The right half of the square, 50 px, is of the wrong class: class 1 has 50 / 100, class 2 has 0 / 50."""
    metric = ObjectMetric("class_iou", class_names=["background", "left", "right"])
    metric([torch.stack([square(), halved_square()])], [torch.stack([square(), square()])])
    assert metric.aggregate() == pytest.approx((1 + 1 / 2 + 0) / 3)


def test_a_missing_class_map_is_refused():
    metric = ObjectMetric("class_iou", class_names=["background", "object"])
    with pytest.raises(ValueError, match=r"needs two channels, .* got shapes \(1, 20, 30\) and \(1, 20, 30\)"):
        metric([square()[None]], [square()[None]])


def test_meta_tensors_are_welcome():
    metric = ObjectMetric("dice")
    metric([MetaTensor(square()[None])], [MetaTensor(square()[None])])
    assert metric.aggregate() == 1
    assert type(metric.get_buffer()) is torch.Tensor


def test_a_reset_metric_knows_nothing():
    metric = ObjectMetric("dice")
    metric([square()[None]], [empty()[None]])
    metric.reset()
    assert math.isnan(metric.aggregate())
    assert metric.per_image_values().shape == (0,)


METRICS = ["foreground_iou", "map", "pq", "aji"]


def _score_share(rank: int, folder: str) -> None:
    """One of two processes: the first has five images, the second three."""
    share = slice(0, 5) if rank == 0 else slice(5, None)
    scores = {}
    for name in METRICS:
        metric = ObjectMetric(name)
        metric(PREDICTIONS[share], TRUTHS[share])
        scores[name] = metric.aggregate()
    torch.save(scores, f"{folder}/{rank}.pt")


def score(name: str, *shares: list[int], names: bool) -> float:
    """Score images by their numbers, as the first of several processes does; the others are played by a patch."""
    metrics = []
    for share in shares:
        metric = ObjectMetric(name)
        metric([PREDICTIONS[number] for number in share], [TRUTHS[number] for number in share])
        if names:
            metric.name_images([f"image {number}" for number in share])
        metrics.append(metric)
    rows = [torch.stack(metric._buffers[0]) for metric in metrics]
    theirs = [(metric._ids or [None] * len(own), own) for metric, own in zip(metrics[1:], rows[1:], strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medseg_ext.handlers.object_metric.gather_objects", lambda ours: [ours, *theirs])
        return metrics[0].aggregate()


@pytest.mark.slow
def test_processes_with_unequal_shares_agree_on_the_score_of_all_images(tmp_path):
    run_joined(_score_share, str(tmp_path))
    for rank in range(2):
        scores = torch.load(tmp_path / f"{rank}.pt")
        assert scores == {name: score(name, [*range(8)], names=False) for name in METRICS}


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("name", METRICS)
def test_the_score_is_the_same_to_the_last_digit_for_any_number_of_processes(name, names):
    alone = score(name, [*range(8)], names=names)
    assert score(name, [0, 2, 4, 6], [1, 3, 5, 7], names=names) == alone
    assert score(name, [7, 1, 2], [0, 3, 4], [5, 6], names=names) == alone


def test_an_image_that_two_processes_have_counts_once():
    assert score("map", [0, 1, 2], [3, 0, 1], names=True) == score("map", [0, 1, 2, 3], names=True)
    assert score("map", [0, 1, 2], [3, 0, 1], names=False) != score("map", [0, 1, 2, 3], names=False)
