"""Pair predicted with true objects."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medseg_ext.metrics.overlap import ObjectOverlaps, label_overlaps


def pairwise_iou(pred_instances: Tensor, true_instances: Tensor) -> Tensor:
    """Measure the IoU of each predicted with each true object, as a dense table.

    It has P x T values: 3 GB for 20,000 objects on each side. The metrics take `label_overlaps`, which has only the
    pairs that share pixels.

    Args:
        pred_instances: predicted label map, integers >= 0 with any gaps, shape (H, W) or (1, H, W).
        true_instances: true label map of the same height and width.

    Returns:
        float64 IoU in [0, 1], shape (P, T), objects in ascending order of their ids.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or a negative id, or the shapes differ.

    >>> pairwise_iou(torch.tensor([[5, 5, 2, 0]]), torch.tensor([[1, 1, 1, 0]]))
    tensor([[0.3333],
            [0.6667]], dtype=torch.float64)
    """
    overlaps = label_overlaps(pred_instances, true_instances)
    iou = torch.zeros(overlaps.n_pred, overlaps.n_true, dtype=torch.float64)
    iou[overlaps.pred_index, overlaps.true_index] = overlaps.iou
    return iou


def match_objects(overlaps: ObjectOverlaps, threshold: float = 0.5) -> Tensor:
    """Pair predicted with true objects whose IoU reaches `threshold`.

    Args:
        overlaps: the objects, from `label_overlaps`.
        threshold: IoU in [0.5, 1), as of `matched_pairs`.

    Returns:
        int64 rows (index of the prediction, index of the truth), shape (K, 2), in the order of predictions.

    Raises:
        ValueError: threshold outside [0.5, 1).

    >>> match_objects(label_overlaps(torch.tensor([[4, 4, 4, 7]]), torch.tensor([[1, 1, 2, 2]])))
    tensor([[0, 0],
            [1, 1]])
    """
    pairs = matched_pairs(overlaps, threshold)
    return torch.stack([overlaps.pred_index[pairs], overlaps.true_index[pairs]], dim=1)


def matched_pairs(overlaps: ObjectOverlaps, threshold: float = 0.5) -> Tensor:
    """Choose the pairs that are matches at `threshold`.

    No other one-to-one pairing has more pairs, and none needs to be searched for. Above 0.5 an object has at most one
    partner. At exactly 0.5 it can have two, but then those two are its halves and have no other partner: whichever
    is taken, the number of pairs and their IoU are the same. The lowest index is taken.

    Args:
        overlaps: the objects, from `label_overlaps`.
        threshold: IoU in [0.5, 1): lower ones make pairs ambiguous.

    Returns:
        Positions among the pairs of `overlaps`, int64 (K,), ascending.

    Raises:
        ValueError: threshold outside [0.5, 1).

    Source: Kirillov et al., Panoptic Segmentation, CVPR 2019.

    A true object cut into two halves has one match:

    >>> matched_pairs(label_overlaps(torch.tensor([[1, 2]]), torch.tensor([[1, 1]])))
    tensor([0])
    """
    if not 0.5 <= threshold < 1:
        raise ValueError(f"threshold must be in [0.5, 1), got {threshold}")
    pairs = (overlaps.iou >= threshold).nonzero().flatten()
    for of_pair in (overlaps.pred_index, overlaps.true_index):
        _, first = np.unique(of_pair[pairs].numpy(), return_index=True)
        pairs = pairs[torch.from_numpy(np.sort(first))]
    return pairs
