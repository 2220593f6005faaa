"""Hold what all metrics of one image share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from medseg_ext.metrics.matching import matched_pairs
from medseg_ext.metrics.overlap import ObjectOverlaps, check_same_shape, class_overlaps, label_overlaps


@dataclass(frozen=True, eq=False)
class ImageComparison:
    """Predicted and true objects of one image, compared once for all metrics. Made by `compare_image`.

    Attributes:
        overlaps: the objects of both sides, and the pairs of them that share pixels.
        optional_class_overlaps: confusion matrix of the class maps, shape (C, C), or None without class maps.
    """

    overlaps: ObjectOverlaps
    optional_class_overlaps: Tensor | None = None

    @cached_property
    def _matches(self) -> Tensor:
        """Positions of the pairs of IoU >= 0.5, int64 (K,)."""
        return matched_pairs(self.overlaps, threshold=0.5)

    @property
    def matched_iou(self) -> Tensor:
        """IoU of the pairs of IoU >= 0.5, float64 (K,)."""
        return self.overlaps.iou[self._matches]

    @property
    def matched_ids(self) -> tuple[Tensor, Tensor]:
        """Ids of the predicted and of the true objects of these pairs, int64 (K,) each."""
        overlaps, matches = self.overlaps, self._matches
        return overlaps.pred_ids[overlaps.pred_index[matches]], overlaps.true_ids[overlaps.true_index[matches]]

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
    >>> comparison.matched_iou, comparison.matched_ids
    (tensor([0.6667], dtype=torch.float64), (tensor([5]), tensor([3])))
    """
    overlaps = label_overlaps(pred_instances, true_instances)
    if pred_classes is None and true_classes is None:
        return ImageComparison(overlaps)
    if pred_classes is None or true_classes is None:
        which = "true" if pred_classes is None else "predicted"
        raise ValueError(f"both class maps or none must be given, got only the {which} one")
    check_same_shape(pred_classes, true_instances, "classes and instances")
    return ImageComparison(overlaps, class_overlaps(pred_classes, true_classes))
