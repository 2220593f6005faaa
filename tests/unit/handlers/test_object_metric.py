import math
import socket

import pytest
import torch
from metric_cases import empty, halved_square, scene, square
from metric_scenes import SCENES
from monai.data import MetaTensor

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


def _score_share(rank: int, port: int, folder: str) -> None:
    """One of two processes: the first has five images, the second three."""
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    metric = ObjectMetric("map")
    share = slice(0, 5) if rank == 0 else slice(5, None)
    metric(PREDICTIONS[share], TRUTHS[share])
    torch.save(metric.aggregate(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_with_unequal_shares_agree_on_the_score_of_all_images(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_score_share, args=(port, str(tmp_path)), nprocs=2)
    alone = ObjectMetric("map")
    alone(PREDICTIONS, TRUTHS)
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(alone.aggregate())


def test_what_processes_exchange_is_one_row_an_image(monkeypatch):
    """The other process holds the last three images; it is played by a patched gathering."""
    alone, other, ours = ObjectMetric("map"), ObjectMetric("map"), ObjectMetric("map")
    alone(PREDICTIONS, TRUTHS)
    score_of_all = alone.aggregate()
    ours(PREDICTIONS[:5], TRUTHS[:5])
    theirs = other(PREDICTIONS[5:], TRUTHS[5:])
    gather = "monai.metrics.metric.evenly_divisible_all_gather"
    monkeypatch.setattr(gather, lambda rows, concat: torch.cat([rows, theirs]))
    assert ours.aggregate() == score_of_all
