"""Reduce the ratios of many images to one score.

Every metric here is a ratio of two sums over an image, such as intersection / union. The *terms* of an image are its
numerators followed by its denominators, float64 of shape (2 R,): R ratios, one for each class or threshold, and one
for most metrics. Terms are all that a set of images must remember, whether its score is a mean over images, a pooled
ratio, or either of them on resampled images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def ratio_terms(numerators: Tensor | float | Sequence[float], denominators: Tensor | float | Sequence[float]) -> Tensor:
    """Put the numerators and denominators of R ratios into one vector.

    Args:
        numerators: one number, or R of them.
        denominators: as many numbers.

    Returns:
        float64 terms, shape (2 R,).

    >>> ratio_terms(50, 150)
    tensor([ 50., 150.], dtype=torch.float64)
    """
    parts = [torch.as_tensor(part, dtype=torch.float64).reshape(-1) for part in (numerators, denominators)]
    return torch.cat(parts)


def mean_ratio(terms: Tensor, *, empty: float = math.nan) -> Tensor:
    """Average over images the ratio of each image.

    Args:
        terms: numerators then denominators, shape (..., N, 2 R), N images.
        empty: the ratio 0 / 0. NaN leaves it out of the mean; 1 counts it as a correct answer.

    Returns:
        Mean over the ratios of each image, then over images, shape (...); NaN where nothing is defined.

    >>> mean_ratio(torch.tensor([[1.0, 2.0], [3.0, 3.0], [0.0, 0.0]]))
    tensor(0.7500)
    >>> mean_ratio(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), empty=1.0)
    tensor(0.7500)
    """
    numerators, denominators = terms.chunk(2, dim=-1)
    ratios = torch.where(denominators == 0, empty, numerators / denominators)
    return ratios.nanmean(dim=-1).nanmean(dim=-1)


def pooled_ratio(terms: Tensor) -> Tensor:
    """Divide the sum of the numerators over all images by the sum of the denominators.

    Args:
        terms: numerators then denominators, shape (..., N, 2 R), N images.

    Returns:
        Mean over the R pooled ratios, shape (...). A ratio 0 / 0 is left out; NaN where nothing is defined.

    >>> pooled_ratio(torch.tensor([[1.0, 2.0], [3.0, 3.0], [0.0, 0.0]]))
    tensor(0.8000)
    """
    numerators, denominators = terms.sum(dim=-2).chunk(2, dim=-1)
    return (numerators / denominators).nanmean(dim=-1)
