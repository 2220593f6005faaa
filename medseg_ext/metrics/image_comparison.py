"""Hold what all metrics of one image share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from medseg_ext.metrics.matching import iou_from_overlaps, match_objects
from medseg_ext.metrics.overlap import check_same_shape, class_overlaps, label_overlaps


@dataclass(frozen=True, eq=False)
class ImageComparison:
    """Predicted and true objects of one image, compared once for all metrics. Made by `compare_image`.

    Attributes:
        overlaps: int64 pixel counts, shape (P + 1, T + 1); row 0 and column 0 are the background.
        pred_ids: ids of the predicted objects in ascending order, shape (P,).
        true_ids: ids of the true objects in ascending order, shape (T,).
        optional_class_overlaps: confusion matrix of the class maps, shape (C, C), or None without class maps.
    """

    overlaps: Tensor
    pred_ids: Tensor
    true_ids: Tensor
    optional_class_overlaps: Tensor | None = None

    @property
    def n_pred(self) -> int:
        """Number of predicted objects, P."""
        return len(self.pred_ids)

    @property
    def n_true(self) -> int:
        """Number of true objects, T."""
        return len(self.true_ids)

    @cached_property
    def iou(self) -> Tensor:
        """Pairwise IoU in [0, 1], float64, shape (P, T)."""
        return iou_from_overlaps(self.overlaps)

    @cached_property
    def matches(self) -> Tensor:
        """Pairs of IoU >= 0.5, int64 rows (prediction, truth) of indices into the ids, shape (K, 2)."""
        return match_objects(self.iou, threshold=0.5)

    @cached_property
    def matched_iou(self) -> Tensor:
        """IoU of the matches, float64, shape (K,)."""
        pred_index, true_index = self.matches.T
        return self.iou[pred_index, true_index]

    @property
    def class_overlaps(self) -> Tensor:
        """Confusion matrix of the class maps, shape (C, C), rows predicted and columns true.

        Raises:
            ValueError: the image was compared without class maps.
        """
        if self.optional_class_overlaps is None:
            raise ValueError("this metric needs the predicted and the true class map, got no class maps")
        return self.optional_class_overlaps


def compare_image(
    pred_instances: Tensor,
    true_instances: Tensor,
    pred_classes: Tensor | None = None,
    true_classes: Tensor | None = None,
) -> ImageComparison:
    """Compare the predicted with the true objects of one image.

    Args:
        pred_instances: label map, integers >= 0, 0 the background, ids with any gaps, shape (H, W) or (1, H, W).
        true_instances: true label map of the same height and width.
        pred_classes: class map, integers in [0, 255], same height and width; only metrics of classes need it.
        true_classes: true class map, given if and only if `pred_classes` is.

    Returns:
        What all metrics of the image need, on the CPU.

    Raises:
        TypeError: a map is not of an integer type.
        ValueError: a map has a wrong shape or value, the shapes differ, or only one class map is given.

    >>> import torch
    >>> comparison = compare_image(torch.tensor([[0, 5, 5, 2]]), torch.tensor([[3, 3, 3, 0]]))
    >>> comparison.iou
    tensor([[0.0000],
            [0.6667]], dtype=torch.float64)
    """
    pixels, pred_ids, true_ids = label_overlaps(pred_instances, true_instances)
    if pred_classes is None and true_classes is None:
        return ImageComparison(pixels, pred_ids, true_ids)
    if pred_classes is None or true_classes is None:
        which = "true" if pred_classes is None else "predicted"
        raise ValueError(f"both class maps or none must be given, got only the {which} one")
    check_same_shape(pred_classes, true_instances, "classes and instances")
    return ImageComparison(pixels, pred_ids, true_ids, class_overlaps(pred_classes, true_classes))
