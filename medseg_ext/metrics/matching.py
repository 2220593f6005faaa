"""Pair predicted with true objects."""

from __future__ import annotations

from torch import Tensor

from medseg_ext.metrics.overlap import label_overlaps


def iou_from_overlaps(overlaps: Tensor) -> Tensor:
    """Divide intersections by unions.

    Args:
        overlaps: pixel counts, shape (P + 1, T + 1); row 0 and column 0 are the background.

    Returns:
        float64 IoU in [0, 1], shape (P, T).

    >>> import torch
    >>> iou_from_overlaps(torch.tensor([[0, 50], [50, 50]]))
    tensor([[0.3333]], dtype=torch.float64)
    """
    pred_areas = overlaps[1:].sum(dim=1, keepdim=True)
    true_areas = overlaps[:, 1:].sum(dim=0, keepdim=True)
    intersections = overlaps[1:, 1:]
    # float64: float32 areas drift above 2**24 pixels, and 0.55 = 11 / 20 must reach the threshold 0.55.
    return intersections.double() / (pred_areas + true_areas - intersections)


def pairwise_iou(pred_instances: Tensor, true_instances: Tensor) -> Tensor:
    """Measure the IoU of each predicted with each true object.

    Args:
        pred_instances: predicted label map, integers >= 0 with any gaps, shape (H, W) or (1, H, W).
        true_instances: true label map of the same height and width.

    Returns:
        float64 IoU in [0, 1], shape (P, T), objects in ascending order of their ids.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or a negative id, or the shapes differ.

    >>> import torch
    >>> pairwise_iou(torch.tensor([[5, 5, 2, 0]]), torch.tensor([[1, 1, 1, 0]]))
    tensor([[0.3333],
            [0.6667]], dtype=torch.float64)
    """
    return iou_from_overlaps(label_overlaps(pred_instances, true_instances).pixels)


def match_objects(iou: Tensor, threshold: float = 0.5) -> Tensor:
    """Pair predicted with true objects whose IoU reaches `threshold`.

    No other one-to-one pairing has more pairs, and none needs to be searched for. Above 0.5 an object has at most one
    partner. At exactly 0.5 it can have two, but then those two are its halves and have no other partner: whichever
    is taken, the number of pairs and their IoU are the same. The lowest index is taken.

    Args:
        iou: pairwise IoU in [0, 1], shape (P, T); neither side overlaps itself.
        threshold: IoU in [0.5, 1): lower ones make pairs ambiguous.

    Returns:
        int64 rows (prediction, truth), shape (K, 2).

    Raises:
        ValueError: threshold outside [0.5, 1).

    Source: Kirillov et al., Panoptic Segmentation, CVPR 2019.

    >>> import torch
    >>> match_objects(torch.tensor([[0.8, 0.0], [0.1, 0.3]]))
    tensor([[0, 0]])

    A true object cut into two halves has one match:

    >>> match_objects(torch.tensor([[0.5], [0.5]]))
    tensor([[0, 0]])
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"threshold must be in [0.5, 1), got {threshold}")
    reaches = iou >= threshold
    first_truth = reaches & (reaches.cumsum(dim=1) == 1)
    first_prediction = first_truth & (first_truth.cumsum(dim=0) == 1)
    return first_prediction.nonzero()
