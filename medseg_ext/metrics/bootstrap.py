"""Give scores their bootstrap intervals over images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

LEVEL = 0.95
RESAMPLES = 2000
# Resamples are scored in chunks of at most this many numbers (32 MiB).
CHUNK_ELEMENTS = 2**22


class Interval(NamedTuple):
    """A score, and the bounds of its interval."""

    value: float
    low: float
    high: float


def bootstrap_interval(
    statistics: Tensor,
    reduce: Callable[[Tensor], Tensor],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Score a set of images, with a percentile interval from resampling the images.

    Args:
        statistics: one row an image, shape (N, K).
        reduce: scores sets of images, (..., N, K) -> (...).
        level: coverage in (0, 1).
        resamples: number of resampled sets of N images, drawn with replacement.
        seed: the same seed and N draw the same images, so that metrics and models are comparable.

    Returns:
        The score of all images, and its bounds; resamples with an undefined score are left out. The bounds are NaN
        below two images, which tell nothing of their spread.

    Raises:
        ValueError: level outside (0, 1), or less than one resample.

    Source: Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 1979.

    >>> terms = torch.tensor([[0.5, 1.0], [0.7, 1.0], [0.9, 1.0]])
    >>> interval = bootstrap_interval(terms, lambda rows: rows[..., 0].mean(dim=-1))
    >>> [round(number, 2) for number in interval]
    [0.7, 0.5, 0.9]
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    value = float(reduce(statistics))
    if len(statistics) < 2:
        return Interval(value, math.nan, math.nan)
    scores = resampled_scores(statistics, reduce, resamples=resamples, seed=seed)
    tail = (1 - level) / 2
    low, high = scores.nanquantile(torch.tensor([tail, 1 - tail], dtype=scores.dtype)).tolist()
    return Interval(value, low, high)


def paired_bootstrap_difference(
    first: Tensor,
    second: Tensor,
    reduce: Callable[[Tensor], Tensor],
    *,
    only_defined: bool = False,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Measure by how much the first model scores above the second on the same images.

    Each resample takes the same images for both models, so that the difficulty of an image cancels out.

    Args:
        first: statistics of the first model, one row an image, shape (N, K).
        second: statistics of the second model on the same images in the same order.
        reduce: scores sets of images, (..., N, K) -> (...).
        only_defined: leave out the images whose own score is undefined for either model, as a mean over images must:
            else each model would leave out other ones.
        level: coverage in (0, 1).
        resamples: number of resampled sets of N images.
        seed: seed of the resampling.

    Returns:
        First score minus second score, and its bounds; a difference is reliable where these leave out 0.

    Raises:
        ValueError: the shapes differ; level or resamples as in `bootstrap_interval`.

    >>> terms = torch.tensor([[0.5], [0.7], [0.9]])
    >>> paired_bootstrap_difference(terms, terms, lambda rows: rows.mean(dim=(-1, -2)))
    Interval(value=0.0, low=0.0, high=0.0)
    """
    if first.shape != second.shape:
        raise ValueError(
            f"both models must have statistics of the same images, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if only_defined:
        is_defined = ~(reduce(first.unsqueeze(-2)) - reduce(second.unsqueeze(-2))).isnan()
        first, second = first[is_defined], second[is_defined]

    def difference(paired: Tensor) -> Tensor:
        rows_first, rows_second = paired.chunk(2, dim=-1)
        return reduce(rows_first) - reduce(rows_second)

    paired = torch.cat([first, second], dim=-1)
    return bootstrap_interval(paired, difference, level=level, resamples=resamples, seed=seed)


def resampled_scores(
    statistics: Tensor, reduce: Callable[[Tensor], Tensor], *, resamples: int = RESAMPLES, seed: int = 0
) -> Tensor:
    """Score resampled sets of images.

    Args:
        statistics: one row an image, shape (N, K).
        reduce: scores sets of images, (..., N, K) -> (...).
        resamples: number of resampled sets, B.
        seed: seed of the resampling.

    Returns:
        B scores, shape (B,).

    >>> resampled_scores(torch.ones(5, 1), lambda rows: rows.sum(dim=(-1, -2)), resamples=2)
    tensor([5., 5.])
    """
    n_images, n_statistics = statistics.shape
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(n_images, (resamples, n_images), generator=generator).to(statistics.device)
    sets_per_chunk = max(1, CHUNK_ELEMENTS // (n_images * n_statistics))
    return torch.cat([reduce(statistics[chunk]) for chunk in images.split(sets_per_chunk)])
