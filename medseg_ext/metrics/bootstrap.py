"""Give scores their bootstrap intervals over groups of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LEVEL = 0.95
RESAMPLES = 2000
LEAST_GROUPS = 10  # fewer tell too little of their spread: a percentile interval of so few is far too narrow
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
    groups: Sequence[str] | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    least_groups: int | None = None,
) -> Interval:
    """Score a set of images, with a percentile interval from resampling their groups.

    Args:
        statistics: one row an image, shape (N, K).
        reduce: scores sets of images, (..., N, K) -> (...), of any N.
        groups: name of each image's group, N of them; images of one group (of one mosaic, slide or patient) are drawn
            together, as they resemble each other. An image whose name is empty is a group by itself, as all are for
            None.
        level: coverage in (0, 1).
        resamples: number of resampled sets of as many groups, drawn with replacement.
        seed: the same seed and groups draw the same images, so that metrics and models are comparable.
        least_groups: at least 2; None takes `LEAST_GROUPS`.

    Returns:
        The score of all images, and its bounds; resamples with an undefined score are left out. The bounds are NaN
        below `least_groups` groups.

    Raises:
        ValueError: level outside (0, 1), less than one resample, or not one group an image.

    Source: Efron, Bootstrap Methods: Another Look at the Jackknife, Annals of Statistics 1979; of groups: Davison and
        Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.

    >>> terms = torch.tensor([[0.5, 1.0], [0.7, 1.0], [0.9, 1.0]])
    >>> def mean(rows):
    ...     return rows[..., 0].mean(dim=-1)
    >>> interval = bootstrap_interval(terms, mean, least_groups=2)
    >>> [round(number, 2) for number in interval]
    [0.7, 0.5, 0.9]

    Two images of one mosaic come together or not at all:

    >>> interval = bootstrap_interval(terms, mean, groups=["mosaic", "mosaic", ""], least_groups=2)
    >>> [round(number, 2) for number in interval]
    [0.7, 0.6, 0.9]
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    value = float(reduce(statistics))
    groups = [""] * len(statistics) if groups is None else groups
    _check_groups(groups, statistics)
    if count_groups(groups) < max(2, LEAST_GROUPS if least_groups is None else least_groups):
        return Interval(value, math.nan, math.nan)
    scores = resampled_scores(statistics, reduce, groups=groups, resamples=resamples, seed=seed)
    tail = (1 - level) / 2
    low, high = scores.nanquantile(torch.tensor([tail, 1 - tail], dtype=scores.dtype)).tolist()
    return Interval(value, low, high)


def paired_bootstrap_difference(
    first: Tensor,
    second: Tensor,
    reduce: Callable[[Tensor], Tensor],
    *,
    groups: Sequence[str] | None = None,
    only_defined: bool = False,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    least_groups: int | None = None,
) -> Interval:
    """Measure by how much the first model scores above the second on the same images.

    Each resample takes the same images for both models, so that the difficulty of an image cancels out.

    Args:
        first: statistics of the first model, one row an image, shape (N, K).
        second: statistics of the second model on the same images in the same order.
        reduce: scores sets of images, (..., N, K) -> (...), of any N.
        groups: name of each image's group, as of `bootstrap_interval`.
        only_defined: leave out the images whose own score is undefined for either model, as a mean over images must:
            else each model would leave out other ones.
        level: coverage in (0, 1).
        resamples: number of resampled sets of as many groups.
        seed: seed of the resampling.
        least_groups: of which there are bounds, at least 2; None takes `LEAST_GROUPS`.

    Returns:
        First score minus second score, and its bounds; a difference is reliable where these leave out 0.

    Raises:
        ValueError: the shapes differ; level, resamples or groups as in `bootstrap_interval`.

    >>> terms = torch.tensor([[0.5], [0.7], [0.9]])
    >>> paired_bootstrap_difference(terms, terms, lambda rows: rows.mean(dim=(-1, -2)), least_groups=2)
    Interval(value=0.0, low=0.0, high=0.0)
    """
    if first.shape != second.shape:
        raise ValueError(
            f"both models must have statistics of the same images, got {tuple(first.shape)} and {tuple(second.shape)}"
        )
    if only_defined:
        is_defined = ~(reduce(first.unsqueeze(-2)) - reduce(second.unsqueeze(-2))).isnan()
        first, second = first[is_defined], second[is_defined]
        groups = None if groups is None else [groups[position] for position in is_defined.nonzero().flatten().tolist()]

    def difference(paired: Tensor) -> Tensor:
        rows_first, rows_second = paired.chunk(2, dim=-1)
        return reduce(rows_first) - reduce(rows_second)

    paired = torch.cat([first, second], dim=-1)
    return bootstrap_interval(
        paired, difference, groups=groups, level=level, resamples=resamples, seed=seed, least_groups=least_groups
    )


def resampled_scores(
    statistics: Tensor,
    reduce: Callable[[Tensor], Tensor],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Tensor:
    """Score resampled sets of images.

    Args:
        statistics: one row an image, shape (N, K).
        reduce: scores sets of images, (..., N, K) -> (...), of any N.
        groups: name of each image's group, as of `bootstrap_interval`.
        resamples: number of resampled sets, B.
        seed: seed of the resampling.

    Returns:
        B scores, shape (B,).

    Raises:
        ValueError: not one group an image.

    >>> resampled_scores(torch.ones(5, 1), lambda rows: rows.sum(dim=(-1, -2)), resamples=2)
    tensor([5., 5.])
    """
    groups = [""] * len(statistics) if groups is None else groups
    _check_groups(groups, statistics)
    numbers = _group_numbers(groups)
    sizes = numbers.bincount()
    drawn = torch.randint(len(sizes), (resamples, len(sizes)), generator=torch.Generator().manual_seed(seed))
    # Groups differ in size, and so do sets: those of one size are scored together.
    set_sizes = sizes[drawn].sum(dim=1)
    scores, places = [], []
    for size in set_sizes.unique().tolist():
        of_this_size = (set_sizes == size).nonzero().flatten()
        for chunk in of_this_size.split(max(1, CHUNK_ELEMENTS // (size * statistics.shape[1]))):
            images = _images_of(drawn[chunk], numbers, sizes).to(statistics.device)
            scores.append(reduce(statistics[images]))
            places.append(chunk)
    return torch.cat(scores)[torch.cat(places).argsort().to(statistics.device)]


def count_groups(groups: Sequence[str]) -> int:
    """Count groups of images by their names, of which an empty one is a group by itself.

    >>> count_groups(["mosaic", "", "mosaic", ""])
    3
    """
    return len(_group_numbers(groups).unique())


def _check_groups(groups: Sequence[str], statistics: Tensor) -> None:
    if len(groups) != len(statistics):
        raise ValueError(f"groups must name one group an image, got {len(groups)} for {len(statistics)} images")


def _group_numbers(groups: Sequence[str]) -> Tensor:
    """Number groups in the order of their first images, so that without names image and group have one number."""
    keys = [name or position for position, name in enumerate(groups)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys], dtype=torch.int64)


def _images_of(drawn: Tensor, numbers: Tensor, sizes: Tensor) -> Tensor:
    """Replace drawn groups by all of their images.

    Args:
        drawn: sets of groups, int64 (B, G); all sets have as many images.
        numbers: group of each image, (N,).
        sizes: number of images of each group.

    Returns:
        Sets of images, int64 (B, images of a set).
    """
    by_group = numbers.argsort(stable=True)
    first = sizes.cumsum(0) - sizes
    groups = drawn.flatten()
    counts = sizes[groups]
    # Of n images of a group these are 0..n-1, one run after the other.
    within = torch.arange(int(counts.sum())) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    return by_group[first[groups].repeat_interleave(counts) + within].reshape(len(drawn), -1)
