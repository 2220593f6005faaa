"""Metrics of objects in images, from one image's label maps to a set's scores with intervals."""

from medseg_ext.metrics.aggregated_jaccard import aggregated_jaccard_index
from medseg_ext.metrics.average_precision import AP_THRESHOLDS, average_precision
from medseg_ext.metrics.bootstrap import Interval, bootstrap_interval, count_groups, paired_bootstrap_difference
from medseg_ext.metrics.calibration import (
    ReliabilityBin,
    brier_score,
    calibration_terms,
    expected_calibration_error,
    reliability_curve,
    which_are_right,
)
from medseg_ext.metrics.definitions import MetricDefinition, metric_named, metrics_for
from medseg_ext.metrics.image_comparison import ImageComparison, compare_image
from medseg_ext.metrics.matching import match_objects, pairwise_iou
from medseg_ext.metrics.overlap import ObjectOverlaps, label_overlaps
from medseg_ext.metrics.panoptic_quality import PanopticQuality, panoptic_quality
from medseg_ext.metrics.score_calibration import ScoreCalibration, fit_calibration
from medseg_ext.metrics.summary import (
    image_statistics,
    per_image_values,
    stack_statistics,
    summarise,
    summarise_difference,
)

__all__ = [
    "AP_THRESHOLDS",
    "ImageComparison",
    "Interval",
    "MetricDefinition",
    "ObjectOverlaps",
    "PanopticQuality",
    "ReliabilityBin",
    "ScoreCalibration",
    "aggregated_jaccard_index",
    "average_precision",
    "bootstrap_interval",
    "brier_score",
    "calibration_terms",
    "compare_image",
    "count_groups",
    "expected_calibration_error",
    "fit_calibration",
    "image_statistics",
    "label_overlaps",
    "match_objects",
    "metric_named",
    "metrics_for",
    "paired_bootstrap_difference",
    "pairwise_iou",
    "panoptic_quality",
    "per_image_values",
    "reliability_curve",
    "stack_statistics",
    "summarise",
    "summarise_difference",
    "which_are_right",
]
