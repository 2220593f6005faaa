"""Count the pixels that two label maps share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Up to here a table from id to position (128 MiB) is ten times faster than sorting the pixels.
LARGEST_TABULATED_ID = 2**24
CLASS_VALUES = 256  # class maps are uint8


class LabelOverlaps(NamedTuple):
    """The pixels shared by each predicted with each true object.

    Attributes:
        pixels: int64 counts, shape (P + 1, T + 1); row 0 and column 0 are the background.
        pred_ids: ids of the predicted objects in ascending order, shape (P,).
        true_ids: ids of the true objects in ascending order, shape (T,).
    """

    pixels: Tensor
    pred_ids: Tensor
    true_ids: Tensor


def check_label_map(label_map: Tensor, name: str) -> Tensor:
    """Give a label map as int64 of shape (H, W), or say what is wrong with it.

    Args:
        label_map: integers >= 0, shape (H, W) or (1, H, W).
        name: what to call the map in an error.

    Raises:
        TypeError: the map is not of an integer type.
        ValueError: wrong shape, no pixel, or a negative value.

    >>> check_label_map(torch.tensor([[[0, 7]]], dtype=torch.int32), "instances")
    tensor([[0, 7]])
    """
    if label_map.is_floating_point() or label_map.is_complex() or label_map.dtype == torch.bool:
        raise TypeError(f"{name} must be a label map of an integer type, got {label_map.dtype}")
    is_one_channel = label_map.ndim == 3 and label_map.shape[0] == 1
    if not (label_map.ndim == 2 or is_one_channel) or label_map.numel() == 0:
        raise ValueError(f"{name} must have shape (H, W) or (1, H, W), got {tuple(label_map.shape)}")
    labels = label_map.reshape(label_map.shape[-2:]).long()
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


def consecutive_labels(label_map: Tensor) -> tuple[Tensor, Tensor]:
    """Number the objects of a label map 1..N in the order of their ids.

    Args:
        label_map: int64 ids >= 0, any shape; 0 is the background.

    Returns:
        The map with values 0..N, and the objects' ids, shape (N,).

    >>> consecutive_labels(torch.tensor([[0, 7], [30, 7]]))
    (tensor([[0, 1],
            [2, 1]]), tensor([ 7, 30]))
    """
    if label_map.max() <= LARGEST_TABULATED_ID:
        is_present = torch.bincount(label_map.flatten()) > 0
        is_present[0] = True
        return (is_present.cumsum(0) - 1)[label_map], is_present.nonzero().flatten()[1:]
    with_background = torch.cat([label_map.new_zeros(1), label_map.flatten()])
    ids, labels = torch.unique(with_background, return_inverse=True)
    return labels[1:].reshape(label_map.shape), ids[1:]


def label_overlaps(pred_instances: Tensor, true_instances: Tensor) -> LabelOverlaps:
    """Count the pixels shared by each predicted with each true object.

    Args:
        pred_instances: predicted label map, integers >= 0 with any gaps, shape (H, W) or (1, H, W).
        true_instances: true label map of the same height and width.

    Returns:
        Counts and ids, on the CPU: from here on the numbers are few.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or a negative id, or the shapes differ.

    >>> label_overlaps(torch.tensor([[0, 4, 4]]), torch.tensor([[0, 0, 9]])).pixels
    tensor([[1, 0],
            [1, 1]])
    """
    check_same_shape(pred_instances, true_instances, "instances")
    pred_labels, pred_ids = consecutive_labels(check_label_map(pred_instances, "predicted instances"))
    true_labels, true_ids = consecutive_labels(check_label_map(true_instances, "true instances"))
    pixels = _joint_counts(pred_labels, true_labels, len(pred_ids) + 1, len(true_ids) + 1)
    return LabelOverlaps(pixels.cpu(), pred_ids.cpu(), true_ids.cpu())


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
    return _joint_counts(pred_values, true_values, largest + 1, largest + 1).cpu()


def _joint_counts(rows: Tensor, columns: Tensor, n_rows: int, n_columns: int) -> Tensor:
    """Count each pair of values (row, column); int64, shape (n_rows, n_columns)."""
    joint = (rows * n_columns + columns).flatten()
    return torch.bincount(joint, minlength=n_rows * n_columns).reshape(n_rows, n_columns)
