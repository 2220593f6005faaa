"""Measure how well regions of pixels agree, whatever their objects."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from medseg_ext.metrics.overlap import ObjectOverlaps
from medseg_ext.metrics.ratios import ratio_terms


class RegionAreas(NamedTuple):
    """Pixel counts of R regions, each of shape (R,)."""

    intersection: Tensor
    pred: Tensor
    true: Tensor


def foreground_areas(overlaps: ObjectOverlaps) -> RegionAreas:
    """Count the pixels of the region of all objects together.

    Args:
        overlaps: the objects, from `label_overlaps`.

    Returns:
        Areas of one region.
    """
    counts = (overlaps.pixels, overlaps.pred_areas, overlaps.true_areas)
    return RegionAreas(*(count.sum().reshape(1) for count in counts))


def class_areas(overlaps: Tensor, n_classes: int) -> RegionAreas:
    """Count the pixels of the region of each class.

    Args:
        overlaps: confusion matrix of pixels, shape (C, C), rows predicted, C - 1 the largest class that occurs.
        n_classes: how many classes there are, the background among them.

    Returns:
        Areas of `n_classes` regions.

    Raises:
        ValueError: a pixel is of a class that does not exist.
    """
    n_absent = n_classes - len(overlaps)
    if n_absent < 0:
        raise ValueError(f"classes must be in [0, {n_classes - 1}], got {len(overlaps) - 1}")
    areas = (overlaps.diagonal(), overlaps.sum(dim=1), overlaps.sum(dim=0))
    return RegionAreas(*(F.pad(area, (0, n_absent)) for area in areas))


def iou_terms(areas: RegionAreas) -> Tensor:
    """Give intersection and union of each region, shape (2 R,).

    >>> import torch
    >>> one = torch.tensor([100])
    >>> iou_terms(RegionAreas(intersection=one // 2, pred=one, true=one))
    tensor([ 50., 150.], dtype=torch.float64)
    """
    return ratio_terms(areas.intersection, areas.pred + areas.true - areas.intersection)


def dice_terms(areas: RegionAreas) -> Tensor:
    """Give 2 TP and 2 TP + FP + FN of each region, shape (2 R,).

    >>> import torch
    >>> one = torch.tensor([100])
    >>> dice_terms(RegionAreas(intersection=one // 2, pred=one, true=one))
    tensor([100., 200.], dtype=torch.float64)
    """
    return ratio_terms(2 * areas.intersection, areas.pred + areas.true)
