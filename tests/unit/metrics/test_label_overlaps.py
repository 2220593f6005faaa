from dataclasses import fields

import pytest
import torch
from metric_cases import scene, square
from metric_scenes import SCENES
from pycocotools import mask as coco_mask
from skimage.metrics import contingency_table

from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.metrics.overlap import ObjectOverlaps, label_overlaps
from medseg_ext.metrics.summary import image_statistics


@pytest.mark.parametrize("name", ["random_0", "random_6", "tied_0"])
def test_pairwise_iou_is_that_of_pycocotools(name):
    pred, true = scene(name)
    encoded = [
        [coco_mask.encode((label_map == label).byte().numpy().T.copy().T) for label in label_map.unique() if label]
        for label_map in (pred, true)
    ]
    theirs = coco_mask.iou(*encoded, [False] * len(encoded[1]))
    torch.testing.assert_close(pairwise_iou(pred, true), torch.from_numpy(theirs), rtol=0, atol=1e-12)


def test_shifting_a_square_by_half_gives_a_third():
    assert pairwise_iou(square(column=11), square()).tolist() == [[50 / 150]]


def test_ids_may_have_gaps_and_be_huge():
    overlaps = label_overlaps(torch.tensor([[0, 3, 2**40, 3]]), torch.tensor([[2**62, 2**62, 2**62, 7]]))
    assert overlaps.pred_ids.tolist() == [3, 2**40]
    assert overlaps.true_ids.tolist() == [7, 2**62]
    pairs = zip(overlaps.pred_index, overlaps.true_index, overlaps.pixels, strict=True)
    assert [tuple(map(int, pair)) for pair in pairs] == [(0, 0, 1), (0, 1, 1), (1, 1, 1)]


@pytest.mark.parametrize("name", SCENES)
def test_every_pixel_of_an_object_is_counted_once(name):
    """The oracle is scikit-image's dense table, whose row and column 0 are the background."""
    pred, true = (label_map.numpy() for label_map in scene(name))
    overlaps, table = label_overlaps(*scene(name)), contingency_table(pred, true).toarray()
    for ids, areas, counts in (
        (overlaps.pred_ids, overlaps.pred_areas, table.sum(axis=1)),
        (overlaps.true_ids, overlaps.true_areas, table.sum(axis=0)),
    ):
        assert ids.tolist() == [number for number in counts.nonzero()[0].tolist() if number]
        assert areas.tolist() == counts[ids].tolist()
    pred_of_pair, true_of_pair = overlaps.pred_ids[overlaps.pred_index], overlaps.true_ids[overlaps.true_index]
    assert overlaps.pixels.tolist() == table[pred_of_pair, true_of_pair].tolist()
    assert len(overlaps.pixels) == (table[1:, 1:] > 0).sum()


@pytest.mark.parametrize("side", [10, 40])
def test_pairs_grow_with_the_objects_that_touch_and_not_with_all_pairs_of_objects(side):
    """Squares of 4 px, shifted by a half: one touches four, but for those at two borders, and 16 million pairs none."""
    squares = torch.arange(4 * side) // 4
    true = (squares[:, None] * side + squares + 1).int()
    pred = torch.zeros_like(true)
    pred[2:, 2:] = true[:-2, :-2]
    assert len(label_overlaps(pred, true).pixels) == 4 * (side - 1) ** 2 + 4 * (side - 1) + 1


def test_what_is_held_of_ten_thousand_objects_is_less_than_their_map():
    squares = torch.arange(400) // 4
    true = (squares[:, None] * 100 + squares + 1).int()
    image = compare_image(true.roll(1, 0), true)
    image_statistics(image, metrics_for())
    held = [value for value in vars(image.overlaps).values() if isinstance(value, torch.Tensor)]
    assert sum(value.numel() for value in held) < true.numel()
    assert len(held) == len(fields(ObjectOverlaps)) + 1  # and the IoU of the pairs, once asked for


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16, torch.int32, torch.int64])
def test_every_integer_type_and_a_channel_are_accepted(dtype):
    label_map = square().to(dtype)
    assert pairwise_iou(label_map[None], label_map).tolist() == [[1.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_maps_of_other_types_are_refused(dtype):
    with pytest.raises(TypeError, match=f"predicted instances must be a label map of an integer type, got {dtype}"):
        compare_image(square().to(dtype), square())


def test_negative_ids_are_refused():
    with pytest.raises(ValueError, match=r"true instances must hold values >= 0, got -1"):
        compare_image(square(), -square())


def test_maps_of_different_shapes_are_refused_by_both_shapes():
    with pytest.raises(ValueError, match=r"got \(1, 20, 30\) and \(30, 20\)"):
        compare_image(square()[None], square().T)


def test_class_maps_of_another_size_than_the_truth_are_refused():
    classes = torch.zeros(10, 15, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"classes and instances .* got \(10, 15\) and \(20, 30\)"):
        compare_image(square(), square(), classes, classes)


def test_the_largest_class_is_255():
    background, largest = square() * 0, (square() * 255).short()
    assert compare_image(square(), square(), background, largest).class_overlaps[0, 255] == 100
    with pytest.raises(ValueError, match=r"classes must be in \[0, 255\], got 256"):
        compare_image(square(), square(), background, (square() * 256).short())


def test_half_a_pair_of_class_maps_is_refused():
    with pytest.raises(ValueError, match="got only the predicted one"):
        compare_image(square(), square(), square())


@pytest.mark.parametrize("shape", [(2, 20, 30), (30,), (0, 30)])
def test_maps_that_are_not_one_image_are_refused(shape):
    label_map = torch.zeros(shape, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"must have shape \(H, W\) or \(1, H, W\)"):
        compare_image(label_map, label_map)
