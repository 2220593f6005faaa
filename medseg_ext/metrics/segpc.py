"""Score cells as the SegPC-2021 challenge does."""

from __future__ import annotations

from scipy.optimize import linear_sum_assignment
from torch import Tensor

from medseg_ext.metrics.ratios import ratio_terms


def segpc_miou_terms(iou: Tensor) -> Tensor:
    """Give the summed best IoU of the true cells, and their number: the official score.

    A prediction may be the best of several cells, and false positives cost nothing. An image without predictions
    adds its cells with 0.

    Args:
        iou: pairwise IoU in [0, 1], shape (P, T); a cell is its nucleus and its cytoplasm together.

    Returns:
        float64 terms, shape (2,).

    Source: Gupta et al., SegPC-2021: A challenge & dataset on segmentation of Multiple Myeloma plasma cells from
        microscopic images, Medical Image Analysis 2023.

    >>> import torch
    >>> segpc_miou_terms(torch.tensor([[0.75, 0.25], [0.5, 0.0]]))
    tensor([1., 2.], dtype=torch.float64)
    """
    n_pred, n_true = iou.shape
    best = iou.amax(dim=0).sum() if n_pred else 0.0
    return ratio_terms(best, n_true)


def segpc_miou_matched_terms(iou: Tensor) -> Tensor:
    """Give the summed IoU of cells paired one-to-one, and the number of true cells and unpaired predictions.

    The pairing is the one-to-one pairing of largest summed IoU; a pair must overlap. This is our stricter
    companion of the official score: a prediction counts once, and a false positive costs as much as a missed cell.

    Args:
        iou: pairwise IoU in [0, 1], shape (P, T); a cell is its nucleus and its cytoplasm together.

    Returns:
        float64 terms, shape (2,).

    >>> import torch
    >>> segpc_miou_matched_terms(torch.tensor([[0.75, 0.125], [0.5, 0.0]]))
    tensor([0.7500, 3.0000], dtype=torch.float64)
    """
    n_pred, n_true = iou.shape
    matched_iou = iou[linear_sum_assignment(iou.numpy(), maximize=True)]
    n_matched = int((matched_iou > 0).sum())
    return ratio_terms(matched_iou.sum(), n_true + n_pred - n_matched)
