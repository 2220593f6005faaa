"""Score cells as the SegPC-2021 challenge does."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from medseg_ext.metrics.overlap import ObjectOverlaps
from medseg_ext.metrics.ratios import ratio_terms

# Sums that differ by less are equal: IoUs are fractions of pixels, and such sums are rounded.
TIE = 1e-12


def segpc_miou_terms(overlaps: ObjectOverlaps) -> Tensor:
    """Give the summed best IoU of the true cells, and their number: the official score.

    A prediction may be the best of several cells, and false positives cost nothing. An image without predictions
    adds its cells with 0.

    Args:
        overlaps: the cells, from `label_overlaps`; a cell is its nucleus and its cytoplasm together.

    Returns:
        float64 terms, shape (2,).

    Source: Gupta et al., SegPC-2021: A challenge & dataset on segmentation of Multiple Myeloma plasma cells from
        microscopic images, Medical Image Analysis 2023.

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> pred, true = torch.tensor([[1, 1, 1, 2, 3]]), torch.tensor([[4, 4, 4, 4, 5]])
    >>> segpc_miou_terms(label_overlaps(pred, true))
    tensor([1.7500, 2.0000], dtype=torch.float64)
    """
    best = torch.zeros(overlaps.n_true, dtype=torch.float64)
    best.scatter_reduce_(0, overlaps.true_index, overlaps.iou, "amax")
    return ratio_terms(best.sum(), overlaps.n_true)


def segpc_miou_matched_terms(overlaps: ObjectOverlaps) -> Tensor:
    """Give the summed IoU of cells paired one-to-one, and the number of true cells and unpaired predictions.

    The pairing is the one-to-one pairing of largest summed IoU, and of several such ones that of most pairs; a pair
    must overlap. This is our stricter companion of the official score: a prediction counts once, and a false positive
    costs as much as a missed cell.

    Args:
        overlaps: the cells, from `label_overlaps`; a cell is its nucleus and its cytoplasm together.

    Returns:
        float64 terms, shape (2,).

    >>> from medseg_ext.metrics.overlap import label_overlaps
    >>> pred, true = torch.tensor([[1, 1, 1, 2, 3]]), torch.tensor([[4, 4, 4, 4, 5]])
    >>> segpc_miou_matched_terms(label_overlaps(pred, true))  # prediction 2 is left
    tensor([1.7500, 3.0000], dtype=torch.float64)
    """
    pairs = _best_pairing(overlaps.pred_index.numpy(), overlaps.true_index.numpy(), overlaps.iou.numpy())
    return ratio_terms(float(overlaps.iou.numpy()[pairs].sum()), overlaps.n_true + overlaps.n_pred - len(pairs))


def _best_pairing(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose pairs that share no row and no column, of the largest summed weight, and then as many as can be.

    Nearly all of them need no search. A pair that outweighs its best rivals in row and column together is in every best
    pairing, as whatever stands in its place weighs less. So is, in one of the best, a pair that has rivals in only one
    of the two and weighs as much as each: it can take the place of any of them.

    Args:
        rows: that of each pair, shape (M,).
        columns: that of each pair.
        weights: above 0, shape (M,).

    Returns:
        Positions of the chosen pairs, ascending.
    """
    in_row, in_column = _best_rival(rows, weights), _best_rival(columns, weights)
    is_without_rivals = (in_row == 0) | (in_column == 0)
    is_heaviest = weights >= np.maximum(in_row, in_column)
    sure = ((weights > in_row + in_column + TIE) | (is_without_rivals & is_heaviest)).nonzero()[0]
    for places in (rows, columns):  # of equal rivals, such as two halves, the first
        _, first = np.unique(places[sure], return_index=True)
        sure = np.sort(sure[first])
    is_open = ~(np.isin(rows, rows[sure]) | np.isin(columns, columns[sure]))
    open_pairs = is_open.nonzero()[0]
    chosen = _search_pairing(rows[open_pairs], columns[open_pairs], weights[open_pairs])
    return np.sort(np.concatenate([sure, open_pairs[chosen]]))


def _best_rival(places: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give for each pair the largest weight of another pair at its place; 0 where there is none."""
    order = np.lexsort((-weights, places))
    sorted_places = places[order]
    _, first, sizes = np.unique(sorted_places, return_index=True, return_counts=True)
    best = weights[order[first]]
    is_alone = sizes == 1
    second = np.where(is_alone, 0.0, weights[order[np.where(is_alone, first, first + 1)]])
    rivals = np.empty_like(weights)
    rivals[order] = np.repeat(best, sizes)
    rivals[order[first]] = second
    return rivals


def _search_pairing(
    rows: NDArray[np.int64], columns: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Choose pairs as `_best_pairing`; positions in any order."""
    if len(weights) == 0:
        return np.zeros(0, np.int64)
    _, rows = np.unique(rows, return_inverse=True)
    _, columns = np.unique(columns, return_inverse=True)
    n_rows, n_columns = int(rows.max()) + 1, int(columns.max()) + 1
    # SciPy pairs every row. So each gets a column of its own beside the others, which stands for "not paired". All
    # weights are raised by one, as it takes 0 for no pair; every row is paired once, so this changes no decision.
    # Of equal sums that of most pairs has the fewest rows in columns of their own, which weigh a tie less.
    all_rows = np.concatenate([rows, np.arange(n_rows)])
    all_columns = np.concatenate([columns, n_columns + np.arange(n_rows)])
    graph = csr_array((np.concatenate([weights + 1, np.full(n_rows, 1 - TIE)]), (all_rows, all_columns)))
    paired_rows, paired_columns = min_weight_full_bipartite_matching(graph, maximize=True)
    column_of_row = np.empty(n_rows, np.int64)
    column_of_row[paired_rows] = paired_columns
    return (columns == column_of_row[rows]).nonzero()[0]
