import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.draw import disk

from medseg_ext.metrics import pairwise_iou
from medseg_ext.transforms import DecodeSemanticd, ForegroundOfLogitsd, decode_semantic, object_boundaries

CONFIDENT = 8.0


def logits_of(instances: np.ndarray, classes: np.ndarray | None = None, n_classes: int = 2) -> torch.Tensor:
    """The output of a network that is sure and right."""
    classes = (instances > 0).astype(int) if classes is None else classes
    one_hot = np.stack([classes == index for index in range(n_classes)])
    channels = np.concatenate([one_hot, object_boundaries(instances)[None]])
    return torch.from_numpy(np.where(channels, CONFIDENT, -CONFIDENT).astype(np.float32))


def touching_disks() -> np.ndarray:
    instances = np.zeros((48, 80), np.int32)
    for index, center in enumerate([(20, 20), (20, 37), (30, 60)], start=1):
        rows, columns = disk(center, 9, shape=instances.shape)
        instances[rows, columns] = index
    return instances


def test_touching_objects_are_told_apart():
    truth = touching_disks()
    objects = decode_semantic(logits_of(truth))
    iou = pairwise_iou(objects.instances[0], torch.from_numpy(truth))
    assert iou.shape == (3, 3)
    assert (iou.max(dim=0).values > 0.9).all()


def test_without_boundaries_touching_objects_are_one():
    logits = logits_of(touching_disks())
    logits[-1] = -CONFIDENT
    assert decode_semantic(logits).instances.max() == 2


def test_objects_keep_the_contract():
    objects = decode_semantic(logits_of(touching_disks()))
    assert objects.instances.dtype == torch.int32
    assert objects.classes.dtype == torch.uint8
    assert objects.scores.dtype == torch.float32
    assert objects.instances.shape == objects.classes.shape == (1, 48, 80)
    assert objects.instances.unique().tolist() == [0, 1, 2, 3]
    assert ((objects.classes > 0) == (objects.instances > 0)).all()
    assert objects.scores.shape == (3,)
    assert ((objects.scores > 0.9) & (objects.scores <= 1)).all()


def test_an_empty_image_has_no_objects():
    objects = decode_semantic(logits_of(np.zeros((16, 24), np.int32)))
    assert objects.instances.max() == 0
    assert objects.scores.shape == (0,)


def test_a_part_without_a_seed_is_kept_as_one_object():
    instances = np.zeros((20, 20), np.int32)
    instances[5:7, 2:18] = 1  # so thin that all of it is boundary
    objects = decode_semantic(logits_of(instances), min_area_px=10)
    assert objects.instances.max() == 1
    assert (objects.instances > 0).sum() == 32


def test_objects_below_the_least_area_are_dropped():
    instances = touching_disks()
    instances[2:5, 2:5] = 4
    assert decode_semantic(logits_of(instances), min_area_px=15).instances.max() == 3
    assert decode_semantic(logits_of(instances), min_area_px=5).instances.max() == 4


def test_unsure_objects_are_dropped_and_the_rest_renumbered():
    truth = touching_disks()
    logits = logits_of(truth)
    logits[:, truth == 2] /= 8  # P(foreground) is 0.88 there, and 0.9999997 elsewhere
    kept = decode_semantic(logits, score_threshold=0.95)
    assert kept.instances.unique().tolist() == [0, 1, 2]
    assert kept.scores.shape == (2,)
    assert (kept.scores >= 0.95).all()
    assert (kept.instances[0][truth == 2] == 0).all()
    assert ((kept.classes > 0) == (kept.instances > 0)).all()
    assert decode_semantic(logits, score_threshold=0.8).instances.max() == 3


def test_what_lies_between_objects_stays_empty():
    instances = np.zeros((96, 96), np.int32)
    for index, angle in enumerate(np.linspace(0, 2 * np.pi, 8, endpoint=False), start=1):
        rows, columns = disk((48 + 26 * np.sin(angle), 48 + 26 * np.cos(angle)), 11)
        instances[rows, columns] = np.where(instances[rows, columns] == 0, index, instances[rows, columns])
    objects = decode_semantic(logits_of(instances))
    assert objects.instances[0, 48, 48] == 0
    iou = pairwise_iou(objects.instances[0], torch.from_numpy(instances))
    assert (iou.max(dim=0).values > 0.8).all()


def test_holes_are_filled():
    instances = touching_disks()
    instances[28:32, 58:62] = 0
    logits = logits_of(instances)
    logits[-1] = -CONFIDENT
    assert decode_semantic(logits).instances[0, 30, 60] > 0


def test_objects_get_the_size_that_is_asked_for():
    truth = touching_disks()
    objects = decode_semantic(logits_of(truth), size=(96, 160))
    assert objects.instances.shape == (1, 96, 160)
    enlarged = torch.from_numpy(truth.repeat(2, axis=0).repeat(2, axis=1))
    assert (pairwise_iou(objects.instances[0], enlarged).max(dim=0).values > 0.85).all()


def test_the_least_area_is_meant_at_the_network_s_size():
    instances = np.zeros((40, 40), np.int32)
    instances[10:14, 10:14] = 1
    assert decode_semantic(logits_of(instances), size=(120, 120), min_area_px=30).instances.max() == 0


def test_classes_within_an_object_are_kept():
    instances = touching_disks()
    classes = (instances > 0).astype(int)
    classes[disk((20, 20), 4)] = 2
    objects = decode_semantic(logits_of(instances, classes, n_classes=3))
    assert objects.classes[0, 20, 20] == 2
    assert objects.classes[0, 20, 13] == 1
    assert objects.instances[0, 20, 20] == objects.instances[0, 20, 13]


def test_logits_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 8, 8\)"):
        decode_semantic(torch.zeros(2, 8, 8))


def test_the_transform_restores_the_size_of_the_file():
    image = MetaTensor(torch.zeros(3, 48, 80), meta={"spatial_shape": np.array([96, 160])})
    result = DecodeSemanticd()({"image": image, "pred": logits_of(touching_disks())})
    assert result["pred_instances"].shape == result["pred_classes"].shape == (1, 96, 160)
    assert result["pred_scores"].shape == (3,)


def test_the_foreground_of_a_training_batch_needs_no_decoding():
    instances = touching_disks()
    label = torch.from_numpy(np.stack([instances > 0, object_boundaries(instances)]).astype(np.float32))
    result = ForegroundOfLogitsd()({"pred": logits_of(instances), "label": label})
    assert (result["pred_instances"] == result["true_instances"]).all()
    assert (result["pred_classes"] == result["true_classes"]).all()
    assert result["true_instances"].sum() == (instances > 0).sum()


def test_a_seed_class_makes_an_object_of_each_of_its_parts():
    truth = touching_disks()
    classes = (truth > 0).astype(int)
    for center in [(20, 20), (20, 37), (30, 60)]:
        classes[disk(center, 4)] = 2
    logits = logits_of(truth, classes, n_classes=3)
    logits[-1] = -CONFIDENT  # no boundary tells them apart
    assert decode_semantic(logits).instances.max() == 2
    objects = decode_semantic(logits, seed_class=2)
    iou = pairwise_iou(objects.instances[0], torch.from_numpy(truth))
    assert iou.shape == (3, 3)
    assert (iou.max(dim=0).values > 0.9).all()


def test_an_object_without_a_part_of_the_seed_class_is_kept():
    truth = touching_disks()
    logits = logits_of(truth, (truth > 0).astype(int), n_classes=3)
    assert decode_semantic(logits, seed_class=2).instances.max() == 2


@pytest.mark.parametrize("seed_class", [0, 2, -1])
def test_a_seed_class_that_is_no_foreground_class_is_refused(seed_class):
    with pytest.raises(ValueError, match="seed_class must be a foreground class"):
        decode_semantic(logits_of(touching_disks()), seed_class=seed_class)
