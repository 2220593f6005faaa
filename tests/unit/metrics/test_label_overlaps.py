import pytest
import torch
from metric_cases import scene, square
from pycocotools import mask as coco_mask

from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.metrics.overlap import LARGEST_TABULATED_ID, consecutive_labels, label_overlaps


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
    ids = torch.tensor([[0, 3, LARGEST_TABULATED_ID + 9, 3]])
    labels, present = consecutive_labels(ids)
    assert labels.tolist() == [[0, 1, 2, 1]]
    assert present.tolist() == [3, LARGEST_TABULATED_ID + 9]


@pytest.mark.parametrize("values", [[[5, 5, 2]], [[LARGEST_TABULATED_ID + 9, 5, 5]]])
def test_background_keeps_its_row_where_there_is_none(values):
    labels, present = consecutive_labels(torch.tensor(values))
    assert labels.min() == 1
    assert len(present) == labels.max() == 2


def test_every_pixel_is_counted_once():
    pred, true = scene("random_1")
    pixels = label_overlaps(pred, true).pixels
    assert pixels.sum() == pred.numel()
    assert pixels[0, 0] == ((pred == 0) & (true == 0)).sum()


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
