"""Define every metric that the project reports.

A metric is a pair: the terms of an image (see `ratios`), and the reduction of the terms of N images to one score.
Names without suffix are those of the field; `_pooled` divides sums over all images, `_per_image` averages the images'
own ratios.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from medseg_ext.metrics.aggregated_jaccard import aggregated_jaccard_terms
from medseg_ext.metrics.average_precision import AP_THRESHOLDS, average_precision_terms
from medseg_ext.metrics.image_comparison import ImageComparison
from medseg_ext.metrics.panoptic_quality import pq_terms, rq_terms, sq_terms
from medseg_ext.metrics.ratios import mean_ratio, pooled_ratio
from medseg_ext.metrics.regions import RegionAreas, class_areas, dice_terms, foreground_areas, iou_terms
from medseg_ext.metrics.segpc import segpc_miou_matched_terms, segpc_miou_terms

Statistics = Callable[[ImageComparison], Tensor]
Reduction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MetricDefinition:
    """One metric: what to remember of an image, and how to score a set of images from it.

    Attributes:
        name: key in reports and configs.
        description: one line for reports, with the source.
        statistics: gives of an image its float64 terms, shape (K,).
        reduce: scores N images, (..., N, K) -> (...). Undefined is NaN. Higher is better.
        needs_classes: whether the image must be compared with its class maps.
        averages_images: whether the score is the mean over the images that have a defined value of their own.
    """

    name: str
    description: str
    statistics: Statistics
    reduce: Reduction
    needs_classes: bool = False
    averages_images: bool = False


def metrics_for(class_names: Sequence[str] | None = None) -> dict[str, MetricDefinition]:
    """List the metrics of a data set by name.

    Args:
        class_names: name of each value of the class map, the background first; None leaves the class IoUs out.

    Returns:
        Definitions in the order of reports.

    Raises:
        ValueError: two classes would give metrics of the same name.

    >>> list(metrics_for())[:4]
    ['foreground_iou', 'foreground_iou_pooled', 'dice', 'dice_pooled']
    >>> [name for name in metrics_for(["background", "nucleus"]) if name.startswith("class")][::2]
    ['class_iou', 'class_iou_background', 'class_iou_nucleus']
    """
    definitions = [
        *_foreground_metrics(),
        *(_class_metrics(class_names) if class_names else ()),
        *_average_precisions(),
        *_panoptic_qualities(),
        *_aggregated_jaccards(),
        *_segpc_scores(),
    ]
    by_name = {definition.name: definition for definition in definitions}
    if len(by_name) < len(definitions):
        raise ValueError(f"class names must be unique and none may be 'pooled', got {list(class_names or ())}")
    return by_name


def metric_named(name: str, class_names: Sequence[str] | None = None) -> MetricDefinition:
    """Find one metric by its name.

    Args:
        name: a key of `metrics_for(class_names)`.
        class_names: name of each value of the class map, the background first.

    Raises:
        ValueError: there is no such metric; lists those there are.

    >>> metric_named("ap_50").description
    'TP / (TP + FP + FN) at IoU >= 0.50, pooled over all images (StarDist; this is not COCO AP)'
    """
    definitions = metrics_for(class_names)
    if name not in definitions:
        hint = "" if class_names else "; metrics of classes need class_names"
        raise ValueError(f"metric must be one of {', '.join(definitions)}, got {name!r}{hint}")
    return definitions[name]


def _averaged(
    name: str, what: str, statistics: Statistics, *, source: str, empty: float = math.nan, needs_classes: bool = False
) -> MetricDefinition:
    """Define the mean over images of each image's ratio; `empty` is the ratio 0 / 0."""
    empty_case = "0 / 0 left out" if math.isnan(empty) else f"0 / 0 counting {empty:g}"
    return MetricDefinition(
        name=name,
        description=f"{what}, mean over images, {empty_case} ({source})",
        statistics=statistics,
        reduce=partial(mean_ratio, empty=empty),
        needs_classes=needs_classes,
        averages_images=True,
    )


def _pooled(
    name: str, what: str, statistics: Statistics, *, source: str, needs_classes: bool = False
) -> MetricDefinition:
    """Define the ratio of the sums over all images."""
    return MetricDefinition(
        name=name,
        description=f"{what}, pooled over all images ({source})",
        statistics=statistics,
        reduce=pooled_ratio,
        needs_classes=needs_classes,
    )


def _foreground_metrics() -> Iterator[MetricDefinition]:
    regions = {
        "foreground_iou": ("intersection / union of the pixels of all objects", iou_terms),
        "dice": ("2 TP / (2 TP + FP + FN) of the pixels of all objects", dice_terms),
    }
    for name, (what, terms) in regions.items():
        statistics = partial(_foreground_statistics, terms=terms)
        yield _averaged(name, what, statistics, source="each image weighs the same", empty=1.0)
        yield _pooled(f"{name}_pooled", what, statistics, source="each pixel weighs the same")


def _class_metrics(class_names: Sequence[str]) -> Iterator[MetricDefinition]:
    """Define the mean over the classes, the background among them, and each class's own metric."""
    numbers = tuple(range(len(class_names)))
    groups = [("class_iou", f"mean IoU of the {len(class_names)} classes", numbers)]
    groups += [(f"class_iou_{class_names[number]}", f"IoU of {class_names[number]}", (number,)) for number in numbers]
    for name, what, chosen in groups:
        statistics = partial(_class_statistics, n_classes=len(class_names), chosen=chosen)
        source = "the background is a class, as DCSAU-Net counts"
        yield _averaged(name, what, statistics, source=source, empty=1.0, needs_classes=True)
        source = "the background is a class; classes that never occur are left out"
        yield _pooled(f"{name}_pooled", what, statistics, source=source, needs_classes=True)


def _average_precisions() -> Iterator[MetricDefinition]:
    groups: list[tuple[str, str, tuple[float, ...]]] = [
        *((f"ap_{100 * limit:.0f}", f"at IoU >= {limit:.2f}", (limit,)) for limit in AP_THRESHOLDS),
        ("map", "averaged over IoU >= .50:.05:.95", AP_THRESHOLDS),
    ]
    for name, where, thresholds in groups:
        what = f"TP / (TP + FP + FN) {where}"
        statistics = partial(_average_precision_statistics, thresholds=thresholds)
        yield _pooled(name, what, statistics, source="StarDist; this is not COCO AP")
        source = "Kaggle's DSB2018 score" if name == "map" else "one threshold of Kaggle's DSB2018 score"
        yield _averaged(f"{name}_per_image", what, statistics, source=source, empty=1.0)


def _panoptic_qualities() -> Iterator[MetricDefinition]:
    def pq(image: ImageComparison) -> Tensor:
        return pq_terms(image.matched_iou, image.overlaps.n_pred, image.overlaps.n_true)

    def sq(image: ImageComparison) -> Tensor:
        return sq_terms(image.matched_iou)

    def rq(image: ImageComparison) -> Tensor:
        return rq_terms(image.matched_iou, image.overlaps.n_pred, image.overlaps.n_true)

    pq_what = "panoptic quality at IoU > .5"
    sq_what = "mean IoU of the pairs with IoU > .5"
    rq_what = "TP / (TP + FP / 2 + FN / 2) at IoU > .5"
    source = "Kirillov et al. 2019"
    yield _averaged("pq", pq_what, pq, source=source)
    yield _averaged("sq", sq_what, sq, source=source)
    yield _averaged("rq", rq_what, rq, source=source)
    # pq_pooled = mean_matched_iou x rq_pooled; no such product holds between means over images.
    yield _pooled("pq_pooled", pq_what, pq, source=source)
    yield _pooled("mean_matched_iou", sq_what, sq, source="the pooled form of sq")
    yield _pooled("rq_pooled", rq_what, rq, source=source)


def _aggregated_jaccards() -> Iterator[MetricDefinition]:
    def aji(image: ImageComparison) -> Tensor:
        return aggregated_jaccard_terms(image.overlaps)

    what, source = "aggregated Jaccard index", "Kumar et al. 2017"
    yield _pooled("aji", what, aji, source=source)
    yield _averaged("aji_per_image", what, aji, source=source)


def _segpc_scores() -> Iterator[MetricDefinition]:
    what = "mean over true cells of the largest IoU with a predicted cell"
    source = "SegPC-2021's official score; false positives cost nothing"
    yield _pooled("segpc_miou", what, lambda image: segpc_miou_terms(image.overlaps), source=source)
    what = "summed IoU of cells paired one-to-one / (true cells + unpaired predictions)"
    source = "ours, beside SegPC-2021's official score"
    yield _pooled("segpc_miou_matched", what, lambda image: segpc_miou_matched_terms(image.overlaps), source=source)


def _foreground_statistics(image: ImageComparison, terms: Callable[[RegionAreas], Tensor]) -> Tensor:
    return terms(foreground_areas(image.overlaps))


def _class_statistics(image: ImageComparison, n_classes: int, chosen: tuple[int, ...]) -> Tensor:
    areas = class_areas(image.class_overlaps, n_classes)
    return iou_terms(RegionAreas(*(area[list(chosen)] for area in areas)))


def _average_precision_statistics(image: ImageComparison, thresholds: tuple[float, ...]) -> Tensor:
    return average_precision_terms(image.matched_iou, image.overlaps.n_pred, image.overlaps.n_true, thresholds)
