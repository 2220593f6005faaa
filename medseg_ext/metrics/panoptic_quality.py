"""Score detections together with the quality of their masks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medseg_ext.metrics.matching import matched_pairs
from medseg_ext.metrics.overlap import ObjectOverlaps
from medseg_ext.metrics.ratios import pooled_ratio, ratio_terms

# Strictly above, as in the paper, so that pairs are unique.
PQ_THRESHOLD = 0.5


class PanopticQuality(NamedTuple):
    """Panoptic quality `pq` = segmentation quality `sq` x recognition quality `rq`."""

    pq: float
    sq: float
    rq: float


def pq_terms(matched_iou: Tensor, n_pred: int, n_true: int) -> Tensor:
    """Give the summed IoU of the true positives, and TP + FP / 2 + FN / 2.

    Args:
        matched_iou: IoU of the pairs that `matched_pairs` gives at 0.5, shape (K,).
        n_pred: number of predicted objects.
        n_true: number of true objects.

    Returns:
        float64 terms, shape (2,).

    >>> pq_terms(torch.tensor([0.75, 0.5]), n_pred=3, n_true=2)
    tensor([0.7500, 2.5000], dtype=torch.float64)
    """
    # TP + FP / 2 + FN / 2 = (TP + FP) / 2 + (TP + FN) / 2
    return ratio_terms(_true_positives(matched_iou).sum(), (n_pred + n_true) / 2)


def sq_terms(matched_iou: Tensor) -> Tensor:
    """Give the summed IoU of the true positives, and their number; arguments as of `pq_terms`.

    >>> sq_terms(torch.tensor([0.75, 0.5]))
    tensor([0.7500, 1.0000], dtype=torch.float64)
    """
    true_positives = _true_positives(matched_iou)
    return ratio_terms(true_positives.sum(), len(true_positives))


def rq_terms(matched_iou: Tensor, n_pred: int, n_true: int) -> Tensor:
    """Give TP, and TP + FP / 2 + FN / 2; arguments as of `pq_terms`.

    >>> rq_terms(torch.tensor([0.75, 0.5]), n_pred=3, n_true=2)
    tensor([1.0000, 2.5000], dtype=torch.float64)
    """
    return ratio_terms(len(_true_positives(matched_iou)), (n_pred + n_true) / 2)


def panoptic_quality(overlaps: ObjectOverlaps) -> PanopticQuality:
    """Score the detections of one image and their masks.

    Args:
        overlaps: the objects, from `label_overlaps`.

    Returns:
        `pq` and `rq` in [0, 1], NaN when there is no object at all; `sq` in (0.5, 1], NaN when no pair is above 0.5.

    Source: Kirillov et al., Panoptic Segmentation, CVPR 2019.

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> pred, true = torch.tensor([[1, 1, 1, 0, 2, 3, 0]]), torch.tensor([[4, 4, 4, 4, 0, 0, 5]])
    >>> panoptic_quality(label_overlaps(pred, true))
    PanopticQuality(pq=0.3, sq=0.75, rq=0.4)
    """
    matched_iou = overlaps.iou[matched_pairs(overlaps, PQ_THRESHOLD)]
    n_pred, n_true = overlaps.n_pred, overlaps.n_true
    every_terms = (pq_terms(matched_iou, n_pred, n_true), sq_terms(matched_iou), rq_terms(matched_iou, n_pred, n_true))
    return PanopticQuality(*(float(pooled_ratio(terms[None])) for terms in every_terms))


def _true_positives(matched_iou: Tensor) -> Tensor:
    matched_iou = matched_iou.to(torch.float64)
    return matched_iou[matched_iou > PQ_THRESHOLD]
