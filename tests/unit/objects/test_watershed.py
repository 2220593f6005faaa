import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from scipy.ndimage import binary_fill_holes, gaussian_filter, generate_binary_structure, maximum
from skimage.draw import disk
from skimage.measure import label as label_parts
from skimage.morphology import reconstruction
from skimage.segmentation import relabel_sequential

from medseg_ext.errors import NotFiniteError
from medseg_ext.images.resize import resize_labels
from medseg_ext.metrics import ScoreCalibration
from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.objects.watershed import OUTSIDE, _fill_holes, _prominent_peaks, decode_semantic
from medseg_ext.transforms.decoders import DecodeSemanticd
from medseg_ext.transforms.foreground import ForegroundOfLogitsd
from medseg_ext.transforms.targets import centre_distances

CONFIDENT = 8.0


def logits_of(instances: np.ndarray, classes: np.ndarray | None = None, n_classes: int = 2) -> torch.Tensor:
    """The output of a network that is sure and right."""
    classes = (instances > 0).astype(int) if classes is None else classes
    one_hot = np.stack([classes == index for index in range(n_classes)])
    distances = torch.from_numpy(centre_distances(instances))
    logits = torch.from_numpy(np.where(one_hot, CONFIDENT, -CONFIDENT).astype(np.float32))
    return torch.cat([logits, torch.logit(distances, eps=1e-4)[None]])


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


@pytest.mark.parametrize("flat", [-CONFIDENT, 0.0, CONFIDENT])
def test_without_peaks_touching_objects_are_one(flat):
    logits = logits_of(touching_disks())
    logits[-1] = flat
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
    instances[5:7, 2:18] = 1
    logits = logits_of(instances)
    logits[-1] = -CONFIDENT
    objects = decode_semantic(logits, min_area_px=10)
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


def flat_logits(shape: tuple[int, int], *, foreground: float, distance: float) -> torch.Tensor:
    """Logits of two classes that have the same values in every pixel; 0.5 gives logits of exactly 0."""
    logits = torch.zeros(3, *shape)
    logits[1], logits[2] = (float(np.log(p / (1 - p))) for p in (foreground, distance))
    return logits


def test_a_threshold_of_the_foreground_is_reached_by_equality():
    logits = flat_logits((6, 6), foreground=0.5, distance=0.5)
    assert (decode_semantic(logits, foreground_threshold=0.5).instances == 1).all()
    assert decode_semantic(logits, foreground_threshold=0.51).instances.max() == 0


@pytest.mark.parametrize(("seed_prominence", "count"), [(0.1, 2), (0.25, 2), (0.35, 1)])
def test_peaks_count_by_their_height_above_the_saddle(seed_prominence, count):
    """Two hills, as wide as they are long, of heights 0.9 and 0.7 with a saddle of 0.4 between."""
    columns = np.interp(np.arange(60), [0, 15, 30, 45, 59], [0.05, 0.9, 0.4, 0.7, 0.05])
    logits = flat_logits((30, 60), foreground=0.9, distance=0.5)
    logits[2] = torch.logit(torch.from_numpy(columns).float())
    objects = decode_semantic(logits, seed_prominence=seed_prominence)
    assert objects.instances.max() == count
    assert (objects.instances > 0).all()
    if count == 2:
        assert abs(int((objects.instances[0, 15] == objects.instances[0, 15, 0]).sum()) - 30) <= 1  # at the saddle


def test_noise_on_a_broad_hill_makes_no_objects():
    truth = np.zeros((80, 80), np.int32)
    truth[disk((40, 40), 34)] = 1
    logits = logits_of(truth)
    logits[-1] += 0.6 * torch.randn(80, 80, generator=torch.Generator().manual_seed(0))
    assert decode_semantic(logits).instances.max() == 1


def test_probabilities_of_classes_add_up_to_one_whatever_the_distance():
    """Scores are P(foreground) = 0.8; a distance among those of classes would change them."""
    objects = decode_semantic(flat_logits((6, 6), foreground=0.8, distance=0.3))
    torch.testing.assert_close(objects.scores, torch.tensor([0.8]))


def test_a_score_is_reached_by_equality():
    logits = flat_logits((6, 6), foreground=0.5, distance=0.1)
    assert decode_semantic(logits, score_threshold=0.5).scores.tolist() == [0.5]
    assert decode_semantic(logits, score_threshold=0.51).scores.tolist() == []


def rectangles(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = (30, 40)) -> torch.Tensor:
    """Logits of objects (top, left, bottom, right)."""
    instances = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        instances[top:bottom, left:right] = number
    return logits_of(instances)


def test_an_object_of_just_the_least_area_is_kept():
    logits = rectangles((2, 2, 6, 6))
    assert decode_semantic(logits, min_area_px=16).instances.max() == 1
    assert decode_semantic(logits, min_area_px=16.5).instances.max() == 0


def test_parts_that_touch_at_a_corner_are_two():
    objects = decode_semantic(rectangles((2, 2, 8, 8), (8, 8, 14, 14)))
    assert objects.instances.max() == 2
    assert (objects.instances > 0).sum() == 72


def test_a_part_without_a_seed_is_kept_where_it_touches_one_that_has_a_seed_at_a_corner():
    logits = rectangles((2, 2, 8, 8), (8, 8, 14, 14))
    logits[-1, 8:14, 8:14] = -CONFIDENT
    objects = decode_semantic(logits)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    assert len(objects.instances[0, 2:8, 2:8].unique()) == len(objects.instances[0, 8:14, 8:14].unique()) == 1


def test_all_of_several_parts_with_and_without_seeds_are_objects_of_their_own():
    boxes = [(2, 2, 8, 8), (2, 12, 8, 18), (12, 2, 18, 8), (12, 12, 18, 18)]
    logits = rectangles(*boxes)
    for top, left, bottom, right in boxes[::2]:
        logits[-1, top:bottom, left:right] = -CONFIDENT
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


def test_seeds_that_only_background_joins_are_two():
    """A ridge of the distance leads from one to the other, over what is no foreground."""
    logits = rectangles((4, 4, 12, 14), (4, 18, 12, 28))
    logits[-1, 6:10, 6:26] = CONFIDENT
    objects = decode_semantic(logits)
    assert objects.instances.unique().tolist() == [0, 1, 2]
    assert (objects.instances[0, 4:12, 14:18] == 0).all()


def test_an_object_in_the_hole_of_one_that_has_no_seed_is_its_own():
    logits = rectangles((2, 2, 26, 26))
    logits[-1] = -CONFIDENT
    logits[:2, 6:22, 6:22] *= -1
    logits[:2, 10:18, 10:18] *= -1
    logits[-1, 12:16, 12:16] = CONFIDENT
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
    for size in ((48, 80), (24, 40), (96, 160), (100, 200)):
        middle = round(30 / 48 * size[0]), round(60 / 80 * size[1])
        assert decode_semantic(logits, size=size).instances[0][middle] > 0


def test_objects_get_the_size_that_is_asked_for():
    truth = touching_disks()
    objects = decode_semantic(logits_of(truth), size=(96, 160))
    assert objects.instances.shape == (1, 96, 160)
    enlarged = torch.from_numpy(truth.repeat(2, axis=0).repeat(2, axis=1))
    assert (pairwise_iou(objects.instances[0], enlarged).max(dim=0).values > 0.85).all()
    objects = decode_semantic(logits_of(truth), size=(30, 50))
    shrunk = resize_labels(torch.from_numpy(truth)[None], (30, 50))[0]
    assert objects.instances.unique().tolist() == [0, 1, 2, 3]
    assert (pairwise_iou(objects.instances[0], shrunk).max(dim=0).values > 0.8).all()


def test_an_object_that_is_left_without_a_pixel_is_dropped_with_its_score():
    truth = np.zeros((64, 64), np.int32)
    truth[2:5, 2:5], truth[20:60, 20:60] = 1, 2
    logits = logits_of(truth)
    logits[:2, truth == 1] /= 4
    objects = decode_semantic(logits, size=(8, 8), min_area_px=4)
    assert objects.instances.unique().tolist() == [0, 1]
    assert objects.scores.tolist() == pytest.approx([1], abs=1e-3)
    assert ((objects.classes > 0) == (objects.instances > 0)).all()


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
    [{"foreground_threshold": 0.9}, {"seed_prominence": 0.99}, {"min_area_px": 260}, {"score_threshold": 0.95}],
    ids=lambda option: next(iter(option)),
)
def test_the_transform_hands_its_options_over(option):
    logits = logits_of(touching_disks())
    logits[:, touching_disks() == 2] /= 8  # P(foreground) is 0.88 there
    expected = decode_semantic(logits, **option)
    assert not torch.equal(expected.instances, decode_semantic(logits).instances)
    assert torch.equal(DecodeSemanticd(**option)({"pred": logits})["pred_instances"], expected.instances)


def test_of_several_heads_the_first_one_gives_the_foreground():
    instances = touching_disks()
    label = torch.from_numpy(np.stack([instances > 0, centre_distances(instances)]).astype(np.float32))
    heads = [logits_of(instances), logits_of(np.zeros_like(instances))]
    assert (ForegroundOfLogitsd()({"pred": heads, "label": label})["pred_instances"][0] == label[0]).all()


def test_a_large_distance_is_no_class_of_the_foreground():
    logits = torch.tensor([1.0, 2.0, 9.0])[:, None, None].expand(3, 4, 4)
    result = ForegroundOfLogitsd()({"pred": logits, "label": torch.ones(2, 4, 4)})
    assert result["pred_classes"].unique().tolist() == [1]


def test_the_foreground_of_a_training_batch_needs_no_decoding():
    instances = touching_disks()
    label = torch.from_numpy(np.stack([instances > 0, centre_distances(instances)]).astype(np.float32))
    result = ForegroundOfLogitsd()({"pred": logits_of(instances), "label": label})
    assert (result["pred_instances"] == result["true_instances"]).all()
    assert (result["pred_classes"] == result["true_classes"]).all()
    assert result["true_instances"].sum() == (instances > 0).sum()


def rough_field(seed: int, *, with_plateaus: bool) -> np.ndarray:
    """Heights in [0, 1] with hills of many sizes; where there is nothing, less."""
    rng = np.random.default_rng(seed)
    noise = sum(size * gaussian_filter(rng.normal(size=(60, 80)), size) for size in (0.5, 2, 5))
    height = ((noise - noise.min()) / np.ptp(noise)).astype(np.float32)
    if with_plateaus:
        height = np.round(height * 12).astype(np.float32) / 12
    return np.where(gaussian_filter(rng.normal(size=height.shape), 3) > -0.02, height, OUTSIDE).astype(np.float32)


@pytest.mark.parametrize("with_plateaus", [False, True])
@pytest.mark.parametrize("prominence", [0.02, 0.15, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_peaks_are_what_greyscale_reconstruction_leaves(seed, prominence, with_plateaus):
    height = rough_field(seed, with_plateaus=with_plateaus)
    rest = height - reconstruction(height - prominence, height, footprint=generate_binary_structure(2, 1))
    tops = label_parts(rest > 0, connectivity=1)
    highest = maximum(rest, tops, index=np.arange(tops.max() + 1))
    is_peak = (highest >= 0.999 * prominence) & (np.arange(tops.max() + 1) > 0)
    expected = relabel_sequential(np.where(is_peak[tops], tops, 0))[0]
    assert expected.max() > 1
    assert (_prominent_peaks(height, prominence) == expected).all()


@pytest.mark.parametrize("seed", range(4))
def test_holes_are_those_that_each_object_has_alone(seed):
    rng = np.random.default_rng(seed)
    instances = label_parts(gaussian_filter(rng.normal(size=(60, 80)), 1) > -0.05, connectivity=1)
    instances[:, 40:] *= rng.random(instances[:, 40:].shape) > 0.1  # holes of a pixel, and gaps in the numbers
    expected = instances.copy()
    for number in np.unique(instances[instances > 0]):
        expected[binary_fill_holes(instances == number) & (instances == 0)] = number
    assert (expected != instances).any()
    assert (_fill_holes(instances) == expected).all()


def test_a_calibration_changes_scores_and_no_object():
    logits, options = logits_of(touching_disks()), {"score_threshold": 0.9}
    raw = DecodeSemanticd(**options)({"pred": logits})
    calibrated = DecodeSemanticd(**options, score_temperature=2.0, score_bias=-6.0)({"pred": logits})
    assert torch.equal(calibrated["pred_instances"], raw["pred_instances"])
    assert torch.equal(calibrated["pred_classes"], raw["pred_classes"])
    np.testing.assert_array_equal(calibrated["pred_scores"], ScoreCalibration(2.0, -6.0)(raw["pred_scores"].numpy()))
    assert (calibrated["pred_scores"] < 0.9).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_no_image_without_objects(value):
    logits = logits_of(touching_disks())
    logits[0, 3, 4] = value
    with pytest.raises(NotFiniteError, match="the network gives values that are not finite"):
        DecodeSemanticd()({"pred": logits})
