import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from skimage.draw import disk

from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.objects.watershed import decode_semantic
from medseg_ext.transforms.decoders import DecodeSemanticd
from medseg_ext.transforms.foreground import ForegroundOfLogitsd
from medseg_ext.transforms.targets import object_boundaries

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


def flat_logits(shape: tuple[int, int], *, foreground: float, boundary: float) -> torch.Tensor:
    """Logits of two classes that have the same probabilities in every pixel; 0.5 gives logits of exactly 0."""
    logits = torch.zeros(3, *shape)
    logits[1], logits[2] = (float(np.log(p / (1 - p))) for p in (foreground, boundary))
    return logits


def test_a_threshold_of_the_foreground_is_reached_by_equality():
    logits = flat_logits((6, 6), foreground=0.5, boundary=0.01)
    assert (decode_semantic(logits, foreground_threshold=0.5).instances == 1).all()
    assert decode_semantic(logits, foreground_threshold=0.51).instances.max() == 0


@pytest.mark.parametrize(("seed_threshold", "count"), [(0.25, 2), (0.26, 1)])
def test_a_threshold_of_seeds_is_reached_by_equality(seed_threshold, count):
    """The halves have P(foreground) x (1 - P(boundary)) = 0.5 x 0.5, and the column between them less."""
    logits = flat_logits((6, 13), foreground=0.5, boundary=0.5)
    logits[2, :, 6] = CONFIDENT
    objects = decode_semantic(logits, seed_threshold=seed_threshold)
    assert objects.instances.max() == count
    assert (objects.instances > 0).all()


def test_a_boundary_parts_objects_of_a_seed_class_too():
    """The nuclei touch, and all that tells them apart is the boundary."""
    classes = np.zeros((20, 40), int)
    classes[4:16, 4:36], classes[6:14, 8:32] = 1, 2
    logits = logits_of((classes > 0).astype(np.int32), classes, n_classes=3)
    logits[-1] = -CONFIDENT
    assert decode_semantic(logits, seed_class=2).instances.max() == 1
    logits[-1, :, 20] = CONFIDENT
    assert decode_semantic(logits, seed_class=2).instances.max() == 2


def test_probabilities_of_classes_add_up_to_one_whatever_the_boundary():
    """Scores are P(foreground) = 0.8; a boundary logit among those of classes would lower them."""
    objects = decode_semantic(flat_logits((6, 6), foreground=0.8, boundary=0.3))
    torch.testing.assert_close(objects.scores, torch.tensor([0.8]))


def test_a_score_is_reached_by_equality():
    logits = flat_logits((6, 6), foreground=0.5, boundary=0.1)
    assert decode_semantic(logits, score_threshold=0.5).scores.tolist() == [0.5]
    assert decode_semantic(logits, score_threshold=0.51).scores.tolist() == []


def rectangles(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (30, 40)) -> torch.Tensor:
    """Logits of objects (top, left, bottom, right) without boundaries."""
    instances = np.zeros(shape, np.int32)
    for top, left, bottom, right in boxes:
        instances[top:bottom, left:right] = 1
    logits = logits_of(instances)
    logits[-1] = -CONFIDENT
    return logits


def test_an_object_of_just_the_least_area_is_kept():
    logits = rectangles((2, 2, 6, 6))
    assert decode_semantic(logits, min_area_px=16).instances.max() == 1
    assert decode_semantic(logits, min_area_px=16.5).instances.max() == 0


@pytest.mark.parametrize(("min_area_px", "count"), [(16, 2), (17, 1)])
def test_a_seed_may_have_a_quarter_of_the_least_area(min_area_px, count):
    """A bar of 5 x 20 pixels; its seeds are 2 x 2 pixels near the left end, and 3 x 8 near the right."""
    logits = rectangles((10, 10, 15, 30))
    logits[-1, 10:15, 10:30] = CONFIDENT
    logits[-1, 11:13, 11:13] = logits[-1, 11:14, 20:28] = -CONFIDENT
    assert decode_semantic(logits, min_area_px=min_area_px).instances.max() == count


def test_parts_that_touch_at_a_corner_are_two():
    objects = decode_semantic(rectangles((2, 2, 8, 8), (8, 8, 14, 14)))
    assert objects.instances.max() == 2
    assert (objects.instances > 0).sum() == 72


def test_a_part_without_a_seed_is_kept_where_it_touches_one_that_has_a_seed_at_a_corner():
    logits = rectangles((2, 2, 8, 8), (8, 8, 14, 14))
    logits[-1, 8:14, 8:14] = CONFIDENT
    objects = decode_semantic(logits)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    assert len(objects.instances[0, 2:8, 2:8].unique()) == len(objects.instances[0, 8:14, 8:14].unique()) == 1


def test_all_of_several_parts_with_and_without_seeds_are_objects_of_their_own():
    boxes = [(2, 2, 8, 8), (2, 12, 8, 18), (12, 2, 18, 8), (12, 12, 18, 18)]
    logits = rectangles(*boxes)
    for top, left, bottom, right in boxes[::2]:
        logits[-1, top:bottom, left:right] = CONFIDENT
    objects = decode_semantic(logits)
    assert objects.instances.unique().tolist() == [0, 1, 2, 3, 4]
    for top, left, bottom, right in boxes:
        assert len(objects.instances[0, top:bottom, left:right].unique()) == 1


def test_an_object_in_the_hole_of_another_is_its_own():
    """A ring, and a square in its middle that does not touch it."""
    logits = rectangles((2, 2, 26, 26))
    outside, inside = slice(6, 22), slice(10, 18)
    logits[:2, outside, outside] *= -1
    logits[:2, inside, inside] *= -1
    objects = decode_semantic(logits)
    assert objects.instances.max() == 2
    assert len(objects.instances[0, inside, inside].unique()) == 1
    assert objects.instances[0, 14, 14] != objects.instances[0, 3, 3]


def test_objects_meet_where_the_interior_is_least_probable():
    """A ridge of boundary at column 14, left of the middle between the two seeds: P(boundary) rises towards it."""
    logits = rectangles((4, 4, 12, 36))
    columns = torch.arange(40)
    logits[-1] = torch.where(columns < 14, columns - 16.0, (14.0 - columns) / 3).clamp(-3, 3) + 2
    logits[-1, :, 14] = CONFIDENT
    logits[-1, :, 5:8] = logits[-1, :, 33:35] = -CONFIDENT
    objects = decode_semantic(logits, seed_threshold=0.95, min_area_px=8)
    row = objects.instances[0, 8, 4:36]
    assert row.unique().tolist() == [1, 2]
    assert abs(int((row == row[0]).sum()) + 4 - 14) <= 1


def test_seeds_that_only_background_joins_are_two():
    """Between the two lies what has P(foreground) = 0.4: enough for a seed, and too little for an object."""
    logits = rectangles((4, 4, 12, 14), (4, 18, 12, 28))
    logits[0, 4:12, 14:18], logits[1, 4:12, 14:18] = float(np.log(0.6 / 0.4)), 0.0
    objects = decode_semantic(logits, seed_threshold=0.3)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    assert (objects.instances[0, 4:12, 14:18] == 0).all()


def test_an_object_in_the_hole_of_one_that_has_no_seed_is_its_own():
    logits = rectangles((2, 2, 26, 26))
    logits[-1, 2:26, 2:26] = CONFIDENT
    logits[:2, 6:22, 6:22] *= -1
    logits[:2, 10:18, 10:18] *= -1
    logits[-1, 10:18, 10:18] = -CONFIDENT
    objects = decode_semantic(logits)
    assert objects.instances.max() == 2
    assert objects.instances[0, 14, 14] not in (0, objects.instances[0, 3, 3])


def test_the_interpolated_logits_lie_as_pixels_do_with_their_corners_on_corners():
    """Enlarged four times, an edge between the columns 1 and 2 lies between the columns 7 and 8."""
    objects = decode_semantic(rectangles((0, 0, 10, 2), shape=(10, 10)), size=(40, 40))
    assert (objects.instances[0, :, :8] == 1).all()
    assert (objects.instances[0, :, 8:] == 0).all()


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


@pytest.mark.parametrize(
    "option",
    [{"foreground_threshold": 0.9}, {"seed_threshold": 0.2}, {"min_area_px": 260}, {"score_threshold": 0.95}],
    ids=lambda option: next(iter(option)),
)
def test_the_transform_hands_its_options_over(option):
    logits = logits_of(touching_disks())
    logits[:, touching_disks() == 2] /= 8  # P(foreground) is 0.88 there, and P(boundary) 0.27 or 0.73
    expected = decode_semantic(logits, **option)
    assert not torch.equal(expected.instances, decode_semantic(logits).instances)
    assert torch.equal(DecodeSemanticd(**option)({"pred": logits})["pred_instances"], expected.instances)


def test_of_several_heads_the_first_one_gives_the_foreground():
    instances = touching_disks()
    label = torch.from_numpy(np.stack([instances > 0, object_boundaries(instances)]).astype(np.float32))
    heads = [logits_of(instances), logits_of(np.zeros_like(instances))]
    assert (ForegroundOfLogitsd()({"pred": heads, "label": label})["pred_instances"][0] == label[0]).all()


def test_a_sure_boundary_is_no_class_of_the_foreground():
    logits = torch.tensor([1.0, 2.0, 9.0])[:, None, None].expand(3, 4, 4)
    result = ForegroundOfLogitsd()({"pred": logits, "label": torch.ones(2, 4, 4)})
    assert result["pred_classes"].unique().tolist() == [1]


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
