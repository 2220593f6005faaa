"""Count the pixels that two label maps share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

CLASS_VALUES = 256  # class maps are uint8
# PyTorch stores these types and compares their values, but finds no minimum of them.
WITHOUT_ARITHMETIC = (torch.uint16, torch.uint32, torch.uint64)


@dataclass(frozen=True, eq=False)
class ObjectOverlaps:
    """The predicted and the true objects of an image, and the pairs of them that share pixels.

    Objects have indices in ascending order of their ids. Only pairs that share pixels are held, in ascending order of
    predicted, then of true index: an object touches few others, so that their number M grows with the objects, and not
    with P x T. All is on the CPU. Made by `label_overlaps`.

    Attributes:
        pred_index: index of the predicted object of each pair, int64 (M,).
        true_index: index of the true object of each pair, int64 (M,).
        pixels: how many pixels the two share, at least one, int64 (M,).
        pred_areas: pixels of each predicted object, those on the true background among them, int64 (P,).
        true_areas: pixels of each true object, those on the predicted background among them, int64 (T,).
        pred_ids: id of each predicted object, int64 (P,).
        true_ids: id of each true object, int64 (T,).
    """

    pred_index: Tensor
    true_index: Tensor
    pixels: Tensor
    pred_areas: Tensor
    true_areas: Tensor
    pred_ids: Tensor
    true_ids: Tensor

    @property
    def n_pred(self) -> int:
        """Number of predicted objects, P."""
        return len(self.pred_ids)

    @property
    def n_true(self) -> int:
        """Number of true objects, T."""
        return len(self.true_ids)

    @cached_property
    def iou(self) -> Tensor:
        """IoU of each pair in (0, 1], float64 (M,); that of all others is 0."""
        # float64: float32 areas drift above 2**24 pixels, and 0.55 = 11 / 20 must reach the threshold 0.55.
        unions = self.pred_areas[self.pred_index] + self.true_areas[self.true_index] - self.pixels
        return self.pixels.double() / unions


def check_label_map(label_map: Tensor, name: str) -> Tensor:
    """Give a label map as shape (H, W), of an integer type that PyTorch computes with, or say what is wrong with it.

    Args:
        label_map: integers >= 0, shape (H, W) or (1, H, W).
        name: what to call the map in an error.

    Raises:
        TypeError: the map is not of an integer type.
        ValueError: wrong shape, no pixel, or a negative value.

    >>> check_label_map(torch.tensor([[[0, 7]]], dtype=torch.uint16), "instances")
    tensor([[0, 7]])
    """
    if label_map.is_floating_point() or label_map.is_complex() or label_map.dtype == torch.bool:
        raise TypeError(f"{name} must be a label map of an integer type, got {label_map.dtype}")
    is_one_channel = label_map.ndim == 3 and label_map.shape[0] == 1
    if not (label_map.ndim == 2 or is_one_channel) or label_map.numel() == 0:
        raise ValueError(f"{name} must have shape (H, W) or (1, H, W), got {tuple(label_map.shape)}")
    labels = label_map.reshape(label_map.shape[-2:])
    if labels.dtype in WITHOUT_ARITHMETIC:
        labels = labels.long()
    if labels.min() < 0:
        raise ValueError(f"{name} must hold values >= 0, got {int(labels.min())}")
    return labels


def check_same_shape(pred_map: Tensor, true_map: Tensor, name: str) -> None:
    """Refuse two maps of different height or width.

    Raises:
        ValueError: the last two dimensions differ; names both shapes.
    """
    if pred_map.shape[-2:] != true_map.shape[-2:]:
        raise ValueError(
            f"predicted and true {name} must have the same height and width, "
            f"got {tuple(pred_map.shape)} and {tuple(true_map.shape)}"
        )


def label_overlaps(pred_instances: Tensor, true_instances: Tensor) -> ObjectOverlaps:
    """Count the pixels that predicted and true objects share.

    Args:
        pred_instances: predicted label map, integers >= 0 with any gaps, shape (H, W) or (1, H, W).
        true_instances: true label map of the same height and width, on the same device.

    Returns:
        Objects and pairs, on the CPU.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or a negative id, or the shapes differ.

    >>> overlaps = label_overlaps(torch.tensor([[0, 4, 4, 7]]), torch.tensor([[0, 0, 9, 9]]))
    >>> overlaps.pred_index, overlaps.true_index, overlaps.pixels
    (tensor([0, 1]), tensor([0, 0]), tensor([1, 1]))
    >>> overlaps.pred_areas, overlaps.pred_ids
    (tensor([2, 1]), tensor([4, 7]))
    """
    check_same_shape(pred_instances, true_instances, "instances")
    pred_map = check_label_map(pred_instances, "predicted instances")
    true_map = check_label_map(true_instances, "true instances")
    pred_of_run, true_of_run, lengths = _joint_runs(pred_map, true_map)
    pred_ids, pred_number = _number_objects(pred_of_run)
    true_ids, true_number = _number_objects(true_of_run)
    is_shared = (pred_number > 0) & (true_number > 0)
    joint = (pred_number[is_shared] - 1) * len(true_ids) + true_number[is_shared] - 1
    pairs, pair_of_run = joint.unique(return_inverse=True)
    n_true = max(len(true_ids), 1)  # without true objects there are no pairs either
    return ObjectOverlaps(
        pred_index=pairs // n_true,
        true_index=pairs % n_true,
        pixels=_sums(pair_of_run, lengths[is_shared], len(pairs)),
        pred_areas=_sums(pred_number, lengths, len(pred_ids) + 1)[1:],
        true_areas=_sums(true_number, lengths, len(true_ids) + 1)[1:],
        pred_ids=pred_ids,
        true_ids=true_ids,
    )


def class_overlaps(pred_classes: Tensor, true_classes: Tensor) -> Tensor:
    """Count the pixels of each predicted class in each true class: the confusion matrix.

    Args:
        pred_classes: predicted class map, integers in [0, 255], shape (H, W) or (1, H, W).
        true_classes: true class map of the same height and width.

    Returns:
        int64 counts on the CPU, shape (C, C), rows predicted and columns true, C - 1 the largest class that occurs.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or a value outside [0, 255], or the shapes differ.

    >>> class_overlaps(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]]))
    tensor([[1, 0],
            [1, 1]])
    """
    check_same_shape(pred_classes, true_classes, "classes")
    pred_values = check_label_map(pred_classes, "predicted classes")
    true_values = check_label_map(true_classes, "true classes")
    largest = int(max(pred_values.max(), true_values.max()))
    if largest >= CLASS_VALUES:
        raise ValueError(f"classes must be in [0, {CLASS_VALUES - 1}], got {largest}")
    n_classes = largest + 1
    pred_of_run, true_of_run, lengths = _joint_runs(pred_values, true_values)
    return _sums(pred_of_run * n_classes + true_of_run, lengths, n_classes**2).reshape(n_classes, n_classes)


def _joint_runs(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut two maps, read row by row, into runs of pixels in which both keep their value.

    Runs are some ten times fewer than pixels, and all that is left to sort and to count.

    Returns:
        The two values of each run, and its length in pixels; int64 on the CPU, shape (R,).
    """
    first, second = first.flatten(), second.flatten()
    changes = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    starts = torch.cat([changes.new_zeros(1, dtype=torch.int64), changes.nonzero().flatten() + 1])
    lengths = torch.diff(starts, append=starts.new_tensor([len(first)]))
    return first[starts].long().cpu(), second[starts].long().cpu(), lengths.cpu()


def _number_objects(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Give the ids that occur, ascending and without the background, and for each value its number: 0 or 1..N."""
    with_background = torch.cat([ids.new_zeros(1), ids])
    present, numbers = with_background.unique(return_inverse=True)
    return present[1:], numbers[1:]


def _sums(places: Tensor, amounts: Tensor, n_places: int) -> Tensor:
    """Add up int64 amounts, shape (R,), by their places in [0, n_places)."""
    return amounts.new_zeros(n_places).index_add_(0, places, amounts)
