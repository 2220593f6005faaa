"""Score objects by the aggregated Jaccard index (AJI)."""

from __future__ import annotations

import torch
from torch import Tensor

from medseg_ext.metrics.matching import iou_from_overlaps
from medseg_ext.metrics.ratios import pooled_ratio, ratio_terms


def aggregated_jaccard_terms(overlaps: Tensor) -> Tensor:
    """Give the aggregated intersection and the aggregated union of an image.

    Each true object takes the prediction of largest IoU with it; their intersection and their union are added up. A
    true object that no prediction touches adds its area to the union, and so does each prediction that none took.

    What Algorithm 1 leaves open is settled so that object ids do not matter. A prediction stays available after it was
    taken, and may serve several true objects. Of predictions with the same IoU the one of larger intersection
    is taken, and of those the one of lowest index.

    Args:
        overlaps: pixel counts, shape (P + 1, T + 1); row 0 and column 0 are the background.

    Returns:
        float64 terms, shape (2,).

    Source: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for Computational Pathology,
        IEEE Transactions on Medical Imaging 2017, Algorithm 1.

    One prediction of 10 px covers two true objects of 6 and 4 px, so (6 + 4) / (10 + 10):

    >>> aggregated_jaccard_terms(torch.tensor([[5, 0, 0], [0, 6, 4]]))
    tensor([10., 20.], dtype=torch.float64)
    """
    pred_areas, true_areas = overlaps[1:].sum(dim=1), overlaps[:, 1:].sum(dim=0)
    taken, taker = _best_predictions(overlaps)
    intersection = overlaps[1:, 1:][taken, taker].sum()
    missed_area = true_areas.sum() - true_areas[taker].sum()
    spurious_area = pred_areas.sum() - pred_areas[taken.unique()].sum()
    union = pred_areas[taken].sum() + true_areas[taker].sum() - intersection
    return ratio_terms(intersection, union + missed_area + spurious_area)


def aggregated_jaccard_index(overlaps: Tensor) -> float:
    """Score the objects of one image; arguments as of `aggregated_jaccard_terms`.

    Returns:
        AJI in [0, 1]; NaN when there is no object at all.

    >>> aggregated_jaccard_index(torch.tensor([[5, 0, 0], [0, 6, 4]]))
    0.5
    """
    return float(pooled_ratio(aggregated_jaccard_terms(overlaps)[None]))


def _best_predictions(overlaps: Tensor) -> tuple[Tensor, Tensor]:
    """Give the indices of the predictions taken, and of the true objects that take them, each of shape (K,)."""
    intersections, iou = overlaps[1:, 1:], iou_from_overlaps(overlaps)
    if iou.numel() == 0:
        nothing = overlaps.new_zeros(0)
        return nothing, nothing
    best_iou = iou.amax(dim=0)
    best = torch.where(iou == best_iou, intersections, -1).argmax(dim=0)
    taker = (best_iou > 0).nonzero().flatten()
    return best[taker], taker
