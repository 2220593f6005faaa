"""Score detections by TP / (TP + FP + FN), which microscopy calls average precision.

This is the score of StarDist, Cellpose and Kaggle's Data Science Bowl 2018. It is not the area under a
precision-recall curve, which COCO calls by the same name.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from medseg_ext.metrics.matching import matched_pairs
from medseg_ext.metrics.overlap import ObjectOverlaps
from medseg_ext.metrics.ratios import pooled_ratio, ratio_terms

# Written out: a running sum of 0.05 misses 0.6 by one unit in the last place.
AP_THRESHOLDS = (0.50, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)


def average_precision_terms(matched_iou: Tensor, n_pred: int, n_true: int, thresholds: Sequence[float]) -> Tensor:
    """Give TP and TP + FP + FN of an image at each threshold.

    Args:
        matched_iou: IoU of the pairs that `matched_pairs` gives at 0.5, shape (K,). One matching serves all
            thresholds, since pairs above 0.5 have no rival.
        n_pred: number of predicted objects.
        n_true: number of true objects.
        thresholds: R values in [0.5, 1); a pair counts when its IoU reaches the threshold.

    Returns:
        float64 terms, shape (2 R,).

    Source: Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018.

    >>> average_precision_terms(torch.tensor([0.9, 0.6]), n_pred=3, n_true=2, thresholds=[0.5, 0.75])
    tensor([2., 1., 3., 4.], dtype=torch.float64)
    """
    limits = torch.as_tensor(thresholds, dtype=torch.float64)
    true_positives = (matched_iou[None] >= limits[:, None]).sum(dim=1)
    return ratio_terms(true_positives, n_pred + n_true - true_positives)


def average_precision(overlaps: ObjectOverlaps, threshold: float = 0.5) -> float:
    """Score the detections of one image at one threshold.

    Args:
        overlaps: the objects, from `label_overlaps`.
        threshold: IoU in [0.5, 1) that a pair must reach.

    Returns:
        TP / (TP + FP + FN) in [0, 1]; NaN when there is no object at all.

    Raises:
        ValueError: threshold outside [0.5, 1).

    Source: Schmidt et al., Cell Detection with Star-convex Polygons, MICCAI 2018.

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> average_precision(label_overlaps(torch.tensor([[1, 2]]), torch.tensor([[1, 1]])))  # one, cut into two halves
    0.5
    """
    matched_iou = overlaps.iou[matched_pairs(overlaps, threshold)]
    terms = average_precision_terms(matched_iou, overlaps.n_pred, overlaps.n_true, [threshold])
    return float(pooled_ratio(terms[None]))
