"""Summarise the metrics of a set of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medseg_ext.metrics.bootstrap import RESAMPLES, Interval, bootstrap_interval, paired_bootstrap_difference
from medseg_ext.metrics.definitions import MetricDefinition
from medseg_ext.metrics.image_comparison import ImageComparison


def image_statistics(comparison: ImageComparison, definitions: Mapping[str, MetricDefinition]) -> dict[str, Tensor]:
    """Give what each metric remembers of an image.

    Args:
        comparison: the image, from `compare_image`.
        definitions: the metrics by name.

    Returns:
        Of each metric float64 terms, shape (K,), K its own for each metric.

    Raises:
        ValueError: a metric needs class maps, and the image was compared without.
    """
    # The averaged and the pooled form of a metric share their terms: computed once.
    functions = {definition.statistics for definition in definitions.values()}
    terms = {function: function(comparison) for function in functions}
    return {name: terms[definition.statistics] for name, definition in definitions.items()}


def stack_statistics(images: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Join the statistics of N images, from (K,) each to (N, K).

    >>> stack_statistics([{"dice": torch.zeros(2)}, {"dice": torch.ones(2)}])
    {'dice': tensor([[0., 0.],
            [1., 1.]])}
    """
    names = images[0] if images else ()
    return {name: torch.stack([image[name] for image in images]) for name in names}


def per_image_values(
    statistics: Mapping[str, Tensor], definitions: Mapping[str, MetricDefinition]
) -> dict[str, Tensor]:
    """Score each image alone.

    Args:
        statistics: of each metric one row an image, shape (N, K).
        definitions: the metrics by name.

    Returns:
        Of each metric one value an image, shape (N,); NaN where undefined.
    """
    return {name: definitions[name].reduce(rows.unsqueeze(-2)) for name, rows in statistics.items()}


def summarise(
    statistics: Mapping[str, Tensor],
    definitions: Mapping[str, MetricDefinition],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Score a set of images by each metric, with 95 % bootstrap intervals over groups of images.

    Args:
        statistics: of each metric one row an image, shape (N, K).
        definitions: the metrics by name.
        groups: name of each image's group, as of `bootstrap_interval`.
        resamples: number of resampled sets of groups.
        seed: seed of the resampling.

    Returns:
        Of each metric `value`; `interval_95`, [low, high], NaN for fewer than 10 groups; `images`, how many images have
        a defined value of their own; `images_left_out`, how many have none. Plain numbers, NaN where undefined.

    >>> from medseg_ext.metrics import metric_named
    >>> definitions = {"dice": metric_named("dice")}
    >>> summarise({"dice": torch.tensor([[1.0, 2.0], [1.0, 2.0]])}, definitions)
    {'dice': {'value': 0.5, 'interval_95': [nan, nan], 'images': 2, 'images_left_out': 0}}
    """
    summary = {}
    for name, values in per_image_values(statistics, definitions).items():
        interval = bootstrap_interval(
            statistics[name], definitions[name].reduce, groups=groups, resamples=resamples, seed=seed
        )
        summary[name] = _entry("value", interval, values)
    return summary


def summarise_difference(
    first: Mapping[str, Tensor],
    second: Mapping[str, Tensor],
    definitions: Mapping[str, MetricDefinition],
    *,
    groups: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Compare two models on the same images by each metric, with paired 95 % bootstrap intervals.

    A mean over images is compared over those that have a defined value for both models, else each model would leave
    out other images. Pooled metrics leave none out: an undefined ratio adds nothing to their sums.

    Args:
        first: statistics of the first model, of each metric one row an image, shape (N, K).
        second: statistics of the second model on the same images in the same order.
        definitions: the metrics by name.
        groups: name of each image's group, as of `bootstrap_interval`.
        resamples: number of resampled sets of groups.
        seed: seed of the resampling.

    Returns:
        As `summarise`, with `difference`, first minus second, for `value`; `images` have a defined value for both.

    Raises:
        ValueError: the two models were not scored on the same number of images.
    """
    first_values, second_values = per_image_values(first, definitions), per_image_values(second, definitions)
    summary = {}
    for name, definition in ((name, definitions[name]) for name in first):
        interval = paired_bootstrap_difference(
            first[name],
            second[name],
            definition.reduce,
            groups=groups,
            only_defined=definition.averages_images,
            resamples=resamples,
            seed=seed,
        )
        summary[name] = _entry("difference", interval, first_values[name] - second_values[name])
    return summary


def _entry(key: str, interval: Interval, values: Tensor) -> dict[str, Any]:
    n_undefined = int(values.isnan().sum())
    return {
        key: interval.value,
        "interval_95": [interval.low, interval.high],
        "images": len(values) - n_undefined,
        "images_left_out": n_undefined,
    }
