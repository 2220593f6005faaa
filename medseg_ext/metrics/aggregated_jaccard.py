"""Score objects by the aggregated Jaccard index (AJI)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from medseg_ext.metrics.overlap import ObjectOverlaps
from medseg_ext.metrics.ratios import pooled_ratio, ratio_terms


def aggregated_jaccard_terms(overlaps: ObjectOverlaps) -> Tensor:
    """Give the aggregated intersection and the aggregated union of an image.

    Each true object takes the prediction of largest IoU with it; their intersection and their union are added up. A
    true object that no prediction touches adds its area to the union, and so does each prediction that none took.

    What Algorithm 1 leaves open is settled so that object ids do not matter. A prediction stays available after it was
    taken, and may serve several true objects. Of predictions with the same IoU the one of larger intersection
    is taken, and of those the one of lowest index.

    Args:
        overlaps: the objects, from `label_overlaps`.

    Returns:
        float64 terms, shape (2,).

    Source: Kumar et al., A Dataset and a Technique for Generalized Nuclear Segmentation for Computational Pathology,
        IEEE Transactions on Medical Imaging 2017, Algorithm 1.

    One prediction of 10 px covers two true objects of 6 and 4 px, so (6 + 4) / (10 + 10):

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> one, two = torch.tensor([[1] * 10]), torch.tensor([[1] * 6 + [2] * 4])
    >>> aggregated_jaccard_terms(label_overlaps(one, two))
    tensor([10., 20.], dtype=torch.float64)
    """
    pairs = _best_pairs(overlaps)
    taken, taker = overlaps.pred_index[pairs], overlaps.true_index[pairs]
    pred_areas, true_areas = overlaps.pred_areas, overlaps.true_areas
    intersection = overlaps.pixels[pairs].sum()
    missed_area = true_areas.sum() - true_areas[taker].sum()
    spurious_area = pred_areas.sum() - pred_areas[taken.unique()].sum()
    union = pred_areas[taken].sum() + true_areas[taker].sum() - intersection
    return ratio_terms(intersection, union + missed_area + spurious_area)


def aggregated_jaccard_index(overlaps: ObjectOverlaps) -> float:
    """Score the objects of one image; arguments as of `aggregated_jaccard_terms`.

    Returns:
        AJI in [0, 1]; NaN when there is no object at all.

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> aggregated_jaccard_index(label_overlaps(torch.tensor([[1, 1]]), torch.tensor([[1, 0]])))
    0.5
    """
    return float(pooled_ratio(aggregated_jaccard_terms(overlaps)[None]))


def _best_pairs(overlaps: ObjectOverlaps) -> Tensor:
    """Give the position of the pair that each true object takes, among those that any prediction touches; (K,)."""
    true_index = overlaps.true_index.numpy()
    # The last key sorts first; pairs stand in the order of their predictions, which a stable sort keeps.
    order = np.lexsort((-overlaps.pixels.numpy(), -overlaps.iou.numpy(), true_index))
    _, first = np.unique(true_index[order], return_index=True)
    return torch.from_numpy(order[first])
