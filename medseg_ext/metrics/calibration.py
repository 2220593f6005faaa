"""Tell how far the scores of predicted objects are the frequencies with which they are right.

An object is right where a true one overlaps it with an IoU of at least 0.5: the matching of `ap_50`. As of other
metrics, an image is remembered by float64 *terms*, whose sums over images give all figures, of resampled images too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from medseg_ext.metrics.image_comparison import ImageComparison

BINS = 15  # of equal width, as in Guo et al. 2017, and as torchmetrics takes by default


class ReliabilityBin(NamedTuple):
    """Objects whose scores are in one bin.

    Attributes:
        low: least score of the bin.
        high: the score at which the next one begins; 1 belongs to the last.
        objects: how many there are, at least 1.
        mean_score: their mean score.
        right: share of them that is right, in [0, 1].
    """

    low: float
    high: float
    objects: int
    mean_score: float
    right: float


def which_are_right(comparison: ImageComparison, count: int) -> Tensor:
    """Say which predicted objects of an image are right.

    Args:
        comparison: the image, from `compare_image`, its predicted objects numbered 1..N.
        count: N.

    Returns:
        bool (N,); entry i is of object i + 1.

    Raises:
        ValueError: an object has a higher number.

    >>> from medseg_ext.metrics.image_comparison import compare_image
    >>> which_are_right(compare_image(torch.tensor([[1, 1, 0, 2]]), torch.tensor([[5, 5, 5, 0]])), 2)
    tensor([ True, False])
    """
    ids = comparison.overlaps.pred_ids
    if len(ids) and int(ids.max()) > count:
        raise ValueError(f"expected a score for each of {int(ids.max())} objects, got {count} scores")
    is_right = torch.zeros(count, dtype=torch.bool)
    is_right[comparison.matched_ids[0] - 1] = True
    return is_right


def calibration_terms(scores: Tensor, is_right: Tensor, *, bins: int = BINS) -> Tensor:
    """Sum up the objects of an image.

    Args:
        scores: float (N,) in [0, 1].
        is_right: bool (N,).
        bins: number of bins of equal width, B, each closed on the left, the last on both sides.

    Returns:
        float64 (3 B + 1,): of each bin the number of objects, the sum of their scores, and how many are right; then the
        sum of the squared errors (score - right).

    Raises:
        ValueError: a score is outside [0, 1], or there are not as many as objects.
    """
    scores, is_right = scores.double(), is_right.double()
    if scores.shape != is_right.shape or scores.ndim != 1:
        raise ValueError(f"expected one score an object, got {tuple(scores.shape)} for {tuple(is_right.shape)}")
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        raise ValueError(f"scores must be in [0, 1], got {float(scores.min())} to {float(scores.max())}")
    # Edges as numbers: scores times the number of bins are rounded to another one.
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    places = (torch.bucketize(scores, edges, right=True) - 1).clamp(max=bins - 1)
    sums = [
        torch.bincount(places, weights=each, minlength=bins) for each in (torch.ones_like(scores), scores, is_right)
    ]
    return torch.cat([*sums, ((scores - is_right) ** 2).sum().reshape(1)])


def expected_calibration_error(terms: Tensor) -> Tensor:
    """Average over the bins, weighted by their objects, how far the mean score is from the share that is right.

    Args:
        terms: of N images, (..., N, 3 B + 1).

    Returns:
        In [0, 1], shape (...); NaN without objects. Of few objects it is too high: their shares scatter.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    >>> terms = calibration_terms(torch.tensor([0.9, 0.9]), torch.tensor([True, False]))
    >>> round(float(expected_calibration_error(terms[None])), 3)
    0.4
    """
    counts, scores, right = terms.sum(dim=-2)[..., :-1].chunk(3, dim=-1)
    return (scores - right).abs().sum(dim=-1) / counts.sum(dim=-1)


def brier_score(terms: Tensor) -> Tensor:
    """Average the squared error of the scores over objects; in [0, 1], shape (...), NaN without objects.

    Args:
        terms: of N images, (..., N, 3 B + 1).

    Source: Brier, Verification of Forecasts Expressed in Terms of Probability, Monthly Weather Review 1950.
    """
    sums = terms.sum(dim=-2)
    return sums[..., -1] / sums[..., : sums.shape[-1] // 3].sum(dim=-1)


def reliability_curve(terms: Tensor) -> list[ReliabilityBin]:
    """List the bins that hold objects, from the lowest.

    Args:
        terms: of N images, (N, 3 B + 1).

    >>> reliability_curve(calibration_terms(torch.tensor([0.5, 0.5]), torch.tensor([True, False]), bins=2)[None])
    [ReliabilityBin(low=0.5, high=1.0, objects=2, mean_score=0.5, right=0.5)]
    """
    counts, scores, right = (part.tolist() for part in terms.sum(dim=0)[:-1].chunk(3))
    bins = len(counts)
    return [
        ReliabilityBin(place / bins, (place + 1) / bins, int(count), scores[place] / count, right[place] / count)
        for place, count in enumerate(counts)
        if count
    ]
