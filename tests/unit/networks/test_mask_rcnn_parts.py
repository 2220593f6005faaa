import sys

import numpy as np
import pytest
import torch
from skimage.measure import regionprops

from medseg_ext.losses.detection import SumOfLosses
from medseg_ext.networks.mask_rcnn import MaskRCNN
from medseg_ext.networks.mask_rcnn_dense import _paste, _regions, dense_detections
from medseg_ext.networks.mask_rcnn_targets import targets_of_label

IMAGE = torch.zeros(1, 3, 20, 30)


def paint(
    *detections: tuple[tuple[float, ...], float, int], n_classes: int = 3, probability: float = 0.9, **options: float
) -> torch.Tensor:
    """Dense tensor of detections (box_xyxy, score, class) whose masks fill their boxes."""
    boxes, scores, classes = zip(*detections, strict=True)
    masks = torch.full((len(boxes), 28, 28), probability)
    return dense_detections(
        torch.tensor(boxes), torch.tensor(scores), torch.tensor(classes), masks, IMAGE, n_classes, 0.5, **options
    )[0]


def random_label(seed: int) -> np.ndarray:
    """Ids of scattered pixels and blocks, several pieces an id; classes 1 and 2."""
    generator = np.random.default_rng(seed)
    instances = np.zeros((48, 64), np.int64)
    for number in generator.permutation(np.arange(1, 40)):
        top, left = generator.integers(0, 44), generator.integers(0, 60)
        height, width = generator.integers(1, 12, 2)
        instances[top : top + height, left : left + width] = number % 30 * 7
    return np.stack([instances, np.where(instances > 0, generator.integers(1, 3, instances.shape), 0)])


def test_objects_of_a_label_map_worked_out_by_hand():
    label = torch.zeros(2, 8, 10, dtype=torch.int64)
    label[0, 1:5, 2:6], label[1, 1:5, 2:6] = 7, 1  # rows 1..4, columns 2..5
    label[1, 2:4, 3:5] = 2  # its nucleus
    label[0, 6:8, 7:10], label[1, 6:8, 7:10] = 3, 1  # cut by the image's edge; no nucleus
    targets = targets_of_label(label, n_detection_classes=2, min_object_area_px=4)
    assert targets.boxes_xyxy.tolist() == [[7, 6, 10, 8], [2, 1, 6, 5], [3, 2, 5, 4]]
    assert targets.classes.tolist() == [0, 0, 1]
    assert targets.masks.sum(dim=(1, 2)).tolist() == [6, 16, 4]
    assert targets.masks[1, 2, 3]  # the whole cell: with its nucleus
    one_class = targets_of_label(label, n_detection_classes=1, min_object_area_px=4)
    assert torch.equal(one_class.masks, targets.masks[:2])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_detection_classes", [1, 2])
def test_objects_of_a_label_map_are_those_of_scikit_image(seed, n_detection_classes):
    label = random_label(seed)
    targets = targets_of_label(torch.from_numpy(label), n_detection_classes=n_detection_classes, min_object_area_px=10)
    expected = []
    for index, part in enumerate([label[0], np.where(label[1] == 2, label[0], 0)][:n_detection_classes]):
        for region in regionprops(part):
            top, left, bottom, right = region.bbox
            if region.area >= 10 and bottom - top >= 2 and right - left >= 2:
                expected.append(([left, top, right, bottom], index, part == region.label))
    assert len(expected) > 10
    assert targets.boxes_xyxy.tolist() == [box for box, _, _ in expected]
    assert targets.classes.tolist() == [index for _, index, _ in expected]
    assert np.array_equal(targets.masks.numpy(), np.stack([mask for _, _, mask in expected]))


def test_an_id_in_two_pieces_is_one_object():
    label = torch.zeros(2, 10, 20, dtype=torch.int32)
    label[:, 2:5, 2:5] = label[:, 2:5, 12:16] = 1
    assert targets_of_label(label, n_detection_classes=1).boxes_xyxy.tolist() == [[2, 2, 16, 5]]


def test_remains_of_objects_are_left_out():
    label = torch.zeros(2, 20, 20, dtype=torch.int64)
    label[0, :3, :3] = 1  # 9 pixels
    label[0, 5:15, 10] = 2  # 10 pixels, 1 wide
    label[0, 10:12, 0:5] = 3  # 10 pixels
    targets = targets_of_label(label, n_detection_classes=1, min_object_area_px=10)
    assert targets.boxes_xyxy.tolist() == [[0, 10, 5, 12]]


def test_an_empty_label_map_has_no_objects():
    targets = targets_of_label(torch.zeros(2, 8, 9, dtype=torch.int64), n_detection_classes=2)
    assert [tuple(part.shape) for part in targets] == [(0, 4), (0,), (0, 8, 9)]


def test_each_mask_is_pasted_as_detectron2_pastes_it():
    pytest.importorskip("detectron2")
    from detectron2.layers.mask_ops import paste_masks_in_image

    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, 2, generator=generator) * torch.tensor([75.0, 50.0])
    boxes = torch.cat([corners.amin(dim=1), corners.amax(dim=1)], dim=1)
    boxes[:8, 2:] = boxes[:8, :2] + 0.3  # smaller than a pixel
    boxes[8] = torch.tensor([0.0, 0.0, 75.0, 50.0])
    masks = torch.rand(60, 28, 28, generator=generator)
    expected = paste_masks_in_image(masks, boxes, (50, 75), threshold=0.5)
    for mask, box, region, theirs in zip(masks, boxes, _regions(boxes, 50, 75).tolist(), expected, strict=True):
        top, bottom, left, right = region
        ours = torch.zeros(50, 75, dtype=torch.bool)
        ours[top:bottom, left:right] = _paste(mask, box, *region) >= 0.5
        assert torch.equal(ours, theirs)


def test_a_pixel_goes_to_the_highest_score():
    dense = paint(((2, 2, 10, 10), 0.6, 0), ((6, 6, 14, 14), 0.8, 0), n_classes=2)
    assert dense[0, 8, 8] == 1
    assert dense[0, 3, 3] == 2
    assert dense[:, 0, 0].tolist() == [0, 1, 0]
    torch.testing.assert_close(dense[1:, 8, 8], torch.tensor([0.2, 0.8]))
    torch.testing.assert_close(dense[1:, 3, 3], torch.tensor([0.4, 0.6]))
    assert (dense[0] == 1).sum() == 64
    assert (dense[0] == 2).sum() == 64 - 16


def test_the_order_of_detections_does_not_matter():
    detections = [
        ((1, 1, 12, 12), 0.9, 0),
        ((8, 2, 22, 16), 0.7, 0),
        ((18, 10, 28, 19), 0.5, 0),
        ((3, 3, 8, 8), 0.6, 1),
        ((14, 6, 20, 12), 0.8, 1),
    ]
    expected = paint(*detections)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(detections))
        assert torch.equal(paint(*[detections[index] for index in order]), expected)


def test_an_object_that_was_found_before_leaves_no_rim():
    # Of 8 x 8 pixels, 8 x 4 are free: kept. Of 8 x 8, 8 x 3: left out.
    dense = paint(((0, 0, 10, 10), 0.9, 0), ((6, 0, 14, 8), 0.8, 0), ((11, 0, 17, 8), 0.7, 0), n_classes=2)
    assert dense[0].unique().tolist() == [0, 1, 2, 3]
    assert (dense[0, :8, 10:14] == 2).all()
    assert (dense[0, :8, 14:17] == 3).all()
    dense = paint(((0, 0, 10, 10), 0.9, 0), ((5, 0, 13, 8), 0.8, 0), n_classes=2)
    assert dense[0].unique().tolist() == [0, 1]
    assert (dense[0, :, 10:] == 0).all()


def test_objects_that_are_covered_leave_no_gap():
    dense = paint(((2, 2, 6, 6), 0.5, 0), ((1, 1, 10, 10), 0.9, 0), ((15, 2, 20, 8), 0.4, 0))
    assert dense[0].unique().tolist() == [0, 1, 2]
    assert dense[0, 4, 17] == 2


def test_a_nucleus_goes_to_the_cell_that_holds_most_of_it():
    # Columns 6..11 of rows 4..7: 4 columns in the first cell, 2 in the second.
    dense = paint(((0, 0, 10, 10), 0.6, 0), ((10, 0, 20, 10), 0.8, 0), ((6, 4, 12, 8), 0.9, 1))
    second, first = 1, 2
    assert (dense[0, :10, :10] == first).all()
    assert (dense[0, :10, 10:20] == second).all()
    torch.testing.assert_close(dense[1:, 5, 7], torch.tensor([0.4, 0.6 * 0.1, 0.6 * 0.9]))
    torch.testing.assert_close(dense[1:, 5, 11], torch.tensor([0.2, 0.8, 0.0]))
    assert dense[2:].argmax(dim=0).sum() == 4 * 4


def test_a_nucleus_outside_its_cell_joins_it():
    dense = paint(((0, 0, 10, 10), 0.6, 0), ((5, 4, 12, 8), 0.9, 1))
    assert (dense[0, 4:8, 10:12] == 1).all()
    torch.testing.assert_close(dense[1:, 5, 11], torch.tensor([0.4, 0.06, 0.54]))


def test_a_nucleus_without_a_cell_is_dropped():
    dense = paint(((0, 0, 10, 10), 0.6, 0), ((15, 4, 20, 8), 0.9, 1))
    assert (dense[0, :, 10:] == 0).all()
    assert (dense[3] == 0).all()


def test_improbable_nuclei_are_left_out():
    assert (paint(((0, 0, 10, 10), 0.6, 0), ((2, 2, 8, 8), 0.4, 1))[3] == 0).all()


def test_masks_below_one_half_own_nothing():
    assert (paint(((0, 0, 10, 10), 0.9, 0), probability=0.49)[0] == 0).all()


@pytest.mark.parametrize(("mask_threshold", "area"), [(0.3, 100), (0.6, 100), (0.7, 0)])
def test_the_least_probability_of_an_object_s_pixels_can_be_chosen(mask_threshold, area):
    dense = paint(((0, 0, 10, 10), 0.9, 0), probability=0.65, mask_threshold=mask_threshold)
    assert (dense[0] > 0).sum() == area


def test_boxes_without_area_are_passed_over():
    dense = paint(((5, 5, 5, 9), 0.9, 0), ((0, 0, 4, 4), 0.5, 0))
    assert torch.isfinite(dense).all()
    assert (dense[0] > 0).sum() == 16


def test_without_detectron2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    monkeypatch.delitem(sys.modules, "medseg_ext.networks.mask_rcnn_detectron2", raising=False)
    with pytest.raises(ImportError, match=r"make detectron2.*tools/install_detectron2\.sh"):
        MaskRCNN(["background", "nucleus"])


def test_losses_are_summed_by_their_weights():
    losses = {"loss_cls": torch.tensor(1.0), "loss_mask": torch.tensor(2.0, dtype=torch.bfloat16)}
    assert SumOfLosses()(losses, torch.zeros(1)) == 3
    total = SumOfLosses(weights={"loss_mask": 0.5})(losses)
    assert total == 2
    assert total.dtype == torch.float32
    with pytest.raises(ValueError, match="loss_msk"):
        SumOfLosses(weights={"loss_msk": 0.5})(losses)
